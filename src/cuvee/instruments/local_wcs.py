"""A WCS around one star: the plane that touches the sky there, and how far the star moves on it from frame to frame.

Astropy takes milliseconds to set up the WCS of a frame, too long for the thousand frames behind one star; here the same sums are
done for many stars of a frame at once. Conventions: Calabretta & Greisen 2002, A&A 395, 1077 (TAN); Shupe et al. 2005, ASP Conf. 347,
491 (SIP).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cuvee.instruments.fits_bytes import Cards
from cuvee.instruments.wcs_text import linear_matrix

__all__ = ["LocalWcs", "local_wcs", "sky_of_pixels", "to_plane"]

FloatArray = NDArray[np.float64]

CARD = 80


@dataclass(frozen=True, slots=True)
class LocalWcs:
    """A TAN projection that holds around one place of a detector.

    Parameters
    ----------
    col, row : float
        The place, in detector coordinates (px).
    ra, dec : float
        Its direction (deg, ICRS).
    matrix : float64 array, shape (2, 2)
        Degrees east and north on the tangent plane (rows) for a pixel along columns and rows (columns), as CDi_j.
    """

    col: float
    row: float
    ra: float
    dec: float
    matrix: FloatArray


def sky_of_pixels(text: str, col: ArrayLike, row: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return the directions of pixels.

    Parameters
    ----------
    text : str
        TAN or TAN-SIP WCS in detector coordinates, as `cuvee.model.records.FileInfo` has it; not empty.
    col, row : array_like, shape (n,)
        Detector coordinates (px).

    Returns
    -------
    ra, dec : float64 array, shape (n,)
        deg; as `astropy.wcs.WCS.all_pix2world`.

    Raises
    ------
    BadData
        If a card is missing or damaged.
    """
    raw = {text[at : at + 8].rstrip(): text[at + 10 : at + CARD] for at in range(0, len(text), CARD)}
    cards = Cards("The WCS", raw)
    u = np.asarray(col, dtype=np.float64) + 1.0 - cards.real("CRPIX1")
    v = np.asarray(row, dtype=np.float64) + 1.0 - cards.real("CRPIX2")
    if cards.text("CTYPE1").endswith("-SIP"):
        u, v = u + _distortion(cards, "A", u, v), v + _distortion(cards, "B", u, v)
    m = linear_matrix(cards)
    x, y = np.radians(m[0] * u + m[1] * v), np.radians(m[2] * u + m[3] * v)
    d0 = np.radians(cards.real("CRVAL2"))
    depth = np.cos(d0) - y * np.sin(d0)
    ra = (cards.real("CRVAL1") + np.degrees(np.arctan2(x, depth))) % 360.0
    return ra, np.degrees(np.arctan2(np.sin(d0) + y * np.cos(d0), np.hypot(x, depth)))


def _distortion(cards: Cards, axis: str, u: FloatArray, v: FloatArray) -> FloatArray:
    total = np.zeros_like(u)
    order = cards.whole(f"{axis}_ORDER", 0)
    for p in range(order + 1):
        for q in range(order + 1 - p):
            if f"{axis}_{p}_{q}" in cards.raw:
                total += cards.real(f"{axis}_{p}_{q}") * u**p * v**q
    return total


def to_plane(ra: ArrayLike, dec: ArrayLike, ra0: ArrayLike, dec0: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return where directions (deg) lie on the plane that touches the sky in ``ra0, dec0``: degrees east and north."""
    a, d, d0 = np.radians(np.subtract(ra, ra0)), np.radians(dec), np.radians(dec0)
    depth = np.sin(d) * np.sin(d0) + np.cos(d) * np.cos(d0) * np.cos(a)
    north = np.sin(d) * np.cos(d0) - np.cos(d) * np.sin(d0) * np.cos(a)
    return np.degrees(np.cos(d) * np.sin(a) / depth), np.degrees(north / depth)


def local_wcs(text: str, col: float, row: float, reach: float) -> LocalWcs:
    """Return the TAN projection that follows a WCS around one place.

    Parameters
    ----------
    text : str
        As for `sky_of_pixels`.
    col, row : float
        The place, where both agree exactly.
    reach : float
        Distance (px) over which scale and turn are taken.

    Raises
    ------
    BadData
        If a card is missing or damaged.
    """
    step = reach * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    ra, dec = sky_of_pixels(text, col + step[:, 0], row + step[:, 1])
    plane = np.stack(to_plane(ra, dec, ra[0], dec[0]))
    matrix = np.stack([plane[:, 1] - plane[:, 2], plane[:, 3] - plane[:, 4]], axis=1) / (2.0 * reach)
    return LocalWcs(col, row, float(ra[0]), float(dec[0]), matrix)
