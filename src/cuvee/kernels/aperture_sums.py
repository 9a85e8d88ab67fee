"""Sums over the apertures of all stars in sixteen frames at once: most of the work of aperture photometry.

As in `cuvee.kernels.lanes`, one pixel of sixteen frames is one cache line. Every sum stays in registers until its star is done:
sums kept in memory took twice the time, each addition waiting for the store of the one before.
"""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, types, void
from numba.core import cgutils
from numba.core.cgutils import ir  # the language of numba's own compiler
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["sum_apertures"]

N_LANE = 16
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_FLOATS = ir.VectorType(ir.FloatType(), N_LANE)
_DOUBLES = ir.VectorType(ir.DoubleType(), N_LANE)
_FMA = {"flags": ["contract"]}


class _Entries:
    """The code of a loop over the entries ``first:last`` (the first two arguments) of a star, being written."""

    def __init__(self, context, builder, signature, args):
        self.context, self.builder, self.kinds, self.args = context, builder, signature.args, args

    def integer(self, k):
        return self.context.cast(self.builder, self.args[k], self.kinds[k], int64)

    def place(self, k, index):
        """Point at the element of that flat index of array ``k``."""
        array = self.context.make_array(self.kinds[k])(self.context, self.builder, self.args[k])
        return self.builder.gep(array.data, [index])

    def lanes(self, k, row, vector):
        """Point at a row of sixteen of array ``k``."""
        flat = self.place(k, self.builder.mul(row, ir.Constant(_I64, N_LANE)))
        return self.builder.bitcast(flat, vector.as_pointer())

    def pixel(self, k, entry, image):
        """Load the lanes, from array ``image``, of the pixel that array ``k`` names."""
        number = self.builder.sext(self.builder.load(self.place(k, entry)), _I64)
        return self.builder.load(self.lanes(image, number, _FLOATS), align=4)

    def scalar(self, k, entry, column):
        """Load an element of array ``k``, which has as many columns as its shape says."""
        array = self.context.make_array(self.kinds[k])(self.context, self.builder, self.args[k])
        row = self.builder.mul(entry, self.builder.extract_value(array.shape, 1))
        return self.builder.load(self.place(k, self.builder.add(row, column)))

    def kept(self, vector, value):
        """Give a vector a place that the compiler will turn into a register."""
        where = cgutils.alloca_once(self.builder, vector)
        self.builder.store(ir.Constant(vector, [value] * N_LANE), where)
        return where

    def spread(self, value, vector):
        undefined = ir.Constant(vector, ir.Undefined)
        one = self.builder.insert_element(undefined, value, ir.Constant(_I32, 0))
        return self.builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_I32, N_LANE), [0] * N_LANE))

    def add(self, where, factor, values, vector):
        product = self.builder.fmul(self.spread(factor, vector), values, **_FMA)
        self.builder.store(self.builder.fadd(self.builder.load(where), product, **_FMA), where)

    def each(self):
        return cgutils.for_range_slice(
            self.builder, self.integer(0), self.integer(1), ir.Constant(_I64, 1), intp=_I64
        )  # fmt: skip

    def write(self, where, k, row, vector):
        self.builder.store(self.builder.load(where), self.lanes(k, row, vector), align=4)
        return self.context.get_dummy_value()


@intrinsic
def _sums(_typing, first, last, pixel, weight, image, counts, a, flux, rest, to_flux, to_rest):
    """Sum weight x image and weight^2 x counts in aperture ``a`` into those rows of ``flux`` and ``rest``."""

    def build(context, builder, signature, args):
        do = _Entries(context, builder, signature, args)
        total, shot, a = do.kept(_DOUBLES, 0.0), do.kept(_FLOATS, 0.0), do.integer(6)
        with do.each() as (entry, _):
            w = do.scalar(3, entry, a)
            do.add(total, builder.fpext(w, ir.DoubleType()), builder.fpext(do.pixel(2, entry, 4), _DOUBLES), _DOUBLES)
            do.add(shot, builder.fmul(w, w), do.pixel(2, entry, 5), _FLOATS)
        do.write(total, 7, do.integer(9), _DOUBLES)
        return do.write(shot, 8, do.integer(10), _FLOATS)

    return types.void(first, last, pixel, weight, image, counts, a, flux, rest, to_flux, to_rest), build


