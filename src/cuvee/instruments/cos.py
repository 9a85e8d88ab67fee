"""COS photon lists (corrtag and rawtag) and extracted spectra (x1d).

References
----------
COS Data Handbook, sections 2.4 and 3.4 (file contents, quality bits, calibration steps); COS Instrument Handbook, chapter 5 (time-tag).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cuvee.events.gti import common_gti
from cuvee.events.trace import box_trace, spectrum_trace
from cuvee.instruments.events_fits import Tables, event_chunks, event_table, good_times, read_tables
from cuvee.instruments.fits_bytes import Cards, bad
from cuvee.instruments.photon_files import SETTING, check_maker, check_rates, is_of, no_pixels, photon_info
from cuvee.model.instrument import Instrument, PhotonReader
from cuvee.model.photons import FIELDS, Boxes, Exposure, Spectrum, Timeline, Trace
from cuvee.model.records import FileInfo

__all__ = ["COS", "SERIOUS", "chunks", "parts", "read_exposure", "read_spectra", "scan", "stripes", "traces"]

SERIOUS = 64 | 512 | 2048
"""Burst, pulse height, bad time: bits that calcos leaves events out for, and that SDQFLAGS lacks."""

ROUNDED = 2.0
"""Seconds by which good time may reach beyond the start and the end that the header has."""

RAW_SHIFT = 8.0
"""Rows by which raw and corrected places may differ once the walk is out."""

PHOTONS, ANY = (2.0, 23.0), (-np.inf, np.inf)
"""Pulse heights that calcos has taken for a photon's since December 2012, where no file of the exposure says; and where there are none."""

WALK, STIM_PULSE = 0.4697, 19.0
"""Rows that an event of the FUV lies too high per unit of its pulse height, and the height of stims, which heat and distortion are measured by.

The first is YCORR - RAWY in the mission's list ld9m10ujq_corrtag_a (2017), which a straight line in PHA meets within its noise on all of
segment A (tests/events/test_walk.py); calcos takes it out with a reference file (YWLKFILE), which raw lists come without.
"""

_CORRTAG = {
    "time": "TIME", "x": "XFULL", "y": "YFULL", "weight": "EPSILON", "quality": "DQ", "pulse_height": "PHA",
}  # fmt: skip
_RAWTAG = {"time": "TIME", "x": "RAWX", "y": "RAWY", "pulse_height": "PHA"}
_COLUMNS = {"FUV": 16384, "NUV": 1274}
"""Of an image and a spectrum; the NUV's are wider than the detector, for spectra are shifted."""
_DETECTOR = {"FUV": 16384, "NUV": 1024}


def read_exposure(path: str) -> tuple[Exposure, int]:
    """Read the headers and small tables of a photon list.

    Parameters
    ----------
    path : str
        A corrtag or rawtag file, plain or gzip.

    Returns
    -------
    Exposure, int
        And where its rows begin.

    Raises
    ------
    BadData
        With a reason.
    """
    tables = read_tables(path)
    primary = tables.headers[0]
    check_maker(primary, "COS")
    if tables.events < 0:
        what = primary.text("IMAGETYP", primary.text("OBSMODE", "another kind"))
        raise bad(path, f"holds no events ({what}); only TIME-TAG exposures do", "not-time-tag")
    cards = tables.headers[tables.events]
    raw = "EPSILON" not in {cards.text(f"TTYPE{k}", "") for k in range(1, cards.within("TFIELDS", 1, 999) + 1)}
    part = primary.text("SEGMENT", "") if primary.text("DETECTOR") == "FUV" else ""
    setting = tuple(primary.text(key, "") for key in SETTING)
    seconds = cards.real(f"EXPTIME{part[-1:]}", cards.real("EXPTIME", 0.0))
    kept = {
        "proposal": primary.whole("PROPOSID", 0), "flag": cards.text("EXPFLAG", ""), "raw": raw, "kind": "rawtag" if raw else "corrtag",
        "sdqflags": cards.whole("SDQFLAGS", 0), "boxes": _boxes(cards, primary.text("DETECTOR"), part), "pulse": _pulse(cards, part[-1:]) or (PHOTONS if raw and part else ANY),
        "fppos": primary.text("FPPOS", ""), "description": primary.text("TARDESCR", ""), "end": cards.real("EXPEND", 0.0),
        "optical": primary.text("OBSTYPE", ""), "walk": WALK if raw and part else 0.0, **{f"seconds{letter}": cards.real(f"EXPTIME{letter}", seconds) for letter in "AB"},
    }  # fmt: skip
    table = event_table(cards, _RAWTAG if raw else _CORRTAG)
    table.scale[FIELDS.index("x"), 1] += cards.whole("X_OFFSET", 0)  # columns of a spectrum: calcos, ccos.c, binevents
    if raw and part:
        table.scale[FIELDS.index("y"), 1] += WALK * STIM_PULSE
        table = replace(table, walk=WALK)
    mjd = cards.real("EXPSTART")
    span = max(seconds, 86400.0 * (cards.real("EXPEND", mjd) - mjd))
    exposure = Exposure(
        path, primary.text("ROOTNAME").lower(), part, primary.text("TARGNAME", ""), primary.real("RA_TARG"), primary.real("DEC_TARG"), setting,
        mjd, "utc", False, seconds, _gti(tables, path, span), table, kept,
        _timeline(tables),
    )  # fmt: skip
    return exposure, tables.start


