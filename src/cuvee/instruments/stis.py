"""STIS photon lists (tag) and extracted spectra (x1d).

Events are counted on pixels half as wide and half as high as those of the spectra: a pixel of a spectrum is a square of four of theirs.

References
----------
STIS Data Handbook, sections 2.3 (x1d), 2.4 (quality bits) and 5.6 (time-tag); calstis1 (DARKCORR is done before spectra are
extracted); STIS Instrument Handbook, chapter 11 (time-tag, echelle orders).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cuvee.events.trace import box_trace, spectrum_trace
from cuvee.instruments.events_fits import event_chunks, event_table, good_times, read_tables
from cuvee.instruments.fits_bytes import bad
from cuvee.instruments.photon_files import SETTING, check_maker, check_rates, is_of, no_pixels, photon_info
from cuvee.model.instrument import Instrument, PhotonReader
from cuvee.model.photons import Boxes, Exposure, Spectrum, Trace
from cuvee.model.records import FileInfo

__all__ = ["STIS", "chunks", "parts", "read_exposure", "read_spectra", "scan", "traces"]

N_COL = 2048
"""Columns and rows of the events."""

_COLUMNS = {"time": "TIME", "x": "AXIS1", "y": "AXIS2"}
_SPECTRUM = {
    "SPORDER", "NELEM", "WAVELENGTH", "FLUX", "NET", "EXTRLOCY", "EXTRSIZE", "BK1SIZE", "BK2SIZE", "BK1OFFST", "BK2OFFST",
}  # fmt: skip


def read_exposure(path: str) -> tuple[Exposure, int]:
    """Read the headers and small tables of a photon list.

    Parameters
    ----------
    path : str
        A tag file, plain or gzip. One with repeated exposures has a table of events for each.

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
    check_maker(primary, "STIS")
    if tables.events < 0:
        what = primary.text("OBSMODE", "another kind")
        raise bad(path, f"holds no events ({what}); only TIME-TAG exposures do", "not-time-tag")
    places = [(tables.events, tables.start), *tables.more]
    cards = tables.headers[tables.events]
    layouts = [event_table(tables.headers[at], _COLUMNS) for at, _ in places]
    first = layouts[0]
    if any(
        not (np.array_equal(one.fields, first.fields) and np.array_equal(one.scale, first.scale)) for one in layouts
    ):
        raise bad(path, "has tables of events that differ in their columns", "wrong-shape")
    # Pixels are numbered from 1 in the file, from 0 here.
    scale = first.scale.copy()
    scale[1:3, 1] -= 1.0
    flags = {tables.headers[at].text("EXPFLAG", "") for at, _ in places} - {"NORMAL", ""}
    kept = {
        "proposal": primary.whole("PROPOSID", 0), "flag": min(flags, default="NORMAL"), "kind": "tag", "end": cards.real("EXPEND", 0.0),
        "description": primary.text("TARDESCR", ""), "optical": primary.text("OBSTYPE", ""), "repeats": len(places),
        "lists": tuple((start, layout.n_row) for (_, start), layout in zip(places, layouts, strict=True)),
    }  # fmt: skip
    versions = sorted(key for key in tables.rows if key[0] == "GTI")
    gti = good_times(tables, path, versions if len(places) > 1 else versions[-1:])
    seconds = sum(tables.headers[at].real("EXPTIME", 0.0) for at, _ in places)
    # Times count from the start of the first exposure in the file.
    mjd = primary.real("TEXPSTRT", cards.real("EXPSTART", 0.0)) or cards.real("EXPSTART")
    exposure = Exposure(
        path, primary.text("ROOTNAME").lower(), "", primary.text("TARGNAME", ""), primary.real("RA_TARG"), primary.real("DEC_TARG"),
        tuple(primary.text(key, "") for key in SETTING), mjd, "utc", False, seconds, gti,
        replace(first, n_row=sum(one.n_row for one in layouts), scale=scale), kept,
    )  # fmt: skip
    return exposure, tables.start


