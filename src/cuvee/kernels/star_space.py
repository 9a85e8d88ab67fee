"""PSF photometry in star space: pixels are touched once, to project them on the stars; all the rest is star with star.

As in `cuvee.kernels.lanes`, sixteen frames lie side by side and the sums over them are explicit 16-wide vectors.
"""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import boolean, float32, float64, int64, njit, types, void
from numba.core import cgutils
from numba.core.cgutils import ir  # the language of numba's own compiler
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["add_rows", "gram", "mend_stamps", "project_images", "render", "sum_stamps"]

N_LANE = 16
N_TERM = 6
"""The PRF and its derivatives in column, row, column^2, column x row, row^2."""

N_CHAIN = 4
"""Sums that grow side by side, so that none waits for its own last addition."""

_I32 = ir.IntType(32)
_VECTOR = ir.VectorType(ir.FloatType(), N_LANE)


@intrinsic
def _add(_typing, acc, i, weight, image, p):
    """Add ``weight * image[p]`` to ``acc[i]``; both arrays are rows of sixteen float32."""

    def place(context, builder, kind, value, index_type, index):
        array = context.make_array(kind)(context, builder, value)
        step = builder.mul(context.cast(builder, index, index_type, int64), ir.Constant(ir.IntType(64), N_LANE))
        return builder.bitcast(builder.gep(array.data, [step]), _VECTOR.as_pointer())

    def build(context, builder, signature, args):
        a_type, i_type, w_type, t_type, p_type = signature.args
        target = place(context, builder, a_type, args[0], i_type, args[1])
        values = builder.load(place(context, builder, t_type, args[3], p_type, args[4]), align=4)
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        one = builder.insert_element(undefined, context.cast(builder, args[2], w_type, float32), ir.Constant(_I32, 0))
        factor = builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_I32, N_LANE), [0] * N_LANE))
        product = builder.fmul(factor, values, flags=["contract"])
        builder.store(builder.fadd(builder.load(target, align=4), product, flags=["contract"]), target, align=4)
        return context.get_dummy_value()

    return types.void(acc, i, weight, image, p), build


@intrinsic
def _project(_typing, image, weight, base, width, start, side, box, out, s):
    """Sum weight x image over the box of a stamp into row ``s`` of ``out``, in `N_CHAIN` sums that do not wait for one another.

    The stamp's weights begin at the flat place ``start`` of ``weight``; row ``s`` of ``box`` holds its rows and columns.
    """

    def build(context, builder, signature, args):
        kinds = signature.args
        base, width, start, side, s = (context.cast(builder, args[k], kinds[k], int64) for k in (2, 3, 4, 5, 8))
        wide = ir.IntType(64)

        def place(k, index):
            array = context.make_array(kinds[k])(context, builder, args[k])
            return builder.gep(array.data, [index])

        def lanes(k, index):
            flat = place(k, builder.mul(index, ir.Constant(wide, N_LANE)))
            return builder.bitcast(flat, _VECTOR.as_pointer())

        def number(value):
            return ir.Constant(wide, value)

        chains = [cgutils.alloca_once(builder, _VECTOR) for _ in range(N_CHAIN)]
        for chain in chains:
            builder.store(ir.Constant(_VECTOR, [0.0] * N_LANE), chain)

        def add(chain, pixel, entry):
            undefined = ir.Constant(_VECTOR, ir.Undefined)
            one = builder.insert_element(undefined, builder.load(place(1, entry)), ir.Constant(_I32, 0))
            factor = builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_I32, N_LANE), [0] * N_LANE))
            product = builder.fmul(factor, builder.load(lanes(0, pixel), align=4), flags=["contract"])
            builder.store(builder.fadd(builder.load(chain), product, flags=["contract"]), chain)

        top, bottom, left, right = (
            builder.load(place(6, builder.add(builder.mul(s, number(4)), number(k)))) for k in range(4)
        )
        # A stamp beyond the image has an empty box.
        right = builder.select(builder.icmp_signed(">", right, left), right, left)
        whole = builder.sub(right, builder.and_(builder.sub(right, left), number(N_CHAIN - 1)))
        with cgutils.for_range_slice(builder, top, bottom, number(1), intp=wide) as (j, _):
            pixel, entry = builder.add(base, builder.mul(j, width)), builder.add(start, builder.mul(j, side))
            with cgutils.for_range_slice(builder, left, whole, number(N_CHAIN), intp=wide) as (i, _):
                for k, chain in enumerate(chains):
                    there = builder.add(i, number(k))
                    add(chain, builder.add(pixel, there), builder.add(entry, there))
            with cgutils.for_range_slice(builder, whole, right, number(1), intp=wide) as (i, _):
                add(chains[0], builder.add(pixel, i), builder.add(entry, i))
        pairs = [builder.fadd(builder.load(chains[k]), builder.load(chains[k + 1])) for k in range(0, N_CHAIN, 2)]
        total = builder.fadd(*pairs)
        builder.store(total, lanes(7, s), align=4)
        odd = builder.fcmp_unordered("uno", total, total)
        return builder.icmp_unsigned("!=", builder.bitcast(odd, ir.IntType(N_LANE)), ir.Constant(ir.IntType(N_LANE), 0))

    return types.boolean(image, weight, base, width, start, side, box, out, s), build


