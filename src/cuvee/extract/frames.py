"""Full frames: one block at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cuvee.extract import measure
from cuvee.extract.params import ExtractParams
from cuvee.extract.plan import Plan, plan_of, rows_of_series
from cuvee.model.records import LANES, Batch, FluxBlock, Geometry, Moments, Readout, Reference, Targets

__all__ = ["extract", "measure_frames"]


def extract(
    batches: Iterator[Batch],
    moments: Moments,
    names: tuple[str, ...],
    targets: Targets,
    reference: Reference,
    params: ExtractParams,
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
    plan = plan_of(targets, reference, params)
    planes, flag = measure_frames(plan, batches, moments.cadence.size, reference.geometry, reference.readout)
    meta = {"readout": reference.readout, "time_ra": reference.time_ra, "time_dec": reference.time_dec}
    return measure.block(planes, flag, moments, names, rows_of_series(targets, reference.series), meta)


def measure_frames(
    plan: Plan, batches: Iterator[Batch], n_frame: int, geometry: Geometry, readout: Readout
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
    planes, flag = measure.empty(plan, n_frame)
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
            measure.tile_lanes(words, swap, outer, scratch.image)
            if total is not None:
                measure.tile_lanes(total, total_swap, outer, scratch.counts)
            measure.measure_tile(plan, tile, scratch)
        if plan.mesh is not None:
            measure.mesh_to_stars(plan.mesh, scratch)
        column = np.full(LANES, -1, np.int64)
        column[lane] = position
        measure.finish(plan, scratch, readout, column, planes, flag)
    return planes, flag
