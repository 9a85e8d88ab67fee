"""Normal equations of a PRF's coefficients: what each learning star adds to them."""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int64, njit, void
from numpy.typing import NDArray

__all__ = ["add_bands", "star_terms"]

N_WEIGHT = 6
N_BAND = 2 * N_WEIGHT - 1

GROUP = 16
"""Stars whose matrices are added together; a multiple of four."""


@njit(
    [void(float64[:, :, ::1], float64[:, :, ::1], int64, float64[:, ::1], float64, float64[:, ::1], float64[:, ::1])],
    cache=True,
    nogil=True,
)
def _outer(
    weight_col: NDArray[np.float64],
    weight_row: NDArray[np.float64],
    s: int,
    moments: NDArray[np.float64],
    keep: float,
    own: NDArray[np.float64],
    outer: NDArray[np.float64],
) -> None:
    # `own`: moments of the pointing with the time-mean weighted by `keep`. `outer`: weights of the 36 knots under a pixel in
    # the six derivatives.
    for a in range(6):
        for b in range(6):
            own[a, b] = moments[a, b] - (1.0 - keep) * moments[a, 0] * moments[0, b] / moments[0, 0]
        d_col = (0, 1, 0, 2, 1, 0)[a]
        d_row = (0, 0, 1, 0, 1, 2)[a]
        for i in range(N_WEIGHT):
            for j in range(N_WEIGHT):
                outer[a, i * N_WEIGHT + j] = weight_row[d_row, s, i] * weight_col[d_col, s, j]