@intrinsic
def _moment(_typing, first, last, pixel, weight, image, a, offset, axis, rest, to):
    """Sum weight x offset x image in aperture ``a`` along an axis into row ``to`` of ``rest``."""

    def build(context, builder, signature, args):
        do = _Entries(context, builder, signature, args)
        total, a, axis = do.kept(_FLOATS, 0.0), do.integer(5), do.integer(7)
        with do.each() as (entry, _):
            factor = builder.fmul(do.scalar(3, entry, a), do.scalar(6, entry, axis))
            do.add(total, factor, do.pixel(2, entry, 4), _FLOATS)
        return do.write(total, 8, do.integer(9), _FLOATS)

    return types.void(first, last, pixel, weight, image, a, offset, axis, rest, to), build


@intrinsic
def _largest(_typing, first, last, pixel, counts, rest, to):
    """Put the largest count of each lane into row ``to`` of ``rest``; NaN never wins."""

    def build(context, builder, signature, args):
        do = _Entries(context, builder, signature, args)
        top = do.kept(_FLOATS, -np.inf)
        with do.each() as (entry, _):
            new, old = do.pixel(2, entry, 3), builder.load(top)
            builder.store(builder.select(builder.fcmp_ordered(">", new, old), new, old), top)
        return do.write(top, 4, do.integer(5), _FLOATS)

    return types.void(first, last, pixel, counts, rest, to), build


@njit(
    [
        void(
            float32[:, ::1], float32[:, ::1], int64, int64, int64[:, ::1], int32[:, ::1], float32[:, ::1],
            float32[:, ::1], int64, float64[:, :, ::1], float32[:, :, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def sum_apertures(
    image: NDArray[np.float32],
    counts: NDArray[np.float32],
    first: int,
    last: int,
    ptr: NDArray[np.int64],
    pixel: NDArray[np.int32],
    weight: NDArray[np.float32],
    offset: NDArray[np.float32],
    middle: int,
    flux: NDArray[np.float64],
    rest: NDArray[np.float32],
) -> None:
    """Sum all apertures of the stars ``first:last`` over a tile.

    Parameters
    ----------
    image : float32 array, shape (n_pixel, 16)
        Lanes of the tile (e-/s).
    counts : float32 array, shape (n_pixel, 16)
        What the shot noise and the saturation test see: ``image`` plus what the mission subtracted; may be ``image``.
    first, last : int
        Range of stars.
    ptr : int64 array, shape (n_star, n_aperture + 1)
        Star ``s`` owns the rows ``ptr[s, 0]:ptr[s, a + 1]`` of ``pixel`` in aperture ``a``: pixels stand in the order
        of the smallest aperture that holds them, so a bad pixel outside an aperture never meets its sum.
    pixel : int32 array, shape (n_entry, 1)
        Pixel number in the tile.
    weight : float32 array, shape (n_entry, n_aperture)
        Overlap of pixel and aperture.
    offset : float32 array, shape (n_entry, 2)
        Column and row of the pixel less those of the star (px).
    middle : int
        The aperture in which first moments are taken.
    flux : float64 array, shape (n_star, n_aperture, 16)
        Receives the sums of weight x image.
    rest : float32 array, shape (n_star, n_aperture + 3, 16)
        Receives the sums of weight^2 x counts, the first moments in column and row, and the largest count.
    """
    n = weight.shape[1]
    for s in range(first, last):
        start, to = ptr[s, 0], s * (n + 3)
        for a in range(n):
            _sums(start, ptr[s, a + 1], pixel, weight, image, counts, a, flux, rest, s * n + a, to + a)
        inner = ptr[s, middle + 1]
        _moment(start, inner, pixel, weight, image, middle, offset, 0, rest, to + n)
        _moment(start, inner, pixel, weight, image, middle, offset, 1, rest, to + n + 1)
        _largest(start, ptr[s, n], pixel, counts, rest, to + n + 2)
