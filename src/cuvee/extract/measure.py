"""Take one batch of sixteen frames through the plan, tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee import background
from cuvee.errors import BadData
from cuvee.extract.masks import MaskPass
from cuvee.extract.plan import Plan
from cuvee.kernels.memory import on_lines
from cuvee.model import flags
from cuvee.model.records import LANES, FluxBlock, Moments, Readout

__all__ = [
    "Scratch",
    "block",
    "finish",
    "finish_masks",
    "leave_out",
    "measure_tile",
    "mesh_cells",
    "mesh_of_image",
    "mesh_to_stars",
    "room",
    "tile_lanes",
    "warm_up",
    "words",
]

_OF_A_RUN = (
    "aperture_sums", "cells", "columns", "crowding", "drift", "lanes", "middle", "moving", "moving_peaks", "noise", "overlap", "psf_judge",
    "psf_planes", "psf_residual", "robust", "star_space",
)  # fmt: skip

N_LEAST = 10
"""With fewer accepted pixels a cell or an annulus has no background."""


def warm_up() -> None:
    """Compile every kernel of a run, or load it from numba's cache; call it once before workers start."""
    # Their signatures are explicit, so importing compiles.
    for name in _OF_A_RUN:
        import_module(f"cuvee.kernels.{name}")


class Scratch:
    """Arrays that one plan needs for a batch, allocated once."""

    def __init__(self, plan: Plan) -> None:
        n_star, n_aperture = plan.apertures.area.shape[:2]
        outer = plan.layout.outer
        n_pixel = int(((outer[:, 1] - outer[:, 0]) * (outer[:, 3] - outer[:, 2])).max())
        self.image = on_lines((n_pixel, LANES))
        self.counts = self.image
        self.clip = on_lines((6, LANES))
        self.flux = on_lines((n_star, n_aperture, LANES), np.float64)
        self.rest = on_lines((n_star, n_aperture + 3, LANES))
        self.level = on_lines((n_star, LANES))
        self.level_err = on_lines((n_star, LANES))
        self.level[:] = self.level_err[:] = np.nan  # what no background reaches
        n_cell = plan.mesh.grid.size if plan.mesh is not None else 0
        self.cell = on_lines((n_cell, LANES))
        self.cell_err = on_lines((n_cell, LANES))


def words(
    frames: Sequence[NDArray[Any]], lane: NDArray[np.int64], shape: tuple[int, int]
) -> tuple[tuple[NDArray[np.uint32], ...], bool]:
    """Return sixteen frames as 32-bit words, empty lanes filled with NaN, and whether the bytes must be swapped."""
    native = all(frame.dtype.isnative for frame in frames)
    dtype = np.dtype(np.float32) if native else np.dtype(np.float32).newbyteorder()
    missing = np.full(shape[1], np.nan, dtype).view(np.uint32)
    words = [np.lib.stride_tricks.as_strided(missing, shape, (0, 4), writeable=False)] * LANES
    for k, frame in zip(lane, frames, strict=True):
        view = frame
        if view.shape != shape:
            raise BadData(
                f"A frame of {view.shape} pixels stands among frames of {shape}: leave it out of the series.",
                "wrong-shape",
            )
        if view.dtype != dtype or view.strides[1] != 4 or not view.flags.aligned:
            view = np.ascontiguousarray(view, dtype=dtype)
        words[k] = view.view(np.uint32)
    return tuple(words), not native


def tile_lanes(
    words: tuple[NDArray[np.uint32], ...], swap: bool, gain: NDArray[np.float32], outer: NDArray[np.int64],
    image: NDArray[np.float32],
) -> None:  # fmt: skip
    """Interleave one tile, ``outer`` = (row0, row1, col0, col1), of the sixteen frames into ``image``; ``gain`` multiplies the columns."""
    from cuvee.kernels import columns, lanes

    row0, row1, col0, col1 = (int(v) for v in outer)
    if col1 - col0 >= LANES:
        lanes.to_lanes(words, swap, row0, row1, col0, col1, image.view(np.uint32))
    else:  # too narrow for whole vectors, so a small one: plain numpy will do
        stack = np.stack([frame[row0:row1, col0:col1].ravel() for frame in words], axis=1)
        values = (stack.byteswap() if swap else stack).view(np.float32)
        image[: values.shape[0]] = np.where(np.isfinite(values), values, np.float32(np.nan))
    columns.even_columns(image, gain, col0, col1, row1 - row0)


def measure_tile(plan: Plan, tile: int, scratch: Scratch) -> None:
    """Take all sums of a tile whose lanes lie in ``scratch.image`` (and ``scratch.counts``)."""
    from cuvee.kernels import aperture_sums, robust

    first, last = int(plan.of_tile[tile]), int(plan.of_tile[tile + 1])
    rows = plan.apertures
    if last > first:
        aperture_sums.sum_apertures(
            scratch.image, scratch.counts, first, last, rows.ptr, rows.pixel, rows.weight, rows.offset, plan.middle,
            scratch.flux, scratch.rest,
        )  # fmt: skip
    if plan.annuli is not None and last > first:
        robust.clipped_mean(
            scratch.image, first, last, plan.annuli.ptr, plan.annuli.pixel, plan.annuli.base, 3.0, 4, N_LEAST,
            scratch.clip, scratch.level, scratch.level_err,
        )  # fmt: skip
    if plan.mesh is not None:
        _clip_cells(plan.mesh, tile, scratch)


