"""The level from which a pixel counts as a star's: above the mode of the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["kernel_width", "mode", "threshold"]

FloatArray = NDArray[np.float64]

IQR_TO_SIGMA = 1.3489795003921634
"""Interquartile range of a normal distribution over its standard deviation, 2 Phi^-1(3/4)."""
MAD_TO_SIGMA = 2.0 / IQR_TO_SIGMA
STEPS = 8  # of the grid, in one width of the kernel
MOST = 65_536  # points of the grid; values that lie farther apart than 8,000 widths have no use for a finer one


def kernel_width(values: FloatArray) -> float:
    """Return the width of the Gaussian kernel for a density estimate.

    Parameters
    ----------
    values : float64 array, shape (n,)
        Finite.

    Returns
    -------
    float
        1.059 A n^(-1/5) with A the smaller of the standard deviation and the scaled interquartile range, so that a tail
        of stars does not wash out the sky.

    References
    ----------
    Scott 1992, Multivariate Density Estimation, equation 6.42 (the factor is (4/3)^(1/5)); Silverman 1986, Density
    Estimation, equation 3.30 (A).
    """
    low, high = np.percentile(values, (25.0, 75.0))
    spread = min(float(np.std(values)), float(high - low) / IQR_TO_SIGMA)
    return float((4.0 / 3.0) ** 0.2 * spread * values.size**-0.2)


def mode(values: FloatArray) -> float:
    """Return the most likely value: where a Gaussian kernel density is largest.

    Parameters
    ----------
    values : float64 array, shape (n,)
        Finite, any unit.

    Returns
    -------
    float
        NaN without values; the median where half of the values or more are one number.

    Notes
    -----
    The density is that of the values shared between the nearest two points of a grid, eight steps to the kernel's width,
    and smoothed along it (Silverman 1982, Applied Statistics 31, 93). A parabola through the highest three of its logarithms, exact for a
    Gaussian, places the mode between points.
    """
    from scipy import ndimage

    if values.size == 0:
        return np.nan
    width = kernel_width(values)
    low, high = float(values.min()), float(values.max())
    if not width > 1e-12 * max(abs(low), abs(high)):
        return float(np.median(values))
    n_step = int(min(max(np.ceil(STEPS * (high - low) / width), STEPS), MOST))
    step = (high - low) / n_step
    at = (values - low) / step
    point = np.minimum(at.astype(np.int64), n_step - 1)
    share = at - point
    counts = np.bincount(point, 1.0 - share, n_step + 1) + np.bincount(point + 1, share, n_step + 1)
    density = ndimage.gaussian_filter1d(counts, width / step, mode="constant", truncate=6.0)
    top = int(np.argmax(density))
    if not 0 < top < n_step:
        return low + step * top
    left, middle, right = np.log(np.maximum(density[top - 1 : top + 2], np.finfo(np.float64).tiny))
    bend = left - 2.0 * middle + right
    return float(low + step * (top + (0.5 * (left - right) / bend if bend < 0.0 else 0.0)))


def threshold(image: FloatArray, sigmas: float, trim: float) -> float:
    """Return the level above which pixels belong to stars.

    Parameters
    ----------
    image : float64 array
        Background subtracted (e-/s); NaN where there is nothing.
    sigmas : float
        How far above the mode, in standard deviations of the pixels fainter than it.
    trim : float
        Share of the pixels, the brightest, that the mode is found without.

    Returns
    -------
    float
        mode + ``sigmas`` x 1.4826 median|F - mode| over the pixels F fainter than the mode (e-/s); NaN without a finite pixel.

    Notes
    -----
    Only stars spread the image upwards, so the faint side alone tells of the sky. All finite pixels take part, negative
    ones, too: with the background subtracted half of the sky is below zero.

    References
    ----------
    Lund et al. 2015, ApJ 806, 30, section 2.2.
    """
    values = np.sort(image[np.isfinite(image)], axis=None)
    if values.size == 0:
        return np.nan
    values = values[: max(1, int(np.ceil((1.0 - trim) * values.size)))]
    middle = mode(values)
    fainter = middle - values[values < middle]
    return middle + (sigmas * MAD_TO_SIGMA * float(np.median(fainter)) if fainter.size else 0.0)
