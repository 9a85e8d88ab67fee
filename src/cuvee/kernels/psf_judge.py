"""How well the model of all stars fits the pixels of each star in sixteen frames, and what cosmic rays added to it.

As in `cuvee.kernels.star_space`, sixteen frames lie side by side, and what is done to a pixel is done to all of them at once.
"""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, types, void
from numba.core import cgutils
from numba.core.cgutils import ir  # the language of numba's own compiler
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["judge", "still_terms"]

N_LANE = 16

N_TERM = 10
"""What is known of a pixel of a star before any frame is: see `still_terms`."""

LIGHT, SHARE, WEIGHT, ODDNESS, PULL = 0, 6, 7, 8, 9

LEAST_FREE = 0.05
"""Share of a pixel's variance that the fit must leave it: a pixel that rules the fit fits whatever hit it."""

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(ir.FloatType(), N_LANE)
_FMA = {"flags": ["contract"]}


@intrinsic
def _compare(_typing, image, pixel, terms, first, last, star, rest, sums):
    """Write what the model leaves of the pixels ``first:last`` of a star to ``rest``; their squares' sum to ``sums[0]``, the oddest to ``sums[1]``.

    Rows of ``star``: displacement in column and in row, change of the flux, background; all arrays are rows of sixteen float32 but
    ``terms``, whose rows are those of `still_terms`. Both sums are kept in registers: each waits only for its own last addition.
    """

    def build(context, builder, signature, args):
        kinds = signature.args
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(_I32, N_LANE), [0] * N_LANE)
        nothing = ir.Constant(_VECTOR, [0.0] * N_LANE)
        first, last = (context.cast(builder, args[k], kinds[k], int64) for k in (3, 4))

        def place(k, index, length):
            array = context.make_array(kinds[k])(context, builder, args[k])
            return builder.gep(array.data, [builder.mul(index, ir.Constant(_I64, length))])

        def lanes(k, index):
            return builder.bitcast(place(k, index, N_LANE), _VECTOR.as_pointer())

        def row(k, number):
            return lanes(k, ir.Constant(_I64, number))

        def plus(a, b, c):
            return builder.fadd(builder.fmul(a, b, **_FMA), c, **_FMA)

        x, y, change, level = (builder.load(row(5, k), align=4) for k in range(4))
        total, peak = (cgutils.alloca_once(builder, _VECTOR) for _ in range(2))
        builder.store(nothing, total)
        builder.store(nothing, peak)
        with cgutils.for_range_slice(builder, first, last, ir.Constant(_I64, 1), intp=_I64) as (entry, _):
            known = place(2, entry, N_TERM)

            def term(k, known=known):
                value = builder.load(builder.gep(known, [ir.Constant(_I64, k)]), align=4)
                one = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
                return builder.shuffle_vector(one, undefined, everywhere)

            seen = builder.load(lanes(0, builder.load(place(1, entry, 1))), align=4)
            across = plus(x, term(3), plus(y, term(4), term(1)))
            light = plus(y, plus(y, term(5), term(2)), plus(x, across, term(LIGHT)))
            light = plus(change, term(SHARE), light)
            left = builder.fsub(builder.fsub(seen, level), light)
            builder.store(left, lanes(6, builder.sub(entry, first)), align=4)
            builder.store(plus(builder.fmul(left, term(WEIGHT)), left, builder.load(total)), total)
            bright = builder.select(builder.fcmp_ordered(">", left, nothing), left, nothing)
            odd, before = builder.fmul(builder.fmul(bright, bright), term(ODDNESS)), builder.load(peak)
            builder.store(builder.select(builder.fcmp_ordered(">", odd, before), odd, before), peak)
        builder.store(builder.load(total), row(7, 0), align=4)
        builder.store(builder.load(peak), row(7, 1), align=4)
        return context.get_dummy_value()

    return types.void(image, pixel, terms, first, last, star, rest, sums), build


