"""Full frames: one block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from cuvee import background
from cuvee.extract import measure
from cuvee.extract.edge import with_edge
from cuvee.extract.halo import with_halo_fluxes
from cuvee.extract.masks import MaskPass
from cuvee.extract.moving import MovingPass, describe_still
from cuvee.extract.params import ExtractParams
from cuvee.extract.plan import Plan, make_plan, rows_of_series
from cuvee.extract.psf import Psf, PsfPass, Shift, shifted, with_still_level
from cuvee.model.flags import NO_PSF
from cuvee.model.psf import StarModel
from cuvee.model.records import LANES, Batch, FluxBlock, Geometry, Moments, Neighbours, Readout, Reference, Targets

__all__ = ["extract", "measure_frames", "plan_of", "with_mask_fluxes", "without_psf_fluxes"]


def extract(
    batches: Iterator[Batch],
    moments: Moments,
    names: tuple[str, ...],
    targets: Targets,
    reference: Reference,
    params: ExtractParams,
    model: StarModel | None = None,
    neighbours: Neighbours | None = None,
    bad_quality: int | None = None,
) -> FluxBlock:
    """Measure every star of a full-frame series in the frames of one block.

    Parameters
    ----------
    batches : iterator of Batch
        Up to 16 frames at a time, at distinct ``position % 16``.
    moments : Moments
        The block's time axis, shape (n_frame,).
    names : tuple of str
        Name of each frame, empty where there is none.
    targets : Targets
        Stars; those of other series are left out.
    reference : Reference
        The series' reference image.
    params : ExtractParams
        Radii and background.
    model : StarModel, optional
        PRF and stars of the series: with it there are PSF fluxes, too.
    neighbours : Neighbours, optional
        The catalogue stars of the series: with them there are fluxes in the stars' own masks, too.
    bad_quality : int, optional
        The mission's quality bits of frames in which nothing that moves is looked for; without it, it is in none.

    Returns
    -------
    FluxBlock
        Cadences without a frame hold NaN and the flag ``NO_FRAME``.

    Raises
    ------
    NoWork
        If no star belongs to the series.
    BadData
        If a frame has another shape than the reference image.
    """
    plan = plan_of(targets, reference, params, model, neighbours)
    rows = rows_of_series(targets, reference.series)
    n_frame = moments.cadence.size
    stars = None
    if plan.psf is not None and model is not None:
        moved = partial(_plan_moved, plan, plan.psf, model, targets, reference)
        stars = PsfPass(plan.psf, rows.size, n_frame, moved)
    masks = None if plan.masks is None else MaskPass(plan.masks, rows.size, n_frame)
    moving = None
    if plan.still is not None and bad_quality is not None:
        moving = MovingPass(plan.still, moments, bad_quality)
    planes, flag = measure_frames(plan, batches, n_frame, reference.geometry, reference.readout, stars, masks, moving)
    answers = np.flatnonzero(plan.gain != 1.0)
    meta = {
        "readout": reference.readout,
        "time_ra": reference.time_ra,
        "time_dec": reference.time_dec,
        "gain": [[int(k) + reference.geometry.col0, float(plan.gain[k])] for k in answers],
    }
    block = with_mask_fluxes(measure.block(planes, flag, moments, names, rows, meta), masks)
    block = replace(block, moving=None if moving is None else moving.candidates)
    block = with_edge(block, targets, reference.image, reference.geometry, params.radii)
    if params.halo:
        # A block holds too little of the series to weigh pixels, but all light curves have the same columns.
        block = with_halo_fluxes(block, {})
    if stars is None:
        return block
    # Coefficients of the plan's basis in column and row. Where there is no frame there is no displacement, and JSON has no NaN.
    where = [np.round(one, 7).tolist() if np.isfinite(one).all() else None for one in stars.pointing]
    named = {**block.planes, "psf_flux": stars.flux, "psf_flux_err": stars.flux_err, "psf_chi2": stars.chi2}
    return replace(block, planes=named, meta={**block.meta, "pointing": where, "shift": stars.shift.tolist()})


def with_mask_fluxes(block: FluxBlock, masks: MaskPass | None) -> FluxBlock:
    """Return the block with the planes that a pass over the stars' own masks took."""
    if masks is None:
        return block
    planes = {**block.planes, "mask_flux": masks.flux, "mask_flux_err": masks.flux_err}
    return replace(block, planes=planes, masks=masks.rows.masks)


def without_psf_fluxes(block: FluxBlock) -> FluxBlock:
    """Return the block with empty planes of PSF fluxes: no PRF was found, but all light curves of a survey have the same columns."""
    flag = block.planes["flag"] | np.int32(NO_PSF)
    empty = {f"psf_{what}": np.full(flag.shape, np.nan, np.float32) for what in ("flux", "flux_err", "chi2")}
    return replace(block, planes={**block.planes, **empty, "flag": flag})


