"""Saturated stars of a small series, measured by their halo when the whole series is at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import AlgorithmError
from cuvee.metrics import median
from cuvee.model.flags import NO_HALO
from cuvee.model.records import FileInfo, FluxBlock, Neighbours, Pixels, Targets
from cuvee.photometry import noise
from cuvee.photometry.halo import Halo, HaloParams, halo

__all__ = [
    "halo_flux",
    "halo_levels",
    "halo_pixels",
    "halo_scale",
    "halo_stars",
    "measure_halos",
    "weigh_halo",
    "with_halo_fluxes",
]

FloatArray = NDArray[np.float64]

FULL = 0.9
"""Share of the saturation limit from which a pixel of the mean image counts as saturated."""
REACH = 3.0
"""Saturated pixels that touch belong to the brightest star within this distance of one of them (px); so far out a neighbour's pixels are left out."""
FAINT = 0.01
"""Share of the star's flux from which a neighbour is bright enough for that."""


def measure_halos(
    block: FluxBlock, pixels: Pixels, level: FloatArray, level_err: FloatArray, info: FileInfo, image: FloatArray, neighbours: Neighbours,
    targets: Targets, limit: float | None,
) -> FluxBlock:  # fmt: skip
    """Return the block of a small series with the halo fluxes of its saturated stars.

    Parameters
    ----------
    block : FluxBlock
        With the fluxes in apertures and, where wanted, masks.
    pixels, level, level_err, info, neighbours
        As `halo_flux` takes them.
    image : float64 array, shape (n_row, n_col)
        Mean of the frames (e-/s).
    targets : Targets
        The targets of the detector.
    limit : float or None
        As `halo_stars` takes it.
    """
    ids = targets.id[block.rows]
    found = {}
    for s in halo_stars(image, info, neighbours, ids, targets.mag[block.rows], limit).tolist():
        fluxes = [block.planes[f"{name}_flux"][s] for name in halo_levels(block)]
        like = next((flux for flux in fluxes if np.isfinite(flux).any()), fluxes[-1])
        measured = halo_flux(pixels, level, level_err, info, neighbours, int(ids[s]), like)
        if measured is not None:
            found[s] = measured
    return with_halo_fluxes(block, found)


def halo_levels(block: FluxBlock) -> list[str]:
    """Return the methods that a halo may have its level from: the star's mask, then the largest aperture."""
    apertures = [
        name.removesuffix("_flux") for name in block.planes if name.startswith("aperture") and name.endswith("_flux")
    ]
    return [*(["mask"] if block.masks is not None else []), apertures[-1]]


def with_halo_fluxes(block: FluxBlock, found: Mapping[int, tuple[FloatArray, FloatArray]]) -> FluxBlock:
    """Return the block with planes of halo fluxes: those in ``found``, by the star's row; the bit ``NO_HALO`` stands where there is none."""
    flux, flux_err = np.full((2, *block.planes["flag"].shape), np.nan, np.float32)
    for s, (values, errors) in found.items():
        flux[s], flux_err[s] = values, errors
    flag = block.planes["flag"] | np.where(np.isnan(flux), NO_HALO, 0).astype(np.int32)
    return replace(block, planes={**block.planes, "halo_flux": flux, "halo_flux_err": flux_err, "flag": flag})


def halo_stars(
    image: FloatArray, info: FileInfo, neighbours: Neighbours, ids: NDArray[np.int64], mag: FloatArray, limit: float | None
) -> NDArray[np.int64]:  # fmt: skip
    """Choose the stars that are measured by their halo.

    Parameters
    ----------
    image : float64 array, shape (n_row, n_col)
        Mean of the frames (e-/s).
    info : FileInfo
        Where its pixels lie, and the saturation limit.
    neighbours : Neighbours
        The catalogue stars of the series, the targets among them.
    ids : int64 array, shape (n_star,)
        Catalogue ids of the targets.
    mag : float64 array, shape (n_star,)
        Their magnitudes.
    limit : float or None
        Stars this bright or brighter are chosen in any case (mag).

    Returns
    -------
    int64 array
        Those of the targets that are the brightest within 3 px of a patch of saturated pixels, or are bright enough.
    """
    from scipy import ndimage

    col, row = neighbours.col - info.geometry.col0, neighbours.row - info.geometry.row0
    patches, n_patch = ndimage.label(image > FULL * info.readout.saturation, np.ones((3, 3)))
    owners = []
    for k in range(n_patch):
        full_row, full_col = np.nonzero(patches == k + 1)
        near = (np.hypot(full_col[:, None] - col, full_row[:, None] - row) <= REACH).any(axis=0)
        if near.any():
            owners.append(int(neighbours.id[np.argmax(np.where(near, neighbours.flux, -np.inf))]))
    chosen = np.isin(ids, owners)
    if limit is not None:
        chosen |= mag <= limit
    return np.flatnonzero(chosen)