@njit(
    [
        void(
            int64[::1], int64[::1], int64[:, ::1], float32[:, ::1], int64[:, ::1], float32[:, ::1], float32[:, :, ::1],
            float32[:, ::1], float32[::1], float64, int64[::1], int64[::1], float32[:, ::1], float64[::1], float64[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def still_terms(
    base: NDArray[np.int64],
    width: NDArray[np.int64],
    box: NDArray[np.int64],
    weight: NDArray[np.float32],
    corner: NDArray[np.int64],
    reference: NDArray[np.float32],
    stars: NDArray[np.float32],
    inverse_variance: NDArray[np.float32],
    still_level: NDArray[np.float32],
    floor: float,
    ptr: NDArray[np.int64],
    pixel: NDArray[np.int64],
    terms: NDArray[np.float32],
    told: NDArray[np.float64],
    sky: NDArray[np.float64],
) -> None:
    """Write down what `judge` must know of the stars' pixels and does not depend on the frame, in the order of its work.

    Parameters
    ----------
    base, width, box, weight
        Rows as `cuvee.kernels.star_space.sum_stamps` takes them.
    corner : int64 array, shape (n_star, 2)
        Image row and column of each stamp's pixel [0, 0].
    reference : float32 array, shape (n_row, n_col)
        The reference image (e-/s).
    stars : float32 array, shape (6, n_row, n_col)
        The model of all stars in it, and the derivatives (e-/s).
    inverse_variance : float32 array, shape (n_row, n_col)
        Of the pixels of one frame; those of 0 take no part.
    still_level : float32 array, shape (n_star,)
        Background at the stars in the reference image (e-/s/pixel).
    floor : float
        What the model is believed to at best, as a share of the light in a pixel.
    ptr : int64 array, shape (n_star + 1,)
        Receives where each star's pixels begin.
    pixel : int64 array, shape (n_pixel,)
        Receives their numbers in the tile; as long as all boxes together.
    terms : float32 array, shape (n_pixel, 10)
        Receives the light of the reference image above its background (e-/s); its change with the displacement: in column, row,
        column^2, column x row, row^2 (e-/s/px^n); the star's share A; the pixel's weight; the weight over the share of its variance that a
        fit of the flux leaves it, 0 where that is too little to tell; and its pull on the flux, W A.
    told : float64 array, shape (n_star,)
        Receives the sum of W A^2.
    sky : float64 array, shape (n_star, 2)
        Receives ``still_level``, and the mean weight of the star's pixels.
    """
    side = int(np.sqrt(float64(weight.shape[1])) + 0.5)
    half = float32(0.5)
    n = 0
    for s in range(box.shape[0]):
        ptr[s] = n
        told[s] = 0.0
        weights = 0.0
        for j in range(box[s, 0], box[s, 1]):
            row = corner[s, 0] + j
            for i in range(box[s, 2], box[s, 3]):
                col = corner[s, 1] + i
                raw = float64(inverse_variance[row, col])
                if raw <= 0.0:
                    continue
                a = float64(weight[s, j * side + i]) / raw
                told[s] += raw * a * a
                pixel[n] = base[s] + j * width[s] + i
                terms[n, LIGHT] = reference[row, col] - still_level[s]
                terms[n, 1], terms[n, 2] = stars[1, row, col], stars[2, row, col]
                terms[n, 3] = half * stars[3, row, col]
                terms[n, 4] = stars[4, row, col]
                terms[n, 5] = half * stars[5, row, col]
                terms[n, SHARE] = a
                terms[n, WEIGHT] = 1.0 / (1.0 / raw + (floor * stars[0, row, col]) ** 2)
                terms[n, PULL] = raw * a
                weights += terms[n, WEIGHT]
                n += 1
        sky[s, 0] = still_level[s]
        sky[s, 1] = weights / max(n - ptr[s], 1)
        for k in range(ptr[s], n):
            free = 1.0 - float64(terms[k, PULL]) * terms[k, SHARE] / told[s]
            terms[k, ODDNESS] = terms[k, WEIGHT] / free if free > LEAST_FREE else 0.0
    ptr[box.shape[0]] = n


@njit(
    [
        void(
            float32[:, ::1], int64, int64, int64[::1], int64[::1], float32[:, ::1], float64[::1], float64[:, ::1],
            float64, float64, float32[:, ::1], float32[:, :, ::1], float32[:, ::1], float32[:, ::1], float32[::1], float64, float64, int64, float32[:, ::1],
            float32[:, ::1], int32[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def judge(
    image: NDArray[np.float32],
    first: int,
    last: int,
    ptr: NDArray[np.int64],
    pixel: NDArray[np.int64],
    terms: NDArray[np.float32],
    told: NDArray[np.float64],
    sky: NDArray[np.float64],
    exposure: float,
    least: float,
    basis: NDArray[np.float32],
    pointing: NDArray[np.float32],
    level: NDArray[np.float32],
    flux: NDArray[np.float32],
    still_flux: NDArray[np.float32],
    odd: float,
    good: float,
    most: int,
    chi2: NDArray[np.float32],
    added: NDArray[np.float32],
    hits: NDArray[np.int32],
) -> None:
    """Compare the pixels of the stars ``first:last`` with the reference image, moved, and brighter or fainter, as the frame's are.

    What a PRF does not describe, a halo, a sensitive column, is in the reference image and so does not count: only changes do.
    A cosmic ray hits one pixel, or a few; a star that changes, changes in all pixels of its PRF. So the pixel that fits worst,
    by its residual over the residual's own error when it is left out of the fit, is left out if it is too bright beyond ``odd``,
    and then the next one. It stays out only where what remains fits: else it was no cosmic ray.

    Under a sky that is brighter than the reference image's all of the star's pixels count as noisier, by as much as they are on average.

    Parameters
    ----------
    image : float32 array, shape (n_pixel, 16)
        Lanes of the tile (e-/s).
    first, last : int
        Range of stars.
    ptr, pixel, terms, told, sky
        From `still_terms`.
    exposure : float
        Time on source (s).
    least : float
        Share of their variance in the reference image that the pixels of a darker frame have at least.
    basis, pointing : float32 arrays, shapes (n_star, n_basis) and (2, n_basis, 16)
        Displacements (px).
    level : float32 array, shape (n_star, 16)
        Background at the stars (e-/s/pixel).
    flux, still_flux : float32 arrays, shapes (n_star, 16) and (n_star,)
        Fluxes (e-/s).
    odd : float
        A pixel is looked at whose residual is this many times its error.
    good : float
        Reduced chi2 at which what remains fits.
    most : int
        Pixels that a cosmic ray hits at most.
    chi2 : float32 array, shape (n_star, 16)
        Receives the sum of squares over the degrees of freedom; NaN where a star has no more pixels than one.
    added : float32 array, shape (n_star, 16)
        Receives what cosmic rays added to the flux (e-/s).
    hits : int32 array, shape (n_star, 16)
        Receives the number of pixels that were hit.
    """
    longest = 1
    for s in range(first, last):
        longest = max(longest, ptr[s + 1] - ptr[s])
    rest = np.empty((longest, N_LANE), np.float32)
    star = np.empty((4, N_LANE), np.float32)
    sums = np.empty((2, N_LANE), np.float32)
    part = np.empty((4, longest))
    oddness = np.empty(longest)
    for s in range(first, last):
        for b in range(N_LANE):
            star[0, b] = 0.0
            star[1, b] = 0.0
            star[2, b] = flux[s, b] - still_flux[s]
            star[3, b] = level[s, b]
            added[s, b] = 0.0
            hits[s, b] = 0
        for k in range(basis.shape[1]):
            for b in range(N_LANE):
                star[0, b] += basis[s, k] * pointing[0, k, b]
                star[1, b] += basis[s, k] * pointing[1, k, b]
        begin = ptr[s]
        n = ptr[s + 1] - begin
        _compare(image, pixel, terms, begin, ptr[s + 1], star, rest, sums)
        for b in range(N_LANE):
            if n < 2 or told[s] <= 0.0:
                chi2[s, b] = np.nan
                continue
            noisier = 1.0 + sky[s, 1] * (star[3, b] - sky[s, 0]) / exposure
            noisier = noisier if noisier > least else least
            left, sum_of_squares, kept, shift = n, float64(sums[0, b]) / noisier, told[s], 0.0
            far = odd * odd * noisier
            chi2[s, b] = sum_of_squares / (n - 1)
            if not (chi2[s, b] > good and sums[1, b] > far):
                continue
            for k in range(n):
                part[0, k] = rest[k, b]
                part[1, k] = terms[begin + k, WEIGHT] if rest[k, b] > 0.0 else 0.0
                part[2, k] = terms[begin + k, SHARE]
                part[3, k] = terms[begin + k, PULL]
            for _ in range(min(most, n - 3)):
                # No branches in this loop, so that it becomes one of vectors.
                for k in range(n):
                    r = part[0, k] - shift * part[2, k]
                    free = 1.0 - part[3, k] * part[2, k] / kept
                    r = r if r > 0.0 else 0.0
                    free = free if free > LEAST_FREE else np.inf
                    oddness[k] = part[1, k] * r * r / free
                worst, at = far, -1
                for k in range(n):
                    if oddness[k] > worst:
                        worst, at = oddness[k], k
                if at < 0:
                    break
                # Without this pixel the fit, whose weights know no floor, moves by what it alone had pulled.
                r = part[0, at] - shift * part[2, at]
                kept -= part[3, at] * part[2, at]
                shift -= part[3, at] * r / kept
                part[1, at] = 0.0
                sum_of_squares -= worst / noisier
                left -= 1
                if sum_of_squares / (left - 1) <= good:
                    break
            if left < n and sum_of_squares / (left - 1) <= good:
                chi2[s, b] = max(sum_of_squares, 0.0) / (left - 1)
                added[s, b] = -shift
                hits[s, b] = n - left