@njit(
    [boolean(float32[:, ::1], int64, int64, int64[::1], int64[::1], int64[:, ::1], float32[:, ::1], float32[:, ::1])],
    cache=True,
    nogil=True,
)
def sum_stamps(
    image: NDArray[np.float32],
    first: int,
    last: int,
    base: NDArray[np.int64],
    width: NDArray[np.int64],
    box: NDArray[np.int64],
    weight: NDArray[np.float32],
    out: NDArray[np.float32],
) -> bool:
    """Project the pixels of a tile on the rows ``first:last``.

    Parameters
    ----------
    image : float32 array, shape (n_pixel, 16)
        Lanes of the tile (e-/s).
    first, last : int
        Range of rows.
    base : int64 array, shape (n_row,)
        Number in the tile that pixel [0, 0] of the row's stamp has, or would have where it lies outside.
    width : int64 array, shape (n_row,)
        Pixels of a line of the tile.
    box : int64 array, shape (n_row, 4)
        Which part of the stamp lies on the image: rows ``box[0]:box[1]``, columns ``box[2]:box[3]``.
    weight : float32 array, shape (n_row, n_side^2)
        Weights of the stamp's pixels.
    out : float32 array, shape (n_row, 16)
        Receives the sums of weight x image.

    Returns
    -------
    bool
        Whether any of them is not a number.
    """
    side = int(np.sqrt(float64(weight.shape[1])) + 0.5)
    spoilt = False
    for s in range(first, last):
        spoilt |= _project(image, weight, base[s], width[s], s * weight.shape[1], side, box, out, s)
    return spoilt


