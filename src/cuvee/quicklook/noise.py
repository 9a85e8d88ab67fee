"""The noise that a star of some magnitude should have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["NoiseCurve", "noise_curve"]

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
