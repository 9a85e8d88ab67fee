"""The mesh of the background: from the means of its cells to stars, in sixteen frames at once."""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, types, void
from numba.core.cgutils import ir  # the language of numba's own compiler
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["fill_cells", "interpolate"]

N_LANE = 16
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_FLOATS = ir.VectorType(ir.FloatType(), N_LANE)

INNER, OUTER = 3.0 / 128.0, 0.16
"""How far interpolation goes astray: midway between cells cubic convolution is Lagrange's formula of four points, wrong by 3/128 of the fourth
difference; a parabola between the outermost centre and the edge by u (u + 1) (u + 2) / 6 of the third, 0.16 root mean square to u = 1/2."""


TURNS = 3
"""How often slope and curvature are taken anew: each turn leaves a tenth of what was wrong."""


@intrinsic
def _blend(_typing, acc, mean, error, c, weight):
    """Add ``weight * mean[c]`` to ``acc[0]`` and the square of ``weight * error[c]`` to ``acc[1]``."""

    def build(context, builder, signature, args):
        a_type, m_type, e_type, c_type, _ = signature.args

        def place(kind, value, index):
            data = context.make_array(kind)(context, builder, value).data
            step = builder.mul(index, ir.Constant(_I64, N_LANE))
            return builder.bitcast(builder.gep(data, [step]), _FLOATS.as_pointer())

        cell = context.cast(builder, args[3], c_type, int64)
        one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), args[4], ir.Constant(_I32, 0))
        factor = builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, N_LANE), [0] * N_LANE))
        value = builder.fmul(factor, builder.load(place(m_type, args[1], cell), align=4))
        noise = builder.fmul(factor, builder.load(place(e_type, args[2], cell), align=4))
        for k, term in enumerate((value, builder.fmul(noise, noise))):
            target = place(a_type, args[0], ir.Constant(_I64, k))
            builder.store(builder.fadd(builder.load(target, align=4), term), target, align=4)
        return context.get_dummy_value()

    return types.void(acc, mean, error, c, weight), build


@njit(float64(float64[:, ::1], float64[:, ::1], int64, int64, int64), cache=True, nogil=True)
def _astray(value: NDArray[np.float64], still: NDArray[np.float64], axis: int, i: int, j: int) -> float:
    # How far interpolation goes astray at a cell along one axis, otherwise than it does in the reference image; NaN where a cell has no value.
    n, k = (value.shape[0], i) if axis == 0 else (value.shape[1], j)
    if n < 5:
        return 0.0
    outermost = k in (0, n - 1)
    order = 3 if outermost else 4
    first = min(max(k - 2, 0), n - 1 - order)
    here, there = 0.0, 0.0
    for m in range(order + 1):
        factor = (1.0, -3.0, 3.0, -1.0, 0.0)[m] if outermost else (1.0, -4.0, 6.0, -4.0, 1.0)[m]
        y, x = (first + m, j) if axis == 0 else (i, first + m)
        here += factor * value[y, x]
        there += factor * still[y, x]
    # A reference image, too, may bend: what a smooth frame lacks of that is no error.
    return (OUTER if outermost else INNER) * min(abs(here), abs(here - there))


