"""Fluxes of all stars and the pointing of sixteen frames, from what their pixels project on the stars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.kernels.memory import on_lines
from cuvee.metrics import median
from cuvee.model.records import LANES
from cuvee.photometry.psf import FLOOR, PsfPlan
from cuvee.photometry.psf_pairs import Pairs

__all__ = ["Judged", "Lanes", "judge_tile", "judged_pixels", "restore_disturbed", "solve"]

MOST_ROUNDS = 8
"""Rounds for fluxes and pointing after which a batch is taken as it is: a handful of close pairs settles slowly."""

POINTING_FIRST = 2
"""Rounds in which only the pointing is sought, with the fluxes of the reference image: these cost a tenth of the others."""

SETTLED, UNSETTLED = 3e-2, 5e-3
"""Change of a flux in a round, in its error, at which it is settled; and the share of stars that need not be. What is then still to come is
a tenth of that: each round brings the rest down by so much."""

SETTLED_POINTING = 2e-6
"""Change of the pointing (px) at which it is left alone."""

STRIDE, REACH, FAR = 0.5, 1.5, 0.5
"""How far the displacement goes in a round, and how far at all (px); where the fourth order has an end, and with it the fluxes."""

BELIEVED = 0.002
"""What the model is believed to at best, as a share of the light in a pixel, where pixels are compared with it."""

ODD, GOOD, MOST_HIT = 6.0, 3.0, 4
"""A pixel this many errors too bright may be a cosmic ray's, if without it and at most three others chi2 is as good as this."""

LEAST_NOISE = 0.2
"""Share of its variance in the reference image that a pixel of a darker frame has at least: less, only a wrong background would leave it."""

DISTURBED = 0.2
"""Share of the stars that do not fit from which it is the frame."""

CLIP = 5.0
"""A star that lies further off than this many robust standard deviations does not tell where a frame points."""


class Lanes:
    """Arrays that a plan needs for sixteen frames, allocated once.

    Parameters
    ----------
    plan : PsfPlan
        The plan.

    Attributes
    ----------
    seen : float32 array, shape (n_star, 16)
        Projections of the pixels, to be filled before `solve`.
    missing : float32 array, shape (n_star, 16)
        Share of a star's weights that lies on pixels which are not numbers.
    moved, moved_missing : float32 array, shape (2 n_bright, 16)
        The same for the derivatives of the bright stars, in the order of the tiles.
    level, level_err : float32 array, shape (n_star, 16)
        Background at the stars and its error (e-/s/pixel).
    flux : float32 array, shape (n_star, 16)
        Filled by `solve` (e-/s).
    basis, still_flux : float32 arrays
        ``basis`` and ``flux`` of the plan, as the kernels take them.
    chi2, added, hits : arrays, shape (n_star, 16)
        Filled by `judge_tile`: reduced chi2, what cosmic rays added to the flux (e-/s), the pixels that they hit.
    """

    def __init__(self, plan: PsfPlan) -> None:
        n_star, n_bright = plan.star.size, plan.bright.size
        self.seen, self.missing, self.level, self.level_err = (on_lines((n_star, LANES)) for _ in range(4))
        self.moved, self.moved_missing = (on_lines((2 * n_bright, LANES)) for _ in range(2))
        self.flux, self.change, self.rest = (on_lines((n_star, LANES)) for _ in range(3))
        self.chi2, self.added = (on_lines((n_star, LANES)) for _ in range(2))
        self.basis, self.still_flux = plan.basis.astype(np.float32), plan.flux.astype(np.float32)
        self.hits = np.zeros((n_star, LANES), np.int32)
        self.in_col, self.in_row, self.rest_col, self.rest_row = (on_lines((n_bright, LANES)) for _ in range(4))


