"""From the sky to pixels, and never where the distortion polynomial was not made for.

A SIP polynomial (Shupe et al. 2005, ASP Conf. 347, 491) has no meaning far off its detector: its inverse does not converge
there, or converges on the silicon, and stars from another constellation appear. So a star must first lie in the cone
around the footprint, then in the footprint's box on the tangent plane; only then is the polynomial inverted, and the result
must lead back to where it came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.catalog.motion import angles, unit_vectors
from cuvee.errors import BadData
from cuvee.model.records import Footprint, Geometry

__all__ = ["Cone", "cone_cells", "declination_range", "footprint_cone", "footprint_pixels", "project", "read_wcs"]

FloatArray = NDArray[np.float64]

CLOSURE = 0.01  # px; largest error of a position led back through the distortion
EDGE_SAMPLES = 33  # points along each edge; TESS' edges bend by some pixels, which 33 points follow to 0.01 px
FINE_SAMPLES = (
    513  # points along each edge where half of what lies between two of them counts: 0.01 deg of a CCD of TESS
)


@dataclass(frozen=True, slots=True)
class Cone:
    """A circle on the sky.

    Parameters
    ----------
    ra, dec : float
        Its centre (deg, ICRS).
    radius : float
        Its radius (deg).
    """

    ra: float
    dec: float
    radius: float

    def contains(self, ra: FloatArray, dec: FloatArray) -> NDArray[np.bool_]:
        """Tell which positions (deg, shape (n,)) lie in the circle; poles and RA 0 are nothing special."""
        offset = unit_vectors(ra, dec) - unit_vectors(self.ra, self.dec)
        chord = 2.0 * np.sin(0.5 * np.deg2rad(min(self.radius, 180.0)))
        # The chord, unlike the dot product, keeps its digits in small circles.
        inside: NDArray[np.bool_] = np.einsum("ij,ij->i", offset, offset) <= chord**2
        return inside


def read_wcs(footprint: Footprint) -> Any:
    """Return the `astropy.wcs.WCS` of a footprint; its 0-based pixels are detector coordinates.

    Raises
    ------
    BadData
        If the text holds no celestial WCS.
    """
    try:
        wcs, usable = _parse(footprint.wcs)
    except Exception as error:  # wcslib raises a dozen kinds, each meaning a damaged header
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise BadData(
            f"The WCS of {footprint.series} cannot be read: {reason}; leave that frame out.", "header"
        ) from error
    if not usable:
        raise BadData(f"The WCS of {footprint.series} has no celestial axes; leave that frame out.", "header")
    return wcs


@lru_cache(maxsize=8)
def _parse(text: str) -> tuple[Any, bool]:
    """Parse a WCS once, though cone, box and positions all need it (6 ms each time); nobody changes the result."""
    from astropy.wcs import WCS

    # fix=False: nothing but dates and old spellings would be mended, with a warning each.
    wcs = WCS(text, fix=False)
    wcs.wcs.set()
    return wcs, bool(wcs.has_celestial and wcs.naxis == 2)


def _outline(geometry: Geometry, margin: float, samples: int = EDGE_SAMPLES) -> tuple[FloatArray, FloatArray]:
    """Return points along the outline of the pixels, ``margin`` px outside: col, row, each of shape (4 * samples,)."""
    t = np.linspace(0.0, 1.0, samples)
    left, right = geometry.col0 - 0.5 - margin, geometry.col0 + geometry.n_col - 0.5 + margin
    low, high = geometry.row0 - 0.5 - margin, geometry.row0 + geometry.n_row - 0.5 + margin
    across, up = left + t * (right - left), low + t * (high - low)
    one = np.ones_like(t)
    col = np.concatenate([across, across, left * one, right * one])
    row = np.concatenate([low * one, high * one, up, up])
    return col, row


def footprint_cone(footprint: Footprint, margin: float = 0.0) -> Cone:
    """Return the circle around a footprint.

    Parameters
    ----------
    footprint : Footprint
        Pixels and WCS of a series.
    margin : float
        Added to the outline (px).

    Raises
    ------
    BadData
        If the WCS cannot be read.
    """
    wcs = read_wcs(footprint)
    ra, dec = wcs.all_pix2world(*_outline(footprint.geometry, margin), 0, ra_dec_order=True)
    outline = unit_vectors(ra, dec)
    if not np.isfinite(outline).all():
        raise BadData(f"The WCS of {footprint.series} does not cover its own pixels; leave that frame out.", "header")
    centre = outline.mean(axis=0)
    centre /= np.linalg.norm(centre)
    radius = 2.0 * np.arcsin(0.5 * np.linalg.norm(outline - centre, axis=1).max())
    centre_ra, centre_dec = angles(centre)
    # One part in 10^4 covers the outline between the points.
    return Cone(float(centre_ra), float(centre_dec), float(np.rad2deg(radius) * 1.0001))


def declination_range(footprint: Footprint, margin: float, margin_deg: float) -> tuple[float, float]:
    """Return the declinations between which all stars lie that a footprint may meet.

    Declination has its extremes on the outline, unless a pole lies within it; no point of the outline is farther from one that is looked at
    than half of what lies between two of them.

    Parameters
    ----------
    footprint : Footprint
        Pixels and WCS of a series.
    margin : float
        How far outside the pixels a star may lie (px).
    margin_deg : float
        How far a star may have come since the epoch of the catalogue (deg).

    Returns
    -------
    low, high : float
        Within -90 to 90 (deg).

    Raises
    ------
    BadData
        If the WCS cannot be read, or does not cover the pixels.
    """
    outline = _outline(footprint.geometry, margin, FINE_SAMPLES)
    ra, dec = read_wcs(footprint).all_pix2world(*outline, 0, ra_dec_order=True)
    edges = unit_vectors(ra, dec).reshape(4, FINE_SAMPLES, 3)
    if not np.isfinite(edges).all():
        raise BadData(f"The WCS of {footprint.series} does not cover its own pixels; leave that frame out.", "header")
    between = np.rad2deg(np.linalg.norm(np.diff(edges, axis=1), axis=2).max())  # chords: shorter by 1e-6 at most
    spare = 0.5 * float(between) * 1.001 + margin_deg
    poles = np.array([-90.0, 90.0])
    inside, _, _ = project(footprint, np.zeros(2), poles, margin)
    low, high = float(dec.min()) - spare, float(dec.max()) + spare
    return -90.0 if 0 in inside else max(-90.0, low), 90.0 if 1 in inside else min(90.0, high)


def cone_cells(cone: Cone, order: int) -> NDArray[np.int64]:
    """Return the nested HEALPix cells of ``order`` that meet a circle, ascending."""
    import astropy.units as u
    from astropy.coordinates import Latitude, Longitude
    from cdshealpix.nested import cone_search

    cells, _, _ = cone_search(
        Longitude(cone.ra, u.deg), Latitude(cone.dec, u.deg), min(cone.radius, 180.0) * u.deg, order, flat=True
    )
    return np.unique(np.asarray(cells).astype(np.int64))


def footprint_pixels(footprints: Sequence[Footprint], margin_deg: float = 0.1, order: int = 5) -> list[int]:
    """Say which partitions of the catalogue hold the stars of some footprints.

    Parameters
    ----------
    footprints : sequence of Footprint
        Pixels and WCS of each series.
    margin_deg : float
        Added to the circle around each footprint (deg): stars just off the silicon, and those whose proper motion brings them
        on it (the fastest star moves 0.075 deg in 26 years).
    order : int
        HEALPix order of the partitions.

    Returns
    -------
    list of int
        Nested HEALPix indices, ascending.

    Raises
    ------
    BadData
        If a WCS cannot be read.
    """
    pixels: set[int] = set()
    for footprint in footprints:
        cone = footprint_cone(footprint)
        pixels.update(cone_cells(Cone(cone.ra, cone.dec, cone.radius + margin_deg), order).tolist())
    return sorted(pixels)


def project(
    footprint: Footprint, ra: FloatArray, dec: FloatArray, margin: float = 0.0
) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """Find the stars on, or within ``margin`` of, the pixels of a series.

    Parameters
    ----------
    footprint : Footprint
        Pixels and WCS of the series.
    ra, dec : float64 array, shape (n,)
        Positions at the epoch of the frames (deg, ICRS).
    margin : float
        How far outside the pixels a star may lie (px).

    Returns
    -------
    index : int64 array, shape (m,)
        Which of the stars, ascending.
    col, row : float64 array, shape (m,)
        Detector coordinates, exact to 1e-5 px; each leads back to its star within 0.01 px.

    Raises
    ------
    BadData
        If the WCS cannot be read.
    """
    geometry = footprint.geometry
    wcs = read_wcs(footprint)
    outline = _outline(geometry, margin)
    index = np.flatnonzero(footprint_cone(footprint, margin).contains(ra, dec))
    if wcs.has_distortion:
        # On the tangent plane there is no polynomial yet, so nothing can go astray.
        u, v = wcs.wcs_world2pix(ra[index], dec[index], 0, ra_dec_order=True)
        box_u, box_v = wcs.pix2foc(*outline, 0)
        near = (u >= box_u.min() - 1.0) & (u <= box_u.max() + 1.0) & (v >= box_v.min() - 1.0) & (v <= box_v.max() + 1.0)
        index, u, v = index[near], u[near], v[near]
    if index.size == 0:
        return index, np.zeros(0), np.zeros(0)
    col, row = wcs.all_world2pix(ra[index], dec[index], 0, ra_dec_order=True, tolerance=1e-5, maxiter=40, quiet=True)
    good = (np.abs(col - geometry.col0 - 0.5 * (geometry.n_col - 1)) <= 0.5 * geometry.n_col + margin) & (
        np.abs(row - geometry.row0 - 0.5 * (geometry.n_row - 1)) <= 0.5 * geometry.n_row + margin
    )
    if wcs.has_distortion:
        index, col, row, u, v = index[good], col[good], row[good], u[good], v[good]
        back_u, back_v = wcs.pix2foc(col, row, 0)
        good = np.hypot(back_u - u, back_v - v) < CLOSURE
    return index[good], col[good], row[good]
