"""Numbers that judge a light curve, for many stars at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAD_TO_SIGMA", "median", "point_to_point_scatter", "robust_scatter"]

MAD_TO_SIGMA = 1.482602218505602
"""Standard deviation of a normal distribution over its median absolute deviation, 1 / Phi^-1(3/4)."""

FloatArray = NDArray[np.float64]


def median(values: NDArray[Any]) -> FloatArray:
    """Return the median of each row, ignoring what is not a number.

    Parameters
    ----------
    values : float array, shape (n_row, n)
        Any unit; NaN where there is nothing.

    Returns
    -------
    float64 array, shape (n_row,)
        NaN for a row without a number.

    Notes
    -----
    Sorting all rows at once (NaN goes last) is many times faster than `numpy.nanmedian`, which loops over long rows.
    """
    if values.shape[1] == 0:
        return np.full(values.shape[0], np.nan)
    ordered = np.sort(values, axis=1)
    count = values.shape[1] - np.isnan(values).sum(axis=1)
    low = np.maximum(count - 1, 0) // 2
    high = np.minimum(count // 2, values.shape[1] - 1)
    row = np.arange(values.shape[0])
    middle: FloatArray = 0.5 * (ordered[row, low].astype(np.float64) + ordered[row, high].astype(np.float64))
    return np.where(count > 0, middle, np.nan)


def robust_scatter(values: NDArray[Any]) -> FloatArray:
    """Return the scatter of each row about its median: the median absolute deviation, scaled to a standard deviation.

    Parameters
    ----------
    values : float array, shape (n_row, n)
        Any unit; NaN where there is nothing.

    Returns
    -------
    float64 array, shape (n_row,)
        In the unit of ``values``; NaN for a row without a number.

    References
    ----------
    Rousseeuw & Croux 1993, JASA 88, 1273, section 1.
    """
    return MAD_TO_SIGMA * median(np.abs(values - median(values)[:, None]))


def point_to_point_scatter(flux: NDArray[Any], good: NDArray[np.bool_]) -> FloatArray:
    """Return the scatter from each point to the next, which slow variation of the star leaves alone.

    Parameters
    ----------
    flux : float array, shape (n_star, n_point)
        In time order.
    good : bool array, shape (n_point,) or (n_star, n_point)
        Points to use; a difference counts where both of its neighbouring points are good.

    Returns
    -------
    float64 array, shape (n_star,)
        Scaled to the standard deviation of one point of white noise, in the unit of ``flux``; NaN where no two
        neighbouring points are good.

    Notes
    -----
    A difference of two independent points has twice the variance of one. The median absolute deviation of the
    differences ignores flares and the jumps across gaps.
    """
    kept = np.where(good, flux, np.nan)
    with np.errstate(invalid="ignore"):
        return robust_scatter(np.diff(kept, axis=1)) / np.sqrt(2.0)
