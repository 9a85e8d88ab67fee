"""All catalogue stars whose light falls on the pixels of a series: the targets, and those that only disturb them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cuvee.catalog.motion import move
from cuvee.catalog.near import Drift, stars_near
from cuvee.catalog.params import TargetParams
from cuvee.catalog.project import project
from cuvee.catalog.select import wanted_stars
from cuvee.model.records import Footprint, Neighbours, Stars

__all__ = ["catalog_neighbours", "catalog_scene"]


def catalog_scene(
    footprint: Footprint, stars: Stars, params: TargetParams, zero_point: float, drift: Drift | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the catalogue stars on and around the pixels of a series.

    Parameters
    ----------
    footprint : Footprint
        Pixels, WCS and epoch.
    stars : Stars
        Reference catalogue, sorted by HEALPix; it may cover any part of the sky.
    params : TargetParams
        How deep to go, and how far beyond the edge.
    zero_point : float
        Magnitude of one electron a second.
    drift : Drift, optional
        Of these stars, where it is known.

    Returns
    -------
    id : int64 array, shape (n_star,)
        Catalogue ids.
    col, row : float64 array, shape (n_star,)
        Detector coordinates at the epoch of the footprint (px).
    flux : float64 array, shape (n_star,)
        By their magnitudes (e-/s).

    Raises
    ------
    BadData
        If the WCS cannot be read.
    """
    near = stars.take(stars_near(stars, footprint, params.margin, drift or Drift.of(stars)))
    relevant = np.isfinite(near.mag) & ((near.mag <= params.depth) | wanted_stars(near, params))
    near = near.take(np.flatnonzero(relevant))
    ra, dec = move(near.ra, near.dec, near.pmra, near.pmdec, footprint.epoch - near.epoch)
    found, col, row = project(footprint, ra, dec, params.margin)
    return near.id[found], col, row, 10.0 ** (0.4 * (zero_point - near.mag[found]))


def catalog_neighbours(
    footprints: Sequence[Footprint], stars: Stars, params: TargetParams, zero_point: float
) -> Neighbours:
    """Return the catalogue stars of every series of a detector.

    Parameters
    ----------
    footprints : sequence of Footprint
        The series.
    stars, params, zero_point
        As `catalog_scene` takes them.

    Returns
    -------
    Neighbours

    Raises
    ------
    BadData
        If a WCS cannot be read.
    """
    drift = Drift.of(stars)
    scenes = [catalog_scene(footprint, stars, params, zero_point, drift) for footprint in footprints]
    series = [np.full(scene[0].size, one.series) for one, scene in zip(footprints, scenes, strict=True)]
    return Neighbours(np.concatenate(series), *(np.concatenate(column) for column in zip(*scenes, strict=True)))
