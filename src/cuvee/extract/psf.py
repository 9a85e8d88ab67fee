"""PSF fluxes in the one pass over pixels: stamps are summed tile by tile beside the apertures, and solved batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cuvee import background, prf
from cuvee.extract.psf_stars import apart, inverse_variance, solved_stars
from cuvee.model import flags
from cuvee.model.psf import StarModel
from cuvee.model.records import LANES, Reference, Targets
from cuvee.photometry.psf import Draw, PsfPlan, Rows, plan_psf
from cuvee.photometry.psf_solve import Judged, Lanes, judge_tile, judged_pixels, restore_disturbed, solve

__all__ = [
    "Psf",
    "PsfPass",
    "Shift",
    "plan_drawn",
    "plan_stars",
    "shifted",
    "with_still_level",
]

SPOILT = 0.1
"""Share of a star's weights on missing pixels from which its flux is not given."""

STEP, OFF = 0.25, 0.15
"""Plans are made for stars that are shifted by multiples of the one (px), once sixteen frames lie off by the other, in their median."""

Shift = tuple[float, float]
"""By which a plan's stars are moved from their places in the reference image, in column and row (px)."""


@dataclass(frozen=True, slots=True)
class Psf:
    """What the extraction plan holds for PSF photometry; stars stand in the order of ``plan``.

    Parameters
    ----------
    plan : PsfPlan
        The static algebra.
    cell, weight : int32 and float32 arrays, shape (n_star, 16)
        The way from mesh cells to the stars.
    output : int64 array, shape (n_star,)
        Output row of each star; -1 for those that are no targets.
    inverse_variance : float32 array, shape (n_row, n_col)
        Of the pixels of one frame; 0 for those that take no part.
    still : float32 array, shape (n_row, n_col)
        The reference image.
    still_level : float32 array, shape (n_star,)
        Its background at the stars (e-/s/pixel).
    lost : int64 array, shape (n_lost,)
        Output rows without a PSF flux: no star of the model is theirs, or no pixel sees it.
    judged : Judged, optional
        What the pixels are compared with; there once the background of the reference image is known (`with_still_level`).
    """

    plan: PsfPlan
    cell: NDArray[np.int32]
    weight: NDArray[np.float32]
    output: NDArray[np.int64]
    inverse_variance: NDArray[np.float32]
    still: NDArray[np.float32]
    still_level: NDArray[np.float32]
    lost: NDArray[np.int64]
    judged: Judged | None = None


