"""Clipped means: of groups of pixels in sixteen frames at once, and of a stack of frames."""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, types, void
from numba.core.cgutils import ir  # the language of numba's own compiler
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["clipped_mean", "stack_mean"]

N_LANE = 16
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_FLOATS = ir.VectorType(ir.FloatType(), N_LANE)
_SHIFT, _LOW, _HIGH, _N, _SUM, _SQUARES = range(6)

N_LEAST_PAIRS = 4
"""With fewer pairs of accepted pixels the spread of all tells the noise."""


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
def _compare(_typing, acc, image, p, q, base_p, base_q):
    """Add the square of the difference of two pixels to acc[5], and one to acc[4], where both lie in acc[1]..acc[2]."""

    def build(context, builder, signature, args):
        a_type, t_type, p_type, q_type, _, _ = signature.args
        sums = context.make_array(a_type)(context, builder, args[0]).data
        data = context.make_array(t_type)(context, builder, args[1]).data

        def place(base, step):
            return builder.bitcast(builder.gep(base, [step]), _FLOATS.as_pointer())

        def row(k):
            return place(sums, ir.Constant(_I64, N_LANE * k))

        def value(number, kind, base):
            index = builder.mul(context.cast(builder, number, kind, int64), ir.Constant(_I64, N_LANE))
            one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), base, ir.Constant(_I32, 0))
            lanes = ir.Constant(ir.VectorType(_I32, N_LANE), [0] * N_LANE)
            offset = builder.fadd(builder.load(row(_SHIFT), align=4), builder.shuffle_vector(one, one, lanes))
            return builder.fsub(builder.load(place(data, index), align=4), offset)

        pair = value(args[2], p_type, args[4]), value(args[3], q_type, args[5])
        good = None
        for one in pair:
            above = builder.fcmp_ordered(">=", one, builder.load(row(_LOW), align=4))
            inside = builder.and_(above, builder.fcmp_ordered("<=", one, builder.load(row(_HIGH), align=4)))
            good = inside if good is None else builder.and_(good, inside)
        zero = ir.Constant(_FLOATS, [0.0] * N_LANE)
        step = builder.select(good, builder.fsub(*pair), zero)
        number = builder.select(good, ir.Constant(_FLOATS, [1.0] * N_LANE), zero)
        for k, term in ((_SUM, number), (_SQUARES, builder.fmul(step, step, flags=["contract"]))):
            builder.store(builder.fadd(builder.load(row(k), align=4), term, flags=["contract"]), row(k), align=4)
        return context.get_dummy_value()

    return types.void(acc, image, p, q, base_p, base_q), build


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

    The error is that of pixels whose noise is told by how pixels that follow each other differ, in pairs. If these are neighbours in the
    image, a slope of the light over the group is no noise: it moves the mean to where the group's centroid is, and no further.

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
            acc[_SUM, b] = 0.0
            acc[_SQUARES, b] = 0.0
        for k in range(start, end - 1, 2):
            _compare(acc, image, pixel[k, 0], pixel[k + 1, 0], base[k], base[k + 1])
        for b in range(N_LANE):
            if acc[_N, b] >= n_least and acc[_SUM, b] >= N_LEAST_PAIRS:
                error[g, b] = np.sqrt(float32(0.5) * acc[_SQUARES, b] / (acc[_SUM, b] * acc[_N, b]))


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
