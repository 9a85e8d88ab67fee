"""All that does not depend on the frame, as sparse rows of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee import background
from cuvee.errors import NoWork
from cuvee.extract.masks import MaskRows, find_masks, mask_rows
from cuvee.extract.moving import Still
from cuvee.extract.params import ExtractParams
from cuvee.extract.psf import Psf, plan_stars
from cuvee.model import flags
from cuvee.model.psf import StarModel
from cuvee.model.records import Geometry, Neighbours, Readout, Reference, Targets
from cuvee.photometry import aperture, noise

__all__ = ["Plan", "even", "gain_of", "make_plan", "rows_of_series", "star_plan", "with_masks"]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that does not depend on the frame; stars stand in the order of the tiles.

    Parameters
    ----------
    order : int64 array, shape (n_star,)
        Output row of each star.
    of_tile : int64 array, shape (n_tile + 1,)
        Where each tile's stars begin.
    layout : Tiles
        Tiles and mesh cells.
    apertures : Apertures
        Sparse rows of the apertures.
    position : float64 array, shape (n_star, 2)
        Detector column and row.
    pixel_variance : float64 array, shape (n_star,)
        Read noise and digitisation of a pixel ((e-/s)^2).
    static_flag : int32 array, shape (n_star,)
        Bits that hold in every frame.
    middle : int
        Aperture of the centroids.
    middle_radius : float
        Its radius (px).
    gain : float32 array, shape (n_col,)
        By what the pixels of each column are multiplied before anything else: 1 over its response.
    mesh, annuli
        The background; None where not used.
    psf : Psf
        PSF photometry; None where not wanted.
    masks : MaskRows
        The stars' own pixel masks; None where not wanted.
    still : Still
        The reference image, to look for what moves; None where not wanted.
    """

    order: NDArray[np.int64]
    of_tile: NDArray[np.int64]
    layout: background.Tiles
    apertures: aperture.Apertures
    position: NDArray[np.float64]
    pixel_variance: NDArray[np.float64]
    static_flag: NDArray[np.int32]
    middle: int
    middle_radius: float
    gain: NDArray[np.float32]
    mesh: background.Mesh | None = None
    annuli: background.Annuli | None = None
    psf: Psf | None = None
    masks: MaskRows | None = None
    still: Still | None = None


def star_plan(
    targets: Targets,
    rows: NDArray[np.int64],
    geometry: Geometry,
    readout: Readout,
    layout: background.Tiles,
    radii: Sequence[float],
    mask: NDArray[np.bool_] | None = None,
) -> Plan:
    """Order the stars by tile and make the rows of their apertures."""
    shape = (geometry.n_row, geometry.n_col)
    col = targets.col[rows].astype(np.float64) - geometry.col0
    row = targets.row[rows].astype(np.float64) - geometry.row0
    tile = layout.of(col, row)
    order = np.lexsort((np.nan_to_num(col), tile))
    col, row, tile = np.ascontiguousarray(col[order]), np.ascontiguousarray(row[order]), tile[order]
    detector_col = col + geometry.col0
    flag = targets.flag[rows][order].astype(np.int32)
    if mask is None:
        row0, col0, width = _tile_corners(layout, tile)
        rows_of = aperture.circles(col, row, radii, shape, row0, col0, width)
        reach = radii[-1]
    else:
        rows_of, reach = aperture.mask_rows(mask, col, row), 0.0
    flag |= np.where(rows_of.clipped, flags.EDGE, 0).astype(np.int32)
    first = noise.output_of(np.floor(detector_col - reach + 0.5), readout)
    last = noise.output_of(np.ceil(detector_col + reach - 0.5), readout)
    flag |= np.where(first != last, flags.STRADDLES_OUTPUTS, 0).astype(np.int32)
    if readout.assumed:
        flag |= np.int32(flags.ASSUMED_READOUT)
    middle = rows_of.area.shape[1] // 2
    return Plan(
        order=order,
        of_tile=np.searchsorted(tile, np.arange(layout.outer.shape[0] + 1)).astype(np.int64),
        layout=layout,
        apertures=rows_of,
        position=np.stack([detector_col, row + geometry.row0], axis=1),
        pixel_variance=noise.variance_at(detector_col, readout),
        static_flag=flag,
        middle=middle,
        middle_radius=float(radii[middle]) if mask is None else float(np.hypot(*shape)),
        gain=np.ones(geometry.n_col, np.float32),
    )