@njit(
    [
        void(
            float32[:, ::1], float32[::1], int64, int64, int64[::1], int64[::1], int64[:, ::1], float32[:, ::1],
            float32[:, ::1], float32[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def mend_stamps(
    image: NDArray[np.float32],
    still: NDArray[np.float32],
    first: int,
    last: int,
    base: NDArray[np.int64],
    width: NDArray[np.int64],
    box: NDArray[np.int64],
    weight: NDArray[np.float32],
    out: NDArray[np.float32],
    missing: NDArray[np.float32],
) -> None:
    """Sum again where a pixel is not a number, with the reference image in its place, and say how much that was.

    Parameters
    ----------
    image, first, last, base, width, box, weight
        As for `sum_stamps`.
    still : float32 array, shape (n_pixel,)
        The reference image in the tile (e-/s); what is not a number there counts for nothing.
    out : float32 array, shape (n_row, 16)
        From `sum_stamps`; sums that are not numbers are replaced.
    missing : float32 array, shape (n_row, 16)
        Receives the share of |weight| that lies on such pixels; 0 elsewhere.
    """
    side = int(np.sqrt(float64(weight.shape[1])) + 0.5)
    for s in range(first, last):
        for b in range(N_LANE):
            missing[s, b] = 0.0
            if not np.isnan(out[s, b]):
                continue
            total, lost, whole = 0.0, 0.0, 0.0
            for j in range(box[s, 0], box[s, 1]):
                for i in range(box[s, 2], box[s, 3]):
                    w = float64(weight[s, j * side + i])
                    p = base[s] + j * width[s] + i
                    value = float64(image[p, b])
                    if np.isnan(value):
                        lost += abs(w)
                        value = float64(still[p]) if np.isfinite(still[p]) else 0.0
                    total += w * value
                    whole += abs(w)
            out[s, b] = total
            missing[s, b] = lost / whole if whole > 0.0 else 1.0


@njit(
    [
        void(
            float32[:, ::1], int64[:, ::1], int64[::1], float32[:, :, ::1], int64[:, ::1], int64[::1], int64[::1],
            float32[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def gram(
    weight: NDArray[np.float32],
    box: NDArray[np.int64],
    row: NDArray[np.int64],
    stamp: NDArray[np.float32],
    corner: NDArray[np.int64],
    ptr: NDArray[np.int64],
    column: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Project overlapping stamps on each other: ``out[e, q] = sum_p weight_s[p] A_q,t[p]`` for each pair (s, t).

    Parameters
    ----------
    weight, box : arrays, shapes (n_row, n_side^2) and (n_row, 4)
        Rows as `sum_stamps` takes them.
    row : int64 array, shape (n_row,)
        The star s of each row.
    stamp : float32 array, shape (n_star, 6, n_side^2)
        PRF and derivatives of each star.
    corner : int64 array, shape (n_star, 2)
        Image row and column of pixel [0, 0] of each stamp, perhaps outside the image.
    ptr : int64 array, shape (n_row + 1,)
        Row ``r`` owns the pairs ``ptr[r]:ptr[r + 1]``.
    column : int64 array, shape (n_pair,)
        The stars t.
    out : float32 array, shape (n_pair, 6)
        Receives the sums.
    """
    side = int(np.sqrt(float64(weight.shape[1])) + 0.5)
    for r in range(row.size):
        s = row[r]
        for e in range(ptr[r], ptr[r + 1]):
            t = column[e]
            down, right = corner[t, 0] - corner[s, 0], corner[t, 1] - corner[s, 1]
            a0, a1, a2, a3, a4, a5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for j in range(max(box[r, 0], down), min(box[r, 1], down + side)):
                shift = (j - down) * side - right
                for i in range(max(box[r, 2], right), min(box[r, 3], right + side)):
                    w = float64(weight[r, j * side + i])
                    k = shift + i
                    a0 += w * stamp[t, 0, k]
                    a1 += w * stamp[t, 1, k]
                    a2 += w * stamp[t, 2, k]
                    a3 += w * stamp[t, 3, k]
                    a4 += w * stamp[t, 4, k]
                    a5 += w * stamp[t, 5, k]
            out[e, 0], out[e, 1], out[e, 2], out[e, 3], out[e, 4], out[e, 5] = a0, a1, a2, a3, a4, a5


@njit([void(float32[:, :, ::1], int64[:, ::1], float64[::1], float32[:, :, ::1])], cache=True, nogil=True)
def render(
    stamp: NDArray[np.float32], corner: NDArray[np.int64], flux: NDArray[np.float64], images: NDArray[np.float32]
) -> None:
    """Add stars to images: one of their PRF, the others of its derivatives.

    Parameters
    ----------
    stamp : float32 array, shape (n_star, n_image, n_side^2)
        PRF and derivatives of each star.
    corner : int64 array, shape (n_star, 2)
        Image row and column of pixel [0, 0] of each stamp, perhaps outside the image.
    flux : float64 array, shape (n_star,)
        e-/s.
    images : float32 array, shape (n_image, n_row, n_col)
        Changed in place (e-/s).
    """
    n_image, n_row, n_col = images.shape
    side = int(np.sqrt(float64(stamp.shape[2])) + 0.5)
    for s in range(flux.size):
        top, bottom = max(corner[s, 0], 0), min(corner[s, 0] + side, n_row)
        left, right = max(corner[s, 1], 0), min(corner[s, 1] + side, n_col)
        for q in range(n_image):
            for y in range(top, bottom):
                k = (y - corner[s, 0]) * side - corner[s, 1]
                for x in range(left, right):
                    images[q, y, x] += float32(flux[s] * stamp[s, q, k + x])


@njit([void(float32[:, ::1], int64[:, ::1], float32[:, :, ::1], float64[:, ::1])], cache=True, nogil=True)
def project_images(
    weight: NDArray[np.float32], corner: NDArray[np.int64], images: NDArray[np.float32], out: NDArray[np.float64]
) -> None:
    """Project images on stamps.

    Parameters
    ----------
    weight : float32 array, shape (n_row, n_side^2)
        Weights of each stamp's pixels.
    corner : int64 array, shape (n_row, 2)
        Image row and column of pixel [0, 0] of each stamp, perhaps outside the image.
    images : float32 array, shape (n_image, n_row, n_col)
        From `render`.
    out : float64 array, shape (n_row, n_image)
        Receives the sums of weight x image.
    """
    n_image, n_row, n_col = images.shape
    side = int(np.sqrt(float64(weight.shape[1])) + 0.5)
    for s in range(corner.shape[0]):
        top, bottom = max(corner[s, 0], 0), min(corner[s, 0] + side, n_row)
        left, right = max(corner[s, 1], 0), min(corner[s, 1] + side, n_col)
        for q in range(n_image):
            total = 0.0
            for y in range(top, bottom):
                k = (y - corner[s, 0]) * side - corner[s, 1]
                for x in range(left, right):
                    total += float64(weight[s, k + x]) * float64(images[q, y, x])
            out[s, q] = total


@njit([void(int64[::1], int64[::1], float32[::1], float32[:, ::1], float32[:, ::1])], cache=True, nogil=True)
def add_rows(
    ptr: NDArray[np.int64],
    column: NDArray[np.int64],
    value: NDArray[np.float32],
    vector: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Add a sparse matrix times sixteen vectors to ``out``.

    Parameters
    ----------
    ptr, column, value : arrays
        The matrix by rows: ``value[ptr[r]:ptr[r + 1]]`` in the columns ``column[ptr[r]:ptr[r + 1]]``.
    vector : float32 array, shape (n_column, 16)
        The vectors.
    out : float32 array, shape (n_row, 16)
        Changed in place.
    """
    acc = np.empty((1, N_LANE), np.float32)
    for r in range(ptr.size - 1):
        for b in range(N_LANE):
            acc[0, b] = out[r, b]
        for e in range(ptr[r], ptr[r + 1]):
            _add(acc, 0, value[e], vector, column[e])
        for b in range(N_LANE):
            out[r, b] = acc[0, b]
