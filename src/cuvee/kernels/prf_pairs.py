"""Normal equations of the fluxes and positions of all stars: blocks of three for each star and each pair that overlaps."""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, void
from numpy.typing import NDArray

__all__ = ["count_pairs", "factor_groups", "multiply", "pair_blocks", "solve_groups", "star_blocks"]


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


@njit(
    [
        void(
            int64[::1], int64[::1], int64[::1], int64[::1], float64[:, :, ::1], int32[::1], int32[::1], float32[:, :, ::1],
            float64[::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def factor_groups(
    group: NDArray[np.int64],
    local: NDArray[np.int64],
    size: NDArray[np.int64],
    offset: NDArray[np.int64],
    own: NDArray[np.float64],
    one: NDArray[np.int32],
    other: NDArray[np.int32],
    blocks: NDArray[np.float32],
    factors: NDArray[np.float64],
) -> None:
    """Factorise the matrices of groups of stars that lie so close together that they must be solved together.

    Parameters
    ----------
    group, local : int64 array, shape (n_star,)
        Group of each star, and its number in it.
    size, offset : int64 array, shape (n_group,)
        Stars of each group, and where its matrix begins in ``factors``.
    own, one, other, blocks
        As in `multiply`.
    factors : float64 array, shape (sum of (3 size)^2,)
        Zeros; filled with the Cholesky factors, lower triangles row by row.
    """
    for s in range(group.size):
        g = group[s]
        n = 3 * size[g]
        for p in range(3):
            for q in range(3):
                factors[offset[g] + (3 * local[s] + p) * n + 3 * local[s] + q] = own[s, p, q]
    for k in range(one.size):
        s, t = one[k], other[k]
        g = group[s]
        if group[t] != g:
            continue
        n = 3 * size[g]
        for p in range(3):
            for q in range(3):
                i, j = 3 * local[s] + p, 3 * local[t] + q
                if i < j:
                    i, j = j, i
                factors[offset[g] + i * n + j] = blocks[k, p, q]
    for g in range(size.size):
        n = 3 * size[g]
        a = offset[g]
        for j in range(n):
            for i in range(j, n):
                total = factors[a + i * n + j]
                for k in range(j):
                    total -= factors[a + i * n + k] * factors[a + j * n + k]
                if i == j:
                    # Single precision may make the matrix of coincident stars a little less than positive.
                    factors[a + j * n + j] = np.sqrt(max(total, 1e-6 * factors[a + j * n + j]))
                else:
                    factors[a + i * n + j] = total / factors[a + j * n + j]


@njit(
    [void(int64[::1], int64[::1], int64[::1], int64[::1], float64[::1], float64[:, ::1], float64[:, ::1])],
    cache=True,
    nogil=True,
)
def solve_groups(
    members: NDArray[np.int64],
    start: NDArray[np.int64],
    size: NDArray[np.int64],
    offset: NDArray[np.int64],
    factors: NDArray[np.float64],
    right: NDArray[np.float64],
    x: NDArray[np.float64],
) -> None:
    """Solve the groups' systems.

    Parameters
    ----------
    members : int64 array, shape (n_star,)
        Stars, group by group, in the order of their numbers in it.
    start : int64 array, shape (n_group,)
        Where each group begins in ``members``.
    size, offset, factors
        From `factor_groups`.
    right, x : float64 array, shape (n_star, 3)
        Right-hand side, and solution (filled).
    """
    longest = 0
    for g in range(size.size):
        longest = max(longest, 3 * size[g])
    y = np.empty(longest)
    for g in range(size.size):
        n = 3 * size[g]
        a = offset[g]
        for i in range(n):
            total = right[members[start[g] + i // 3], i % 3]
            for k in range(i):
                total -= factors[a + i * n + k] * y[k]
            y[i] = total / factors[a + i * n + i]
        for i in range(n - 1, -1, -1):
            total = y[i]
            for k in range(i + 1, n):
                total -= factors[a + k * n + i] * y[k]
            y[i] = total / factors[a + i * n + i]
            x[members[start[g] + i // 3], i % 3] = y[i]
