"""Stamps: small series of frames, all cadences at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee import background
from cuvee.errors import ConfigError
from cuvee.extract import measure
from cuvee.extract.edge import with_edge
from cuvee.extract.frames import extract, with_mask_fluxes
from cuvee.extract.halo import measure_halos
from cuvee.extract.masks import MaskPass
from cuvee.extract.params import ExtractParams
from cuvee.extract.plan import Plan, rows_of_series, star_plan, with_masks
from cuvee.extract.psf_series import with_psf
from cuvee.model import flags
from cuvee.model.psf import StarModel
from cuvee.model.records import LANES, Batch, FileInfo, FluxBlock, Neighbours, Pixels, Reference, Targets

__all__ = ["extract_series"]


def _mean_image(flux: NDArray[Any], quality: NDArray[np.int32]) -> NDArray[np.float64]:
    """Mean over the frames of quality 0 (over all, if there is none); NaN where a pixel has no finite value."""
    chosen = np.flatnonzero(quality == 0)
    chosen = chosen if chosen.size else np.arange(quality.size)
    total, number = np.zeros(flux.shape[1:]), np.zeros(flux.shape[1:], np.int64)
    # A few hundred frames at a time: a big cutout in float64 would not fit the memory twice.
    for start in range(0, chosen.size, 256):
        cube = flux[chosen[start : start + 256]]
        finite = np.isfinite(cube)
        total += np.where(finite, cube, 0.0).sum(axis=0, dtype=np.float64)
        number += finite.sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def extract_series(
    pixels: Pixels,
    info: FileInfo,
    targets: Targets,
    params: ExtractParams,
    mask: NDArray[np.bool_] | None = None,
    neighbours: Neighbours | None = None,
    model: StarModel | None = None,
) -> FluxBlock:
    """Measure every star of a stamp series, all cadences at once.

    A series smaller than ``params.small_series`` takes its background from the faintest third of its pixels, any other
    one like a full frame. If the mission has subtracted the background already, or a mask is summed, none is subtracted here:
    the plane ``background`` then holds what the mission subtracted in the mean over the largest aperture, 0 where the
    file does not say, and ``background_err`` is 0.

    Parameters
    ----------
    pixels : Pixels
        The series' pixels.
    info : FileInfo
        What its headers say.
    targets : Targets
        Stars; those of other series are left out.
    params : ExtractParams
        Radii, background and mask.
    mask : bool array, shape (n_row, n_col), optional
        The mask that ``params.mask`` names, where that is a file. The block then has ``aperture1`` only.
    neighbours : Neighbours, optional
        The catalogue stars of the series, which ``params.k2p2`` and ``params.halo`` need.
    model : StarModel, optional
        PRF and stars, for PSF fluxes where ``params.psf_of_stamps`` asks for them; without it they are NaN, and the flags say so.

    Returns
    -------
    FluxBlock

    Raises
    ------
    NoWork
        If no star belongs to the series.
    ConfigError
        If a mask is asked for that the file does not have, or that does not fit it.
    """
    rows = rows_of_series(targets, info.series)
    geometry = info.geometry
    shape = (geometry.n_row, geometry.n_col)
    flux = pixels.flux
    n_frame = flux.shape[0]
    names = (info.name,) * n_frame
    if params.mask == "pipeline":
        mask = pixels.mask
    if params.mask is not None and (mask is None or mask.shape != shape):
        raise ConfigError(
            f"[extract] mask = {params.mask!r} needs a mask of {shape[0]} x {shape[1]} pixels for {info.path}, "
            f"but {'there is none' if mask is None else 'that has ' + ' x '.join(map(str, mask.shape))}: choose another mask or none."
        )
    if params.mask is None:
        mask = None
    subtracted = info.background_subtracted or mask is not None
    if mask is None and not subtracted and min(shape) >= params.small_series:
        return _large_series(pixels, info, targets, params, names, neighbours, model)

    layout = background.tiles(shape, max(shape), 0)
    plan = star_plan(targets, rows, geometry, info.readout, layout, params.radii, mask)
    image = _mean_image(flux, info.moments.quality)
    if subtracted:
        level = level_err = np.zeros(n_frame)
    else:
        level, level_err = background.faint_third(flux, image)
        plan = replace(plan, static_flag=plan.static_flag | np.int32(flags.FAINT_THIRD))
    if params.k2p2 and neighbours is not None:
        plan = with_masks(plan, image, geometry, info.readout, neighbours, targets, rows, params)
    masks = None if plan.masks is None else MaskPass(plan.masks, rows.size, n_frame)
    planes, flag = measure.room(plan, n_frame)
    scratch = measure.Scratch(plan)
    if pixels.background is not None:
        scratch.counts = np.empty_like(scratch.image)
    for start in range(0, n_frame, LANES):
        stop = min(start + LANES, n_frame)
        _stack_lanes(flux[start:stop], scratch.image)
        if pixels.background is not None:
            _stack_lanes(flux[start:stop] + pixels.background[start:stop], scratch.counts)
        scratch.level[:, : stop - start] = level[start:stop]
        scratch.level_err[:, : stop - start] = level_err[start:stop]
        measure.measure_tile(plan, 0, scratch)
        if masks is not None:
            masks.tile(0, scratch.image, scratch.counts)
        column = np.full(LANES, -1, np.int64)
        column[: stop - start] = np.arange(start, stop)
        measure.finish(plan, scratch, info.readout, column, planes, flag)
        if masks is not None:
            measure.finish_masks(plan, scratch, info.readout, column, masks, flag)
    if subtracted:
        planes[-4:-2] = 0.0
        if pixels.background is not None:
            planes[-4] = _mission_background(plan, pixels.background)
    meta = {"readout": info.readout, "time_ra": info.time_ra, "time_dec": info.time_dec, "mask": mask is not None}
    fitted = with_psf(params, model, pixels, info, targets.id[rows], flag, meta)
    block = with_mask_fluxes(measure.block(planes, flag, info.moments, names, rows, meta), masks)
    block = replace(block, planes={**block.planes, **fitted})
    block = with_edge(block, targets, image, geometry, params.radii, mask, subtracted)
    if params.halo and neighbours is not None:
        block = measure_halos(block, pixels, level, level_err, info, image, neighbours, targets, params.halo_limit)
    return block


def _stack_lanes(cube: NDArray[Any], image: NDArray[np.float32]) -> None:
    """Write up to sixteen small frames to the lanes of an image; empty lanes and infinities become NaN."""
    values = np.asarray(cube, dtype=np.float32).reshape(cube.shape[0], -1).T
    image[:, cube.shape[0] :] = np.nan
    image[:, : cube.shape[0]] = np.where(np.isfinite(values), values, np.float32(np.nan))


def _mission_background(plan: Plan, cube: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over the largest aperture of what the mission subtracted, shape (n_star, n_frame) in output order."""
    rows = plan.apertures
    flat = np.asarray(cube, dtype=np.float64).reshape(cube.shape[0], -1)
    out = np.empty((plan.order.size, cube.shape[0]))
    for s, place in enumerate(plan.order):
        entries = slice(rows.ptr[s, 0], rows.ptr[s, -1])
        weight = rows.weight[entries, -1].astype(np.float64)
        out[place] = flat[:, rows.pixel[entries, 0]] @ weight / weight.sum() if weight.size else np.nan
    return out


