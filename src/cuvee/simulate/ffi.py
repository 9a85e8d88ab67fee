"""A TESS full-frame image as bytes: WCS, headers, checksum.

Facts: TESS Science Data Products Description Document, EXP-TESS-ARC-ICD-0014, section 4.2 (full-frame images), and
the header of a real file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

__all__ = [
    "COLUMNS",
    "CRPIX",
    "FIRST_COL",
    "GAIN",
    "OUTPUT_WIDTH",
    "READ_NOISE",
    "REFERENCE_PIXEL",
    "ROWS",
    "SCIENCE",
    "Frame",
    "Window",
    "date_of",
    "frame_bytes",
    "make_wcs",
    "moved",
]

SCIENCE, ROWS, COLUMNS, FIRST_COL, OUTPUT_WIDTH = 2048, 2078, 2136, 44, 512
"""Science pixels each way; rows and columns of the file; its first science column (from 0); columns of an output."""
CRPIX = (1045.0, 1001.0)
REFERENCE_PIXEL = (1068.0, 1024.0)
"""BTC_PIX1, BTC_PIX2: where the barycentric times hold, in pixels of the full frame counted from 1."""
GAIN = (5.24, 5.17, 5.29, 5.21)
READ_NOISE = (9.4, 7.9, 8.3, 9.8)
OUTPUTS = "ABCD"
TDB_MINUS_UTC = 69.184
"""Seconds, since 2017: 37 leap seconds and 32.184 s."""
RADIAL = (-1.8e-9, -2.5e-17)
BORESIGHT = (-2300.0, -2250.0)
"""Distortion of the camera about its axis, r (1 + k3 r^2 + k5 r^4), and the axis in pixels from CRPIX. Invented:
they yield coefficients of the size of real ones."""
ORDER = 4


@dataclass(frozen=True, slots=True)
class Window:
    """The science pixels that are simulated.

    Parameters
    ----------
    col0, row0 : int
        Detector coordinates of the first.
    size : int
        Rows and columns.
    """

    col0: int
    row0: int
    size: int

    @property
    def full(self) -> bool:
        """Whether it is the whole CCD; then the file has the collateral rows and columns, too."""
        return self.size == SCIENCE

    @property
    def skip(self) -> tuple[int, int]:
        """Columns and rows of the full frame that come before the file's first pixel."""
        return (0, 0) if self.full else (FIRST_COL + self.col0, self.row0)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the file."""
        return (ROWS, COLUMNS) if self.full else (self.size, self.size)


@dataclass(frozen=True, slots=True)
class Frame:
    """What differs between the headers of two frames.

    Parameters
    ----------
    start, stop : float
        Spacecraft time, TDB - 2457000 (d).
    barycorr : float
        Barycentric correction at `REFERENCE_PIXEL` (d).
    index : int
        Cadence number.
    quality : int
        DQUALITY.
    """

    start: float
    stop: float
    barycorr: float
    index: int
    quality: int


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


def moved(cards: dict[str, Any], d_col: float, d_row: float) -> dict[str, Any]:
    """Return the WCS of the same CCD with all stars shifted, as a fit to a frame with that jitter would find it.

    CRVAL moves to the sky position that comes to lie on CRPIX, and the matrix turns by the convergence of the
    meridians between the two. What differs from a rigid shift is below 0.005 px.

    Parameters
    ----------
    cards : dict
        From `make_wcs`.
    d_col, d_row : float
        Shift of the stars (px).

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
    new = {"CRVAL1": float(ra), "CRVAL2": float(dec), "CD1_1": cd[0, 0], "CD1_2": cd[0, 1]}
    return cards | {k: float(v) for k, v in (new | {"CD2_1": cd[1, 0], "CD2_2": cd[1, 1]}).items()}


def date_of(time: float) -> datetime:
    """Return the UTC calendar date of a time in TDB - 2457000 (d)."""
    # JD 2457000.0 is noon of that day.
    return datetime(2014, 12, 8, 12) + timedelta(days=time, seconds=-TDB_MINUS_UTC)


