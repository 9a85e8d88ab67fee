"""The plan of PSF photometry: everything that does not depend on the frame.

The model of frame t at pixel p is the background and the sum over all stars of F_s(t) P(p - x_s - d_s(t)), with positions x_s
and PRF P fixed and d_s(t) the displacement of the frame at the star. To second order in d the model is linear in the six
products F (1, d_x, d_y, d_x^2/2, d_x d_y, d_y^2/2), so all that the pixels tell of the fluxes is their projection on
the stars' stamps, b_s = sum_p W_p A_s,p D_p with W the inverse variance; the rest, N = A W A^T and its like for the five
derivatives, is static. The first order is not enough: at bright stars it scatters two to three times the photon noise.

References
----------
Stetson 1987, PASP 99, 191 (simultaneous fits of crowded stars); Lang, Hogg & Mykytyn 2016, ascl:1604.008 (forced photometry
as a linear problem). The displacements by Gauss-Newton in star space are written out in docs/psf.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.photometry.psf_pairs import (
    Pairs,
    approximate_inverse,
    chosen_rows,
    linked_pairs,
    overlapping_pairs,
    project_images,
)

__all__ = ["Draw", "PsfPlan", "Rows", "plan_psf"]

N_BRIGHT = 3000
"""Stars that tell where a frame points, at most: with these it is known to some 1e-5 px."""

LEAST_SNR = 150.0
"""Signal to noise that one frame must give a star of these, and any whose higher orders count."""

FLOOR = 3e-4
"""What a star's position is believed to at best (px), so that the brightest do not rule the pointing."""

ENOUGH = 0.999
"""Share of what a stamp tells of its star that the part of it which is used must tell."""

AT_A_TIME = 20_000
"""Stars that are drawn together, where they are not kept."""

N_ORDER = 15
"""Terms up to the fourth order."""

STENCIL = 0.1
"""Steps by which stars are moved to see how their second derivatives change (px)."""

SLOPE, BEND = (-11.0 / 6.0, 3.0, -1.5, 1.0 / 3.0), (2.0, -5.0, 4.0, -1.0)
"""First and second derivative from values at 0, 1, 2 and 3 steps, to third and second order."""

