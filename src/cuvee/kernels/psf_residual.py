"""What the model of all stars leaves of the projections of sixteen frames: most of the work of a solution in star space.

As in `cuvee.kernels.star_space`, sixteen frames lie side by side. All sums of a row are kept in registers until it is done.
"""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import float32, int64, njit, types, void
from numba.core import cgutils
from numba.core.cgutils import ir  # the language of numba's own compiler
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["residual"]

N_LANE = 16
N_TERM = 6
"""The PRF and its derivatives in column, row, column^2, column x row, row^2."""

N_REST = 15
"""The same, and those of third and fourth order."""

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(ir.FloatType(), N_LANE)


@intrinsic
def _row(_typing, r, first, last, column, terms, flux, rest, star, basis, n_basis, pointing, seen, out):
    """Do one row of `residual`, whose pairs are ``first:last``, for the star of that number."""

    def build(context, builder, signature, args):
        kinds = signature.args
        r, first, last, star, n_basis = (context.cast(builder, args[k], kinds[k], int64) for k in (0, 1, 2, 7, 9))
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(_I32, N_LANE), [0] * N_LANE)
        nothing = ir.Constant(_VECTOR, [0.0] * N_LANE)

        def place(k, index, length):
            array = context.make_array(kinds[k])(context, builder, args[k])
            return builder.gep(array.data, [builder.mul(index, ir.Constant(_I64, length))])

        def lanes(k, index):
            return builder.bitcast(place(k, index, N_LANE), _VECTOR.as_pointer())

        def spread(pointer, step=0):
            value = builder.load(builder.gep(pointer, [ir.Constant(_I64, step)]), align=4)
            one = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
            return builder.shuffle_vector(one, undefined, everywhere)

        def constant(value):
            return ir.Constant(_VECTOR, [value] * N_LANE)

        def times(a, b):
            return builder.fmul(a, b, flags=["contract"])

        def plus(a, b, c):
            return builder.fadd(times(a, b), c, flags=["contract"])

        def kept(value):
            """Give a vector a place that the compiler will turn into a register."""
            where = cgutils.alloca_once(builder, _VECTOR)
            builder.store(value, where)
            return where

        x_here, y_here = kept(nothing), kept(nothing)
        with cgutils.for_range(builder, n_basis, intp=_I64) as loop:
            part = spread(place(8, builder.add(builder.mul(star, n_basis), loop.index), 1))
            for where, k in ((x_here, loop.index), (y_here, builder.add(n_basis, loop.index))):
                builder.store(plus(part, builder.load(lanes(10, k), align=4), builder.load(where)), where)
        known = place(6, r, N_REST)
        sums = [kept(spread(known, q)) for q in range(N_TERM)]
        with cgutils.for_range_slice(builder, first, last, ir.Constant(_I64, 1), intp=_I64) as (e, _):
            pair = place(4, e, N_TERM)
            light = builder.load(lanes(5, builder.load(place(3, e, 1))), align=4)
            for q, where in enumerate(sums):
                builder.store(plus(spread(pair, q), light, builder.load(where)), where)

        x, y = builder.load(x_here), builder.load(y_here)
        a = [builder.load(where) for where in sums]
        half, third, twelfth = constant(0.5), constant(1.0 / 3.0), constant(1.0 / 12.0)
        third_order = [
            times(third, spread(known, 6)),
            spread(known, 7),
            spread(known, 8),
            times(third, spread(known, 9)),
        ]
        fourth = [
            times(twelfth, spread(known, 10)), times(third, spread(known, 11)), times(half, spread(known, 12)),
            times(third, spread(known, 13)), times(twelfth, spread(known, 14)),
        ]  # fmt: skip
        in_col = plus(x, plus(x, fourth[0], plus(y, fourth[1], third_order[0])), a[3])
        in_col = plus(y, plus(y, fourth[2], third_order[1]), in_col)
        in_row = plus(x, plus(y, fourth[3], third_order[2]), plus(y, plus(y, fourth[4], third_order[3]), a[5]))
        across = plus(times(half, x), in_col, plus(y, a[4], a[1]))
        along = plus(times(half, y), in_row, a[2])
        model = plus(x, across, plus(y, along, a[0]))
        builder.store(builder.fsub(builder.load(lanes(11, r), align=4), model), lanes(12, r), align=4)
        return context.get_dummy_value()

    signature = types.void(r, first, last, column, terms, flux, rest, star, basis, n_basis, pointing, seen, out)
    return signature, build


@njit(
    [
        void(
            int64[::1], int64[::1], float32[:, ::1], float32[:, ::1], float32[:, ::1], int64[::1], float32[:, ::1],
            float32[:, :, ::1], float32[:, ::1], float32[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def residual(
    ptr: NDArray[np.int64],
    column: NDArray[np.int64],
    terms: NDArray[np.float32],
    flux: NDArray[np.float32],
    rest: NDArray[np.float32],
    star: NDArray[np.int64],
    basis: NDArray[np.float32],
    pointing: NDArray[np.float32],
    seen: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Take what the model of all stars projects on each row from what the pixels do.

    Within a stamp all stars are displaced alike, by x and y: what they project is the sum over the six terms times
    1, x, y, x^2 / 2, x y, y^2 / 2; the third order, x^3 / 6, x^2 y / 2, x y^2 / 2, y^3 / 6, and the
    fourth, x^4 / 24, x^3 y / 6, x^2 y^2 / 4, x y^3 / 6, y^4 / 24, follow no change of a flux.

    Parameters
    ----------
    ptr, column : int64 arrays
        Rows of pairs, as in `cuvee.kernels.star_space.gram`.
    terms : float32 array, shape (n_pair, 6)
        From `cuvee.kernels.star_space.gram`.
    flux : float32 array, shape (n_star, 16)
        Fluxes (e-/s).
    rest : float32 array, shape (n_row, 15)
        What all other stars project on the row, which move with it and are else constant; last the third and the fourth order of all.
    star : int64 array, shape (n_row,)
        The star of each row.
    basis : float32 array, shape (n_star, n_basis)
        What displacements are made of.
    pointing : float32 array, shape (2, n_basis, 16)
        Their coefficients in column and row (px).
    seen : float32 array, shape (n_row, 16)
        Projections of the pixels.
    out : float32 array, shape (n_row, 16)
        Receives what is left of ``seen``.
    """
    n_basis = basis.shape[1]
    for r in range(ptr.size - 1):
        _row(r, ptr[r], ptr[r + 1], column, terms, flux, rest, star[r], basis, n_basis, pointing, seen, out)