def mesh_cells(mesh: background.Mesh, scratch: Scratch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the background in all cells of the mesh and its error, gaps filled; each of shape (n_cell, 16)."""
    from cuvee.kernels import cells

    mean = np.empty((*mesh.shape, LANES), np.float32)
    error = np.empty((*mesh.shape, LANES), np.float32)
    mean.reshape(-1, LANES)[mesh.grid] = scratch.cell
    error.reshape(-1, LANES)[mesh.grid] = scratch.cell_err
    cells.fill_cells(mean, error, mesh.shift, mesh.still)
    return mean.reshape(-1, LANES), error.reshape(-1, LANES)


def mesh_to_stars(
    mesh: background.Mesh, scratch: Scratch, mean: NDArray[np.float32], error: NDArray[np.float32]
) -> None:
    """Carry the mesh to the stars: ``scratch.level`` and ``scratch.level_err``."""
    from cuvee.kernels import cells

    cells.interpolate(mean, error, mesh.cell, mesh.weight, scratch.level, scratch.level_err)


def mesh_of_image(plan: Plan, image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the background of one image in all cells of the mesh and its error, in lane 0; each of shape (n_cell, 16)."""
    if plan.mesh is None:
        raise ValueError("the plan has no mesh")
    scratch = Scratch(plan)
    frames, swap = words([image], np.zeros(1, np.int64), (image.shape[0], image.shape[1]))
    for tile, outer in enumerate(plan.layout.outer):
        tile_lanes(frames, swap, plan.gain, outer, scratch.image)
        _clip_cells(plan.mesh, tile, scratch)
    return mesh_cells(plan.mesh, scratch)


def _clip_cells(mesh: background.Mesh, tile: int, scratch: Scratch) -> None:
    from cuvee.kernels import robust

    robust.clipped_mean(
        scratch.image, int(mesh.of_tile[tile]), int(mesh.of_tile[tile + 1]), mesh.ptr, mesh.pixel, mesh.base, 3.0, 4,
        N_LEAST, scratch.clip, scratch.cell, scratch.cell_err,
    )  # fmt: skip


def finish(
    plan: Plan, scratch: Scratch, readout: Readout, column: NDArray[np.int64], planes: NDArray[np.float32],
    flag: NDArray[np.int32],
) -> None:  # fmt: skip
    """Turn the sums in ``scratch`` into planes and flags; lane ``b`` goes to the frame ``column[b]``, -1 to none."""
    from cuvee.kernels import lanes

    bits = np.array([flags.NAN_PIXEL, flags.SATURATED, flags.NO_BACKGROUND], np.int32)
    lanes.finish(
        scratch.flux, scratch.rest, scratch.level, scratch.level_err, plan.apertures.area, plan.position,
        plan.pixel_variance, readout.exposure, readout.saturation, plan.middle, plan.middle_radius, plan.static_flag,
        plan.order, column, bits, planes, flag,
    )  # fmt: skip


def finish_masks(
    plan: Plan, scratch: Scratch, readout: Readout, column: NDArray[np.int64], masks: MaskPass, flag: NDArray[np.int32]
) -> None:
    """Do the same for the stars' own masks: after `finish`, whose bits it adds to."""
    masks.finish(
        scratch.level, scratch.level_err, plan.position, plan.pixel_variance, plan.order, readout, column, flag
    )  # fmt: skip


def room(plan: Plan, n_frame: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Make room for planes and flags that `finish` or `leave_out` writes, frame by frame."""
    n_star, n_aperture = plan.apertures.area.shape[:2]
    return on_lines((2 * n_aperture + 4, n_star, n_frame)), on_lines((n_star, n_frame), np.int32)


def leave_out(plan: Plan, missing: NDArray[np.int64], planes: NDArray[np.float32], flag: NDArray[np.int32]) -> None:
    """Write what stands where there is no frame: NaN, and the static bits with ``NO_FRAME``."""
    planes[:, :, missing] = np.nan
    flag[np.ix_(plan.order, missing)] = (plan.static_flag | flags.NO_FRAME)[:, None]


def block(
    planes: NDArray[np.float32], flag: NDArray[np.int32], moments: Moments, names: tuple[str, ...],
    rows: NDArray[np.int64], meta: dict[str, Any],
) -> FluxBlock:  # fmt: skip
    """Name the planes, shape (2 n_aperture + 4, n_star, n_frame), and pack the block."""
    n_aperture = (planes.shape[0] - 4) // 2
    keys = [f"aperture{a + 1}_{what}" for a in range(n_aperture) for what in ("flux", "flux_err")]
    keys += ["background", "background_err", "centroid_col", "centroid_row"]
    return FluxBlock(moments, names, {**dict(zip(keys, planes, strict=True)), "flag": flag}, rows, meta)
