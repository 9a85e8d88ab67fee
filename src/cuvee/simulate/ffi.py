"""A TESS full-frame image as bytes: headers, pixels, checksum.

Facts: TESS Science Data Products Description Document, EXP-TESS-ARC-ICD-0014, section 4.2 (full-frame images), and
the header of a real file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

__all__ = [
    "COLUMNS",
    "FIRST_COL",
    "GAIN",
    "INT_TIME",
    "OUTPUT_WIDTH",
    "READ_NOISE",
    "REFERENCE_PIXEL",
    "ROWS",
    "SCIENCE",
    "Frame",
    "Window",
    "date_of",
    "frame_bytes",
]

SCIENCE, ROWS, COLUMNS, FIRST_COL, OUTPUT_WIDTH = 2048, 2078, 2136, 44, 512
"""Science pixels each way; rows and columns of the file; its first science column (from 0); columns of an output."""
REFERENCE_PIXEL = (1068.0, 1024.0)
"""BTC_PIX1, BTC_PIX2: where the barycentric times hold, in pixels of the full frame counted from 1."""
GAIN = (5.24, 5.17, 5.29, 5.21)
READ_NOISE = (9.4, 7.9, 8.3, 9.8)
INT_TIME = 1.98
"""Seconds of light in one read."""
OUTPUTS = "ABCD"
TDB_MINUS_UTC = 69.184
"""Seconds, since 2017: 37 leap seconds and 32.184 s."""


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
        ("INT_TIME", INT_TIME, "[s] photon accumulation time per frame"),
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


@lru_cache(maxsize=2048, typed=True)
def _card(name: str, value: Any, comment: str) -> str:
    # Kept, since most cards are the same in every frame, and making them costs more than drawing a small frame.
    return str(fits.Card(name, value, comment))


def _unit(cards: list[tuple[str, Any, str]], data: bytes) -> list[bytes]:
    # One HDU: header with checksum, data, padding.
    text = "".join(_card(*card) for card in [*cards, ("CHECKSUM", "0" * 16, "HDU checksum")]) + "END"
    header = text.ljust(-(-len(text) // 2880) * 2880).encode()
    total = _sum32(header) + _sum32(data)
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    header = header.replace(b"'" + b"0" * 16 + b"'", f"'{_encode(total)}'".encode())
    return [header, data, b"\0" * (-len(data) % 2880)]


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
        Cards from `cuvee.simulate.pointing`, in pixels of the full frame.
    flux, uncert : float32 array, shape ``window.shape``
        e-/s.

    Returns
    -------
    list of bytes
        To be written one after the other.
    """
    head: list[tuple[str, Any, str]] = [
        ("SIMPLE", True, "conforms to FITS standards"),
        ("BITPIX", 8, "array data type"),
    ]
    head += [("NAXIS", 0, "number of array dimensions"), ("EXTEND", True, "file contains extensions")]
    parts = _unit([*head, *_primary(frame, sector)], b"")
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
        parts += _unit(cards, plane.astype(">f4").tobytes())
    return parts
