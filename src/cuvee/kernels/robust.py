"""Clipped means: of groups of pixels in sixteen frames at once, and of a stack of frames; and the mesh made of them."""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, types, void
from numba.core.cgutils import ir  # the language of numba's own compiler
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["clipped_mean", "fill_cells", "interpolate", "stack_mean"]

N_LANE = 16
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_FLOATS = ir.VectorType(ir.FloatType(), N_LANE)
_SHIFT, _LOW, _HIGH, _N, _SUM, _SQUARES = range(6)


@intrinsic
def _accept(_typing, acc, image, p, base):
    """Add image[p] - base - acc[0] to the sums acc[3:6] (number, sum, squares) where it lies in acc[1]..acc[2]."""

    def build(context, builder, signature, args):
        a_type, t_type, p_type, _ = signature.args
        sums = context.make_array(a_type)(context, builder, args[0]).data
        data = context.make_array(t_type)(context, builder, args[1]).data

        def place(base, step):
            return builder.bitcast(builder.gep(base, [step]), _FLOATS.as_pointer())

        def row(k):
            return place(sums, ir.Constant(_I64, N_LANE * k))

        index = builder.mul(context.cast(builder, args[2], p_type, int64), ir.Constant(_I64, N_LANE))
        one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), args[3], ir.Constant(_I32, 0))
        lanes = ir.Constant(ir.VectorType(_I32, N_LANE), [0] * N_LANE)
        offset = builder.fadd(builder.load(row(_SHIFT), align=4), builder.shuffle_vector(one, one, lanes))
        value = builder.fsub(builder.load(place(data, index), align=4), offset)
        # Ordered comparisons: NaN is never accepted.
        above = builder.fcmp_ordered(">=", value, builder.load(row(_LOW), align=4))
        below = builder.fcmp_ordered("<=", value, builder.load(row(_HIGH), align=4))
        good = builder.and_(above, below)
        zero = ir.Constant(_FLOATS, [0.0] * N_LANE)
        value = builder.select(good, value, zero)
        one = builder.select(good, ir.Constant(_FLOATS, [1.0] * N_LANE), zero)
        for k, term in ((_N, one), (_SUM, value), (_SQUARES, builder.fmul(value, value, flags=["contract"]))):
            old = builder.load(row(k), align=4)
            builder.store(builder.fadd(old, term, flags=["contract"]), row(k), align=4)
        return context.get_dummy_value()

    return types.void(acc, image, p, base), build


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