def _iso(time: float) -> str:
    return date_of(time).isoformat(timespec="milliseconds") + "Z"


def _primary(frame: Frame, sector: dict[str, Any]) -> list[tuple[str, Any, str]]:
    return [
        ("NEXTEND", 2, "number of standard extensions"),
        ("EXTNAME", "PRIMARY", "name of extension"),
        ("EXTVER", 1, "extension version number (not format version)"),
        ("SIMDATA", True, "file is based on simulated data"),
        ("ORIGIN", "cuvee", "program that made this file"),
        ("DATE", _iso(frame.stop)[:10], "date of the simulated observation"),
        ("TSTART", frame.start, "observation start time in TJD"),
        ("TSTOP", frame.stop, "observation stop time in TJD"),
        ("DATE-OBS", _iso(frame.start), "TSTART as UTC calendar date"),
        ("DATE-END", _iso(frame.stop), "TSTOP as UTC calendar date"),
        ("CREATOR", "cuvee simulate tess", "program used to produce this file"),
        ("PROCVER", "cuvee", "software version"),
        ("FILEVER", "1.0", "file format version"),
        ("TIMVERSN", "OGIP/93-003", "OGIP memo number for file format"),
        ("TELESCOP", "TESS", "telescope"),
        ("INSTRUME", "TESS Photometer", "detector type"),
        ("DATA_REL", sector["release"], "data release version number"),
        ("ASTATE", True, "archive state F: one orbit only"),
        ("SCCONFIG", sector["scid"], "spacecraft configuration ID"),
        ("FFIINDEX", frame.index, "number of FFI cadence"),
        ("RADESYS", "ICRS", "reference frame of celestial coordinates"),
        ("EQUINOX", 2000.0, "equinox of celestial coordinate system"),
        ("CRMITEN", True, "spacecraft cosmic ray mitigation enabled"),
        ("CRBLKSZ", 10, "[exposures] cosmic ray mitigation block size"),
        ("CRSPOC", False, "SPOC cosmic ray cleaning enabled"),
    ]


