"""Stamps of stars: drawing them from a spline, adding them to an image, projecting an image on them."""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int64, njit, void
from numpy.typing import NDArray

__all__ = ["add_stamps", "draw_stamps", "project", "self_products"]

N_WEIGHT = 6


@njit(
    [
        void(
            int64[::1], float64[:, :, ::1], int64[::1], float64[:, :, ::1], float64[:, ::1], float64[:, :, ::1], int64,
            float32[:, :, :, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def draw_stamps(
    knot_col: NDArray[np.int64],
    weight_col: NDArray[np.float64],
    knot_row: NDArray[np.int64],
    weight_row: NDArray[np.float64],
    phi: NDArray[np.float64],
    coef: NDArray[np.float64],
    knots: int,
    values: NDArray[np.float32],
) -> None:
    """Draw stamps of a PRF and of its derivatives.

    Parameters
    ----------
    knot_col, knot_row : int64 array, shape (n_star,)
        First knot of each stamp's first pixel.
    weight_col, weight_row : float64 array, shape (3, n_star, 6)
        Weights of the knots: of the value, the first and the second derivative.
    phi : float64 array, shape (n_star, n_term)
        The polynomials over the detector at the star.
    coef : float64 array, shape (n_term, n_knot, n_knot)
        Coefficients of the PRF.
    knots : int
        Knots a pixel.
    values : float32 array, shape (6, n_star, K, K)
        Filled: value, d/dcol, d/drow, d2/dcol2, d2/dcol drow, d2/drow2.
    """
    n_term, n_knot, _ = coef.shape
    n_star, width = values.shape[1], values.shape[2]
    # Terms that vary over the detector reach less far than the first; no time is spent on their zeros.
    low = np.full(n_term, n_knot)
    high = np.zeros(n_term, np.int64)
    for k in range(n_term):
        for i in range(n_knot):
            for j in range(n_knot):
                if coef[k, i, j] != 0.0:
                    low[k] = min(low[k], i, j)
                    high[k] = max(high[k], i + 1, j + 1)
    here = np.empty((n_knot, n_knot))
    across = np.empty((3, n_knot, width))
    line = np.empty(width)
    for s in range(n_star):
        here[:] = 0.0
        for k in range(n_term):
            p = phi[s, k]
            for i in range(low[k], high[k]):
                for j in range(low[k], high[k]):
                    here[i, j] += p * coef[k, i, j]
        for d in range(3):
            for i in range(n_knot):
                for c in range(width):
                    o = knot_col[s] + knots * c
                    total = 0.0
                    for q in range(N_WEIGHT):
                        total += weight_col[d, s, q] * here[i, o + q]
                    across[d, i, c] = total
        for a in range(6):
            d_col = (0, 1, 0, 2, 1, 0)[a]
            d_row = (0, 0, 1, 0, 1, 2)[a]
            for r in range(width):
                o = knot_row[s] + knots * r
                line[:] = 0.0
                for q in range(N_WEIGHT):
                    w = weight_row[d_row, s, q]
                    for c in range(width):
                        line[c] += w * across[d_col, o + q, c]
                for c in range(width):
                    values[a, s, r, c] = line[c]


@njit([void(int64[::1], int64[::1], float64[:, ::1], float32[:, :, :, ::1], float64[:, ::1])], cache=True, nogil=True)
def add_stamps(
    first_col: NDArray[np.int64],
    first_row: NDArray[np.int64],
    amount: NDArray[np.float64],
    stamps: NDArray[np.float32],
    image: NDArray[np.float64],
) -> None:
    """Add stamps to an image, in place; what lies outside is left out.

    Parameters
    ----------
    first_col, first_row : int64 array, shape (n_star,)
        Place of each stamp's pixel [0, 0] on the image.
    amount : float64 array, shape (n_part, n_star)
        Factor of each stamp.
    stamps : float32 array, shape (n_part, n_star, K, K)
        The stamps: several of each star at the same place.
    image : float64 array, shape (n_row, n_col)
        Changed in place.
    """
    n_row, n_col = image.shape
    n_part, n_star, width, _ = stamps.shape
    for s in range(n_star):
        top, left = first_row[s], first_col[s]
        c0, c1 = max(0, -left), min(width, n_col - left)
        for r in range(max(0, -top), min(width, n_row - top)):
            for p in range(n_part):
                f = amount[p, s]
                for c in range(c0, c1):
                    image[top + r, left + c] += f * stamps[p, s, r, c]


@njit([void(int64[::1], int64[::1], float32[:, :, :, ::1], float64[:, ::1], float64[:, ::1])], cache=True, nogil=True)
def project(
    first_col: NDArray[np.int64],
    first_row: NDArray[np.int64],
    stamps: NDArray[np.float32],
    image: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Sum an image under each stamp, weighted by it: the transpose of `add_stamps`.

    Parameters
    ----------
    first_col, first_row : int64 array, shape (n_star,)
        Place of each stamp's pixel [0, 0] on the image.
    stamps : float32 array, shape (n_part, n_star, K, K)
        Several stamps of each star.
    image : float64 array, shape (n_row, n_col)
        The image.
    out : float64 array, shape (n_part, n_star)
        Filled.
    """
    n_row, n_col = image.shape
    n_part, n_star, width, _ = stamps.shape
    for s in range(n_star):
        top, left = first_row[s], first_col[s]
        c0, c1 = max(0, -left), min(width, n_col - left)
        for p in range(n_part):
            total = 0.0
            for r in range(max(0, -top), min(width, n_row - top)):
                for c in range(c0, c1):
                    total += stamps[p, s, r, c] * image[top + r, left + c]
            out[p, s] = total


@njit(
    [void(int64[::1], int64[::1], float32[:, :, :, ::1], float64[:, ::1], float64[:, :, ::1])], cache=True, nogil=True
)
def self_products(
    first_col: NDArray[np.int64],
    first_row: NDArray[np.int64],
    stamps: NDArray[np.float32],
    image: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Sum an image under the products of each star's stamps.

    Parameters
    ----------
    first_col, first_row, stamps, image
        As in `project`.
    out : float64 array, shape (n_star, n_part, n_part)
        Filled.
    """
    n_row, n_col = image.shape
    n_part, n_star, width, _ = stamps.shape
    for s in range(n_star):
        top, left = first_row[s], first_col[s]
        c0, c1 = max(0, -left), min(width, n_col - left)
        out[s] = 0.0
        for r in range(max(0, -top), min(width, n_row - top)):
            for c in range(c0, c1):
                w = image[top + r, left + c]
                for p in range(n_part):
                    f = w * stamps[p, s, r, c]
                    for q in range(p + 1):
                        out[s, p, q] += f * stamps[q, s, r, c]
        for p in range(n_part):
            for q in range(p):
                out[s, q, p] = out[s, p, q]
