"""Event lists of X-ray missions, as their teams and observers filter them: a time for each photon, and good time intervals.

All events count: who wants a region or a range of energies selects it before, with the mission's tools. There is no background and no
calibration, so light curves are rates.

References
----------
OGIP 93-003 (times and their reference), OGIP 92-007 (event lists); Rots et al. 2015, A&A 574, A36 (times in FITS).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cuvee.events.clock import LOW_ORBIT
from cuvee.events.trace import box_trace
from cuvee.instruments.events_fits import Tables, event_chunks, event_table, good_times, number_columns, read_tables
from cuvee.instruments.fits_bytes import Cards, bad
from cuvee.instruments.photon_files import no_pixels, photon_info
from cuvee.model.instrument import Instrument, PhotonReader
from cuvee.model.photons import Boxes, Exposure, Spectrum, Trace
from cuvee.model.records import FileInfo

__all__ = ["EVENTS", "chunks", "parts", "read_exposure", "read_spectra", "scan", "traces"]

GOOD_TIMES = ("GTI", "STDGTI")
"""Names of tables of good times, before a number: some missions have one for each chip."""

PULSE_HEIGHTS = ("PI", "PHA", "ENERGY")
SCALES = {"TT": "tt", "TDT": "tt", "TDB": "tdb", "UTC": "utc", "TAI": "tai"}
DAY = 86400.0

PLACES = ("", "LOCAL", "SATELLITE", "TOPOCENTER", "GEOCENTRIC", "SOLARSYSTEM")

REACH = {"CHANDRA": 1.46e8, "XMM": 1.21e8, "INTEGRAL": 1.60e8, "EXOSAT": 1.98e8, "EROSITA": 1.9e9, "SRG": 1.9e9}
"""How far missions that are in no low orbit get from the Earth's centre (m)."""

_ENDS = (".gz", ".fits", ".fit", ".evt")


def read_exposure(path: str) -> tuple[Exposure, int]:
    """Read the headers and good times of an event list.

    Parameters
    ----------
    path : str
        The file, plain or gzip.

    Returns
    -------
    Exposure, int
        Its times count from the whole second in which its good time begins; and where its rows begin.

    Raises
    ------
    BadData
        With a reason: without good times nobody knows for how long there was no event, so ``no-gti`` is one.
    """
    tables = read_tables(path, small=tuple(f"{name}*" for name in GOOD_TIMES))
    if tables.events < 0:
        raise bad(path, "holds no table named EVENTS", "no-events")
    if tables.more:
        raise bad(path, f"holds {len(tables.more) + 1} tables named EVENTS; one file is one list", "wrong-shape")
    cards, primary = tables.headers[tables.events], tables.headers[0]
    there = number_columns(cards)
    pulse = next((name for name in PULSE_HEIGHTS if name in there), "")
    table = event_table(cards, {"time": "TIME", "pulse_height": pulse} if pulse else {"time": "TIME"})
    if _said(cards, primary, "TIMEUNIT", "s").lower() not in ("s", "sec", "second", "seconds"):
        raise bad(path, f"counts time in {_said(cards, primary, 'TIMEUNIT')}, not in seconds", "header")
    scale, barycentred, reach = _clock(cards, primary)
    offset = _number(cards, primary, "TIMEZERO", 0.0)
    gti = _good_times(tables, path, offset)
    zero = math.floor(gti[0, 0])
    # Times of a mission's clock are some 1e8 s: near zero they lose nothing, and the day is that of the observation.
    factors = table.scale.copy()
    factors[0, 1] -= zero
    words = tuple(_said(cards, primary, key, "") for key in ("TELESCOP", "INSTRUME", "FILTER", "DATAMODE"))
    kept = {
        "kind": "events", "pulse_height": pulse, "observation": _said(cards, primary, "OBS_ID", ""), "reach": reach,
    }  # fmt: skip
    exposure = Exposure(
        path, _stem(path), "", _said(cards, primary, "OBJECT", ""), *_direction(cards, primary), words,
        _reference_day(cards, primary) + (offset + zero) / DAY, scale, barycentred,
        _number(cards, primary, "EXPOSURE", float(np.diff(gti).sum())), gti - zero, replace(table, scale=factors), kept,
    )  # fmt: skip
    return exposure, tables.start


def _header(cards: Cards, primary: Cards, key: str) -> Cards:
    """Return the header that has a card: that of the table comes first."""
    return cards if key in cards or key not in primary else primary


def _said(cards: Cards, primary: Cards, key: str, default: str | None = None) -> str:
    return _header(cards, primary, key).text(key, default)


def _number(cards: Cards, primary: Cards, key: str, default: float | None = None) -> float:
    return _header(cards, primary, key).real(key, default)


