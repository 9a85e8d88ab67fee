"""Celestial WCS from header cards: written anew in detector coordinates, and solved for one pixel without wcslib.

Conventions: Calabretta & Greisen 2002, A&A 395, 1077 (TAN); Shupe et al. 2005, ASP Conf. 347, 491 (SIP).
"""

from __future__ import annotations

import math

from cuvee.instruments.fits_bytes import Cards, bad

__all__ = ["header_text", "linear_matrix", "shifted_wcs", "sky_of_pixel", "tan_to_sky"]

_LINEAR = ("CD1_1", "CD1_2", "CD2_1", "CD2_2", "PC1_1", "PC1_2", "PC2_1", "PC2_2", "CDELT1", "CDELT2")
_REST = ("LONPOLE", "LATPOLE", "EQUINOX")
MAX_PIXEL, MAX_ORDER = 1e5, 9
MIN_AREA, MAX_AREA = 1e-10, 1.0
"""Square degrees a pixel: scales of 0.04 arcsec to 1 deg."""


def header_text(cards: dict[str, str | float | int]) -> str:
    """Return cards as FITS header text that ends with END, padded to whole blocks."""
    lines = []
    for key, value in cards.items():
        plain = "FT"[value] if isinstance(value, bool) else repr(value).upper()
        text = f"'{value:<8}'" if isinstance(value, str) else plain.rjust(20)
        lines.append(f"{key:<8}= {text}"[:80].ljust(80))
    text = "".join(lines) + "END".ljust(80)
    return text.ljust(-(-len(text) // 2880) * 2880)


def shifted_wcs(cards: Cards, d_col: float, d_row: float) -> str:
    """Return the WCS of an image in detector coordinates.

    Parameters
    ----------
    cards : Cards
        Header with the WCS in the image's own pixels.
    d_col, d_row : float
        What must be added to the image's pixel numbers (counted from 0) to get detector coordinates.

    Returns
    -------
    str
        FITS header text; empty where the header has no celestial WCS.

    Raises
    ------
    BadData
        If it has one, and a card of it is damaged.
    """
    ctypes = [cards.text(f"CTYPE{axis}", "") for axis in (1, 2)]
    if not (ctypes[0].startswith("RA---TAN") and ctypes[1].startswith("DEC--TAN")):
        return ""
    out: dict[str, str | float | int] = {"WCSAXES": 2, "CTYPE1": ctypes[0], "CTYPE2": ctypes[1]}
    out |= {"CUNIT1": "deg", "CUNIT2": "deg"}
    for axis, limit, shift in ((1, 360.0, d_col), (2, 90.0, d_row)):
        value, pixel = cards.real(f"CRVAL{axis}"), cards.real(f"CRPIX{axis}")
        if abs(value) > limit or abs(pixel) > MAX_PIXEL:
            raise bad(cards.path, f"is damaged: the header card CRVAL{axis} or CRPIX{axis} is out of range", "header")
        out |= {f"CRVAL{axis}": value, f"CRPIX{axis}": pixel + shift}
    out |= {key: cards.real(key) for key in _LINEAR if key in cards}
    out |= {key: cards.real(key) for key in _REST if key in cards}
    out["RADESYS"] = cards.text("RADESYS", "ICRS")
    if ctypes[0].endswith("-SIP"):
        out |= _sip(cards, "A", "B")
        if "AP_ORDER" in cards and "BP_ORDER" in cards:
            out |= _sip(cards, "AP", "BP")
    matrix = linear_matrix(cards)
    if not MIN_AREA < abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]) < MAX_AREA:
        raise bad(cards.path, "is damaged: the matrix of its WCS gives no sensible pixel scale", "header")
    return header_text(out)


def _sip(cards: Cards, *axes: str) -> dict[str, float | int]:
    out: dict[str, float | int] = {}
    for axis in axes:
        order = cards.within(f"{axis}_ORDER", 0, MAX_ORDER)
        out[f"{axis}_ORDER"] = max(order, 2)  # astropy takes no lower order; missing coefficients are zero
        keys = (f"{axis}_{p}_{q}" for p in range(order + 1) for q in range(order + 1 - p))
        out |= {key: cards.real(key) for key in keys if key in cards}
    return out


def linear_matrix(cards: Cards) -> tuple[float, float, float, float]:
    """Return CD1_1, CD1_2, CD2_1, CD2_2 (deg per px), from the cards CD or from CDELT and PC."""
    if "CD1_1" in cards:
        return (cards.real("CD1_1"), cards.real("CD1_2", 0.0), cards.real("CD2_1", 0.0), cards.real("CD2_2", 0.0))
    scale = cards.real("CDELT1", 1.0), cards.real("CDELT2", 1.0)
    pc = [cards.real(f"PC{i}_{j}", float(i == j)) for i in (1, 2) for j in (1, 2)]
    return (scale[0] * pc[0], scale[0] * pc[1], scale[1] * pc[2], scale[1] * pc[3])


def _polynomial(cards: Cards, axis: str, u: float, v: float) -> float:
    order = cards.whole(f"{axis}_ORDER", 0)
    powers = ((p, q) for p in range(order + 1) for q in range(order + 1 - p))
    return sum(cards.real(f"{axis}_{p}_{q}", 0.0) * u**p * v**q for p, q in powers)


def tan_to_sky(xi: float, eta: float, ra0: float, dec0: float) -> tuple[float, float]:
    """Return the direction (deg) of a point (deg) on the plane that touches the sky in ``ra0, dec0`` (deg)."""
    x, y, d0 = math.radians(xi), math.radians(eta), math.radians(dec0)
    depth = math.cos(d0) - y * math.sin(d0)
    ra = ra0 + math.degrees(math.atan2(x, depth))
    dec = math.degrees(math.atan2(math.sin(d0) + y * math.cos(d0), math.hypot(x, depth)))
    return ra % 360.0, dec


def sky_of_pixel(cards: Cards, x: float, y: float) -> tuple[float, float]:
    """Return the direction (deg, ICRS) of one pixel.

    Parameters
    ----------
    cards : Cards
        Header with a TAN or TAN-SIP WCS that `shifted_wcs` accepts.
    x, y : float
        Pixel of the image, counted from 1.

    Returns
    -------
    ra, dec : float
        As `astropy.wcs.WCS.all_pix2world`, which takes longer to set up than a frame's scan may.
    """
    u, v = x - cards.real("CRPIX1"), y - cards.real("CRPIX2")
    if abs(u) > MAX_PIXEL or abs(v) > MAX_PIXEL:
        raise bad(cards.path, "is damaged: its reference pixel BTC_PIX1, BTC_PIX2 lies far off the CCD", "header")
    if cards.text("CTYPE1").endswith("-SIP"):
        u, v = u + _polynomial(cards, "A", u, v), v + _polynomial(cards, "B", u, v)
    m = linear_matrix(cards)
    ra, dec = tan_to_sky(m[0] * u + m[1] * v, m[2] * u + m[3] * v, cards.real("CRVAL1"), cards.real("CRVAL2"))
    if not math.isfinite(ra + dec):
        raise bad(cards.path, "is damaged: its WCS does not lead to the sky", "header")
    return ra, dec