def _extension(frame: Frame, sector: dict[str, Any], kind: str) -> list[tuple[str, Any, str]]:
    camera, ccd, n_frame = sector["camera"], sector["ccd"], round(sector["cadence"] / 2)
    elapsed = frame.stop - frame.start
    cards: list[tuple[str, Any, str]] = [
        ("INHERIT", True, "inherit the primary header"),
        ("EXTNAME", f"CAMERA.CCD {camera}.{ccd} {kind}", "name of extension"),
        ("EXTVER", 1, "extension version number (not format version)"),
        ("SIMDATA", True, "file is based on simulated data"),
        ("TELESCOP", "TESS", "telescope"),
        ("INSTRUME", "TESS Photometer", "detector type"),
        ("CAMERA", camera, "Camera number"),
        ("CCD", ccd, "CCD chip number"),
        ("EXPOSURE", 0.792 * elapsed, "[d] time on source"),
        ("TIMEREF", "SOLARSYSTEM", "barycentric correction applied to times"),
        ("TASSIGN", "SPACECRAFT", "where time is assigned"),
        ("TIMESYS", "TDB", "time system is Barycentric Dynamical Time (TDB)"),
        ("BJDREFI", 2457000, "integer part of BTJD reference date"),
        ("BJDREFF", 0.0, "fraction of the day in BTJD reference date"),
        ("TIMEUNIT", "d", "time unit for TIME, TSTART and TSTOP"),
        ("TELAPSE", elapsed, "[d] TSTOP - TSTART"),
        ("LIVETIME", 0.792 * elapsed, "[d] TELAPSE multiplied by DEADC"),
        ("TSTART", frame.start + frame.barycorr, "observation start time in BTJD"),
        ("TSTOP", frame.stop + frame.barycorr, "observation stop time in BTJD"),
        ("DATE-OBS", _iso(frame.start + frame.barycorr), "TSTART as UTC calendar date"),
        ("DATE-END", _iso(frame.stop + frame.barycorr), "TSTOP as UTC calendar date"),
        ("DEADC", 0.792, "deadtime correction"),
        ("TIMEPIXR", 0.5, "bin time beginning=0 middle=0.5 end=1"),
        ("TIERRELA", 1.16e-05, "[d] relative time error"),
        ("BTC_PIX1", REFERENCE_PIXEL[0], "reference col for barycentric time correction"),
        ("BTC_PIX2", REFERENCE_PIXEL[1], "reference row for barycentric time correction"),
        ("BUNIT", "electrons/s", "physical units of image data"),
        ("BARYCORR", frame.barycorr, "[d] barycentric time correction"),
        ("INT_TIME", 1.98, "[s] photon accumulation time per frame"),
        ("READTIME", 0.02, "[s] readout time per frame"),
        ("FRAMETIM", 2.0, "[s] frame time (INT_TIME + READTIME)"),
        ("NUM_FRM", n_frame, "number of frames per time stamp"),
        ("TIMEDEL", sector["cadence"] / 86400.0, "[d] time resolution of data"),
        ("BACKAPP", False, "background is subtracted"),
        ("DEADAPP", True, "deadtime applied"),
        ("VIGNAPP", True, "vignetting or collimator correction applied"),
    ]
    cards += [(f"GAIN{o}", g, f"[electrons/count] CCD output {o} gain") for o, g in zip(OUTPUTS, GAIN, strict=True)]
    cards += [
        (f"READNOI{o}", r, f"[electrons] read noise output {o}") for o, r in zip(OUTPUTS, READ_NOISE, strict=True)
    ]
    cards += [
        ("NREADOUT", round(0.8 * n_frame), "number of read per cadence"),
        ("FXDOFF", 3355400, "compression fixed offset"),
        (f"TMOFST{camera}{ccd}", 0.5 + 0.02 * (ccd - 1), f"(s) readout delay for camera {camera} and ccd {ccd}"),
    ]
    cards += [(f"MEANBLC{o}", 6400 + 60 * k, f"[count] mean black level output {o}") for k, o in enumerate(OUTPUTS)]
    for k, o in enumerate(OUTPUTS):
        cards += [
            (f"LVCS{o}", 1 + 11 * k, f"serial register col start, output {o}"),
            (f"LVCE{o}", 11 + 11 * k, f"serial register col end (inclusive), output {o}"),
            (f"TVCS{o}", 2093 + 11 * k, f"trailing virtual column start, output {o}"),
            (f"TVCE{o}", 2103 + 11 * k, f"trailing virtual col end (inclusive), output {o}"),
            (f"SCCS{o}", 45 + OUTPUT_WIDTH * k, f"science col start, output {o}"),
            (f"SCCE{o}", 44 + OUTPUT_WIDTH * (k + 1), f"science col end (inclusive), output {o}"),
            (f"SCICOLH{o}", k % 2 == 0, "T science cols are read increasing order"),
        ]
    for name, first, last in (("SCI", 1, 2048), ("V", 2069, 2078), ("SM", 2059, 2068), ("BF", 2049, 2058)):
        cards += [(f"{name}ROWS", first, "row start"), (f"{name}ROWE", last, "row end (inclusive)")]
    return [*cards, ("RADESYS", "ICRS", "reference frame"), ("EQUINOX", 2000.0, "equinox of coordinate system")]


def _closing(frame: Frame, sector: dict[str, Any], window: Window, kind: str) -> list[tuple[str, Any, str]]:
    skip = window.skip
    cards: list[tuple[str, Any, str]] = [
        ("WCSNAMEP", "PHYSICAL", "name of world coordinate system alternate P"),
        ("WCSAXESP", 2, "number of WCS physical axes"),
    ]
    for k, axis in enumerate("XY"):
        what = ("column", "row")[k]
        cards += [
            (f"CTYPE{k + 1}P", f"RAW{axis}", f"physical WCS axis {k + 1} type CCD {what}"),
            (f"CUNIT{k + 1}P", "PIXEL", f"physical WCS axis {k + 1} unit"),
            (f"CRPIX{k + 1}P", 1, f"reference CCD {what}"),
            (f"CRVAL{k + 1}P", 1 + skip[k], f"value at reference CCD {what}"),
            (f"CDELT{k + 1}P", 1.0, f"physical WCS axis {k + 1} step"),
        ]
    return [
        *cards,
        ("RA_NOM", sector["ra"], "[deg] RA of camera boresight"),
        ("DEC_NOM", sector["dec"], "[deg] DEC of camera boresight"),
        ("ROLL_NOM", sector["roll"], "[deg] roll angle of camera"),
        ("DQUALITY", frame.quality, "data quality flags"),
        ("IMAGTYPE", kind, "FFI image type: raw, cal, uncert"),
    ]