def _clock(cards: Cards, primary: Cards) -> tuple[str, bool, float]:
    """Return the time scale, whether times are those at the barycentre, and how far the observatory gets from where they are taken (m)."""
    system, where = (
        _said(cards, primary, key, default).upper() for key, default in (("TIMESYS", "TT"), ("TIMEREF", ""))
    )
    if system not in SCALES:
        raise bad(cards.path, f"has times in a system that is not known (TIMESYS is {system!r})", "header")
    if where not in PLACES:
        raise bad(cards.path, f"has times at a place that is not known (TIMEREF is {where!r})", "header")
    # Some missions count in TDB on board: only where no place is said does TDB mean the barycentre.
    barycentred = where == "SOLARSYSTEM" or (system == "TDB" and not where)
    if where == "GEOCENTRIC":
        return SCALES[system], False, 0.0
    return SCALES[system], barycentred, REACH.get(_said(cards, primary, "TELESCOP", "").upper(), LOW_ORBIT)


def _reference_day(cards: Cards, primary: Cards) -> float:
    """Return the day from which the mission's clock counts (MJD)."""
    if "MJDREFI" in cards or "MJDREFI" in primary:
        return _number(cards, primary, "MJDREFI") + _number(cards, primary, "MJDREFF", 0.0)
    return _number(cards, primary, "MJDREF")


def _direction(cards: Cards, primary: Cards) -> tuple[float, float]:
    """Return where the target is, else where the telescope looked (deg)."""
    for kind in ("OBJ", "NOM", "PNT"):
        if all(f"{axis}_{kind}" in cards or f"{axis}_{kind}" in primary for axis in ("RA", "DEC")):
            return _number(cards, primary, f"RA_{kind}"), _number(cards, primary, f"DEC_{kind}")
    return primary.real("RA_OBJ"), primary.real("DEC_OBJ")


def _good_times(tables: Tables, path: str, offset: float) -> NDArray[np.float64]:
    """Return the good times, in the events' zero: those of the best name, of several tables what any calls good."""
    for name in GOOD_TIMES:
        keys = sorted(key for key in tables.rows if re.fullmatch(rf"{name}\d*", key[0]))
        if keys:
            gti = good_times(tables, path, keys)
            return gti + (tables.cards[keys[0]].real("TIMEZERO", offset) - offset)
    return good_times(tables, path, [])


def _stem(path: str) -> str:
    """Return what a file is called without its endings, fit for names of files."""
    name = path.rpartition("/")[2].lower()
    while name.endswith(_ENDS):
        name = name.rpartition(".")[0]
    return _word(name) or "events"


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9_.+]+", "-", text.lower()).strip(".-")


def chunks(exposure: Exposure, start: int) -> Iterator[NDArray[np.uint8]]:
    """Read the events, some megabytes at a time; see `cuvee.instruments.events_fits.event_chunks`."""
    return event_chunks(exposure.path, start, exposure.table)


def scan(path: str) -> FileInfo:
    """Read the headers of an event list.

    Parameters
    ----------
    path : str
        The file, plain or gzip.

    Raises
    ------
    BadData
        With a reason, whatever the bytes are.
    """
    exposure, _ = read_exposure(path)
    telescope, *rest = exposure.setting
    detector = _word(rest[0]) or _word(telescope)
    info = photon_info(
        path, "events", exposure.rootname, "events", exposure.target, (telescope, detector, *rest[1:]), exposure
    )
    # A list's own name need not be unique, its observation's mostly is.
    return replace(info, segment=_word(exposure.cards["observation"]) or exposure.rootname)


def read_spectra(path: str) -> tuple[str, Mapping[str, Spectrum]]:
    """Raise `BadData`: no file here is a spectrum."""
    raise bad(path, "is no list of events", "wrong-shape")


def traces(exposure: Exposure, spectra: Mapping[str, Spectrum]) -> list[Trace]:  # noqa: ARG001
    """Return the one place where all events lie."""
    return [box_trace("ALL", Boxes(1, (0.0, 1.0), ()))]


def parts(exposure: Exposure) -> int:  # noqa: ARG001
    """Return how many lists an observation has: one."""
    return 1


EVENTS = Instrument(
    name="events",
    title="Event lists",
    zero_point=float("nan"),
    fwhm=float("nan"),
    patterns=tuple(
        f"*{end}{gz}"
        for end in (".evt", "_evt.fits", "_evt.fit", "evt2.fits", "evli.fits", "evli.fit")
        for gz in ("", ".gz")
    ),
    quality=(),
    scan=scan,
    read=no_pixels,
    photons=PhotonReader(read_exposure, chunks, read_spectra, traces, parts, 0, 1),
)