def with_masks(
    plan: Plan, image: NDArray[Any], geometry: Geometry, readout: Readout, neighbours: Neighbours, targets: Targets,
    rows: NDArray[np.int64], params: ExtractParams,
) -> Plan:  # fmt: skip
    """Return a plan that sums the own pixel masks of the targets in ``rows``, too; see `cuvee.extract.masks.find_masks`."""
    limit = np.inf if params.k2p2_limit is None else params.k2p2_limit
    wanted = targets.mag[rows] <= limit
    found = find_masks(image, geometry, readout, neighbours, targets.id[rows], wanted, params.small_series)
    pieces = mask_rows(found, plan.order, plan.layout, geometry)
    return replace(plan, masks=pieces, static_flag=plan.static_flag | pieces.flag)


def _tile_corners(
    layout: background.Tiles, tile: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """First row, first column and width of each star's tile."""
    outer = layout.outer[tile]
    return (
        np.ascontiguousarray(outer[:, 0]),
        np.ascontiguousarray(outer[:, 2]),
        np.ascontiguousarray(outer[:, 3] - outer[:, 2]),
    )


def make_plan(
    targets: Targets,
    reference: Reference,
    params: ExtractParams,
    model: StarModel | None = None,
    neighbours: Neighbours | None = None,
) -> Plan:
    """Make the plan of a full-frame series.

    Parameters
    ----------
    targets : Targets
        Stars; those of other series are left out.
    reference : Reference
        The series' reference image.
    params : ExtractParams
        Radii and background.
    model : StarModel, optional
        PRF and stars, for PSF photometry.
    neighbours : Neighbours, optional
        The catalogue stars of the series, for the stars' own masks.

    Returns
    -------
    Plan

    Raises
    ------
    NoWork
        If no star belongs to the series.
    """
    rows = rows_of_series(targets, reference.series)
    shape = (reference.geometry.n_row, reference.geometry.n_col)
    half = 0 if model is None else model.prf.half
    around = params.annulus[1] if params.background == "annulus" else 0.0
    margin = int(np.ceil(max(params.radii[-1], around, half))) + 1
    layout = background.tiles(shape, params.mesh_size, margin)
    reference, gain = even(reference)
    plan = star_plan(targets, rows, reference.geometry, reference.readout, layout, params.radii)
    plan = replace(plan, gain=gain)
    if neighbours is not None:
        image, still = reference.image, reference.readout
        plan = with_masks(plan, image, reference.geometry, still, neighbours, targets, rows, params)
    col = np.ascontiguousarray(plan.position[:, 0] - reference.geometry.col0)
    row = np.ascontiguousarray(plan.position[:, 1] - reference.geometry.row0)
    image = reference.image
    clean = background.clean_pixels(image, layout)
    if params.background == "mesh":
        mesh = background.mesh(clean, image, layout, col, row)
        if model is None:
            return replace(plan, mesh=mesh)
        psf = plan_stars(model, targets, rows, reference, layout, clean)
        return replace(plan, mesh=background.beside_stars(mesh, psf.plan.images[0], layout), psf=psf)
    row0, col0, width = _tile_corners(layout, layout.of(col, row))
    inner, outer = params.annulus
    return replace(plan, annuli=background.annuli(col, row, inner, outer, clean, image, row0, col0, width))


def even(reference: Reference) -> tuple[Reference, NDArray[np.float32]]:
    """Let all columns of a reference image answer alike.

    Parameters
    ----------
    reference : Reference
        As it was made.

    Returns
    -------
    Reference
        Its image, each column over its response (`cuvee.background.column_response`).
    gain : float32 array, shape (n_col,)
        By what columns of frames are multiplied for that: 1 over the response.
    """
    gain = gain_of(reference.image)
    return replace(reference, image=np.asarray(reference.image * gain, np.float32)), gain


def gain_of(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return by what the columns of frames with this reference image are multiplied, shape (n_col,)."""
    return np.float32(1.0) / background.column_response(np.asarray(image, np.float32))


def rows_of_series(targets: Targets, series: str) -> NDArray[np.int64]:
    """Return the rows of the targets that a series measures, shape (n_star,); raise `NoWork` if there are none."""
    rows = np.flatnonzero(targets.series == series)
    if rows.size == 0:
        raise NoWork(f"No target belongs to the series {series}: there is nothing to extract from it.")
    return rows
