"""From a reference catalogue and the footprints of a detector to the stars to measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cuvee.catalog.crowding import crowding
from cuvee.catalog.motion import move
from cuvee.catalog.near import Drift, stars_near
from cuvee.catalog.params import TargetParams
from cuvee.catalog.project import project
from cuvee.catalog.stars import CATALOG_EPOCH, healpix_index
from cuvee.errors import NoWork
from cuvee.model.records import Footprint, Geometry, Stars, Targets

__all__ = ["select_targets", "wanted_stars"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def _edge_distance(geometry: Geometry, col: FloatArray, row: FloatArray) -> FloatArray:
    """Return the distance to the nearest edge of the pixels (px), negative outside."""
    x, y = col - geometry.col0 + 0.5, row - geometry.row0 + 0.5
    return np.minimum(np.minimum(x, geometry.n_col - x), np.minimum(y, geometry.n_row - y))


def _on_pixels(geometry: Geometry, col: FloatArray, row: FloatArray) -> NDArray[np.bool_]:
    x, y = col - geometry.col0, row - geometry.row0
    inside: NDArray[np.bool_] = (x >= -0.5) & (x < geometry.n_col - 0.5) & (y >= -0.5) & (y < geometry.n_row - 0.5)
    return inside


def wanted_stars(stars: Stars, params: TargetParams) -> NDArray[np.bool_]:
    """Return which stars may be targets, wherever they are; ``max_stars`` may still leave some out.

    Parameters
    ----------
    stars : Stars
        Reference catalogue.
    params : TargetParams
        Limits; ``exclude`` and ``priority`` as ids.

    Returns
    -------
    bool array, shape (n_star,)
    """
    wanted: NDArray[np.bool_] = stars.mag <= params.mag_limit
    if params.ids is not None:
        wanted = np.isin(stars.id, _ids(params.ids))
    wanted |= np.isin(stars.id, _ids(params.priority))
    return wanted & ~np.isin(stars.id, _ids(params.exclude))


def _ids(ids: tuple[int, ...] | str) -> IntArray:
    if isinstance(ids, str):
        raise TypeError(f"The ids in {ids} have not been read.")
    return np.asarray(ids, dtype=np.int64)


def _most_important(stars: Stars, rows: IntArray, params: TargetParams) -> IntArray:
    """Return, of some stars, the rows of those that ``max_stars`` lets pass, ascending."""
    if params.max_stars is None or rows.size <= params.max_stars:
        return rows
    first = {star: k for k, star in enumerate(_ids(params.priority).tolist())}
    rank = np.array([first.get(star, len(first)) for star in stars.id[rows].tolist()])
    order = np.lexsort((stars.id[rows], stars.mag[rows], rank))  # a magnitude that is NaN goes last
    return np.sort(rows[order[: params.max_stars]])


def select_targets(
    footprints: Sequence[Footprint],
    stars: Stars,
    params: TargetParams,
    *,
    fwhm: float,
    zero_point: float,
    radii: tuple[float, ...],
) -> Targets:
    """Choose the stars to measure on one detector, and say where they are and how crowded.

    Parameters
    ----------
    footprints : sequence of Footprint
        The series of the detector: one for full-frame images, one a stamp.
    stars : Stars
        Reference catalogue, sorted by HEALPix; it may cover any part of the sky. Stars without a magnitude are
        neither targets nor contaminants.
    params : TargetParams
        Limits.
    fwhm : float
        Full width at half maximum of the PRF (px), for crowding.
    zero_point : float
        Magnitude of one electron a second.
    radii : tuple of float
        Aperture radii (px) to compute crowding for.

    Returns
    -------
    Targets
        Sorted by ``healpix`` then ``id``. A star on several series goes to the one where it is farthest from the edge (the
        first by name where distances agree to 1e-6 px). ``flag`` is zero: the extraction sets what depends on pixels.

    Raises
    ------
    NoWork
        If no star falls on the pixels.
    BadData
        If a WCS cannot be read.
    """
    relevant = np.isfinite(stars.mag) & (stars.mag <= params.depth)
    wanted = wanted_stars(stars, params)
    relevant |= wanted & np.isfinite(stars.mag)
    ordered = sorted(footprints, key=lambda footprint: footprint.series)
    n = len(stars)
    best_distance = np.full(n, -np.inf)
    winner = np.full(n, -1, dtype=np.int64)
    best_col, best_row, best_ra, best_dec = (np.full(n, np.nan) for _ in range(4))
    scenes: list[tuple[IntArray, FloatArray, FloatArray]] = []
    drift = Drift.of(stars)
    for k, footprint in enumerate(ordered):
        near = stars_near(stars, footprint, params.margin, drift)
        near = near[relevant[near]]
        ra, dec = move(
            stars.ra[near], stars.dec[near], stars.pmra[near], stars.pmdec[near], footprint.epoch - stars.epoch[near]
        )
        found, col, row = project(footprint, ra, dec, params.margin)
        index = near[found]
        scenes.append((index, col, row))
        distance = np.round(_edge_distance(footprint.geometry, col, row), 6)
        better = _on_pixels(footprint.geometry, col, row) & wanted[index] & (distance > best_distance[index])
        chosen = index[better]
        best_distance[chosen], winner[chosen] = distance[better], k
        best_col[chosen], best_row[chosen] = col[better], row[better]
        best_ra[chosen], best_dec[chosen] = ra[found[better]], dec[found[better]]
    rows = _most_important(stars, np.flatnonzero(winner >= 0), params)
    if rows.size == 0:
        raise NoWork(_nothing(ordered, params, n))
    shares = np.full((n, len(radii)), np.nan)
    for k, (index, col, row) in enumerate(scenes):
        target = np.flatnonzero(winner[index] == k)
        if target.size:
            flux = 10.0 ** (0.4 * (zero_point - stars.mag[index]))
            shares[index[target]] = crowding(ordered[k].geometry, col, row, flux, target, radii, fwhm)
    names = np.array([footprint.series for footprint in ordered], dtype=np.str_)
    ra, dec = _at_catalog_epoch(stars, rows)
    healpix = stars.healpix[rows].copy()
    shifted = stars.epoch[rows] != CATALOG_EPOCH
    if shifted.any():
        healpix[shifted] = healpix_index(ra[shifted], dec[shifted])
    targets = Targets(
        healpix=healpix,
        id=stars.id[rows],
        ra=ra,
        dec=dec,
        mag=stars.mag[rows],
        series=names[winner[rows]],
        col=best_col[rows],
        row=best_row[rows],
        crowding=shares[rows],
        flag=np.zeros(rows.size, dtype=np.int32),
        radii=tuple(float(radius) for radius in radii),
        moved_ra=best_ra[rows],
        moved_dec=best_dec[rows],
    )
    return targets.take(np.lexsort((targets.id, targets.healpix)))


def _at_catalog_epoch(stars: Stars, rows: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return positions (deg) at epoch 2000; those already there are not touched by arithmetic."""
    ra, dec = stars.ra[rows].copy(), stars.dec[rows].copy()
    shifted = np.flatnonzero(stars.epoch[rows] != CATALOG_EPOCH)
    if shifted.size:
        part = stars.take(rows[shifted])
        ra[shifted], dec[shifted] = move(part.ra, part.dec, part.pmra, part.pmdec, CATALOG_EPOCH - part.epoch)
    return ra, dec


def _nothing(ordered: Sequence[Footprint], params: TargetParams, n_star: int) -> str:
    where = ordered[0].series if len(ordered) == 1 else f"any of the {len(ordered)} series"
    if len(ordered) > 1:
        where += f" ({ordered[0].series} ... {ordered[-1].series})"
    what = (
        f"None of the {len(params.ids)} stars asked for"
        if params.ids is not None
        else f"No star of magnitude {params.mag_limit:g} or brighter"
    )
    return (
        f"{what} falls on {where}, among {n_star} catalogue stars near it; "
        "check that the catalogue covers this field and [targets] mag_limit."
    )
