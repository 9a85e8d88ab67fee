"""Making the sorted records of a reference catalogue from plain columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.model.records import Stars

__all__ = ["CATALOG_EPOCH", "HEALPIX_ORDER", "healpix_index", "make_stars"]

CATALOG_EPOCH = 2000.0
"""Epoch of the TIC's positions, and of those in `Targets` (Julian year)."""

HEALPIX_ORDER = 29
"""Order of the sky index: cells of 0.4 mas, 62 bits."""


def healpix_index(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the order-29 nested HEALPix index of positions.

    Parameters
    ----------
    ra, dec : float64 array, shape (n,)
        Position (deg); RA from 0 to 360.

    Returns
    -------
    int64 array, shape (n,)
    """
    import astropy.units as u
    from astropy.coordinates import Latitude, Longitude
    from cdshealpix.nested import lonlat_to_healpix

    if ra.size == 0:
        return np.zeros(0, dtype=np.int64)
    return np.asarray(lonlat_to_healpix(Longitude(ra, u.deg), Latitude(dec, u.deg), HEALPIX_ORDER)).astype(np.int64)


def make_stars(id: Any, ra: Any, dec: Any, mag: Any, pmra: Any = 0.0, pmdec: Any = 0.0, epoch: Any = 2000.0) -> Stars:  # noqa: A002
    """Sort the columns of a catalogue by place on the sky.

    Parameters
    ----------
    id : int array, shape (n,)
        Catalogue ids, unique.
    ra, dec : float array, shape (n,)
        Position at ``epoch`` (deg, ICRS).
    mag : float array, shape (n,)
        Magnitude in the instrument's band; NaN where unknown.
    pmra, pmdec : float or float array, shape (n,)
        Proper motion (mas/yr, ``pmra`` includes cos dec); NaN, for unknown, becomes 0.
    epoch : float or float array, shape (n,)
        Julian year of the position; NaN, for unknown, becomes 2000.

    Returns
    -------
    Stars
        Sorted by HEALPix index, then id.
    """
    ids = np.asarray(id, dtype=np.int64)

    def column(values: Any, unknown: float) -> NDArray[np.float64]:
        full = np.broadcast_to(np.asarray(values, dtype=np.float64), ids.shape)
        return np.where(np.isnan(full), unknown, full)

    lon, lat = np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)
    healpix = healpix_index(lon, lat)
    order = np.lexsort((ids, healpix))
    return Stars(
        healpix=healpix[order],
        id=ids[order],
        ra=lon[order],
        dec=lat[order],
        mag=np.asarray(mag, dtype=np.float64)[order],
        pmra=column(pmra, 0.0)[order],
        pmdec=column(pmdec, 0.0)[order],
        epoch=column(epoch, CATALOG_EPOCH)[order],
    )
