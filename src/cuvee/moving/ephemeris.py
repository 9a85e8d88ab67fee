"""Paths of known objects over a detector, from where they are on the sky."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.catalog.motion import angles, unit_vectors
from cuvee.catalog.project import footprint_cone, project
from cuvee.model.moving import Ephemerides, Tracks
from cuvee.model.records import Footprint
from cuvee.model.time import DAY, earth_position

__all__ = ["known_tracks"]

FloatArray = NDArray[np.float64]

STEP = 1.0 / 24.0
"""Interval of a path's nodes (d); an asteroid's path is straight to 0.01 px over it."""
MARGIN = 20.0
"""How far outside the pixels a path is followed (px)."""
WIDE = 5.0
"""Objects that come no nearer to the field than this (deg) in any row are not looked at."""


def known_tracks(
    known: Ephemerides,
    footprint: Footprint,
    time_ra: float,
    time_dec: float,
    span: tuple[float, float],
    zero_point: float,
) -> Tracks:
    """Return the paths of known objects over the pixels of a series.

    Positions are interpolated in time by cubic splines through unit vectors, and projected as the stars are.

    Parameters
    ----------
    known : Ephemerides
        Where the objects are on the sky, and when.
    footprint : Footprint
        Pixels and WCS of the series.
    time_ra, time_dec : float
        Direction (deg) for which the frames' barycentric times hold; NaN where unknown, then the centre of the field stands in.
    span : tuple of float
        First and last time of the series' frames (BTJD).
    zero_point : float
        Magnitude of one electron a second.

    Returns
    -------
    Tracks
        None beyond the first and the last row of an object.

    Raises
    ------
    BadData
        If the WCS cannot be read.
    """
    from scipy.interpolate import make_interp_spline

    cone = footprint_cone(footprint, MARGIN)
    if not np.isfinite(time_ra + time_dec):
        time_ra, time_dec = cone.ra, cone.dec
    vectors = unit_vectors(known.ra, known.dec)
    radius = np.deg2rad(min(cone.radius + WIDE, 180.0))
    near = vectors @ unit_vectors(cone.ra, cone.dec) >= np.cos(radius)
    # The light that the observer sees at one time reaches the barycentre at another.
    delay = earth_position(known.time) @ unit_vectors(time_ra, time_dec) / DAY
    time = known.time + delay
    names, first, count = np.unique(known.name, return_index=True, return_counts=True)
    pieces: list[tuple[str, FloatArray, FloatArray, float]] = []
    for name, start, n in zip(names.tolist(), first.tolist(), count.tolist(), strict=True):
        rows = np.arange(start, start + n)
        low, high = max(span[0], time[rows[0]]), min(span[1], time[rows[-1]])
        if rows.size < 2 or low >= high or not near[rows].any():
            continue
        at = np.append(np.arange(low, high, STEP), high)
        spline = make_interp_spline(time[rows], vectors[rows], k=min(3, rows.size - 1))
        mag = known.mag[rows]
        flux = 10.0 ** (0.4 * (zero_point - np.median(mag[np.isfinite(mag)]))) if np.isfinite(mag).any() else np.nan
        pieces.append((name, at, np.asarray(spline(at)), float(flux)))
    return _on_pixels(pieces, footprint)


def _on_pixels(pieces: list[tuple[str, FloatArray, FloatArray, float]], footprint: Footprint) -> Tracks:
    """Return the stretches of paths that lie on the pixels."""
    whose = np.repeat(np.arange(len(pieces)), [at.size for _, at, _, _ in pieces]).astype(np.int64)
    time = np.concatenate([np.zeros(0), *(at for _, at, _, _ in pieces)])
    ra, dec = angles(np.concatenate([np.zeros((0, 3)), *(vectors for _, _, vectors, _ in pieces)]))
    index, col, row = project(footprint, ra, dec, MARGIN)
    # A path that leaves the pixels and comes back is two.
    begins = np.ones(index.size, bool)
    begins[1:] = (np.diff(index) > 1) | (np.diff(whose[index]) > 0)
    owner = whose[index]
    names = np.array([name for name, _, _, _ in pieces], np.str_)
    fluxes = np.array([flux for _, _, _, flux in pieces], np.float64)
    number = (np.cumsum(begins) - 1).astype(np.int64)
    return Tracks(number, names[owner], time[index], col, row, fluxes[owner], np.zeros(index.size, np.int64))
