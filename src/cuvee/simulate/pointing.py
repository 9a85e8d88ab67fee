"""Where a TESS camera looks: the WCS of one of its CCDs, with the distortion of its optics."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

__all__ = ["CRPIX", "make_wcs", "moved"]

CRPIX = (1045.0, 1001.0)
"""Reference pixel of real frames, in pixels of the full frame counted from 1."""
RADIAL = (-1.8e-9, -2.5e-17)
BORESIGHT = (-2300.0, -2250.0)
"""Distortion of the camera about its axis, r (1 + k3 r^2 + k5 r^4), and the axis in pixels from CRPIX. Invented:
they yield coefficients of the size of real ones."""
ORDER = 4


def _distortion() -> dict[str, float]:
    # Coefficients of u^p v^q up to the fourth order in d (k3 s + k5 s^2), with s = d^2 + e^2, and d, e counted from
    # the camera's axis; its constant and linear parts belong to CRVAL and CD.
    d, e = np.zeros((6, 6)), np.zeros((6, 6))
    d[0, 0], d[1, 0] = -BORESIGHT[0], 1.0
    e[0, 0], e[0, 1] = -BORESIGHT[1], 1.0

    def times(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        product = np.zeros((6, 6))
        for p, q in zip(*np.nonzero(a), strict=True):
            product[p:, q:] += a[p, q] * b[: 6 - p, : 6 - q]
        return product

    s = times(d, d) + times(e, e)
    stretch = RADIAL[0] * s + RADIAL[1] * times(s, s)
    return {
        f"{axis}_{p}_{q}": float(coefficients[p, q])
        for axis, coefficients in (("A", times(stretch, d)), ("B", times(stretch, e)))
        for total in range(2, ORDER + 1)
        for p in range(total, -1, -1)
        for q in [total - p]
    }


def _polynomial(cards: dict[str, float], axis: str, u: Any, v: Any) -> Any:
    return sum(cards.get(f"{axis}_{p}_{q}", 0.0) * u**p * v**q for p in range(ORDER + 1) for q in range(ORDER + 1 - p))


def _inverse(cards: dict[str, float]) -> dict[str, float]:
    # AP and BP: least squares on a grid that covers the CCD; good to 0.01 px, and to 0.2 px in the corners, as real ones are.
    u, v = (g.ravel() for g in np.meshgrid(np.linspace(-1050, 1050, 43), np.linspace(-1050, 1050, 43)))
    moved_u, moved_v = u + _polynomial(cards, "A", u, v), v + _polynomial(cards, "B", u, v)
    powers = [(t - q, q) for t in range(1, ORDER + 1) for q in range(t + 1)]
    design = np.stack([(moved_u / 1000) ** p * (moved_v / 1000) ** q for p, q in powers], axis=1)
    out: dict[str, float] = {}
    for axis, shift in (("AP", u - moved_u), ("BP", v - moved_v)):
        fit = np.linalg.lstsq(design, shift, rcond=None)[0]
        out |= {f"{axis}_{p}_{q}": float(c / 1000.0 ** (p + q)) for (p, q), c in zip(powers, fit, strict=True)}
    return out


def make_wcs(ra: float, dec: float, roll: float) -> dict[str, Any]:
    """Make the WCS of a CCD in pixels of the full frame: TAN with SIP distortion of order 4.

    Parameters
    ----------
    ra, dec, roll : float
        Sky position of CRPIX and roll angle (deg).

    Returns
    -------
    dict
        FITS cards by name.
    """
    scale = 21.1 / 3600.0
    c, s = scale * np.cos(np.radians(roll)), scale * np.sin(np.radians(roll))
    forward = _distortion()
    u, v = np.meshgrid(np.linspace(-1045, 1091, 90), np.linspace(-1001, 1077, 90))
    cards: dict[str, Any] = {"WCSAXES": 2, "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}
    cards |= {"CRVAL1": ra, "CRVAL2": dec, "CRPIX1": CRPIX[0], "CRPIX2": CRPIX[1]}
    cards |= {"CD1_1": float(-c), "CD1_2": float(s), "CD2_1": float(-s), "CD2_2": float(-c)}
    cards |= {"A_ORDER": ORDER, "B_ORDER": ORDER} | forward
    cards |= {"AP_ORDER": ORDER, "BP_ORDER": ORDER} | _inverse(forward)
    for axis in "AB":
        cards[f"{axis}_DMAX"] = float(np.abs(_polynomial(forward, axis, u, v)).max())
    return cards


def moved(
    cards: dict[str, Any], d_col: float, d_row: float, stretch: NDArray[np.float64] | None = None
) -> dict[str, Any]:
    """Return the WCS of the same CCD with all stars shifted, as a fit to a frame with that jitter would find it.

    CRVAL moves to the sky position that comes to lie on CRPIX, and the matrix turns by the convergence of the
    meridians between the two. What differs from a rigid shift is below 0.005 px.

    Parameters
    ----------
    cards : dict
        From `make_wcs`.
    d_col, d_row : float
        Shift of the stars at CRPIX (px).
    stretch : float64 array, shape (2, 2), optional
        Its gradient: ``stretch[0, 1]`` is the shift along columns for each row from CRPIX. What it changes at the distortion,
        1e-4 of 50 px, is left out.

    Returns
    -------
    dict
        New cards.
    """
    linear = {k: v for k, v in cards.items() if not k.startswith(("A_", "B_", "AP_", "BP_"))}
    linear |= {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
    ra, dec = WCS(fits.Header(linear)).all_pix2world(CRPIX[0] - d_col, CRPIX[1] - d_row, 1)
    turn = np.radians((ra - cards["CRVAL1"] + 180.0) % 360.0 - 180.0) * np.sin(np.radians(dec))
    cd = np.array([[cards["CD1_1"], cards["CD1_2"]], [cards["CD2_1"], cards["CD2_2"]]])
    cd = np.array([[1.0, turn], [-turn, 1.0]]) @ cd
    if stretch is not None:
        cd = cd @ (np.eye(2) - stretch)
    new = {"CRVAL1": float(ra), "CRVAL2": float(dec), "CD1_1": cd[0, 0], "CD1_2": cd[0, 1]}
    return cards | {k: float(v) for k, v in (new | {"CD2_1": cd[1, 0], "CD2_2": cd[1, 1]}).items()}
