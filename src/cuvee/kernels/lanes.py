"""Sixteen frames side by side: one pixel of sixteen frames is one cache line, and every sum runs on all at once.

``T`` below is the lane image of a tile: float32, shape (n_pixel, 16), pixel-interleaved. The sums over it are written
with explicit 16-wide vectors, because LLVM cannot prove that numba's arrays do not overlap and would otherwise work
lane by lane (3.3 ms a frame instead of 1.0 for 50,000 stars and three apertures). The vectors are plain LLVM IR, so any processor runs them.
"""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, float32, float64, int32, int64, njit, types, uint32, void
from numba.core.cgutils import ir  # the language of numba's own compiler
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["finish", "to_lanes"]

N_LANE = 16
LINE = 4 * N_LANE
"""Bytes of one line of the cache: a pixel of sixteen frames."""
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_F32 = ir.FloatType()
_WORDS = ir.VectorType(_I32, N_LANE)
_FLOATS = ir.VectorType(_F32, N_LANE)
_FRAME = types.Array(uint32, 2, "A", readonly=True)


def _row(context, builder, kind, value, index_type, index):
    """Return a pointer to row ``index`` of an array of rows of sixteen, as a pointer to one vector."""
    array = context.make_array(kind)(context, builder, value)
    step = builder.mul(context.cast(builder, index, index_type, int64), ir.Constant(_I64, N_LANE))
    vector = ir.VectorType(context.get_value_type(kind.dtype), N_LANE)
    return builder.bitcast(builder.gep(array.data, [step]), vector.as_pointer()), vector


def _splat(builder, value, vector):
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_I32, N_LANE), [0] * N_LANE))


@intrinsic
def _stream(_typing, array, at, lanes, i):
    """Write ``lanes[i]`` to the flat place ``at`` of a large array, past the caches; the place is a whole line of them."""

    def build(context, builder, signature, args):
        a_type, at_type, l_type, i_type = signature.args
        array = context.make_array(a_type)(context, builder, args[0])
        source, vector = _row(context, builder, l_type, args[2], i_type, args[3])
        target = builder.bitcast(
            builder.gep(array.data, [context.cast(builder, args[1], at_type, int64)]), vector.as_pointer()
        )
        store = builder.store(builder.load(source, align=4), target, align=LINE)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_I32, 1)]))
        return context.get_dummy_value()

    return types.void(array, at, lanes, i), build


@intrinsic
def _fence(_typing):
    """Let what was written past the caches be seen by other threads before anything that is written later."""

    def build(context, builder, _signature, _args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), build


@intrinsic
def _transpose(_typing, frames, swap, row, col, image, p):
    """Write pixels [row, col:col + 16] of sixteen frames to ``image[p:p + 16]``; what is not finite becomes NaN."""

    def build(context, builder, signature, args):
        f_type, _, r_type, c_type, t_type, p_type = signature.args
        r = context.cast(builder, args[2], r_type, int64)
        c = context.cast(builder, args[3], c_type, int64)
        name = f"llvm.bswap.v{N_LANE}i32"
        bswap = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(_WORDS, [_WORDS]), name)
        exponent = _splat(builder, ir.Constant(_I32, 0x7F800000), _WORDS)
        nan = _splat(builder, ir.Constant(_I32, 0x7FC00000), _WORDS)
        swapping = _splat(builder, args[1], ir.VectorType(ir.IntType(1), N_LANE))
        rows = []
        for lane in range(N_LANE):
            frame = context.make_array(f_type.dtype)(context, builder, builder.extract_value(args[0], lane))
            step = builder.extract_value(frame.strides, 0)
            offset = builder.add(builder.mul(r, step), builder.mul(c, ir.Constant(_I64, 4)))
            place = builder.inttoptr(builder.add(builder.ptrtoint(frame.data, _I64), offset), _WORDS.as_pointer())
            raw = builder.load(place, align=4)
            word = builder.select(swapping, builder.call(bswap, [raw]), raw)
            finite = builder.icmp_unsigned("!=", builder.and_(word, exponent), exponent)
            rows.append(builder.select(finite, word, nan))
        # A 16 x 16 transpose in four rounds: swap the off-diagonal blocks of size 8, 4, 2, 1.
        for size in (8, 4, 2, 1):
            low = [(k if not k & size else N_LANE + (k ^ size)) for k in range(N_LANE)]
            high = [((k | size) if not k & size else N_LANE + k) for k in range(N_LANE)]
            mixed = list(rows)
            for k in range(N_LANE):
                if not k & size:
                    a, b = rows[k], rows[k | size]
                    mixed[k] = builder.shuffle_vector(a, b, ir.Constant(_WORDS, low))
                    mixed[k | size] = builder.shuffle_vector(a, b, ir.Constant(_WORDS, high))
            rows = mixed
        start = context.cast(builder, args[5], p_type, int64)
        for k in range(N_LANE):
            target, _ = _row(context, builder, t_type, args[4], int64, builder.add(start, ir.Constant(_I64, k)))
            builder.store(rows[k], target, align=4)
        return context.get_dummy_value()

    return types.void(frames, swap, row, col, image, p), build


