"""Draw stars on an image: the sum of two axis-parallel Gaussians, integrated exactly over each pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["add_stars"]


@njit(cache=True, nogil=True)
def _fractions(edges: Any, centre: float, sigma: float, first: int, n: int) -> None:
    # edges[k] becomes the share of a unit Gaussian that falls into pixel first + k.
    scale = 1.0 / (math.sqrt(2.0) * sigma)
    below = math.erf((first - 0.5 - centre) * scale)
    for k in range(n):
        above = math.erf((first + k + 0.5 - centre) * scale)
        edges[k] = 0.5 * (above - below)
        below = above


@njit(cache=True, nogil=True)
def add_stars(
    image: NDArray[np.float32],
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    flux: NDArray[np.float64],
    core_sigma: NDArray[np.float64],
    core_shift: NDArray[np.float64],
    wing_sigma: float,
    wing_shift: NDArray[np.float64],
    wing_share: float,
    half: NDArray[np.int64],
) -> None:
    """Add stars to an image in place; one call for all stars.

    The flux of each star that falls into a pixel is the integral of its PRF over that pixel: a product of
    differences of the error function for each of the two Gaussians. What falls beyond the stamp is lost.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        e-/s; changed in place. Pixel [r, c] covers ``c - 0.5 .. c + 0.5``, ``r - 0.5 .. r + 0.5``.
    col, row : float64 array, shape (n_star,)
        Positions (px) on the image; stars off the image are drawn as far as their stamps reach it.
    flux : float64 array, shape (n_star,)
        e-/s.
    core_sigma, core_shift, wing_shift : float64 array, shape (n_star, 2)
        Standard deviation of the core, and where the centres of core and wing lie from the star's position;
        column first (px).
    wing_sigma : float
        Standard deviation of the wing (px).
    wing_share : float
        Share of the flux in the wing.
    half : int64 array, shape (n_star,)
        The stamp is ``2 half + 1`` pixels wide.
    """
    n_row, n_col = image.shape
    widest = 1
    for i in range(col.size):
        widest = max(widest, 2 * half[i] + 1)
    core_c = np.empty(widest)
    core_r = np.empty(widest)
    wing_c = np.empty(widest)
    wing_r = np.empty(widest)
    for i in range(col.size):
        h = half[i]
        n = 2 * h + 1
        c0 = math.floor(col[i] + 0.5) - h
        r0 = math.floor(row[i] + 0.5) - h
        c_from = max(0, -c0)
        c_to = min(n, n_col - c0)
        r_from = max(0, -r0)
        r_to = min(n, n_row - r0)
        if c_from >= c_to or r_from >= r_to:
            continue
        _fractions(core_c, col[i] + core_shift[i, 0], core_sigma[i, 0], c0, n)
        _fractions(core_r, row[i] + core_shift[i, 1], core_sigma[i, 1], r0, n)
        _fractions(wing_c, col[i] + wing_shift[i, 0], wing_sigma, c0, n)
        _fractions(wing_r, row[i] + wing_shift[i, 1], wing_sigma, r0, n)
        for j in range(r_from, r_to):
            a = flux[i] * (1.0 - wing_share) * core_r[j]
            b = flux[i] * wing_share * wing_r[j]
            for k in range(c_from, c_to):
                image[r0 + j, c0 + k] += np.float32(a * core_c[k] + b * wing_c[k])
