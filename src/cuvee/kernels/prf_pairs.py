"""Normal equations of the fluxes and positions of all stars: blocks of three for each star and each pair that overlaps."""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, void
from numpy.typing import NDArray

__all__ = ["count_pairs", "multiply", "pair_blocks", "star_blocks"]


@njit([int64(int64[::1], int64[::1], int64[::1], int64)], cache=True, nogil=True)
def count_pairs(
    first_col: NDArray[np.int64], first_row: NDArray[np.int64], order: NDArray[np.int64], width: int
) -> int:
    """Count the pairs of stars whose stamps overlap.

    Parameters
    ----------
    first_col, first_row : int64 array, shape (n_star,)
        Place of each stamp's pixel [0, 0].
    order : int64 array, shape (n_star,)
        The stars in ascending order of ``first_row``.
    width : int
        Pixels along a side of a stamp.

    Returns
    -------
    int
    """
    count = 0
    for k in range(order.size):
        s = order[k]
        for m in range(k + 1, order.size):
            t = order[m]
            if first_row[t] - first_row[s] >= width:
                break
            if abs(first_col[t] - first_col[s]) < width:
                count += 1
    return count


@njit(
    [
        void(
            int64[::1], int64[::1], float32[:, :, :, ::1], float64[::1], float32[:, ::1], float32[:, ::1],
            float64[:, :, ::1], float64[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def star_blocks(
    first_col: NDArray[np.int64],
    first_row: NDArray[np.int64],
    design: NDArray[np.float32],
    flux: NDArray[np.float64],
    weight: NDArray[np.float32],
    residual: NDArray[np.float32],
    own: NDArray[np.float64],
    right: NDArray[np.float64],
) -> None:
    """Make each star's own block and its right-hand side.

    Parameters
    ----------
    first_col, first_row : int64 array, shape (n_star,)
        Place of each stamp's pixel [0, 0] on the image.
    design : float32 array, shape (3, n_star, K, K)
        From `cuvee.kernels.prf_stamps.draw_scene`.
    flux : float64 array, shape (n_star,)
        e-/s; makes derivatives of unit stars those of the stars.
    weight, residual : float32 array, shape (n_row, n_col)
        Inverse variance of the image, and what it shows beyond all stars.
    own : float64 array, shape (n_star, 3, 3)
        Filled.
    right : float64 array, shape (n_star, 3)
        Filled.
    """
    n_row, n_col = weight.shape
    _, n_star, width, _ = design.shape
    d = np.empty(3)
    for s in range(n_star):
        top, left = first_row[s], first_col[s]
        own[s] = 0.0
        right[s] = 0.0
        for r in range(max(0, -top), min(width, n_row - top)):
            for c in range(max(0, -left), min(width, n_col - left)):
                w = np.float64(weight[top + r, left + c])
                d[0] = design[0, s, r, c]
                d[1] = flux[s] * design[1, s, r, c]
                d[2] = flux[s] * design[2, s, r, c]
                for p in range(3):
                    right[s, p] += w * d[p] * residual[top + r, left + c]
                    for q in range(3):
                        own[s, p, q] += w * d[p] * d[q]


@njit(
    [
        void(
            int64[::1], int64[::1], int64[::1], float32[:, :, :, ::1], float64[::1], float32[:, ::1], int32[::1],
            int32[::1], float32[:, :, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def pair_blocks(
    first_col: NDArray[np.int64],
    first_row: NDArray[np.int64],
    order: NDArray[np.int64],
    design: NDArray[np.float32],
    flux: NDArray[np.float64],
    weight: NDArray[np.float32],
    one: NDArray[np.int32],
    other: NDArray[np.int32],
    blocks: NDArray[np.float32],
) -> None:
    """Make the block of each pair of stars whose stamps overlap.

    Parameters
    ----------
    first_col, first_row, design, flux, weight
        As in `star_blocks`.
    order : int64 array, shape (n_star,)
        As in `count_pairs`.
    one, other : int32 array, shape (n_pair,)
        Filled: the stars of each pair.
    blocks : float32 array, shape (n_pair, 3, 3)
        Filled: [pair, unknown of ``one``, unknown of ``other``].
    """
    n_row, n_col = weight.shape
    _, n_star, width, _ = design.shape
    total = np.empty((3, 3))
    k = 0
    for n in range(n_star):
        s = order[n]
        for m in range(n + 1, n_star):
            t = order[m]
            down = first_row[t] - first_row[s]
            if down >= width:
                break
            across = first_col[t] - first_col[s]
            if abs(across) >= width:
                continue
            total[:] = 0.0
            top, left = first_row[s], first_col[s]
            c0, c1 = max(0, across, -left), min(width, width + across, n_col - left)
            for r in range(max(down, -top), min(width, n_row - top)):
                for c in range(c0, c1):
                    w = weight[top + r, left + c]
                    for p in range(3):
                        f = w * design[p, s, r, c]
                        for q in range(3):
                            total[p, q] += f * design[q, t, r - down, c - across]
            one[k], other[k] = s, t
            for p in range(3):
                for q in range(3):
                    f = total[p, q]
                    if p > 0:
                        f *= flux[s]
                    if q > 0:
                        f *= flux[t]
                    blocks[k, p, q] = f
            k += 1


@njit(
    [void(float64[:, :, ::1], int32[::1], int32[::1], float32[:, :, ::1], float64[:, ::1], float64[:, ::1])],
    cache=True,
    nogil=True,
)
def multiply(
    own: NDArray[np.float64],
    one: NDArray[np.int32],
    other: NDArray[np.int32],
    blocks: NDArray[np.float32],
    x: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Multiply the matrix of blocks with a vector.

    Parameters
    ----------
    own : float64 array, shape (n_star, 3, 3)
        Blocks on the diagonal.
    one, other, blocks
        From `pair_blocks`.
    x, out : float64 array, shape (n_star, 3)
        Vector, and product (filled).
    """
    for s in range(own.shape[0]):
        for p in range(3):
            out[s, p] = own[s, p, 0] * x[s, 0] + own[s, p, 1] * x[s, 1] + own[s, p, 2] * x[s, 2]
    for k in range(one.size):
        s, t = one[k], other[k]
        for p in range(3):
            for q in range(3):
                out[s, p] += blocks[k, p, q] * x[t, q]
                out[t, q] += blocks[k, p, q] * x[s, p]