@njit(
    [void(types.UniTuple(_FRAME, N_LANE), boolean, int64, int64, int64, int64, uint32[:, ::1])], cache=True, nogil=True
)
def to_lanes(frames: Any, swap: bool, row0: int, row1: int, col0: int, col1: int, image: NDArray[np.uint32]) -> None:
    """Interleave a tile of sixteen frames.

    Parameters
    ----------
    frames : tuple of 16 uint32 arrays, each of shape (n_row, n_col)
        The frames' float32 words; columns must be contiguous, rows may be strided.
    swap : bool
        Whether the words are of the other byte order.
    row0, row1, col0, col1 : int
        The tile; at least 16 columns wide.
    image : uint32 array, shape (>= n_pixel of the tile, 16)
        Receives the lanes, row by row; infinities become NaN.
    """
    width = col1 - col0
    for r in range(row0, row1):
        start = (r - row0) * width
        for c in range(0, width - 15, 16):
            _transpose(frames, swap, r, col0 + c, image, start + c)
        if width % 16:
            _transpose(frames, swap, r, col1 - 16, image, start + width - 16)


@njit(
    [
        void(
            float64[:, :, ::1], float32[:, :, ::1], float32[:, ::1], float32[:, ::1], float64[:, :, ::1],
            float64[:, ::1], float64[::1], float64, float64, int64, float64, int32[::1], int64[::1], int64[::1],
            int32[::1], float32[:, :, ::1], int32[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def finish(
    flux: NDArray[np.float64],
    rest: NDArray[np.float32],
    level: NDArray[np.float32],
    level_err: NDArray[np.float32],
    area: NDArray[np.float64],
    position: NDArray[np.float64],
    pixel_variance: NDArray[np.float64],
    exposure: float,
    saturation: float,
    middle: int,
    middle_radius: float,
    static_flag: NDArray[np.int32],
    order: NDArray[np.int64],
    column: NDArray[np.int64],
    bits: NDArray[np.int32],
    planes: NDArray[np.float32],
    flag: NDArray[np.int32],
) -> None:
    """Turn raw sums into fluxes, errors, centroids and flags, and put them in their place on the time axis.

    Parameters
    ----------
    flux, rest : arrays
        As `cuvee.kernels.aperture_sums.sum_apertures` leaves them, stars in the plan's order.
    level, level_err : float32 array, shape (n_star, 16)
        Background to subtract and its error (e-/s/pixel); NaN where there is none.
    area : float64 array, shape (n_star, n_aperture, 4)
        Sums of weight, weight^2, weight x column offset, weight x row offset.
    position : float64 array, shape (n_star, 2)
        Column and row of the star (px).
    pixel_variance : float64 array, shape (n_star,)
        Read noise and digitisation of one pixel ((e-/s)^2).
    exposure : float
        Time on source (s).
    saturation : float
        e-/s.
    middle : int
        Aperture of the centroid.
    middle_radius : float
        A centroid outside this radius (px) means nothing and becomes NaN.
    static_flag : int32 array, shape (n_star,)
        Bits that hold in every frame.
    order : int64 array, shape (n_star,)
        Output row of each star.
    column : int64 array, shape (16,)
        Output column of each lane; -1 for an empty lane.
    bits : int32 array, shape (3,)
        Bits for a NaN pixel, a saturated pixel and a missing background.
    planes : float32 array, shape (2 n_aperture + 4, n_star, n_frame)
        Receives flux and error of each aperture, background and its error, centroid column and row; what is not defined becomes NaN.
    flag : int32 array, shape (n_star, n_frame)
        Receives the bits.

    Notes
    -----
    Sixteen full lanes that go to one line of the cache are written past the caches, in half the time: ``planes`` and ``flag`` must
    start at a multiple of 64 bytes and ``n_frame`` be one of 16.
    """
    n_aperture = area.shape[1]
    # All lanes of a star are computed side by side, in loops plain enough for LLVM to make vectors of, and then carried to their places.
    out = np.empty((2 * n_aperture + 4, N_LANE), np.float32)
    word = np.empty((1, N_LANE), np.int32)
    sky = np.empty(N_LANE)
    sky_err = np.empty(N_LANE)
    reach = middle_radius * middle_radius
    n_frame = planes.shape[2]
    together = (planes.ctypes.data | flag.ctypes.data) % LINE == 0 and n_frame % N_LANE == 0 and column[0] % N_LANE == 0
    for b in range(N_LANE):
        together &= column[b] == column[0] + b
    for s in range(order.size):
        for b in range(N_LANE):
            sky[b] = level[s, b]
            sky_err[b] = level_err[s, b]
            out[2 * n_aperture, b] = level[s, b]
            out[2 * n_aperture + 1, b] = level_err[s, b]
            raw = flux[s, n_aperture - 1, b]
            f = static_flag[s]
            f |= bits[2] if np.isnan(level[s, b]) else 0
            f |= bits[1] if rest[s, n_aperture + 2, b] >= saturation else 0
            f |= bits[0] if np.isnan(raw) and area[s, n_aperture - 1, 0] > 0.0 else 0
            word[0, b] = f
        for a in range(n_aperture):
            total, squares, read = area[s, a, 0], area[s, a, 1], area[s, a, 1] * pixel_variance[s]
            for b in range(N_LANE):
                value = flux[s, a, b] - sky[b] * total
                shot = float64(rest[s, a, b])
                # Where noise alone made the total negative, the background is the better guess of it.
                behind = sky[b] * squares
                shot = (behind if behind > 0.0 else 0.0) if shot < 0.0 else shot
                variance = shot / exposure + read + (total * sky_err[b]) ** 2
                there = total > 0.0 and not np.isnan(value)
                out[2 * a, b] = value if there else np.nan
                out[2 * a + 1, b] = np.sqrt(variance) if there else np.nan
        for b in range(N_LANE):
            value = flux[s, middle, b] - sky[b] * area[s, middle, 0]
            x = (rest[s, n_aperture, b] - sky[b] * area[s, middle, 2]) / value
            y = (rest[s, n_aperture + 1, b] - sky[b] * area[s, middle, 3]) / value
            inside = value > 0.0 and x * x + y * y < reach
            out[2 * n_aperture + 2, b] = x + position[s, 0] if inside else np.nan
            out[2 * n_aperture + 3, b] = y + position[s, 1] if inside else np.nan
        i = order[s]
        if together:
            for k in range(2 * n_aperture + 4):
                _stream(planes, (k * order.size + i) * n_frame + column[0], out, k)
            _stream(flag, i * n_frame + column[0], word, 0)
        else:
            for k in range(2 * n_aperture + 4):
                for b in range(N_LANE):
                    if column[b] >= 0:
                        planes[k, i, column[b]] = out[k, b]
            for b in range(N_LANE):
                if column[b] >= 0:
                    flag[i, column[b]] = word[0, b]
    _fence()
