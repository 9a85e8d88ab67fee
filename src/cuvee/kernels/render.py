"""Draw on an image: stars as two Gaussians integrated over each pixel, their halos, tracks of particles, and bleeding charge."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["add_halos", "add_stars", "add_tracks", "bleed"]


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


@njit(cache=True, nogil=True)
def add_halos(
    image: NDArray[np.float32],
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    flux: NDArray[np.float64],
    radius: float,
    half: NDArray[np.int64],
) -> None:
    """Add the halos of bright stars to an image in place: (1 + r^2 / radius^2)^(-3/2), sampled at pixel centres.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        e-/s; changed in place.
    col, row : float64 array, shape (n_star,)
        Positions (px) on the image.
    flux : float64 array, shape (n_star,)
        e-/s in the whole halo, were it not cut off.
    radius : float
        Scale of the halo (px).
    half : int64 array, shape (n_star,)
        It is cut off at this distance (px).
    """
    n_row, n_col = image.shape
    for i in range(col.size):
        h = half[i]
        peak = flux[i] / (2.0 * math.pi * radius * radius)
        for r in range(max(0, math.floor(row[i]) - h), min(n_row, math.floor(row[i]) + h + 2)):
            for c in range(max(0, math.floor(col[i]) - h), min(n_col, math.floor(col[i]) + h + 2)):
                square = (c - col[i]) ** 2 + (r - row[i]) ** 2
                if square <= h * h:
                    image[r, c] += np.float32(peak * (1.0 + square / (radius * radius)) ** -1.5)


@njit(cache=True, nogil=True)
def add_tracks(
    image: NDArray[np.float32],
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    d_col: NDArray[np.float64],
    d_row: NDArray[np.float64],
    charge: NDArray[np.float64],
) -> None:
    """Add straight tracks of evenly spread charge to an image in place, in steps of a tenth of a pixel.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        e-/s; changed in place.
    col, row, d_col, d_row : float64 array, shape (n,)
        Where each track starts and how far it runs (px); what lies beyond the image is lost.
    charge : float64 array, shape (n,)
        e-/s of the whole track.
    """
    n_row, n_col = image.shape
    for i in range(col.size):
        steps = max(1, math.ceil(10.0 * math.hypot(d_col[i], d_row[i])))
        share = charge[i] / steps
        for k in range(steps):
            at = (k + 0.5) / steps
            c = math.floor(col[i] + at * d_col[i] + 0.5)
            r = math.floor(row[i] + at * d_row[i] + 0.5)
            if 0 <= c < n_col and 0 <= r < n_row:
                image[r, c] += np.float32(share)


@njit(cache=True, nogil=True)
def bleed(image: NDArray[np.float32], well: float) -> tuple[int, float]:
    """Let what a pixel cannot hold run along its column, in place: half of it up, half of it down.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        e-/s; changed in place, until no pixel holds more than ``well``.
    well : float
        What a pixel holds (e-/s).

    Returns
    -------
    full : int
        Pixels at the limit.
    lost : float
        What ran over the upper and lower edge (e-/s); the sum of the image is less by this.
    """
    n_row, n_col = image.shape
    over = np.zeros(n_col, np.bool_)
    for r in range(n_row):
        for c in range(n_col):
            if image[r, c] > well:
                over[c] = True
    column = np.empty(n_row)
    down = np.empty(n_row)
    full = 0
    lost = 0.0
    for c in range(n_col):
        if not over[c]:
            continue
        carried = 0.0
        for r in range(n_row):
            value = float(image[r, c])
            down[r] = 0.5 * max(0.0, value - well)
            carried += down[r]
            value = min(value, well)
            taken = min(well - value, carried)
            column[r] = value + taken
            carried -= taken
        lost += carried
        carried = 0.0
        for r in range(n_row - 1, -1, -1):
            carried += down[r]
            taken = min(well - column[r], carried)
            column[r] += taken
            carried -= taken
            if column[r] >= well:
                full += 1
            image[r, c] = np.float32(column[r])
        lost += carried
    return full, lost
