"""Stars that the catalogue does not have: what the frames show beyond the stars that they are known to hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.model.prf import Prf
from cuvee.model.records import Geometry
from cuvee.prf.spline import stamps

__all__ = ["find_stars"]

FloatArray = NDArray[np.float64]

SIGNAL = 8.0
"""Signal-to-noise ratio from which a peak is a star: in four million pixels noise alone reaches 5.3."""

MISFIT = 0.03
"""What is left of known stars at worst, as a share of their light in a pixel."""

REACH = 4
"""Half width of the window in which a star is looked for (px)."""

LIKENESS = 0.45
"""Share of what is in the window, beyond its level, that a star must explain."""

NEAR = 1.5
"""Peaks nearer than this to one that is higher (px) belong to it."""


def find_stars(
    prf: Prf,
    residual: NDArray[np.float32],
    variance: NDArray[np.float32],
    light: NDArray[np.float32],
    geometry: Geometry,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Find stars in what is left of an image when its sky and all known stars are taken off.

    In a window about each pixel a star and a level are fitted, each pixel weighted by its variance and by what the known stars may
    have left in it. Peaks of the signal-to-noise ratio of which a star explains the greater part are stars.

    Parameters
    ----------
    prf : Prf
        The PRF; that of the middle of the detector serves for all of it.
    residual : float32 array, shape (n_row, n_col)
        The mean of frames less sky and stars (e-/s).
    variance : float32 array, shape (n_row, n_col)
        Its variance ((e-/s)^2); inf where a pixel is left out.
    light : float32 array, shape (n_row, n_col)
        The light of the known stars (e-/s), or of all stars.
    geometry : Geometry
        Where the pixels lie.

    Returns
    -------
    col, row : float64 array, shape (n_found,)
        Detector positions (px), good to some tenths of a pixel over the signal-to-noise ratio.
    flux : float64 array, shape (n_found,)
        e-/s.

    References
    ----------
    Stetson 1987, PASP 99, 191, section III.A (the best-fitting PRF at each pixel).
    """
    from scipy import ndimage
    from scipy.signal import fftconvolve

    kernel = stamps(prf, np.array([prf.centre[0] // 1]), np.array([prf.centre[1] // 1]))[2][0, 0].astype(np.float64)
    window = slice(max(prf.half - REACH, 0), prf.half + REACH + 1)
    share = kernel[window, window]
    noise = variance.astype(np.float64) + (MISFIT * light.astype(np.float64)) ** 2
    usable = np.isfinite(residual) & np.isfinite(noise) & (noise > 0.0)
    weight = np.zeros(residual.shape)
    np.divide(1.0, noise, out=weight, where=usable)
    seen = weight * np.where(usable, residual, 0.0)

    def summed(image: FloatArray, factor: FloatArray) -> FloatArray:
        return np.asarray(fftconvolve(image, factor[::-1, ::-1], mode="same"))

    # In the window about each pixel: a star and a level fitted to the residual, whose smooth part is no star.
    flat = np.ones_like(share)
    all_weight, weight_star, all_seen = summed(weight, flat), summed(weight, share), summed(seen, flat)
    trust = np.maximum(all_weight, 1e-30)
    told = summed(weight, share**2) - weight_star**2 / trust
    pull = summed(seen, share) - weight_star * all_seen / trust
    spread = summed(seen * np.where(usable, residual, 0.0), flat) - all_seen**2 / trust
    # A star most of whose PRF is hidden is not worth having.
    told = np.where(told > 0.3 * float(np.var(share) * share.size) * weight, told, np.inf)
    ratio = np.where(usable, pull / np.sqrt(np.maximum(told, 1e-30)), 0.0)
    alike = ratio**2 > LIKENESS * np.maximum(spread, 1e-30)
    peak = alike & (ratio > SIGNAL) & (ratio == ndimage.maximum_filter(ratio, 2 * int(NEAR) + 1))
    peak[[0, -1]] = peak[:, [0, -1]] = False
    row, col = np.nonzero(peak)
    height = pull / told
    middle = height[row, col]

    def beyond(before: FloatArray, after: FloatArray) -> FloatArray:
        bend = np.minimum(before + after - 2.0 * middle, -1e-30)
        return np.asarray(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))

    x = col + beyond(height[row, col - 1], height[row, col + 1]) + geometry.col0
    y = row + beyond(height[row - 1, col], height[row + 1, col]) + geometry.row0
    return x, y, _fluxes(prf, residual, np.where(usable, variance, np.inf), geometry, x, y)


def _fluxes(
    prf: Prf,
    residual: NDArray[np.float32],
    variance: NDArray[np.float32],
    geometry: Geometry,
    col: FloatArray,
    row: FloatArray,
) -> FloatArray:
    """Return the fluxes of stars at given places, by noise alone: their own light was no misfit."""
    first_col, first_row, stamp = stamps(prf, col, row)
    along = np.arange(stamp.shape[2])
    at_row = first_row[:, None, None] - geometry.row0 + along[:, None]
    at_col = first_col[:, None, None] - geometry.col0 + along
    there = (at_row >= 0) & (at_row < geometry.n_row) & (at_col >= 0) & (at_col < geometry.n_col)
    pixel = (np.clip(at_row, 0, geometry.n_row - 1), np.clip(at_col, 0, geometry.n_col - 1))
    share = stamp[0].astype(np.float64)
    weight = there / variance[pixel].astype(np.float64)
    seen = np.where(weight > 0.0, residual[pixel], 0.0)
    told = (weight * share**2).sum(axis=(1, 2))
    return np.asarray((weight * share * seen).sum(axis=(1, 2)) / np.maximum(told, 1e-300))