def chunks(exposure: Exposure, start: int) -> Iterator[NDArray[np.uint8]]:  # noqa: ARG001
    """Read the events of an exposure, some megabytes at a time; see `cuvee.instruments.events_fits.event_chunks`."""
    for begin, n_row in exposure.cards["lists"]:
        yield from event_chunks(exposure.path, begin, replace(exposure.table, n_row=n_row))


def read_spectra(path: str) -> tuple[str, dict[str, Spectrum]]:
    """Read an x1d file, as the pixels of the events have it.

    Parameters
    ----------
    path : str
        The file, plain or gzip.

    Returns
    -------
    str, dict of str to Spectrum
        The exposure's name, and its spectra by order (``ORDER1``); of repeated exposures their mean, in the rows of the first.

    Raises
    ------
    BadData
        With a reason.
    """
    tables = read_tables(path, events="", small=("SCI",))
    primary = tables.headers[0]
    check_maker(primary, "STIS")
    if not tables.rows:
        raise bad(path, "has no table of spectra (SCI)", "wrong-shape")
    repeats: dict[str, list[Spectrum]] = {}
    for key in sorted(tables.rows):
        rows, seconds = tables.rows[key], tables.cards[key].real("EXPTIME")
        missing = _SPECTRUM - set(rows.dtype.names or ())
        if missing:
            raise bad(path, f"has spectra without the columns {', '.join(sorted(missing))}", "wrong-shape")
        for row in rows:
            if N_COL % max(row["NET"].size, 1) or row["WAVELENGTH"].size != row["NET"].size:
                raise bad(path, f"has spectra of {row['NET'].size} columns, not of 1024 or 2048", "wrong-shape")
            heights = np.array([row[name] for name in ("EXTRSIZE", "BK1SIZE", "BK2SIZE")], np.float64)
            if not (heights[0] > 0.0 and ((heights >= 0.0) & (heights <= N_COL)).all()):
                raise bad(
                    path,
                    f"has a region that is {heights.tolist()} pixels high in order {row['SPORDER']}",
                    "wrong-shape",
                )
            spectrum = _spectrum(row, seconds)
            repeats.setdefault(spectrum.name, []).append(spectrum)
    spectra = {name: _mean(several) for name, several in repeats.items()}
    check_rates(path, spectra.values())
    return primary.text("ROOTNAME").lower(), spectra


def _spectrum(row: np.void, seconds: float) -> Spectrum:
    """Return one order on the events' columns, with the rows of its regions.

    Its background is left to the list's own events: what the mission calls so lacks the dark, which it takes off the image before.
    """
    n = row["NET"].size
    factor = N_COL // n
    column = (np.arange(N_COL) - 0.5 * (factor - 1)) / factor  # of the spectrum, from 0

    def finer(name: str) -> NDArray[np.float64]:
        values = row[name].astype(np.float64)
        at = np.clip(np.floor(column).astype(np.int64), 0, n - 2)
        return np.asarray(values[at] + (column - at) * (values[at + 1] - values[at]))

    def repeated(name: str) -> NDArray[np.float64]:
        return np.repeat(row[name].astype(np.float64), factor)

    def rows_of(middle: NDArray[np.float64], height: float) -> NDArray[np.float64]:
        # The middle of pixel p of a spectrum, counted from 1, is the edge between two of the events' rows.
        n_row = round(factor * height)
        low = np.rint(factor * (middle - 0.5) - 0.5 - 0.5 * (n_row - 1))
        return np.stack([low, low + n_row - 1])

    middle = finer("EXTRLOCY")
    low, high = rows_of(middle, float(row["EXTRSIZE"]))
    behind = [
        rows_of(middle + float(row[f"BK{k}OFFST"]), float(row[f"BK{k}SIZE"])) for k in (1, 2) if row[f"BK{k}SIZE"] > 0.0
    ]
    return Spectrum(
        f"ORDER{int(row['SPORDER'])}", seconds, finer("WAVELENGTH"), repeated("FLUX"), repeated("NET") / factor,
        np.full(N_COL, np.nan), np.ones(N_COL), low, high, np.full(N_COL, np.nan),
        np.stack(behind) if behind else np.zeros((0, 2, N_COL)),
    )  # fmt: skip


