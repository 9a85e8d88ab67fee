"""From an observatory's clock to BJD_TDB.

The light path to the barycentre differs from that of the Earth's centre by up to 23 ms where the observatory was is not known. With longitude and
latitude of the point under it and a mean height of 540 km it is known to some 40 km, 0.13 ms. Hubble's own clock is good to about 10 ms in
data that were processed after May 2018; before, those of 2017 June to 2018 May may be off by 0.5 to 2.75 s (MAST news of May 2018).

References
----------
Eastman, Siverd & Gaudi 2010, PASP 122, 935 (BJD_TDB); the Earth from IAU SOFA's ``epv00``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.model.photons import Timeline
from cuvee.model.records import BJD_OFFSET
from cuvee.model.time import DAY, earth_position

__all__ = ["HEIGHT", "LOW_ORBIT", "barycentric", "clock_error"]

FloatArray = NDArray[np.float64]

HEIGHT = 540e3
"""Of Hubble above the ground (m)."""

NODES = 60.0
"""How far from one another the instants are for which the Earth's place is looked up (s); between them it moves on straight lines."""

LIGHT = 299792458.0
EARTH = 6378137.0
FLATTENING = 1.0 / 298.257223563
LOW_ORBIT = EARTH + HEIGHT
"""How far from the Earth's centre an observatory in a low orbit gets (m)."""


def barycentric(
    seconds: FloatArray,
    mjd: float,
    scale: str,
    ra: float,
    dec: float,
    timeline: Timeline | None,
    barycentred: bool = False,
) -> FloatArray:
    """Return when light that came at some time passes the solar system's barycentre, or would.

    Parameters
    ----------
    seconds : float64 array, shape (n,)
        Since ``mjd`` (s).
    mjd : float
        In the time scale ``scale``.
    scale : str
        ``utc``, ``tt`` or ``tdb``.
    ra, dec : float
        Of the target (deg, ICRS).
    timeline : Timeline, optional
        Where the observatory was; without it the Earth's centre stands in.
    barycentred : bool
        Whether times are those at the barycentre already.

    Returns
    -------
    float64 array, shape (n,)
        BJD_TDB - 2457000 (d).
    """
    from astropy.time import Time

    tdb = Time(mjd, np.asarray(seconds, np.float64) / DAY, format="mjd", scale=scale).tdb
    days = np.asarray((tdb.jd1 - BJD_OFFSET) + tdb.jd2)
    if barycentred:
        return days
    a, d = np.radians(ra), np.radians(dec)
    direction = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    delay = _earth_delay(days, direction)
    if timeline is not None:
        delay += _place(seconds, mjd, scale, timeline) @ direction / LIGHT
    return np.asarray(days + delay / DAY)


def _earth_delay(days: FloatArray, direction: FloatArray) -> FloatArray:
    """Return how much earlier light reaches the Earth's centre than the barycentre (s)."""
    n_node = 2 + int(np.ptp(days) * DAY / NODES) if days.size else 0
    if days.size <= n_node:
        return np.asarray(earth_position(days) @ direction)
    # The Earth's speed changes by 6 mm/s in a second: in a minute a straight line is off by 3 m, 10 ns.
    nodes = np.linspace(days.min(), days.max(), n_node)
    return np.interp(days, nodes, earth_position(nodes) @ direction)


def _place(seconds: FloatArray, mjd: float, scale: str, timeline: Timeline) -> FloatArray:
    """Return where the observatory was (m, along the axes of the sky), shape (n, 3)."""
    import erfa  # type: ignore[import-untyped]
    from astropy.time import Time

    longitude = np.unwrap(np.radians(timeline.longitude))
    lon = np.interp(seconds, timeline.time, longitude)
    lat = np.radians(np.interp(seconds, timeline.time, timeline.latitude))
    ground = erfa.gd2gc(1, lon, lat, np.full(lon.size, HEIGHT))
    # UT1 is within 0.9 s of UTC, in which the Earth turns by 0.4 km at its surface.
    utc = Time(mjd, np.asarray(seconds, np.float64) / DAY, format="mjd", scale=scale).utc
    turned = erfa.gmst06(utc.jd1, utc.jd2, utc.jd1, utc.jd2 + 69.2 / DAY)
    cos, sin = np.cos(turned), np.sin(turned)
    x, y, z = ground[:, 0], ground[:, 1], ground[:, 2]
    return np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=1)


def clock_error(timeline: Timeline | None, barycentred: bool = False, reach: float = LOW_ORBIT) -> float:
    """Return within how many seconds the way of the light is known; the observatory's own clock comes on top.

    Parameters
    ----------
    timeline : Timeline, optional
        Where the observatory was.
    barycentred : bool
        Whether times are those at the barycentre already.
    reach : float
        How far from the Earth's centre the observatory gets (m).
    """
    if barycentred:
        return 0.0
    return 2e-4 if timeline is not None else reach / LIGHT
