"""Stamps of stars, drawn from a spline, and the light of all stars on the frames."""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int64, njit, void
from numpy.typing import NDArray

__all__ = ["draw_scene", "draw_stamps"]

N_WEIGHT = 6


@njit([void(float64[:, :, ::1], int64[::1], int64[::1])], cache=True, nogil=True)
def _boxes(coef: NDArray[np.float64], low: NDArray[np.int64], high: NDArray[np.int64]) -> None:
    # Terms that vary over the detector reach less far than the first; no time is spent on their zeros.
    n_term, n_knot, _ = coef.shape
    for k in range(n_term):
        low[k], high[k] = n_knot, 0
        for i in range(n_knot):
            for j in range(n_knot):
                if coef[k, i, j] != 0.0:
                    low[k] = min(low[k], i, j)
                    high[k] = max(high[k], i + 1, j + 1)


@njit(
    [
        void(
            int64, int64, float64[:, :, ::1], int64, float64[:, :, ::1], float64[::1], float64[:, :, ::1], int64[::1],
            int64[::1], int64, float64[:, ::1], float64[:, ::1], float64[:, :, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def _draw(
    s: int,
    knot_col: int,
    weight_col: NDArray[np.float64],
    knot_row: int,
    weight_row: NDArray[np.float64],
    phi: NDArray[np.float64],
    coef: NDArray[np.float64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    knots: int,
    here: NDArray[np.float64],
    along: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    # One star: the six derivatives, [derivative, column, row]. First along the rows, all columns of knots at a time, then along
    # the columns, all rows of pixels at a time: both inner loops are long enough for vectors.
    # The six weights are spelled out, so that each sum is written once.
    n_term, n_knot, _ = coef.shape
    width = out.shape[1]
    here[:] = 0.0
    for k in range(n_term):
        p = phi[k]
        for i in range(low[k], high[k]):
            for j in range(low[k], high[k]):
                here[i, j] += p * coef[k, i, j]
    for d in range(3):
        w0, w1, w2 = weight_row[d, s, 0], weight_row[d, s, 1], weight_row[d, s, 2]
        w3, w4, w5 = weight_row[d, s, 3], weight_row[d, s, 4], weight_row[d, s, 5]
        for r in range(width):
            o = knot_row + knots * r
            for j in range(n_knot):
                along[j, r] = (
                    w0 * here[o, j] + w1 * here[o + 1, j] + w2 * here[o + 2, j]
                    + w3 * here[o + 3, j] + w4 * here[o + 4, j] + w5 * here[o + 5, j]
                )  # fmt: skip
        for a in range(6):
            if (0, 0, 1, 0, 1, 2)[a] != d:
                continue
            e = (0, 1, 0, 2, 1, 0)[a]
            v0, v1, v2 = weight_col[e, s, 0], weight_col[e, s, 1], weight_col[e, s, 2]
            v3, v4, v5 = weight_col[e, s, 3], weight_col[e, s, 4], weight_col[e, s, 5]
            for c in range(width):
                o = knot_col + knots * c
                for r in range(width):
                    out[a, c, r] = (
                        v0 * along[o, r] + v1 * along[o + 1, r] + v2 * along[o + 2, r]
                        + v3 * along[o + 3, r] + v4 * along[o + 4, r] + v5 * along[o + 5, r]
                    )  # fmt: skip


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
    low, high = np.empty(n_term, np.int64), np.empty(n_term, np.int64)
    _boxes(coef, low, high)
    here, along = np.empty((n_knot, n_knot)), np.empty((n_knot, width))
    out = np.empty((6, width, width))
    for s in range(n_star):
        _draw(
            s, knot_col[s], weight_col, knot_row[s], weight_row, phi[s], coef, low, high, knots, here, along, out
        )  # fmt: skip
        for a in range(6):
            for r in range(width):
                for c in range(width):
                    values[a, s, r, c] = out[a, c, r]


@njit(
    [
        void(
            int64[::1], float64[:, :, ::1], int64[::1], float64[:, :, ::1], float64[:, ::1], float64[:, :, ::1], int64,
            int64[::1], int64[::1], float64[::1], float64[::1], float32[:, :, :, ::1], float32[:, :, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def draw_scene(
    knot_col: NDArray[np.int64],
    weight_col: NDArray[np.float64],
    knot_row: NDArray[np.int64],
    weight_row: NDArray[np.float64],
    phi: NDArray[np.float64],
    coef: NDArray[np.float64],
    knots: int,
    first_col: NDArray[np.int64],
    first_row: NDArray[np.int64],
    flux: NDArray[np.float64],
    mean: NDArray[np.float64],
    design: NDArray[np.float32],
    model: NDArray[np.float32],
) -> None:
    """Draw all stars on an image and its five derivatives, and keep of each what its flux and its position need.

    Parameters
    ----------
    knot_col, weight_col, knot_row, weight_row, phi, coef, knots
        As in `draw_stamps`.
    first_col, first_row : int64 array, shape (n_star,)
        Place of each stamp's pixel [0, 0] on the image; what lies outside is left out.
    flux : float64 array, shape (n_star,)
        e-/s.
    mean : float64 array, shape (6,)
        Mean factors of the six derivatives.
    design : float32 array, shape (3, n_star, K, K)
        Filled: the stamp on the mean image, and its derivatives when the star moves along the columns and rows, for unit flux.
    model : float32 array, shape (6, n_row, n_col)
        Added to: the light of all stars, and its derivatives.
    """
    n_term, n_knot, _ = coef.shape
    _, n_row, n_col = model.shape
    n_star, width = design.shape[1], design.shape[2]
    low, high = np.empty(n_term, np.int64), np.empty(n_term, np.int64)
    _boxes(coef, low, high)
    here, along = np.empty((n_knot, n_knot)), np.empty((n_knot, width))
    out = np.empty((6, width, width))
    for s in range(n_star):
        _draw(
            s, knot_col[s], weight_col, knot_row[s], weight_row, phi[s], coef, low, high, knots, here, along, out
        )  # fmt: skip
        top, left, f = first_row[s], first_col[s], flux[s]
        for r in range(width):
            for c in range(width):
                total = 0.0
                for a in range(6):
                    total += mean[a] * out[a, c, r]
                design[0, s, r, c] = total
                design[1, s, r, c] = out[1, c, r]
                design[2, s, r, c] = out[2, c, r]
        c0, c1 = max(0, -left), min(width, n_col - left)
        for a in range(6):
            for r in range(max(0, -top), min(width, n_row - top)):
                for c in range(c0, c1):
                    model[a, top + r, left + c] += f * out[a, c, r]