@njit(
    [
        void(
            float32[:, ::1], int64, int64, int64[::1], int32[:, ::1], float32[::1], float64, int64, int64,
            float32[:, ::1], float32[:, ::1], float32[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def clipped_mean(
    image: NDArray[np.float32],
    first: int,
    last: int,
    ptr: NDArray[np.int64],
    pixel: NDArray[np.int32],
    base: NDArray[np.float32],
    kappa: float,
    n_pass: int,
    n_least: int,
    acc: NDArray[np.float32],
    mean: NDArray[np.float32],
    error: NDArray[np.float32],
) -> None:
    """Clipped mean and its standard error of groups of pixels, lane by lane.

    Parameters
    ----------
    image : float32 array, shape (n_pixel, 16)
        Lanes of a tile; NaN pixels are left out.
    first, last : int
        Range of groups.
    ptr : int64 array, shape (n_group + 1,)
        Where each group's pixels begin in ``pixel``.
    pixel : int32 array, shape (n_entry, 1)
        Pixel numbers in the tile.
    base : float32 array, shape (n_entry,)
        By how much each pixel stands out from its group in every frame, taken off before anything else: structure that does
        not change is neither noise nor a reason to clip.
    kappa : float
        Clip beyond this many standard deviations.
    n_pass : int
        Passes over the pixels, the first of them unclipped; ends early when nothing more is clipped.
    n_least : int
        With fewer accepted pixels, mean and error are NaN.
    acc : float32 array, shape (6, 16)
        Scratch.
    mean, error : float32 array, shape (n_group, 16)
        Receive the results.
    """
    for g in range(first, last):
        start, end = ptr[g], ptr[g + 1]
        # Work relative to a pixel of the group, lest float32 lose the variance under a bright background.
        for b in range(N_LANE):
            acc[_SHIFT, b] = np.nan
            acc[_LOW, b] = -np.inf
            acc[_HIGH, b] = np.inf
        for k in range(start, min(start + 8, end)):
            missing = False
            for b in range(N_LANE):
                if np.isnan(acc[_SHIFT, b]):
                    acc[_SHIFT, b] = image[pixel[k, 0], b] - base[k]
                    missing |= np.isnan(acc[_SHIFT, b])
            if not missing:
                break
        for b in range(N_LANE):
            if np.isnan(acc[_SHIFT, b]):
                acc[_SHIFT, b] = 0.0
            error[g, b] = -1.0
        for _ in range(n_pass):
            for q in range(_N, _SQUARES + 1):
                for b in range(N_LANE):
                    acc[q, b] = 0.0
            for k in range(start, end):
                _accept(acc, image, pixel[k, 0], base[k])
            changed = False
            for b in range(N_LANE):
                n = acc[_N, b]
                changed |= n != error[g, b]  # holds the number accepted in the pass before
                error[g, b] = n
                if n > 0:
                    m = acc[_SUM, b] / n
                    spread = float32(kappa) * np.sqrt(max(acc[_SQUARES, b] / n - m * m, float32(0.0)))
                    acc[_LOW, b] = m - spread
                    acc[_HIGH, b] = m + spread
            if not changed:
                break
        for b in range(N_LANE):
            n = acc[_N, b]
            if n < n_least:
                mean[g, b] = np.nan
                error[g, b] = np.nan
            else:
                m = acc[_SUM, b] / n
                mean[g, b] = acc[_SHIFT, b] + m
                error[g, b] = np.sqrt(max(acc[_SQUARES, b] / n - m * m, float32(0.0)) / max(n - 1, 1))


@njit([void(float32[:, :, ::1], float32[:, :, ::1], float64[:, :, ::1])], cache=True, nogil=True)
def fill_cells(mean: NDArray[np.float32], error: NDArray[np.float32], shift: NDArray[np.float64]) -> None:
    """Give empty mesh cells the mean of their neighbours, then turn cell means into values at the cells' centres.

    A mean over a cell of side h is the value at the centroid of its pixels plus h^2/24 of the Laplacian; slope and curvature
    come from the neighbours (the outermost cells borrow the curvature of the next).

    Parameters
    ----------
    mean, error : float32 array, shape (n_cell_row, n_cell_col, 16)
        Clipped means of the cells and their errors; changed in place. A lane with no value at all stays NaN.
    shift : float64 array, shape (n_cell_row, n_cell_col, 2)
        Row and column of the centroid of the cell's pixels less those of its centre, in units of cells.
    """
    n_row, n_col, n_lane = mean.shape
    old = np.empty((n_row, n_col))
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
        for i in range(n_row):
            for j in range(n_col):
                up, down, right, left = min(i + 1, n_row - 1), max(i - 1, 0), min(j + 1, n_col - 1), max(j - 1, 0)
                slope_row = (old[up, j] - old[down, j]) / max(up - down, 1)
                slope_col = (old[i, right] - old[i, left]) / max(right - left, 1)
                curvature = 0.0
                if n_row > 2:
                    k = min(max(i, 1), n_row - 2)
                    curvature += old[k + 1, j] - 2.0 * old[k, j] + old[k - 1, j]
                if n_col > 2:
                    k = min(max(j, 1), n_col - 2)
                    curvature += old[i, k + 1] - 2.0 * old[i, k] + old[i, k - 1]
                move = shift[i, j, 0] * slope_row + shift[i, j, 1] * slope_col
                mean[i, j, b] = old[i, j] - move - curvature / 24.0


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


@njit([void(float32[:, :, ::1], float64, float32[:, ::1])], cache=True, nogil=True)
def stack_mean(stack: NDArray[np.float32], kappa: float, mean: NDArray[np.float32]) -> None:
    """Mean over frames of the values within ``kappa`` robust standard deviations of the median, pixel by pixel.

    Parameters
    ----------
    stack : float32 array, shape (n_frame, n_row, n_col)
        NaN and infinities are left out.
    kappa : float
        Clip beyond this many times 1.4826 x the median absolute deviation.
    mean : float32 array, shape (n_row, n_col)
        Receives the result; NaN where no frame has a finite value.
    """
    n_frame, n_row, n_col = stack.shape
    values = np.empty(n_frame, np.float32)
    for r in range(n_row):
        for c in range(n_col):
            n = 0
            for f in range(n_frame):
                v = stack[f, r, c]
                if np.isfinite(v):
                    k = n
                    while k > 0 and values[k - 1] > v:
                        values[k] = values[k - 1]
                        k -= 1
                    values[k] = v
                    n += 1
            if n == 0:
                mean[r, c] = np.nan
                continue
            median = 0.5 * (float64(values[(n - 1) // 2]) + float64(values[n // 2]))
            # The values are sorted, so the n/2 nearest to the median form a window: the MAD is its half-width.
            low, high, reach = 0, n - 1, 0.0
            while high - low + 1 > n // 2 + 1:
                if median - values[low] > values[high] - median:
                    low += 1
                else:
                    high -= 1
            reach = max(median - values[low], values[high] - median)
            limit = kappa * 1.4826 * reach
            total, used = 0.0, 0
            for k in range(n):
                if abs(values[k] - median) <= limit:
                    total += values[k]
                    used += 1
            mean[r, c] = total / used if used > 0 else median