def _mean(several: list[Spectrum]) -> Spectrum:
    """Return the mean of repeated exposures, each weighted by its time."""
    seconds = np.array([one.seconds for one in several])
    if len(several) == 1 or seconds.sum() <= 0.0:
        return several[0]

    def mean(name: str) -> NDArray[np.float64]:
        return np.asarray(np.average([getattr(one, name) for one in several], axis=0, weights=seconds))

    return replace(several[0], seconds=float(seconds.sum()), flux=mean("flux"), net=mean("net"))


def scan(path: str) -> FileInfo:
    """Read the headers of a STIS file: a photon list, or an extracted spectrum.

    Parameters
    ----------
    path : str
        A tag or x1d file, plain or gzip.

    Raises
    ------
    BadData
        With a reason, whatever the bytes are.
    """
    name = path.rpartition("/")[2].removesuffix(".gz")
    if name.endswith("_x1d.fits"):
        cards = read_tables(path, events="", small=()).headers[0]
        check_maker(cards, "STIS")
        setting = tuple(cards.text(key, "") for key in SETTING)
        return photon_info(
            path, "stis", cards.text("ROOTNAME").lower(), "spectrum", cards.text("TARGNAME", ""), setting
        )
    exposure, _ = read_exposure(path)
    return photon_info(path, "stis", exposure.rootname, "events", exposure.target, exposure.setting, exposure)


def traces(exposure: Exposure, spectra: Mapping[str, Spectrum]) -> list[Trace]:
    """Return the regions of a photon list: an order each, or the whole detector where there is no spectrum of this exposure."""
    found = [spectrum_trace(one, None) for one in spectra.values() if is_of(one, exposure)]
    if not found:
        return [box_trace("ALL", Boxes(N_COL, (0.5 * N_COL, N_COL), ()))]
    return _once(found)


def _once(orders: list[Trace]) -> list[Trace]:
    """Return the orders in order of wavelength, each cut in the middle of what it shares with its neighbours.

    So each wavelength is measured once. Near its ends an order is faint.
    """
    orders = sorted((one for one in orders if (one.wavelength > 0.0).any()), key=_middle)
    limits = [(0.0, np.inf) for _ in orders]
    for k in range(len(orders) - 1):
        end, begin = (
            float(orders[k].wavelength.max()),
            float(orders[k + 1].wavelength[orders[k + 1].wavelength > 0.0].min()),
        )
        if begin < end:
            limits[k], limits[k + 1] = (limits[k][0], 0.5 * (begin + end)), (0.5 * (begin + end), np.inf)
    return [
        replace(one, wavelength=np.where((one.wavelength >= low) & (one.wavelength < high), one.wavelength, 0.0))
        for one, (low, high) in zip(orders, limits, strict=True)
    ]


def _middle(one: Trace) -> float:
    return float(np.median(one.wavelength[one.wavelength > 0.0]))


def parts(exposure: Exposure) -> int:  # noqa: ARG001
    """Return how many photon lists an exposure has: one."""
    return 1


STIS = Instrument(
    name="stis",
    title="HST STIS",
    zero_point=float("nan"),
    fwhm=float("nan"),
    patterns=tuple(f"*_{kind}.fits{end}" for kind in ("tag", "x1d") for end in ("", ".gz")),
    quality=(),
    scan=scan,
    read=no_pixels,
    naif_id=-48,
    photons=PhotonReader(read_exposure, chunks, read_spectra, traces, parts, 0, N_COL),
)