def halo_flux(
    pixels: Pixels, level: FloatArray, level_err: FloatArray, info: FileInfo, neighbours: Neighbours, star: int, like: NDArray[Any]
) -> tuple[FloatArray, FloatArray] | None:  # fmt: skip
    """Measure a star by its halo.

    Parameters
    ----------
    pixels : Pixels
        The series' pixels.
    level, level_err : float64 array, shape (n_frame,)
        Background of a pixel and its error (e-/s); 0 where the mission has subtracted it.
    info : FileInfo
        What its headers say.
    neighbours : Neighbours
        The catalogue stars of the series.
    star : int
        Catalogue id of the star.
    like : float array, shape (n_frame,)
        Flux of the star in an aperture (e-/s), which gives the halo its level: that of the halo itself depends on how much of it the
        stamp holds.

    Returns
    -------
    flux, flux_err : float64 array, shape (n_frame,)
        Relative changes are those of the halo; the median over the good frames is that of ``like``. None where there is no halo to measure, or
        no level.
    """
    cube, error = halo_pixels(pixels, level, level_err, info, neighbours, star)
    try:
        found = weigh_halo(cube, error, info)
    except AlgorithmError:
        return None
    scale = halo_scale(found.flux, like, info.moments.quality == 0)
    return (scale * found.flux, scale * found.flux_err) if scale > 0.0 else None


def halo_pixels(
    pixels: Pixels, level: FloatArray, level_err: FloatArray, info: FileInfo, neighbours: Neighbours, star: int
) -> tuple[FloatArray, FloatArray]:
    """Return the pixels that a halo is sought in, without background, NaN where they are a bright neighbour's, and their errors (e-/s).

    Parameters
    ----------
    pixels, level, level_err, info, neighbours, star
        As `halo_flux` takes them.

    Returns
    -------
    cube, error : float64 array, shape (n_frame, n_row, n_col)
    """
    geometry, readout = info.geometry, info.readout
    flux = np.asarray(pixels.flux, np.float64)
    counts = flux if pixels.background is None else flux + np.asarray(pixels.background, np.float64)
    variance = noise.variance_at(np.arange(geometry.n_col, dtype=np.float64) + geometry.col0, readout)
    error = np.sqrt(
        np.maximum(counts, 0.0) / readout.exposure + variance + np.square(level_err)[:, None, None]
    )  # fmt: skip
    cube = flux - np.asarray(level)[:, None, None]
    cube[:, _foreign(neighbours, star, info)] = np.nan
    cube[~np.isfinite(cube)] = np.nan
    return cube, error


def weigh_halo(cube: FloatArray, error: FloatArray, info: FileInfo) -> Halo:
    """Seek the weights of a halo in what `halo_pixels` returns; raises AlgorithmError where there is no halo to measure."""
    params = HaloParams(saturation=FULL * info.readout.saturation)
    return halo(cube, error, info.moments.mid, info.moments.quality == 0, params=params)


def halo_scale(flux: FloatArray, like: NDArray[Any], good: NDArray[np.bool_]) -> float:
    """Return what brings the median of a halo's good frames to that of another flux, both of shape (n_frame,); NaN where nothing does."""
    own, wanted = (
        float(median(np.where(good, one, np.nan)[None, :])[0]) for one in (flux, np.asarray(like, np.float64))
    )
    scale = wanted / own if own else float("nan")
    return scale if np.isfinite(scale) and scale > 0.0 else float("nan")


def _foreign(neighbours: Neighbours, star: int, info: FileInfo) -> NDArray[np.bool_]:
    """Return the pixels, shape (n_row, n_col), that lie close to a bright neighbour and closer than to the star."""
    geometry = info.geometry
    col, row = neighbours.col - geometry.col0, neighbours.row - geometry.row0
    y, x = np.mgrid[: geometry.n_row, : geometry.n_col]
    taken = np.zeros((geometry.n_row, geometry.n_col), np.bool_)
    mine = np.flatnonzero(neighbours.id == star)
    if mine.size == 0:
        return taken
    own = np.hypot(x - col[mine[0]], y - row[mine[0]])
    for k in np.flatnonzero((neighbours.id != star) & (neighbours.flux > FAINT * neighbours.flux[mine[0]])):
        away = np.hypot(x - col[k], y - row[k])
        taken |= (away <= REACH) & (away < own)
    return taken