def chunks(exposure: Exposure, start: int) -> Iterator[NDArray[np.uint8]]:
    """Read the events of an exposure, some megabytes at a time; see `cuvee.instruments.events_fits.event_chunks`."""
    return event_chunks(exposure.path, start, exposure.table)


def _gti(tables: Tables, path: str, span: float) -> NDArray[np.float64]:
    """Return the good time of the newest table of it: later steps of the calibration append theirs."""
    gti = good_times(tables, path, sorted(key for key in tables.rows if key[0] == "GTI")[-1:])
    gti = common_gti([gti, np.array([[-ROUNDED, span + ROUNDED]])])
    if not gti.size:
        raise bad(path, f"has no good time (GTI) within the {span:g} s of its exposure", "no-gti")
    return gti


def _boxes(cards: Cards, detector: str, part: str) -> dict[str, Boxes]:
    """Return source and background boxes by segment or stripe.

    The header has the source's row in the middle of the image, and those of the background in the middle of the detector, which the image of the
    NUV surrounds (calcos, extract.py, updateExtractionKeywords).
    """
    found, n_col = {}, _COLUMNS.get(detector, 16384)
    middle = cards.whole("X_OFFSET", 0) + _DETECTOR.get(detector, 16384) / 2.0
    for letter in part[-1:] or "ABC":
        if f"SP_LOC_{letter}" not in cards:
            continue
        slope = cards.real(f"SP_SLP_{letter}", 0.0)
        behind = tuple(
            (cards.real(f"B_BKG{k}_{letter}") - slope * middle, cards.real(f"B_HGT{k}_{letter}"))
            for k in (1, 2)
            if f"B_BKG{k}_{letter}" in cards
        )
        source = cards.real(f"SP_LOC_{letter}"), cards.real(f"SP_HGT_{letter}", 0.0)
        if source[0] > 0.0 and source[1] > 0.0:
            found[f"{detector}{letter}"] = Boxes(n_col, (source[0] - slope * (n_col // 2), source[1]), behind, slope)
    return found


def _pulse(cards: Cards, letter: str) -> tuple[float, float] | None:
    """Return the pulse heights of photons on a segment; headers of raw lists hold -1, and the NUV has none."""
    low, high = cards.real(f"PHALOWR{letter}", -1.0), cards.real(f"PHAUPPR{letter}", -1.0)
    return (low, high) if 0.0 <= low < high else None


def _timeline(tables: Tables) -> Timeline | None:
    rows = tables.rows.get(("TIMELINE", 1))
    names = ("TIME", "LONGITUDE", "LATITUDE", "SUN_ALT")
    if rows is None or rows.size < 2 or not set(names) <= set(rows.dtype.names or ()):
        return None
    return Timeline(*(rows[name].astype(np.float64) for name in names))


def stripes(exposure: Exposure) -> dict[str, Boxes]:
    """Return the boxes of an exposure by segment or stripe."""
    boxes: dict[str, Boxes] = exposure.cards["boxes"]
    return boxes


def read_spectra(path: str) -> tuple[str, dict[str, Spectrum]]:
    """Read an x1d file.

    Parameters
    ----------
    path : str
        The file, plain or gzip.

    Returns
    -------
    str, dict of str to Spectrum
        The exposure's name, and its spectra by segment or stripe.

    Raises
    ------
    BadData
        With a reason.
    """
    tables = read_tables(path, events="", small=("SCI",))
    primary = tables.headers[0]
    rows = tables.rows.get(("SCI", 1))
    if rows is None:
        raise bad(path, "has no table of spectra (SCI)", "wrong-shape")
    needed = {"SEGMENT", "EXPTIME", "WAVELENGTH", "FLUX", "NET", "BACKGROUND", "GCOUNTS"}
    if not needed <= set(rows.dtype.names or ()):
        raise bad(
            path,
            f"has spectra without the columns {', '.join(sorted(needed - set(rows.dtype.names or ())))}",
            "wrong-shape",
        )
    spectra = {}
    for row in rows:
        name = row["SEGMENT"].decode("latin-1").strip()
        n = row["NET"].size

        def column(key: str, default: float = 0.0, row: np.void = row, n: int = n) -> NDArray[np.float64]:
            there = key in (row.dtype.names or ())
            return row[key].astype(np.float64) if there else np.full(n, default)

        spectra[name] = Spectrum(
            name, float(row["EXPTIME"]), column("WAVELENGTH"), column("FLUX"), column("NET"), column("BACKGROUND"), column("ACTUAL_EE", 1.0),
            column("Y_LOWER_OUTER"), column("Y_UPPER_OUTER"), column("GCOUNTS"), np.zeros((0, 2, n)), _pulse(tables.cards["SCI", 1], name.removeprefix("FUV")),
        )  # fmt: skip
    check_rates(path, spectra.values())
    return primary.text("ROOTNAME").lower(), spectra


def scan(path: str) -> FileInfo:
    """Read the headers of a COS file: a photon list, or an extracted spectrum.

    Parameters
    ----------
    path : str
        A corrtag, rawtag or x1d file, plain or gzip.

    Raises
    ------
    BadData
        With a reason, whatever the bytes are.
    """
    name = path.rpartition("/")[2].removesuffix(".gz")
    if name.endswith("_x1d.fits"):
        cards = read_tables(path, events="", small=()).headers[0]
        check_maker(cards, "COS")
        setting = tuple(cards.text(key, "") for key in SETTING)
        return photon_info(path, "cos", cards.text("ROOTNAME").lower(), "spectrum", cards.text("TARGNAME", ""), setting)
    exposure, _ = read_exposure(path)
    return photon_info(path, "cos", exposure.rootname, "events", exposure.target, exposure.setting, exposure)


def traces(exposure: Exposure, spectra: Mapping[str, Spectrum]) -> list[Trace]:
    """Return the regions of a photon list: from its spectra, as far as they are of this exposure, else from its header's boxes."""
    found = []
    raw = bool(exposure.cards["raw"])
    for name, boxes in (stripes(exposure) or _boxes_of_raw(exposure, spectra)).items():
        spectrum = spectra.get(name)
        if spectrum is not None and not raw and is_of(spectrum, exposure):
            found.append(spectrum_trace(spectrum, boxes))
        else:
            found.append(
                replace(box_trace(name, boxes), pulse=spectrum.pulse if raw and spectrum is not None else None)
            )
    return found


def _boxes_of_raw(exposure: Exposure, spectra: Mapping[str, Spectrum]) -> dict[str, Boxes]:
    """Return boxes of a raw list, whose header has none yet: around the rows of its spectrum, else all of the detector.

    Raw rows lie up to some pixels off the corrected ones, by which the box is higher.
    """
    found = {}
    n_col = _COLUMNS.get(exposure.setting[1], 16384)
    for name in [exposure.part] if exposure.part else sorted(spectra) or [exposure.setting[1]]:
        spectrum = spectra.get(name)
        there = spectrum is not None and (spectrum.high > spectrum.low).any()
        if spectrum is None or not there:
            found[name] = Boxes(n_col, (511.5, 1024.0), ())
            continue
        used = spectrum.high > spectrum.low
        low, high = float(np.median(spectrum.low[used])), float(np.median(spectrum.high[used]))
        middle, height = 0.5 * (low + high), high - low + 1.0 + 2.0 * RAW_SHIFT
        away = height + 2.0 * RAW_SHIFT
        # Above lies the lamp that flashes for the wavelengths.
        found[name] = Boxes(n_col, (middle, height), ((middle - away, height),))
    return found


def parts(exposure: Exposure) -> int:
    """Return how many photon lists an exposure has: the FUV two, but where only one of its segments was switched on; the NUV one."""
    on = [letter for letter in "AB" if exposure.cards[f"seconds{letter}"] > 0.0]
    return max(1, len(on)) if exposure.part else 1


COS = Instrument(
    name="cos",
    title="HST COS",
    zero_point=float("nan"),
    fwhm=float("nan"),
    patterns=tuple(
        f"*_{kind}.fits{end}"
        for kind in ("corrtag", "corrtag_a", "corrtag_b", "rawtag", "rawtag_a", "rawtag_b", "x1d")
        for end in ("", ".gz")
    ),
    quality=(),
    scan=scan,
    read=no_pixels,
    naif_id=-48,
    photons=PhotonReader(read_exposure, chunks, read_spectra, traces, parts, SERIOUS, 1024),
)