def _sum32(data: Any) -> int:
    # Ones-complement sum of big-endian words (FITS standard 4.0, appendix J).
    total = int(np.frombuffer(data, dtype=">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encode(checksum: int) -> str:
    # Sixteen letters and digits whose four interleaved sums are the bytes of the complement (the same appendix).
    value = checksum ^ 0xFFFFFFFF
    out = [0] * 16
    for k in range(4):
        byte = value >> (24 - 8 * k) & 0xFF
        letters = [byte // 4 + 48 + (byte % 4 if j == 0 else 0) for j in range(4)]
        while any(58 <= letter <= 64 or 91 <= letter <= 96 for letter in letters):
            for j in (0, 2):
                if any(58 <= letter <= 64 or 91 <= letter <= 96 for letter in letters[j : j + 2]):
                    letters[j], letters[j + 1] = letters[j] + 1, letters[j + 1] - 1
        for j in range(4):
            out[4 * j + k] = letters[j]
    return bytes(out[-1:] + out[:-1]).decode()


def _unit(header: fits.Header, data: bytes) -> list[bytes]:
    # One HDU: header with checksum, data, padding.
    header.append(("CHECKSUM", "0" * 16, "HDU checksum"))
    padding = b"\0" * (-len(data) % 2880)
    text = header.tostring().encode()
    total = _sum32(text) + _sum32(data)
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return [text.replace(b"'" + b"0" * 16 + b"'", f"'{_encode(total)}'".encode()), data, padding]


def frame_bytes(
    frame: Frame,
    sector: dict[str, Any],
    window: Window,
    wcs: dict[str, Any],
    flux: NDArray[np.float32],
    uncert: NDArray[np.float32],
) -> list[bytes]:
    """Return a calibrated full-frame image, or a window of one, as the parts of a FITS file.

    Parameters
    ----------
    frame : Frame
        What is special to this frame.
    sector : dict
        ``camera, ccd, cadence (s), release, scid, ra, dec, roll``.
    window : Window
        Which pixels.
    wcs : dict
        Cards from `make_wcs` or `moved`, in pixels of the full frame.
    flux, uncert : float32 array, shape ``window.shape``
        e-/s.

    Returns
    -------
    list of bytes
        To be written one after the other.
    """
    head = [("SIMPLE", True, "conforms to FITS standards"), ("BITPIX", 8, "array data type")]
    head += [("NAXIS", 0, "number of array dimensions"), ("EXTEND", True, "file contains extensions")]
    parts = _unit(fits.Header([*head, *_primary(frame, sector)]), b"")
    wcs = wcs | {"CRPIX1": wcs["CRPIX1"] - window.skip[0], "CRPIX2": wcs["CRPIX2"] - window.skip[1]}
    for kind, plane in (("cal", flux), ("uncert", uncert)):
        cards: list[tuple[str, Any, str]] = [
            ("XTENSION", "IMAGE", "Image extension"),
            ("BITPIX", -32, "array data type"),
            ("NAXIS", 2, "number of array dimensions"),
            ("NAXIS1", plane.shape[1], ""),
            ("NAXIS2", plane.shape[0], ""),
            ("PCOUNT", 0, "number of parameters"),
            ("GCOUNT", 1, "number of groups"),
            *_extension(frame, sector, kind),
            *((name, value, "") for name, value in wcs.items()),
            *_closing(frame, sector, window, kind),
        ]
        parts += _unit(fits.Header(cards), plane.astype(">f4").tobytes())
    return parts