def measure_frames(
    plan: Plan,
    batches: Iterator[Batch],
    n_frame: int,
    geometry: Geometry,
    readout: Readout,
    stars: PsfPass | None = None,
    masks: MaskPass | None = None,
    moving: MovingPass | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Take batches of frames through a plan.

    Parameters
    ----------
    plan : Plan
        For frames of this geometry.
    batches : iterator of Batch
        As `extract` takes them.
    n_frame : int
        Length of the time axis.
    geometry : Geometry
        Size of the frames.
    readout : Readout
        Terms of the noise model.
    stars : PsfPass, optional
        Takes the PSF fluxes.
    masks : MaskPass, optional
        Takes the fluxes in the stars' own masks.
    moving : MovingPass, optional
        Looks for what moves.

    Returns
    -------
    planes : float32 array, shape (2 n_aperture + 4, n_star, n_frame)
        As `cuvee.kernels.lanes.finish` writes them.
    flag : int32 array, shape (n_star, n_frame)
        Bits of `cuvee.model.flags.FLAGS`.

    Raises
    ------
    BadData
        If a frame has another shape than ``geometry``.
    """
    planes, flag = measure.room(plan, n_frame)
    there = np.zeros(n_frame, np.bool_)
    scratch = measure.Scratch(plan)
    shape = (geometry.n_row, geometry.n_col)
    for batch in batches:
        position = np.asarray(batch.position, dtype=np.int64)
        lane = position % LANES
        if np.unique(lane).size != lane.size or np.any(position < 0) or np.any(position >= n_frame):
            raise ValueError(f"frames of a batch must have places below {n_frame} and lanes of their own: {position}")
        words, swap = measure.words(batch.frames, lane, shape)
        total = None
        if batch.background is not None:
            added = [np.asarray(f, np.float32) + b for f, b in zip(batch.frames, batch.background, strict=True)]
            total, total_swap = measure.words(added, lane, shape)
            if scratch.counts is scratch.image:
                scratch.counts = np.empty_like(scratch.image)
        for tile, outer in enumerate(plan.layout.outer):
            measure.tile_lanes(words, swap, plan.gain, outer, scratch.image)
            if total is not None:
                measure.tile_lanes(total, total_swap, plan.gain, outer, scratch.counts)
            measure.measure_tile(plan, tile, scratch)
            if masks is not None:
                masks.tile(tile, scratch.image, scratch.counts)
            if stars is not None:
                stars.tile(tile, outer, scratch.image)
        if moving is not None:
            moving.look(words, swap, position)
        column = np.full(LANES, -1, np.int64)
        column[lane] = position
        if plan.mesh is not None:
            mean, error = measure.mesh_cells(plan.mesh, scratch)
            measure.mesh_to_stars(plan.mesh, scratch, mean, error)
        measure.finish(plan, scratch, readout, column, planes, flag)
        there[position] = True
        if masks is not None:
            measure.finish_masks(plan, scratch, readout, column, masks, flag)
        if stars is not None:
            again = partial(_tiles_again, plan, words, swap, scratch.image)
            stars.finish(mean, error, column, readout.exposure, flag, again)
    measure.leave_out(plan, np.flatnonzero(~there), planes, flag)
    return planes, flag


def _tiles_again(
    plan: Plan, words: tuple[NDArray[np.uint32], ...], swap: bool, image: NDArray[np.float32]
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float32]]]:
    """Yield number, limits and lanes of each tile; to interleave them again costs less than to keep a whole image of them."""
    for tile, outer in enumerate(plan.layout.outer):
        measure.tile_lanes(words, swap, plan.gain, outer, image)
        yield tile, outer, image


_LAST_PLAN: dict[str, Plan] = {}
_MOVED: dict[Shift, Psf] = {}
"""Plans of the same series for frames that lie off its reference image; two of them, for each takes some 300 MB."""


def plan_of(
    targets: Targets,
    reference: Reference,
    params: ExtractParams,
    model: StarModel | None = None,
    neighbours: Neighbours | None = None,
) -> Plan:
    """Return the plan, made again only when its inputs differ from the last ones: a worker meets many blocks of a detector."""
    digest = xxhash.xxh3_128()
    arrays: list[NDArray[Any]] = [targets.col, targets.row, targets.flag, targets.series, reference.image]
    if model is not None:
        arrays += [model.prf.coef, model.id, model.col, model.row, model.flux]
    if neighbours is not None:
        arrays += [targets.id, targets.mag, neighbours.id, neighbours.col, neighbours.row, neighbours.flux]
    for array in arrays:
        digest.update(array.tobytes())
    digest.update(repr((reference.series, reference.geometry, reference.readout, params)).encode())
    key = digest.hexdigest()
    if key not in _LAST_PLAN:
        _LAST_PLAN.clear()
        _MOVED.clear()
        plan = make_plan(targets, reference, params, model, neighbours)
        if plan.psf is not None:
            still = with_still_level(plan.psf, *measure.mesh_of_image(plan, reference.image))
            plan = replace(plan, psf=still)
        if params.moving:
            plan = replace(plan, still=describe_still(reference))
        _LAST_PLAN[key] = plan
    return _LAST_PLAN[key]


def _plan_moved(plan: Plan, psf: Psf, model: StarModel, targets: Targets, reference: Reference, shift: Shift) -> Psf:
    """Return the PSF plan for frames that lie off by a shift, of a series whose plan is the last one made."""
    if shift == (0.0, 0.0):
        return psf
    if shift not in _MOVED:
        while len(_MOVED) > 1:
            del _MOVED[next(iter(_MOVED))]
        rows = rows_of_series(targets, reference.series)
        even = replace(reference, image=psf.still)
        clean = background.clean_pixels(psf.still, plan.layout)
        moved = shifted(psf, shift, model, targets, rows, even, plan.layout, clean)
        _MOVED[shift] = with_still_level(moved, *measure.mesh_of_image(plan, reference.image))
    return _MOVED[shift]
