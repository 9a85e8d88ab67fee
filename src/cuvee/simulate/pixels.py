"""What a pixel gets: the light of stars by the PRF, the background, the noise of reading it. No instrument's format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HALO_BRIGHTER", "Prf", "add_halos", "background", "expose", "halo_share", "prf_at"]

FloatArray = NDArray[np.float64]
Image = NDArray[np.float32]

FWHM = 1.9
WING_SIGMA = 1.9
WING_SHARE = 0.08
WING_SHIFT = 0.25
HALO_BRIGHTER, HALO_FULL, HALO_SHARE, HALO_RADIUS = 9.0, 7.0, 0.02, 4.0
"""Stars brighter than this have a halo, of 2 % of the light from the second magnitude on, and its scale (px)."""
HALO_FAINTEST, HALO_REACH = 0.2, 64
"""It is cut off where it is fainter (e-/s/pixel), at the latest at this distance (px)."""
MIDDLE = 1023.5
"""Centre of the detector (px), where the PRF is at its mean width."""


@dataclass(frozen=True, slots=True)
class Prf:
    """The PRF of each star, in the form that `cuvee.kernels.render.add_stars` takes.

    Parameters
    ----------
    core_sigma, core_shift, wing_shift : float64 array, shape (n_star, 2)
        Column first (px).
    wing_sigma, wing_share : float
        Standard deviation (px) and share of the flux of the wing.
    """

    core_sigma: FloatArray
    core_shift: FloatArray
    wing_shift: FloatArray
    wing_sigma: float = WING_SIGMA
    wing_share: float = WING_SHARE


def prf_at(col: FloatArray, row: FloatArray) -> Prf:
    """Return the PRF at places on the detector.

    A Gaussian core of `FWHM` whose widths along columns and rows each vary by up to 5 % over the field, and a wing
    of 8 % of the flux that is displaced outward by up to a quarter of a pixel, as coma does. The core is moved
    the other way, so that the centroid is the star's position.

    Parameters
    ----------
    col, row : float64 array, shape (n_star,)
        Detector coordinates.

    Returns
    -------
    Prf
        For each place.
    """
    x, y = (col - MIDDLE) / MIDDLE, (row - MIDDLE) / MIDDLE
    wide = np.stack([0.7 * x + 0.3 * (2.0 * y * y - 1.0), -0.6 * y + 0.4 * (2.0 * x * x - 1.0)], axis=1)
    core_sigma = FWHM / np.sqrt(8.0 * np.log(2.0)) * (1.0 + 0.05 * wide)
    outward = WING_SHIFT * np.stack([x, y], axis=1)
    return Prf(core_sigma, -WING_SHARE * outward, (1.0 - WING_SHARE) * outward)


def halo_share(mag: FloatArray) -> FloatArray:
    """Return the share of each star's light that lies in its halo; 0 from magnitude 9 on, where nobody would see it."""
    return HALO_SHARE * np.clip((HALO_BRIGHTER - mag) / (HALO_BRIGHTER - HALO_FULL), 0.0, 1.0)


def add_halos(image: Image, col: FloatArray, row: FloatArray, flux: FloatArray) -> None:
    """Add halos to an image in place: light that the optics scatter, falling with the third power of the distance.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        e-/s.
    col, row : float64 array, shape (n,)
        Positions on the image (px).
    flux : float64 array, shape (n,)
        e-/s in the halos.
    """
    from cuvee.kernels import render

    reach = np.cbrt(flux * HALO_RADIUS / (2.0 * np.pi * HALO_FAINTEST))
    half = np.clip(np.ceil(reach), 1, HALO_REACH).astype(np.int64)
    render.add_halos(image, col, row, flux, HALO_RADIUS, half)


def background(col0: int, row0: int, size: int, day: float) -> Image:
    """Return the background: a level that breathes, a gradient, and a glow that moves over the detector.

    Parameters
    ----------
    col0, row0, size : int
        First detector column and row, and the width of the square of pixels.
    day : float
        Days since the observation began.

    Returns
    -------
    float32 array, shape (size, size)
        e-/s/pixel; about 100, as zodiacal and scattered light in TESS images.
    """
    x = (np.arange(col0, col0 + size) - MIDDLE) / MIDDLE
    y = (np.arange(row0, row0 + size) - MIDDLE) / MIDDLE
    level = 100.0 + 8.0 * np.sin(2.0 * np.pi * day / 13.7)
    glow = 25.0 * (0.6 + 0.4 * np.cos(2.0 * np.pi * day / 0.9))
    at_x, at_y = -1.2 + 2.4 * (day / 5.0 % 1.0), -0.8 + 1.6 * (day / 7.0 % 1.0)
    # Sums of outer products, not one matrix product: the linear algebra library would start threads of its own.
    across, along = np.exp(-0.5 * ((x - at_x) / 0.45) ** 2), glow * np.exp(-0.5 * ((y - at_y) / 0.45) ** 2)
    x, y, across, along = (v.astype(np.float32) for v in (x, y, across, along))
    image = np.float32(12.0) * x + (np.float32(level) - np.float32(9.0) * y)[:, None]
    image += np.outer(np.float32(6.0) * y, x)
    image += np.outer(along, across)
    return np.asarray(image, dtype=np.float32)


def expose(
    rng: np.random.Generator,
    clean: Image,
    gain: Image,
    read_noise: Image,
    exposure: float,
    n_read: int,
) -> tuple[Image, Image]:
    """Observe an image: photon noise, read noise, digitisation.

    The variance of a pixel of rate f is ``f / T + n (R^2 + g^2 / 12) / T^2`` with time on source T, n reads of noise R,
    and gain g: each read is rounded to a whole count, and read noise makes these errors independent. The sum, too, is
    a whole number of counts.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where chance comes from.
    clean : float32 array, shape (n_row, n_col)
        e-/s; overwritten.
    gain, read_noise : float32 array, shape (n_col,)
        Electrons per count and electrons per read of each column's output.
    exposure : float
        Time on source (s).
    n_read : int
        Reads summed.

    Returns
    -------
    flux, uncert : float32 array, shape (n_row, n_col)
        e-/s; ``uncert`` follows from the measured flux, as a mission would estimate it.
    """
    floor = (n_read * (read_noise**2 + gain**2 / 12.0) / exposure**2).astype(np.float32)
    per_second = np.float32(1.0 / exposure)
    step = (gain / exposure).astype(np.float32)
    sigma = clean * per_second
    sigma += floor
    np.sqrt(sigma, out=sigma)
    flux = rng.standard_normal(clean.shape, dtype=np.float32)
    flux *= sigma
    flux += clean
    flux /= step
    np.rint(flux, out=flux)
    flux *= step
    np.maximum(flux, np.float32(0.0), out=sigma)
    sigma *= per_second
    sigma += floor
    np.sqrt(sigma, out=sigma)
    return flux, sigma