@njit(
    [
        void(
            int64[::1], float64[:, :, ::1], int64[::1], float64[:, :, ::1], float64[:, ::1], float64[::1], float64[:, ::1],
            float64[:, :, ::1], float64[::1], float32[:, :, ::1], int64, int64, float64[:, ::1], float64[:, :, ::1],
            float64[:, :, ::1], float64[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def star_terms(
    knot_col: NDArray[np.int64],
    weight_col: NDArray[np.float64],
    knot_row: NDArray[np.int64],
    weight_row: NDArray[np.float64],
    moments: NDArray[np.float64],
    keep: NDArray[np.float64],
    weight: NDArray[np.float64],
    residual: NDArray[np.float64],
    flux: NDArray[np.float64],
    stamps: NDArray[np.float32],
    knots: int,
    n_knot: int,
    right: NDArray[np.float64],
    cross: NDArray[np.float64],
    own: NDArray[np.float64],
    own_right: NDArray[np.float64],
) -> None:
    """Right-hand sides of each star, and what couples its flux and position to the coefficients.

    Parameters
    ----------
    knot_col, weight_col, knot_row, weight_row
        As in `cuvee.kernels.prf_stamps.draw_stamps`.
    moments : float64 array, shape (6, 6)
        Sums over the frames of products of the six factors of the pointing.
    keep : float64 array, shape (n_star,)
        Weight of what does not change with the pointing, relative to what does.
    weight : float64 array, shape (n_star, K * K)
        Inverse variances; 0 leaves a pixel out.
    residual : float64 array, shape (n_star, K * K, 6)
        Moments of the residuals, their time-mean weighted by ``keep``.
    flux : float64 array, shape (n_star,)
        e-/s.
    stamps : float32 array, shape (6, n_star, K * K)
        The stars' stamps with the current coefficients.
    knots, n_knot : int
        Knots a pixel, and along an axis.
    right : float64 array, shape (n_star, n_knot * n_knot)
        Filled: right-hand side of the coefficients.
    cross : float64 array, shape (n_star, 3, n_knot * n_knot)
        Filled: coupling of flux, column and row of the star to the coefficients.
    own : float64 array, shape (n_star, 3, 3)
        Filled: normal matrix of the three.
    own_right : float64 array, shape (n_star, 3)
        Filled: their right-hand side.
    """
    n_star, n_pixel = weight.shape
    width = round(n_pixel**0.5)
    m = np.empty((6, 6))
    outer = np.empty((6, N_WEIGHT * N_WEIGHT))
    d = np.zeros((3, 6))
    md = np.empty((3, 6))
    line = np.empty((4, N_WEIGHT * N_WEIGHT))
    for s in range(n_star):
        _outer(weight_col, weight_row, s, moments, keep[s], m, outer)
        right[s] = 0.0
        cross[s] = 0.0
        own[s] = 0.0
        own_right[s] = 0.0
        f = flux[s]
        for p in range(n_pixel):
            w = weight[s, p]
            if w == 0.0:
                continue
            for a in range(6):
                d[0, a] = stamps[a, s, p]
            # A shift of the star turns each derivative into the next; third ones are left out, as in the series itself.
            d[1, 0], d[1, 1], d[1, 2] = f * stamps[1, s, p], f * stamps[3, s, p], f * stamps[4, s, p]
            d[2, 0], d[2, 1], d[2, 2] = f * stamps[2, s, p], f * stamps[4, s, p], f * stamps[5, s, p]
            for i in range(3):
                for a in range(6):
                    total = 0.0
                    for b in range(6):
                        total += m[a, b] * d[i, b]
                    md[i, a] = total
            for i in range(3):
                for j in range(3):
                    total = 0.0
                    for a in range(6):
                        total += d[i, a] * md[j, a]
                    own[s, i, j] += w * total
                total = 0.0
                for a in range(6):
                    total += d[i, a] * residual[s, p, a]
                own_right[s, i] += w * total
            line[:] = 0.0
            for a in range(6):
                for e in range(N_WEIGHT * N_WEIGHT):
                    line[0, e] += outer[a, e] * residual[s, p, a]
                for i in range(3):
                    for e in range(N_WEIGHT * N_WEIGHT):
                        line[i + 1, e] += outer[a, e] * md[i, a]
            wf = w * f
            top = knot_row[s] + knots * (p // width)
            left = knot_col[s] + knots * (p % width)
            for i in range(N_WEIGHT):
                o = (top + i) * n_knot + left
                for j in range(N_WEIGHT):
                    right[s, o + j] += wf * line[0, i * N_WEIGHT + j]
                for k in range(3):
                    for j in range(N_WEIGHT):
                        cross[s, k, o + j] += wf * line[k + 1, i * N_WEIGHT + j]


@njit(
    [
        void(
            int64[::1], float64[:, :, ::1], int64[::1], float64[:, :, ::1], float64[:, ::1], float64[::1], float64[:, ::1],
            float64[::1], float64[:, ::1], int64, int64[::1], int64[::1], float64[:, :, :, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def add_bands(
    knot_col: NDArray[np.int64],
    weight_col: NDArray[np.float64],
    knot_row: NDArray[np.int64],
    weight_row: NDArray[np.float64],
    moments: NDArray[np.float64],
    keep: NDArray[np.float64],
    weight: NDArray[np.float64],
    flux: NDArray[np.float64],
    phi: NDArray[np.float64],
    knots: int,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    bands: NDArray[np.float64],
) -> None:
    """Add the stars' normal matrix of the coefficients: a coefficient meets those within five knots.

    Parameters
    ----------
    knot_col, weight_col, knot_row, weight_row, moments, keep, weight, flux
        As in `star_terms`.
    phi : float64 array, shape (n_part, n_star)
        Factors with which a star's matrix is added to each part.
    knots : int
        Knots a pixel.
    low, high : int64 array, shape (n_part,)
        Rows and columns of knots that each part needs.
    bands : float64 array, shape (n_part, n_knot, n_knot, 121)
        Added to: [part, row knot, column knot, 11 (row distance + 5) + column distance + 5].
    """
    n_star, n_pixel = weight.shape
    n_part, n_knot = bands.shape[0], bands.shape[1]
    width = round(n_pixel**0.5)
    m = np.empty((6, 6))
    outer = np.empty((6, N_WEIGHT * N_WEIGHT))
    turned = np.empty((6, N_WEIGHT * N_WEIGHT))
    product = np.empty((GROUP, N_WEIGHT * N_WEIGHT, N_WEIGHT * N_WEIGHT))
    line = np.empty((GROUP, n_knot, N_BAND * N_BAND))
    for start in range(0, n_star, GROUP):
        n_here = min(GROUP, n_star - start)
        line[n_here:] = 0.0
        for g in range(n_here):
            s = start + g
            _outer(weight_col, weight_row, s, moments, keep[s], m, outer)
            turned[:] = 0.0
            for a in range(6):
                for b in range(6):
                    for e in range(N_WEIGHT * N_WEIGHT):
                        turned[a, e] += m[a, b] * outer[b, e]
            product[g] = 0.0
            for a in range(6):
                for e in range(N_WEIGHT * N_WEIGHT):
                    t = outer[a, e] * flux[s] * flux[s]
                    for f in range(N_WEIGHT * N_WEIGHT):
                        product[g, e, f] += t * turned[a, f]
        # One row of knots at a time, several stars together: what is added to then stays in the cache.
        for i in range(n_knot):
            for g in range(n_here):
                s = start + g
                line[g] = 0.0
                for r in range(width):
                    up = i - knot_row[s] - knots * r
                    if up < 0 or up >= N_WEIGHT:
                        continue
                    for c in range(width):
                        w = weight[s, r * width + c]
                        left = knot_col[s] + knots * c
                        for j in range(N_WEIGHT):
                            for k in range(N_WEIGHT):
                                o = (k - up + N_WEIGHT - 1) * N_BAND - j + N_WEIGHT - 1
                                for n in range(N_WEIGHT):
                                    line[g, left + j, o + n] += w * product[g, up * N_WEIGHT + j, k * N_WEIGHT + n]
            for part in range(n_part):
                if i < low[part] or i >= high[part]:
                    continue
                for g in range(0, n_here, 4):
                    # Beyond the last star of all lie empty lines.
                    t0 = phi[part, start + g]
                    t1 = phi[part, min(start + g + 1, n_star - 1)]
                    t2 = phi[part, min(start + g + 2, n_star - 1)]
                    t3 = phi[part, min(start + g + 3, n_star - 1)]
                    for j in range(low[part], high[part]):
                        for n in range(N_BAND * N_BAND):
                            bands[part, i, j, n] += (
                                t0 * line[g, j, n]
                                + t1 * line[g + 1, j, n]
                                + t2 * line[g + 2, j, n]
                                + t3 * line[g + 3, j, n]
                            )