def plan_stars(
    model: StarModel,
    targets: Targets,
    rows: NDArray[np.int64],
    reference: Reference,
    layout: background.Tiles,
    clean: NDArray[np.bool_],
) -> Psf:
    """Plan the PSF photometry of a series.

    Parameters
    ----------
    model : StarModel
        PRF and stars.
    targets : Targets
        All targets of the detector.
    rows : int64 array, shape (n_target,)
        Those of the series; these rows are the output's, too.
    reference : Reference
        The reference image.
    layout : Tiles
        Tiles, whose margin holds a stamp.
    clean : bool array, shape (n_row, n_col)
        Pixels for the background.

    Returns
    -------
    Psf
    """
    geometry = reference.geometry
    stars = apart(model)

    def draw(some: NDArray[np.int64], offset: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        first_col, first_row, stamp = prf.stamps(
            model.prf, stars.col[some] + offset[:, 0], stars.row[some] + offset[:, 1]
        )
        return stamp, np.stack([first_row - geometry.row0, first_col - geometry.col0], axis=1)

    return plan_drawn(draw, stars, targets, rows, reference, layout, clean)


def plan_drawn(
    draw: Draw,
    stars: StarModel,
    targets: Targets,
    rows: NDArray[np.int64],
    reference: Reference,
    layout: background.Tiles,
    clean: NDArray[np.bool_],
) -> Psf:
    """Plan the PSF photometry of a series with stamps drawn by any PRF.

    Parameters
    ----------
    draw : callable
        As `cuvee.photometry.psf.plan_psf` takes it.
    stars : StarModel
        The stars that it draws, none nearer to another than `TOO_NEAR`.
    targets, rows, reference, layout, clean
        As in `plan_stars`.

    Returns
    -------
    Psf
    """
    geometry = reference.geometry
    image = np.require(reference.image, np.float32, ["C", "W"])
    col, row = stars.col - geometry.col0, stars.row - geometry.row0
    number = {int(star): k for k, star in enumerate(targets.id[rows].tolist())}
    output = np.array([number.get(int(star), -1) for star in stars.id.tolist()], np.int64)
    solved = solved_stars(col, row, stars.flux, output >= 0, image.shape)
    place = np.column_stack([stars.col, stars.row])
    trust = inverse_variance(image, reference)
    plan = plan_psf(draw, place, stars.flux, solved, trust, layout.of(col, row), layout.outer)
    output = np.where(np.isfinite(plan.variance), output[plan.star], -1)
    mesh = background.mesh(clean, image, layout, col[plan.star], row[plan.star])
    lost = np.setdiff1d(np.arange(rows.size), output)
    nothing = np.zeros(output.size, np.float32)
    return Psf(plan, mesh.cell, mesh.weight, output, trust, image, nothing, lost)


def shifted(
    psf: Psf,
    shift: Shift,
    model: StarModel,
    targets: Targets,
    rows: NDArray[np.int64],
    reference: Reference,
    layout: background.Tiles,
    clean: NDArray[np.bool_],
) -> Psf:
    """Plan a series anew for frames that lie off its reference image: terms of the fourth order reach only so far.

    Parameters
    ----------
    psf : Psf
        The plan for frames that lie where the reference image does.
    shift : tuple of float
        How far the others lie off.
    model, targets, rows, reference, layout, clean
        As in `plan_stars`.

    Returns
    -------
    Psf
        Its reference image is the given one with all stars of the model moved.
    """
    moved = replace(model, col=model.col + shift[0], row=model.row + shift[1])
    found = plan_stars(moved, targets, rows, reference, layout, clean)
    return replace(found, still=psf.still + (found.plan.images[0] - psf.plan.images[0]))


def with_still_level(psf: Psf, cell: NDArray[np.float32], cell_err: NDArray[np.float32]) -> Psf:
    """Return the plan with the background of its reference image, from the mesh measured on that."""
    from cuvee.kernels import cells

    level, level_err = (np.empty((psf.output.size, LANES), np.float32) for _ in range(2))
    cells.interpolate(cell, cell_err, psf.cell, psf.weight, level, level_err)
    still_level = np.nan_to_num(level[:, 0])
    judged = judged_pixels(psf.plan, psf.still, psf.inverse_variance, still_level)
    # The derivatives' images are in there now, and would take 80 MB of each plan of a full frame.
    plan = replace(psf.plan, images=psf.plan.images[:1].copy())
    return replace(psf, plan=plan, still_level=still_level, judged=judged)


class PsfPass:
    """PSF photometry of the batches of one block.

    Parameters
    ----------
    psf : Psf
        The plan.
    n_target, n_frame : int
        Size of the output.
    shifted : callable, optional
        Returns the plan for frames that lie off by a `Shift`; without it all frames are measured with ``psf``.

    Attributes
    ----------
    flux, flux_err, chi2 : float32 arrays, shape (n_target, n_frame)
        Filled batch by batch.
    pointing : float64 array, shape (n_frame, 2, n_basis)
        Displacement of each frame from the reference image: coefficients of the plan's basis (px).
    shift : float64 array, shape (n_frame, 2)
        For which displacement the plan of each frame was made (px).
    """

    def __init__(self, psf: Psf, n_target: int, n_frame: int, shifted: Callable[[Shift], Psf] | None = None) -> None:
        self._psf, self._shift, self._shifted = psf, (0.0, 0.0), shifted
        self._lanes = Lanes(psf.plan)
        self.flux = np.full((n_target, n_frame), np.nan, np.float32)
        self.flux_err = np.full((n_target, n_frame), np.nan, np.float32)
        self.chi2 = np.full((n_target, n_frame), np.nan, np.float32)
        self.pointing = np.full((n_frame, 2, psf.plan.basis.shape[1]), np.nan)
        self.shift = np.zeros((n_frame, 2))

    def tile(self, number: int, outer: NDArray[np.int64], image: NDArray[np.float32]) -> None:
        """Project the pixels of a tile on its stars."""
        plan, lanes = self._psf.plan, self._lanes
        row0, row1, col0, col1 = (int(v) for v in outer)
        still = self._psf.still[row0:row1, col0:col1]
        _project(plan.rows, number, image, still, lanes.seen, lanes.missing)
        _project(plan.moved, number, image, still, lanes.moved, lanes.moved_missing)

    def finish(
        self,
        cell: NDArray[np.float32],
        cell_err: NDArray[np.float32],
        column: NDArray[np.int64],
        exposure: float,
        flag: NDArray[np.int32],
        tiles: Callable[[], Iterable[tuple[int, NDArray[np.int64], NDArray[np.float32]]]],
    ) -> None:
        """Solve a batch and put its fluxes in their place; lane ``b`` goes to the frame ``column[b]``, -1 to none.

        ``tiles()`` brings number, limits and lanes of each tile once more.
        """
        from cuvee.kernels import psf_planes

        there = column >= 0
        pointing = self._solve(cell, cell_err, there)
        if self._follow(pointing, there):
            for number, outer, image in tiles():
                self.tile(number, outer, image)
            pointing = self._solve(cell, cell_err, there)
        psf, plan, lanes = self._psf, self._psf.plan, self._lanes
        if psf.judged is None:
            raise ValueError("the plan does not know the background of its reference image")
        for number, _, image in tiles():
            judge_tile(plan, lanes, number, image, psf.judged, pointing, exposure)
        restore_disturbed(lanes)
        noise = np.column_stack([plan.variance, plan.squares, plan.lean, psf.still_level])
        bits = np.array([flags.NAN_PIXEL, flags.NO_PSF, flags.COSMIC_RAY], np.int32)
        psf_planes.deliver(
            lanes.flux, lanes.level, lanes.level_err, lanes.missing, lanes.chi2, lanes.hits, psf.output, noise, exposure, SPOILT,
            column, bits, self.flux, self.flux_err, self.chi2, flag,
        )  # fmt: skip
        frame = column[there]
        flag[np.ix_(psf.lost, frame)] |= np.int32(flags.NO_PSF)
        self.pointing[frame] = pointing[:, :, there].transpose(2, 0, 1)
        self.shift[frame] = self._shift
        if pointing.shape[1]:
            self.pointing[frame, :, 0] += self._shift

    def _solve(
        self, cell: NDArray[np.float32], cell_err: NDArray[np.float32], there: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        from cuvee.kernels import cells

        psf, lanes = self._psf, self._lanes
        cells.interpolate(cell, cell_err, psf.cell, psf.weight, lanes.level, lanes.level_err)
        return solve(psf.plan, lanes, there)

    def _follow(self, pointing: NDArray[np.float64], there: NDArray[np.bool_]) -> bool:
        """Take up another plan if the frames lie too far off this one's stars; say whether."""
        if self._shifted is None or pointing.shape[1] == 0 or not there.any():
            return False
        off = np.median(pointing[:, 0, there], axis=1)
        if np.abs(off).max() < OFF:
            return False
        col, row = (np.round((self._shift + off) / STEP) * STEP).tolist()
        if (col, row) == self._shift:
            return False
        found = self._shifted((col, row))
        if found.plan.basis.shape[1] != pointing.shape[1]:
            return False  # too few of its stars are left on the pixels
        self._shift, self._psf, self._lanes = (col, row), found, Lanes(found.plan)
        return True


def _project(
    rows: Rows, tile: int, image: NDArray[np.float32], still: NDArray[np.float32], out: NDArray[np.float32],
    missing: NDArray[np.float32],
) -> None:  # fmt: skip
    from cuvee.kernels import star_space

    first, last = int(rows.of_tile[tile]), int(rows.of_tile[tile + 1])
    if last <= first:
        return
    where = (first, last, rows.base, rows.width, rows.box, rows.weight)
    if star_space.sum_stamps(image, *where, out):
        star_space.mend_stamps(image, np.ascontiguousarray(still).ravel(), *where, out, missing)
    else:
        missing[first:last] = 0.0