def _large_series(
    pixels: Pixels, info: FileInfo, targets: Targets, params: ExtractParams, names: tuple[str, ...],
    neighbours: Neighbours | None,
    model: StarModel | None,
) -> FluxBlock:  # fmt: skip
    """Treat a big cutout like a full frame, with its own mean image for a reference."""
    image = _mean_image(pixels.flux, info.moments.quality).astype(np.float32)
    own = Reference(
        info.series, info.geometry, image, info.wcs, float("nan"), info.time_ra, info.time_dec, names[:1], info.readout
    )

    def batches() -> Iterator[Batch]:
        for start in range(0, pixels.flux.shape[0], LANES):
            position = np.arange(start, min(start + LANES, pixels.flux.shape[0]))
            behind = None if pixels.background is None else [pixels.background[k] for k in position]
            yield Batch([pixels.flux[k] for k in position], position, behind)

    block = extract(
        batches(), info.moments, names, targets, own, params, model if params.psf_of_stamps else None,
        neighbours if params.k2p2 else None,
    )  # fmt: skip
    if not params.psf_of_stamps or model is not None:
        return block
    meta = dict(block.meta)
    fitted = with_psf(params, None, pixels, info, targets.id[block.rows], block.planes["flag"], meta)
    return replace(block, planes={**block.planes, **fitted}, meta=meta)