@njit(
    [void(float32[:, :, ::1], float32[:, :, ::1], float64[:, :, ::1], float64[:, ::1])],
    cache=True,
    nogil=True,
)
def fill_cells(
    mean: NDArray[np.float32], error: NDArray[np.float32], shift: NDArray[np.float64], still: NDArray[np.float64]
) -> None:
    """Give empty mesh cells the mean of their neighbours, then turn cell means into values at the cells' centres.

    A mean over a cell of side h is the value at the centroid of its pixels plus h^2/24 of the Laplacian; slope and curvature
    come from the neighbours' values (the outermost cells borrow the curvature of the next), in `TURNS` turns, for these
    are means at centroids first. Where the mesh bends so much from cell to cell that interpolation cannot follow, and more than it does in the
    reference image, the errors say so: what does not change makes no light curve scatter.

    Parameters
    ----------
    mean, error : float32 array, shape (n_cell_row, n_cell_col, 16)
        Clipped means of the cells and their errors; changed in place. A lane with no value at all stays NaN.
    shift : float64 array, shape (n_cell_row, n_cell_col, 2)
        Row and column of the centroid of the cell's pixels less those of its centre, in units of cells.
    still : float64 array, shape (n_cell_row, n_cell_col)
        Values at the cells' centres in the reference image.
    """
    n_row, n_col, n_lane = mean.shape
    old, value, last = np.empty((n_row, n_col)), np.empty((n_row, n_col)), np.empty((n_row, n_col))
    for b in range(n_lane):
        for _ in range(n_row + n_col):
            empty = 0
            for i in range(n_row):
                for j in range(n_col):
                    old[i, j] = mean[i, j, b]
            for i in range(n_row):
                for j in range(n_col):
                    if not np.isnan(old[i, j]):
                        continue
                    total, worst, n = 0.0, float32(0.0), 0
                    for di in range(max(i - 1, 0), min(i + 2, n_row)):
                        for dj in range(max(j - 1, 0), min(j + 2, n_col)):
                            if not np.isnan(old[di, dj]):
                                total += old[di, dj]
                                worst = max(worst, error[di, dj, b])
                                n += 1
                    if n > 0:
                        mean[i, j, b] = total / n
                        error[i, j, b] = 2.0 * worst  # borrowed, so trusted less
                    else:
                        empty += 1
            if empty == 0 or empty == n_row * n_col:
                break
        for i in range(n_row):
            for j in range(n_col):
                old[i, j] = mean[i, j, b]
                value[i, j] = old[i, j]
        for _ in range(TURNS):
            last, value = value, last
            for i in range(n_row):
                for j in range(n_col):
                    up, down, right, left = min(i + 1, n_row - 1), max(i - 1, 0), min(j + 1, n_col - 1), max(j - 1, 0)
                    slope_row = (last[up, j] - last[down, j]) / max(up - down, 1)
                    slope_col = (last[i, right] - last[i, left]) / max(right - left, 1)
                    curvature = 0.0
                    if n_row > 2:
                        k = min(max(i, 1), n_row - 2)
                        curvature += last[k + 1, j] - 2.0 * last[k, j] + last[k - 1, j]
                    if n_col > 2:
                        k = min(max(j, 1), n_col - 2)
                        curvature += last[i, k + 1] - 2.0 * last[i, k] + last[i, k - 1]
                    move = shift[i, j, 0] * slope_row + shift[i, j, 1] * slope_col
                    value[i, j] = old[i, j] - move - curvature / 24.0
        for i in range(n_row):
            for j in range(n_col):
                mean[i, j, b] = value[i, j]
                astray = _astray(value, still, 0, i, j) + _astray(value, still, 1, i, j)
                if astray > 0.0:
                    error[i, j, b] = np.sqrt(error[i, j, b] ** 2 + astray**2)


@njit(
    [void(float32[:, ::1], float32[:, ::1], int32[:, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1])],
    cache=True,
    nogil=True,
)
def interpolate(
    mean: NDArray[np.float32],
    error: NDArray[np.float32],
    cell: NDArray[np.int32],
    weight: NDArray[np.float32],
    level: NDArray[np.float32],
    level_err: NDArray[np.float32],
) -> None:
    """Apply the static rows that lead from mesh cells to stars.

    Parameters
    ----------
    mean, error : float32 array, shape (n_cell, 16)
        Values of the cells, free of gaps, and their errors.
    cell, weight : arrays, shape (n_star, 16)
        Sixteen cells a star and their weights.
    level, level_err : float32 array, shape (n_star, 16)
        Receive background and error at the stars.
    """
    acc = np.empty((2, N_LANE), np.float32)
    for s in range(cell.shape[0]):
        for b in range(N_LANE):
            acc[0, b] = 0.0
            acc[1, b] = 0.0
        for k in range(cell.shape[1]):
            if weight[s, k] != 0.0:
                _blend(acc, mean, error, cell[s, k], weight[s, k])
        for b in range(N_LANE):
            level[s, b] = acc[0, b]
            level_err[s, b] = np.sqrt(acc[1, b])
