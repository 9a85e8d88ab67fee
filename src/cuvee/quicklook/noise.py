"""The noise that a star of some magnitude should have, and how measured scatter compares with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["NoiseCurve", "noise_curve", "relative_numbers", "share_within"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NoiseCurve:
    """Noise of one exposure relative to the star's flux; every array has the shape of ``mag``.

    Parameters
    ----------
    mag : float64 array
        Magnitude.
    photon, background, read : float64 array
        What the star's photons, the background's and the readout contribute.
    total : float64 array
        Their quadratic sum.
    """

    mag: FloatArray
    photon: FloatArray
    background: FloatArray
    read: FloatArray
    total: FloatArray


def noise_curve(
    mag: ArrayLike,
    zero_point: float | FloatArray,
    background: float,
    n_pixel: ArrayLike,
    read_noise_rate_var: float,
    exposure: float,
) -> NoiseCurve:
    """Return the noise that an aperture sum should have, and what it is made of.

    With F = 10^(-0.4 (mag - zero_point)) the star's flux, B the background, n the pixels of the aperture, v the readout's
    variance and t the exposure, the variance of the sum is F/t + n B/t + n v (Poisson statistics, and independent reads).

    Parameters
    ----------
    mag : array_like
        Magnitude.
    zero_point : float or float64 array
        Magnitude of one electron a second; fainter by what an aperture loses of the star's light.
    background : float
        Background (e-/s/pixel).
    n_pixel : array_like
        Area of the aperture (pixels), one for all or one for each magnitude.
    read_noise_rate_var : float
        Variance that reading adds to one pixel of one exposure, (e-/s)^2, as `cuvee.photometry.noise.pixel_variance` gives it.
    exposure : float
        Time on source of one exposure (s).

    Returns
    -------
    NoiseCurve
        Relative to the flux.

    References
    ----------
    Howell 2006, Handbook of CCD Astronomy, 2nd edition, section 4.4 (the CCD equation).
    """
    mags = np.asarray(mag, dtype=np.float64)
    pixels: Any = np.asarray(n_pixel, dtype=np.float64)
    flux = 10.0 ** (-0.4 * (mags - zero_point))
    photon = np.sqrt(flux / exposure) / flux
    below = np.sqrt(pixels * background / exposure) / flux
    read = np.sqrt(pixels * read_noise_rate_var) / flux
    return NoiseCurve(mags, photon, below, read, np.sqrt(photon**2 + below**2 + read**2))


def relative_numbers(stars: Mapping[str, NDArray[Any]]) -> tuple[FloatArray, FloatArray]:
    """Return scatter and expected noise of stars relative to their flux.

    Parameters
    ----------
    stars : mapping of str to array, each of shape (n_star,)
        ``flux``, ``flux_err``, ``scatter`` as `cuvee.metrics.summarise` gives them.

    Returns
    -------
    scatter, expected : float64 array, shape (n_star,)
        NaN where the flux is not positive, or the noise is not.
    """
    flux = np.asarray(stars["flux"], np.float64)
    known = (flux > 0.0) & (stars["flux_err"] > 0.0) & np.isfinite(stars["scatter"])
    scatter, expected = np.full(flux.size, np.nan), np.full(flux.size, np.nan)
    scatter[known] = stars["scatter"][known] / flux[known]
    expected[known] = stars["flux_err"][known] / flux[known]
    return scatter, expected


def share_within(ratio: FloatArray, tolerance: float) -> float:
    """Return the share of ratios that differ from 1 by at most ``tolerance``; NaN for none."""
    known = ratio[np.isfinite(ratio)]
    return float(np.mean(np.abs(known - 1.0) <= tolerance)) if known.size else float("nan")
