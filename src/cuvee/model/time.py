"""Barycentric times of stars: moved from the direction that the mission used, with the mission's clock put right.

The mission's barycentric times hold in one direction, the reference pixel of the CCD. For a star in another direction the light
path to the barycentre differs by ``r . (n - n0) / c``, where ``r`` is the position of the spacecraft and ``n``, ``n0`` are the
unit vectors of star and reference: the plane-wave Roemer term (Eastman, Siverd & Gaudi 2010, PASP 122, 935, section 3.1).
Unless a kernel says where the spacecraft was (``[time] kernel``), the Earth stands in for it. TESS is never farther from it than 64 Earth radii, which is 1.36 s of light, and no
pixel is farther than 8.6 deg from the reference pixel of its CCD, so the error is below 1.36 s x 2 sin(4.3 deg) = 0.21 s.
Curvature of the wavefront, Einstein and Shapiro terms differ between the two directions by less than 1 ms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cuvee.model.records import BJD_OFFSET

__all__ = ["DAY", "earth_position", "julian_year", "move_time", "observer_time", "sector_offset"]

FloatArray = NDArray[np.float64]

DAY = 86400.0
"""Seconds in a day."""

LIGHT_SECONDS_PER_AU = 499.00478383615643
EPHEMERIS_SPAN = (-41979.0, 31068.0)

START_OFFSET, STOP_OFFSET = -1.969, -1.989
"""Seconds to add to start and stop of the early releases."""

CAMERA_STAGGER = {1: 0.0, 2: 1.5, 3: 0.5, 4: 1.0}
CCD_STAGGER = 0.02

LAST_UNCORRECTED_RELEASE = 26
UNCORRECTED_VERSIONS = {
    27: ("spoc-4.0.14-20200108", "spoc-4.0.15-20200114", "spoc-4.0.17-20200130"),
    29: ("spoc-4.0.17-20200130", "spoc-4.0.20-20200220", "spoc-4.0.21-20200227"),
}
"""Releases 27 and 29 (sectors 20 and 21) exist twice under one number; these are the first processings."""


def _unit(ra: ArrayLike, dec: ArrayLike) -> FloatArray:
    a, d = np.radians(np.asarray(ra, dtype=np.float64)), np.radians(np.asarray(dec, dtype=np.float64))
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d) * np.ones_like(a)], axis=-1)


def earth_position(time: ArrayLike) -> FloatArray:
    """Return the barycentric position of the Earth.

    Parameters
    ----------
    time : array_like, shape (n,)
        BTJD (d). Barycentric and geocentric time need not be told apart: the Earth moves 0.05 light-seconds in the
        500 s between them, which moves no star's time by more than 8 ms.

    Returns
    -------
    float64 array, shape (n, 3)
        Light-seconds along the ICRS axes; NaN where ``time`` is, and outside the years 1900 to 2100.

    Notes
    -----
    IAU SOFA's ``epv00`` (VSOP2000 abridged; 11 km RMS, which is 40 microseconds), built in, so without network.
    """
    import erfa  # type: ignore[import-untyped]

    time = np.atleast_1d(np.asarray(time, dtype=np.float64))
    known = (time > EPHEMERIS_SPAN[0]) & (time < EPHEMERIS_SPAN[1])
    _, barycentric = erfa.epv00(BJD_OFFSET, np.where(known, time, 0.0))
    position = np.array(barycentric["p"], dtype=np.float64) * LIGHT_SECONDS_PER_AU
    position[~known] = np.nan
    return position


def observer_time(mid: ArrayLike, ra0: float, dec0: float) -> FloatArray:
    """Return when the light that a barycentric time is about passed the observer.

    Parameters
    ----------
    mid : array_like, shape (n_frame,)
        BTJD valid in the direction ``ra0, dec0``.
    ra0, dec0 : float
        That direction (deg, ICRS).

    Returns
    -------
    float64 array, shape (n_frame,)
        BTJD (TDB) at a spacecraft near the Earth, within 1.5 s: good enough to look up where it was (45 km).
    """
    mid = np.atleast_1d(np.asarray(mid, dtype=np.float64))
    return np.asarray(mid - earth_position(mid) @ _unit(ra0, dec0) / DAY, dtype=np.float64)


def move_time(
    mid: ArrayLike, ra0: float, dec0: float, ra: ArrayLike, dec: ArrayLike, observer: FloatArray
) -> FloatArray:
    """Move barycentric times from the direction for which they hold to that of each star.

    Parameters
    ----------
    mid : array_like, shape (n_frame,)
        BTJD valid in the direction ``ra0, dec0``.
    ra0, dec0 : float
        That direction (deg, ICRS).
    ra, dec : array_like, shape (n_star,)
        Directions of the stars (deg, ICRS).
    observer : float64 array, shape (n_frame, 3)
        Where the observer was (light-seconds, ICRS, from the barycentre): from `earth_position`, or better.

    Returns
    -------
    float64 array, shape (n_star, n_frame)
        BTJD in the direction of each star. With the Earth for TESS within 0.25 s of what the spacecraft's own position gives, with that
        within a millisecond.
    """
    difference = np.atleast_2d(_unit(ra, dec)) - _unit(ra0, dec0)
    moved: FloatArray = difference @ observer.T
    moved /= DAY
    moved += np.atleast_1d(np.asarray(mid, dtype=np.float64))
    return moved


def julian_year(time: ArrayLike) -> FloatArray:
    """Return the Julian epoch (yr) of BTJD times, of the same shape."""
    return 2000.0 + (np.asarray(time, dtype=np.float64) + (BJD_OFFSET - 2451545.0)) / 365.25


def sector_offset(data_release: int, procver: str, camera: int, ccd: int, is_ffi: bool) -> tuple[float, float]:
    """Return what must be added to the mission's start and stop times.

    The time stamps of sectors 1 to 21, as first released, are late by 2 s less some milliseconds; in those releases the times of
    full-frame images lack the readout delay of the camera and the CCD, too. Reprocessed files need neither.

    Parameters
    ----------
    data_release : int
        ``DATA_REL``.
    procver : str
        ``PROCVER``; releases 27 and 29 exist in two processings.
    camera, ccd : int
        1 to 4.
    is_ffi : bool
        Full-frame image (or a cutout of one) rather than a target pixel file.

    Returns
    -------
    start, stop : float
        Seconds to add.

    References
    ----------
    TESS Data Release Notes of sectors 20 and 21 (releases 27 and 29), on time stamps; von Essen et al. 2020, AJ 160, 34.
    Sign and stagger agree with the times of reprocessed sector 8 to 0.03 s (tests).
    """
    early = data_release <= LAST_UNCORRECTED_RELEASE
    if not early and procver.strip() not in UNCORRECTED_VERSIONS.get(data_release, ()):
        return 0.0, 0.0
    # The first processing of release 27 still lacks the stagger; that of release 29 has it.
    stagger = CAMERA_STAGGER[camera] + CCD_STAGGER * (ccd - 1) if is_ffi and (early or data_release == 27) else 0.0
    return START_OFFSET + stagger, STOP_OFFSET + stagger