Draw = Callable[[NDArray[np.int64], NDArray[np.float64]], tuple[NDArray[np.float32], NDArray[np.int64]]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Stamps on which the pixels of each tile are projected, in the order of the tiles.

    Parameters
    ----------
    of_tile : int64 array, shape (n_tile + 1,)
        Where each tile's rows begin.
    base, width, box, weight
        As `cuvee.kernels.star_space.sum_stamps` takes them.
    """

    of_tile: NDArray[np.int64]
    base: NDArray[np.int64]
    width: NDArray[np.int64]
    box: NDArray[np.int64]
    weight: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PsfPlan:
    """All that does not depend on the frame; stars stand in the order of the tiles.

    Parameters
    ----------
    star : int64 array, shape (n_star,)
        Number of each star among those given.
    rows : Rows
        Stamps of all stars.
    bright : int64 array, shape (n_bright,)
        Stars that tell where a frame points.
    moved : Rows
        Their derivatives: rows in column, then rows in row, tile by tile.
    moved_order : int64 array, shape (2 n_bright,)
        Place of each of these rows among the rows in column (``k``) and those in row (``n_bright + k``).
    pairs, in_col, in_row : Pairs
        What the stars project on each star, and on the derivatives of the bright ones.
    inverse_ptr, inverse_column, inverse_value
        Rows of an approximate inverse of N.
    weight_sum : float32 array, shape (n_star,)
        Projection of a background of 1 e-/s/pixel.
    moved_sum : float32 array, shape (2 n_bright,)
        The same for the derivatives.
    variance : float64 array, shape (n_star,)
        Of the flux in a frame as bright as the reference image ((e-/s)^2); infinite where no pixel sees the star.
    squares : float64 array, shape (n_star,)
        How the variance grows with that of the pixels: sum of (W A)^2 over N_ss^2.
    lean : float64 array, shape (n_star,)
        Change of the flux with the background (px).
    flux : float64 array, shape (n_star,)
        Flux in the reference image (e-/s).
    basis : float64 array, shape (n_star, n_basis)
        What displacements are made of, at each star: none, 1, or 1 and its place on the detector.
    information : float64 array, shape (n_bright, 3)
        What each bright star tells of its displacement in column, both, row (1 / px^2).
    share : float64 array, shape (n_star,)
        The star's own share of the light that its weights see.
    images : float32 array, shape (6, n_row, n_col)
        All stars as they are in the reference image, without background (e-/s), and their derivatives; once the pixels are prepared
        (`cuvee.photometry.psf_solve.judged_pixels`) the first suffices.
    corner : int64 array, shape (n_star, 2)
        Image row and column of each stamp's first pixel.
    """

    star: NDArray[np.int64]
    rows: Rows
    bright: NDArray[np.int64]
    moved: Rows
    moved_order: NDArray[np.int64]
    pairs: Pairs
    in_col: Pairs
    in_row: Pairs
    inverse_ptr: NDArray[np.int64]
    inverse_column: NDArray[np.int64]
    inverse_value: NDArray[np.float32]
    weight_sum: NDArray[np.float32]
    moved_sum: NDArray[np.float32]
    variance: NDArray[np.float64]
    squares: NDArray[np.float64]
    lean: NDArray[np.float64]
    flux: NDArray[np.float64]
    basis: NDArray[np.float64]
    information: NDArray[np.float64]
    share: NDArray[np.float64]
    images: NDArray[np.float32]
    corner: NDArray[np.int64]


def plan_psf(
    draw: Draw,
    place: NDArray[np.float64],
    flux: NDArray[np.float64],
    solved: NDArray[np.bool_],
    inverse_variance: NDArray[np.float32],
    tile: NDArray[np.int64],
    outer: NDArray[np.int64],
) -> PsfPlan:
    """Make the plan of PSF photometry.

    Parameters
    ----------
    draw : callable
        ``draw(stars, offset) -> (stamp, corner)``: of these stars, moved by so much in column and row (px, shape (n, 2)), the PRF
        and its derivatives in column, row, column^2, column x row, row^2 of the star, float32 of shape (6, n, n_side, n_side),
        and the image row and column of each stamp's pixel [0, 0], which may lie outside, int64 of shape (n, 2). The middle
        pixel of a stamp is the one that the star lies in.
    place : float64 array, shape (n_star, 2)
        Column and row of each star (px).
    flux : float64 array, shape (n_star,)
        Fluxes in the reference image (e-/s).
    solved : bool array, shape (n_star,)
        Stars whose flux is wanted, or may change; the others move with the frame and stay as bright as they are.
    inverse_variance : float32 array, shape (n_row, n_col)
        Of the pixels of one frame; 0 for those that take no part.
    tile : int64 array, shape (n_star,)
        The tile of each star.
    outer : int64 array, shape (n_tile, 4)
        First and last row, first and last column (exclusive) of each tile, margins included.

    Returns
    -------
    PsfPlan
        Of the stars that are solved.
    """
    import scipy.sparse as sp

    from cuvee.kernels import star_space

    images = np.zeros((N_ORDER, *inverse_variance.shape), np.float32)
    fixed = np.flatnonzero(~solved)
    for first in range(0, fixed.size, AT_A_TIME):
        some = fixed[first : first + AT_A_TIME]
        stamp, corner = draw(some, np.zeros((some.size, 2)))
        star_space.render(_by_star(stamp), corner, flux[some], images[:6])
    star = np.flatnonzero(solved)
    stamp, corner = draw(star, np.zeros((star.size, 2)))
    order = np.lexsort((corner[:, 1], tile[star]))
    star, corner = star[order], np.ascontiguousarray(corner[order])
    tile, flux = tile[star], flux[star].astype(np.float64)
    n_star, side = star.size, stamp.shape[2]
    values = _by_star(stamp, order)
    del stamp  # as large as all that follows together
    star_space.render(values, corner, flux, images[:6])
    # A stamp reaches no further than its tile with its margin; beyond the image there are no pixels.
    whole = np.stack(
        [
            np.maximum(outer[tile, 0] - corner[:, 0], 0), np.minimum(outer[tile, 1] - corner[:, 0], side),
            np.maximum(outer[tile, 2] - corner[:, 1], 0), np.minimum(outer[tile, 3] - corner[:, 1], side),
        ],
        axis=1,
    )  # fmt: skip
    inside = _pixels(inverse_variance, corner, whole, side)
    box = _windows(inside * values[:, 0] ** 2, whole, side)
    weight = inside * values[:, 0] * _mask(box, side)
    width = outer[tile, 3] - outer[tile, 2]
    base = (corner[:, 0] - outer[tile, 0]) * width + corner[:, 1] - outer[tile, 2]
    n_tile = outer.shape[0]

    def rows(stars: NDArray[np.int64], box: NDArray[np.int64], weight: NDArray[np.float32]) -> Rows:
        of_tile = np.searchsorted(tile[stars], np.arange(n_tile + 1)).astype(np.int64)
        return Rows(of_tile, base[stars], width[stars], np.ascontiguousarray(box), np.ascontiguousarray(weight))

    snr = flux * np.sqrt((inside * values[:, 0] ** 2).sum(axis=1, dtype=np.float64))
    bright = np.flatnonzero((whole == [0, side, 0, side]).all(axis=1) & (inside > 0.0).all(axis=1) & (snr > LEAST_SNR))
    bright = np.sort(bright[np.argsort(-snr[bright], kind="stable")[:N_BRIGHT]])
    seen_well = np.flatnonzero(snr > LEAST_SNR)
    for begin in range(0, seen_well.size, AT_A_TIME):
        some = seen_well[begin : begin + AT_A_TIME]
        higher = _higher_orders(draw, star[some], place[star[some]], values[some])
        star_space.render(higher, np.ascontiguousarray(corner[some]), flux[some], images[6:])
    everyone = np.arange(n_star)
    ptr, column = overlapping_pairs(corner, side)
    terms = np.empty((column.size, 6), np.float32)
    star_space.gram(weight, box, everyone, values, corner, ptr, column, terms)
    diagonal = terms[np.repeat(everyone, np.diff(ptr)) == column, 0].astype(np.float64)
    scale = np.zeros(n_star)
    np.divide(1.0, np.sqrt(np.maximum(diagonal, 0.0)), out=scale, where=diagonal > 0.0)
    seen = project_images(weight, corner, images)
    light = np.zeros(n_star)
    np.divide(flux * diagonal, seen[:, 0], out=light, where=seen[:, 0] > 0.0)
    pairs = linked_pairs(everyone, ptr, column, terms, flux, scale, seen)
    normal = sp.csr_matrix((pairs.terms[:, 0].astype(np.float64), pairs.column, pairs.ptr), shape=(n_star, n_star))
    inverse, variance = approximate_inverse(normal)

    bright_ptr, bright_column = chosen_rows(ptr, column, bright)
    moved_weight = [inside[bright] * values[bright, term] for term in (1, 2)]
    moved = []
    own = np.repeat(bright, np.diff(bright_ptr)) == bright_column
    for term, one in zip((1, 2), moved_weight, strict=True):
        found = np.empty((bright_column.size, 6), np.float32)
        star_space.gram(one, whole[bright], bright, values, corner, bright_ptr, bright_column, found)
        told = np.sqrt(np.maximum(found[own, term].astype(np.float64), 1e-30))
        rest = project_images(one, corner[bright], images)
        moved.append((linked_pairs(bright, bright_ptr, bright_column, found, flux, 1.0 / told, rest), found[own]))
    both = np.concatenate(moved_weight)
    by_tile = np.argsort(np.concatenate([tile[bright]] * 2), kind="stable")
    twice = np.concatenate([bright] * 2)[by_tile]
    squares = np.zeros(n_star)
    np.divide((weight.astype(np.float64) ** 2).sum(axis=1), diagonal**2, out=squares, where=diagonal > 0.0)
    weight_sum = weight.sum(axis=1, dtype=np.float64)
    # Rows are weighted by the inverse variance, so N^-1 is the variance where a row sees all of its star.
    return PsfPlan(
        star=star,
        rows=rows(everyone, box, weight),
        bright=bright,
        moved=rows(twice, whole[twice], both[by_tile]),
        moved_order=by_tile,
        pairs=pairs,
        in_col=moved[0][0],
        in_row=moved[1][0],
        inverse_ptr=inverse.indptr.astype(np.int64),
        inverse_column=inverse.indices.astype(np.int64),
        inverse_value=inverse.data.astype(np.float32),
        weight_sum=weight_sum.astype(np.float32),
        moved_sum=both.sum(axis=1, dtype=np.float64).astype(np.float32),
        variance=variance,
        squares=squares,
        lean=inverse @ weight_sum,
        flux=flux,
        basis=_basis(corner, inverse_variance.shape, bright.size),
        information=np.stack([moved[0][1][:, 1], moved[0][1][:, 2], moved[1][1][:, 2]], axis=1)
        * flux[bright, None].astype(np.float64) ** 2,
        share=light,
        images=images[:6],
        corner=corner,
    )


def _higher_orders(
    draw: Draw, star: NDArray[np.int64], place: NDArray[np.float64], values: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return derivatives of stars by differences, shape (n, 9, n_side^2): col^3, col^2 row ... row^3, and col^4, col^3 row ... row^4."""
    # Towards the middle of its pixel, or the stamp would jump.
    step = np.where(place > np.rint(place), -STENCIL, STENCIL)
    slope, bend = [], []
    for axis in (0, 1):
        length = step[:, axis, None, None].astype(np.float32)
        first, second = (np.float32(rule[0]) * values[:, 3:6] for rule in (SLOPE, BEND))
        for k in (1, 2, 3):
            offset = np.zeros((star.size, 2))
            offset[:, axis] = k * step[:, axis]
            moved = _by_star(draw(star, offset)[0])[:, 3:6]
            first += np.float32(SLOPE[k]) * moved
            second += np.float32(BEND[k]) * moved
        slope.append(first / length)
        bend.append(second / length**2)
    across, along = slope
    third = [across[:, 0], along[:, 0], across[:, 2], along[:, 2]]
    fourth = [bend[0][:, 0], bend[0][:, 1], bend[1][:, 0], bend[1][:, 1], bend[1][:, 2]]
    return np.ascontiguousarray(np.stack([*third, *fourth], axis=1), np.float32)


def _by_star(stamp: NDArray[np.float32], order: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.float32]:
    flat = stamp.reshape(6, stamp.shape[1], -1)
    values = np.empty((flat.shape[1], 6, flat.shape[2]), np.float32)
    for q in range(6):  # one after the other, for there is no room for a second copy of all
        values[:, q] = flat[q][order]
    return values


def _mask(box: NDArray[np.int64], side: int) -> NDArray[np.bool_]:
    """Return which pixels of a stamp a box holds, shape (n_star, side^2)."""
    along = np.arange(side)
    up = (along >= box[:, :1]) & (along < box[:, 1:2])
    across = (along >= box[:, 2:3]) & (along < box[:, 3:])
    return np.asarray((up[:, :, None] & across[:, None, :]).reshape(box.shape[0], -1))


def _windows(told: NDArray[np.float32], whole: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """Return the part of each stamp that is worth its time: the smallest square that tells `ENOUGH` of all there is."""
    half = side // 2
    along = np.abs(np.arange(side) - half)
    ring = np.maximum(along[:, None], along).ravel()
    within = np.cumsum(np.stack([told[:, ring == r].sum(axis=1, dtype=np.float64) for r in range(half + 1)]), axis=0)
    reach = np.argmax(within >= ENOUGH * within[-1], axis=0)
    return np.stack(
        [
            np.maximum(whole[:, 0], half - reach), np.minimum(whole[:, 1], half + reach + 1),
            np.maximum(whole[:, 2], half - reach), np.minimum(whole[:, 3], half + reach + 1),
        ],
        axis=1,
    )  # fmt: skip


def _pixels(
    image: NDArray[np.float32], corner: NDArray[np.int64], box: NDArray[np.int64], side: int
) -> NDArray[np.float32]:
    """Return an image's pixels in each stamp, shape (n_star, side^2); 0 beyond the part that is used."""
    along = np.arange(side)
    row = np.clip(corner[:, :1] + along, 0, image.shape[0] - 1)
    col = np.clip(corner[:, 1:] + along, 0, image.shape[1] - 1)
    found = image[row[:, :, None], col[:, None, :]].reshape(corner.shape[0], -1)
    return np.asarray(found * _mask(box, side), np.float32)


def _basis(corner: NDArray[np.int64], shape: tuple[int, ...], n_bright: int) -> NDArray[np.float64]:
    place = 2.0 * corner / np.asarray(shape, np.float64) - 1.0
    basis = np.column_stack([np.ones(corner.shape[0]), place[:, 1], place[:, 0]])
    return basis[:, : 3 if n_bright >= 60 else 1 if n_bright >= 3 else 0]