def solve(plan: PsfPlan, lanes: Lanes, there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Solve for the fluxes of all stars and for the pointing, frame by frame.

    Gauss-Newton: from what is left of the pixels when the whole model is taken off, to fourth order, the bright stars' derivatives
    tell how the displacement must change, and the approximate inverse of the normal matrix how the fluxes must, until neither does.

    Parameters
    ----------
    plan : PsfPlan
        The plan.
    lanes : Lanes
        With projections and background filled in; its ``flux`` receives the fluxes.
    there : bool array, shape (16,)
        Which lanes hold a frame; the others become zero.

    Returns
    -------
    float64 array, shape (2, n_basis, 16)
        Displacement of each frame in column and row: coefficients of ``plan.basis`` (px). Of a frame farther than `FAR` from
        the reference all weight is marked as missing.
    """
    from cuvee.kernels import star_space

    n_bright, n_basis = plan.bright.size, plan.basis.shape[1]
    lanes.seen -= plan.weight_sum[:, None] * lanes.level
    lanes.seen[:, ~there] = 0.0
    unsorted = np.empty((2 * n_bright, LANES), np.float32)
    unsorted[plan.moved_order] = lanes.moved
    unsorted -= plan.moved_sum[:, None] * np.concatenate([lanes.level[plan.bright]] * 2)
    unsorted[:, ~there] = 0.0
    lanes.in_col[:], lanes.in_row[:] = unsorted[:n_bright], unsorted[n_bright:]
    np.nan_to_num(lanes.seen, copy=False)  # no background: such a star is not measured, and must not spoil others
    usable = np.isfinite(unsorted[:n_bright]) & np.isfinite(unsorted[n_bright:])
    lost = np.empty((2 * n_bright, LANES), np.float32)
    lost[plan.moved_order] = lanes.moved_missing
    usable &= (lost[:n_bright] == 0.0) & (lost[n_bright:] == 0.0) & there
    used, matrix = usable, _pointing_matrix(plan, usable)
    pointing = np.zeros((2, n_basis, LANES))
    inverse = (plan.inverse_ptr, plan.inverse_column, plan.inverse_value)
    lanes.flux[:] = lanes.still_flux[:, None]
    lanes.flux[:, ~there] = 0.0
    few = UNSETTLED * plan.star.size
    sigma = np.sqrt(np.where(np.isfinite(plan.variance), plan.variance, np.inf)).astype(np.float32)[:, None]
    first = POINTING_FIRST if n_basis else 0
    for turn in range(first + MOST_ROUNDS):
        if turn >= first:
            moved = (lanes.basis, pointing.astype(np.float32))
            _residual(plan.pairs, lanes, moved, lanes.seen, lanes.rest)
            lanes.change[:] = 0.0
            star_space.add_rows(*inverse, lanes.rest, lanes.change)
            lanes.change[:, ~there] = 0.0
            lanes.flux += lanes.change
        step = 0.0
        if n_basis:
            moved = (lanes.basis, pointing.astype(np.float32))
            _residual(plan.in_col, lanes, moved, lanes.in_col, lanes.rest_col)
            _residual(plan.in_row, lanes, moved, lanes.in_row, lanes.rest_row)
            if turn in (first, first + 1):
                # Once the frames lie nearly where they should, a star that disagrees stands out.
                used = _agreeing(plan, lanes, usable)
                matrix = _pointing_matrix(plan, used)
            change = _pointing(plan, lanes, used, matrix)
            step = float(np.abs(change).max())
            pointing = np.clip(pointing + np.clip(change, -STRIDE, STRIDE), -REACH, REACH)
        if turn >= first and step < SETTLED_POINTING:
            changed = (np.abs(lanes.change) > SETTLED * sigma).any(axis=1)
            if np.count_nonzero(changed) <= few:
                break
    # The corners of the detector are displaced most.
    lanes.missing[:, np.abs(pointing).sum(axis=1).max(axis=0) > FAR] = 1.0
    return pointing


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of the pixels of all stars before any frame is; fields as `cuvee.kernels.psf_judge.still_terms` writes them.

    Parameters
    ----------
    ptr, pixel, terms, told, sky
        By star.
    """

    ptr: NDArray[np.int64]
    pixel: NDArray[np.int64]
    terms: NDArray[np.float32]
    told: NDArray[np.float64]
    sky: NDArray[np.float64]


def judged_pixels(
    plan: PsfPlan,
    reference: NDArray[np.float32],
    inverse_variance: NDArray[np.float32],
    still_level: NDArray[np.float32],
) -> Judged:
    """Prepare `judge_tile`.

    Parameters
    ----------
    plan : PsfPlan
        The plan.
    reference : float32 array, shape (n_row, n_col)
        The reference image (e-/s).
    inverse_variance : float32 array, shape (n_row, n_col)
        What the plan was made with.
    still_level : float32 array, shape (n_star,)
        Background of the reference image at the stars (e-/s/pixel).
    """
    from cuvee.kernels import psf_judge

    rows, n_star = plan.rows, plan.star.size
    size = int(((rows.box[:, 1] - rows.box[:, 0]).clip(0) * (rows.box[:, 3] - rows.box[:, 2]).clip(0)).sum())
    ptr, pixel = np.zeros(n_star + 1, np.int64), np.zeros(size, np.int64)
    terms, told, sky = np.zeros((size, psf_judge.N_TERM), np.float32), np.zeros(n_star), np.zeros((n_star, 2))
    psf_judge.still_terms(
        rows.base, rows.width, rows.box, rows.weight, plan.corner, reference, plan.images, inverse_variance, still_level,
        BELIEVED, ptr, pixel, terms, told, sky,
    )  # fmt: skip
    return Judged(ptr, pixel, terms, told, sky)


def judge_tile(
    plan: PsfPlan,
    lanes: Lanes,
    tile: int,
    image: NDArray[np.float32],
    judged: Judged,
    pointing: NDArray[np.float64],
    exposure: float,
) -> None:
    """Compare the pixels of a tile's stars with the solution, and take cosmic rays out of the fluxes.

    Parameters
    ----------
    plan : PsfPlan
        The plan.
    lanes : Lanes
        After `solve`.
    tile : int
        Number of the tile.
    image : float32 array, shape (n_pixel, 16)
        Its lanes (e-/s).
    judged : Judged
        From `judged_pixels`.
    pointing : float64 array, shape (2, n_basis, 16)
        From `solve`.
    exposure : float
        Time on source (s).
    """
    from cuvee.kernels import psf_judge

    first, last = int(plan.rows.of_tile[tile]), int(plan.rows.of_tile[tile + 1])
    if last > first:
        psf_judge.judge(
            image, first, last, judged.ptr, judged.pixel, judged.terms, judged.told, judged.sky, exposure, LEAST_NOISE, lanes.basis,
            pointing.astype(np.float32), lanes.level, lanes.flux, lanes.still_flux, ODD, GOOD, MOST_HIT, lanes.chi2, lanes.added,
            lanes.hits,
        )  # fmt: skip
        lanes.flux[first:last] -= lanes.added[first:last]


def restore_disturbed(lanes: Lanes) -> None:
    """Put back what was taken out of frames in which most stars do not fit: no rain of particles, but stars that moved."""
    odd = (lanes.chi2 > GOOD) | (lanes.hits > 0)
    disturbed = odd.mean(axis=0) > DISTURBED if odd.size else np.zeros(LANES, bool)
    lanes.flux[:, disturbed] += lanes.added[:, disturbed]
    lanes.hits[:, disturbed] = 0


def _residual(
    pairs: Pairs, lanes: Lanes, moved: tuple[NDArray[np.float32], NDArray[np.float32]], seen: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    from cuvee.kernels import psf_residual

    psf_residual.residual(pairs.ptr, pairs.column, pairs.terms, lanes.flux, pairs.rest, pairs.star, *moved, seen, out)


def _force(plan: PsfPlan, lanes: Lanes) -> NDArray[np.float64]:
    """Return what is left of the bright stars' derivatives, times their flux: shape (2, n_bright, 16) (1/px)."""
    return np.stack([lanes.rest_col, lanes.rest_row]).astype(np.float64) * plan.flux[plan.bright, None]


def _agreeing(plan: PsfPlan, lanes: Lanes, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leave out stars that ask for another displacement than the others do, as variables and blends may."""
    xx, _, yy = plan.information.T
    used = usable.copy()
    for force, told in zip(_force(plan, lanes), (xx, yy), strict=True):
        asked = np.where(usable, force / told[:, None], np.nan)
        off = asked - _median(asked)
        spread = np.sqrt(FLOOR**2 + 1.0 / told)[:, None]
        width = 1.4826 * _median(np.abs(off / spread))
        with np.errstate(invalid="ignore"):
            used &= np.abs(off) <= CLIP * np.maximum(width, 1.0) * spread
    return used


def _pointing_weight(plan: PsfPlan, used: NDArray[np.bool_]) -> NDArray[np.float64]:
    xx, _, yy = plan.information.T
    return np.asarray(used / (1.0 + np.sqrt(xx * yy)[:, None] * FLOOR**2))


def _pointing_matrix(plan: PsfPlan, used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return what the bright stars that are used tell of the displacements, shape (16, 2 n_basis, 2 n_basis)."""
    xx, xy, yy = plan.information.T
    basis = plan.basis[plan.bright]
    n_basis = basis.shape[1]
    weight = _pointing_weight(plan, used)
    products = (basis[:, :, None] * basis[:, None, :]).reshape(-1, n_basis * n_basis)
    matrix = np.zeros((LANES, 2, n_basis, 2, n_basis))
    for (a, b), told in (((0, 0), xx), ((0, 1), xy), ((1, 0), xy), ((1, 1), yy)):
        matrix[:, a, :, b, :] = (weight.T @ (told[:, None] * products)).reshape(LANES, n_basis, n_basis)
    flat = matrix.reshape(LANES, 2 * n_basis, 2 * n_basis)
    flat[~_enough(plan, used)] = np.eye(2 * n_basis)
    return flat


def _enough(plan: PsfPlan, used: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(used.sum(axis=0) >= max(3, 4 * plan.basis.shape[1]))


def _pointing(plan: PsfPlan, lanes: Lanes, used: NDArray[np.bool_], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much the displacements must change, shape (2, n_basis, 16), from the bright stars' residuals."""
    basis, weight = plan.basis[plan.bright], _pointing_weight(plan, used)
    n_basis = basis.shape[1]
    right = np.stack([(np.where(used, one, 0.0) * weight).T @ basis for one in _force(plan, lanes)], axis=1)
    right[~_enough(plan, used)] = 0.0
    change = np.linalg.solve(matrix, right.reshape(LANES, 2 * n_basis, 1))[:, :, 0]
    return np.asarray(change.reshape(LANES, 2, n_basis).transpose(1, 2, 0))


def _median(values: NDArray[Any]) -> NDArray[Any]:
    """Return the median over stars, lane by lane; 0 where there is none."""
    return np.nan_to_num(median(np.ascontiguousarray(values.T, np.float32)))
