"""The source's events behind a light curve as an event list in FITS, for stingray, HENDRICS and other programs of X-ray astronomy.

References
----------
FITS Standard 4.0 (IAU FITS Working Group, 2018), section 9; OGIP 93-003 (time keywords, GTI extension).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cuvee import __version__
from cuvee.errors import BadData, ConfigError
from cuvee.events.clock import barycentric
from cuvee.events.kept import KeptEvents, kept_events
from cuvee.events.params import EventParams
from cuvee.events.screen import EventList
from cuvee.export.hdu import EMPTY, RECORD, Card, closed_header, hdu_bytes, header_text, sum32, table_shape
from cuvee.export.photons import Facts, photon_name, photon_observation, who_cards
from cuvee.export.rows import Observation
from cuvee.model.photons import Exposure
from cuvee.model.records import BJD_OFFSET
from cuvee.model.time import DAY
from cuvee.store.atomic import atomic_path

__all__ = ["EventSource", "export_events"]

_MJD_ZERO = 2400000.5
_ANGSTROM_KEV = 12.39841984
"""Energy of a photon (keV) times its wavelength (Angstrom)."""
_MOST_STEPS = 1_000_000
"""Moments, at most, at which the way of the light is worked out; between them it is a straight line."""
_COLUMNS: tuple[tuple[str, str, str, str, str], ...] = (
    ("TIME", ">f8", "D", "s", "arrival at the barycentre, TDB, since MJDREF"),
    ("WAVELENGTH", ">f4", "E", "Angstrom", "of its place on the detector"),
    ("ENERGY", ">f4", "E", "keV", "the same as energy of the photon"),
    ("WEIGHT", ">f4", "E", "", "what the event counts for (EPSILON)"),
    ("PI", ">i2", "I", "", "pulse height, as the mission gives it"),
    ("PART", ">i2", "I", "", "segment, stripe or order: see PARTn"),
)


class EventSource(Protocol):
    """Where events come from; `Survey.counted` is one."""

    @property
    def instrument(self) -> str:
        """Name of the instrument."""

    @property
    def event_params(self) -> tuple[EventParams, int]:
        """What is left out, and the instrument's quality bits."""

    def count_exposures(self, ids: Collection[Any] | None = None, composites: bool = True) -> int:
        """Return how many exposures there are (of some targets)."""

    def exposures(
        self, ids: Collection[Any] | None = None, composites: bool = True
    ) -> Iterator[tuple[Observation, Mapping[str, Any]]]:
        """Walk through them, each with what is known of it."""

    def event_lists(self, row: Mapping[str, Any]) -> Sequence[EventList]:
        """Open the photon lists of an exposure."""


def export_events(
    survey: EventSource,
    ids: Collection[Any] | None,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the events of each exposure, cut anew from its raw files with the screen of its light curve.

    Parameters
    ----------
    survey : EventSource
        The survey.
    ids : collection, optional
        Only these targets.
    folder : Path
        Where the files go; each appears whole or not at all.
    progress : callable, optional
        Called after each file as ``progress(1, total)``.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    ConfigError
        If raw files or settings are not those of the light curve any more.
    StoreError
        If a file cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder to export to.")
    params, bits = survey.event_params
    total, count = survey.count_exposures(ids, composites=False), 0
    for stored, facts in survey.exposures(ids, composites=False):
        lists = survey.event_lists(stored.row)
        observation = photon_observation(stored, facts)
        with atomic_path(folder / photon_name(survey.instrument, observation.row, facts, "fits", "evt")) as temporary:
            with temporary.open("w+b") as file:
                try:
                    n = _write(file, survey.instrument, observation, facts, lists, params, bits)
                except BadData as error:
                    raise ConfigError(f"{error.message} Run again: cuvee run") from error
            wanted = int(np.nansum(observation.points["gross"].astype(np.float64)))
            if n != wanted:
                raise ConfigError(
                    f"{n} events of {stored.row['series']} pass the screen, but its light curve has {wanted}: [events] of cuvee.toml "
                    "is not as it was; run again: cuvee run"
                )
        count += 1
        if progress is not None:
            progress(1, total)
    return count


def _write(
    file: IO[bytes], instrument: str, observation: Observation, facts: Facts, lists: Sequence[EventList],
    params: EventParams, bits: int,
) -> int:  # fmt: skip
    gti, names, pieces = kept_events(lists, params, bits)
    clock = _Clock(lists[0].exposure, gti)
    times = clock.seconds(gti.ravel()).reshape(-1, 2)
    who = [
        *who_cards(instrument, observation.row, facts),
        ("ROOTNAME", str(observation.row["series"]), "name of the exposure"),
        ("OBS_ID", str(observation.row["series"]), "name of the exposure"),
    ]
    when: list[Card] = [
        ("MJDREFI", clock.day, "[d] MJD (TDB) of the zero of TIME"),
        ("MJDREFF", 0.0, "[d] fraction of that"),
        ("TIMEZERO", 0.0, "[s] to be added to TIME"),
        ("TIMEUNIT", "s", "unit of TIME"),
        ("TIMESYS", "TDB", "barycentric dynamical time"),
        ("TIMEREF", "SOLARSYSTEM", "times are barycentric"),
        ("TASSIGN", "SATELLITE", "where time is assigned"),
        ("TSTART", float(times[0, 0]), "[s] start of the first good time"),
        ("TSTOP", float(times[-1, 1]), "[s] end of the last good time"),
        ("ONTIME", float(np.diff(gti).sum()), "[s] good time"),
        ("EXPOSURE", float(np.diff(gti).sum()), "[s] good time"),
    ]
    first: list[Card] = [
        *EMPTY,
        ("CREATOR", "cuvee", "program that made this file"),
        ("PROCVER", __version__, "version of cuvee"),
        *who,
    ]
    file.write(hdu_bytes(header_text(first)))
    known = any((trace.wavelength > 0.0).any() for one in lists for trace in one.traces)
    columns = [one for one in _COLUMNS if known or one[0] not in ("WAVELENGTH", "ENERGY")]
    kind = np.dtype([(name, form) for name, form, *_ in columns])
    cards = [
        *_column_cards(columns),
        ("EXTNAME", "EVENTS", "name of this extension"),
        ("HDUCLASS", "OGIP", "format"),
        ("HDUCLAS1", "EVENTS", "list of events"),
    ]
    cards += [(f"PART{k}", name, f"where PART is {k}") for k, name in enumerate(names)]

    def header(n: int, total: int) -> bytes:
        return closed_header(header_text([*table_shape(kind.itemsize, n), *cards, *who, *when]), total)

    at = file.tell()
    file.write(
        bytes(len(header(0, 0)))
    )  # written when all is known; a header has the same length whatever its numbers are
    n, total = 0, 0
    for piece in pieces:
        data = _rows(piece, clock, kind).tobytes()
        file.write(data)
        total = sum32(data, total)
        n += piece.time.size
    file.write(bytes(-(n * kind.itemsize) % RECORD))
    end = file.tell()
    file.seek(at)
    file.write(header(n, total))
    file.seek(end)
    file.write(_gti_hdu(times, when))
    return n


def _rows(piece: KeptEvents, clock: _Clock, kind: np.dtype[Any]) -> NDArray[np.void]:
    rows = np.empty(piece.time.size, kind)
    rows["TIME"] = clock.seconds(piece.time)
    if "WAVELENGTH" in (kind.names or ()):
        rows["WAVELENGTH"] = piece.wavelength
        rows["ENERGY"] = _ANGSTROM_KEV / piece.wavelength
    rows["WEIGHT"] = piece.weight
    rows["PI"] = np.clip(piece.pulse, -32768, 32767)
    rows["PART"] = piece.part
    return rows


def _column_cards(columns: Sequence[tuple[str, str, str, str, str]]) -> list[Card]:
    cards: list[Card] = [("TFIELDS", len(columns), "number of columns")]
    for i, (name, _, form, unit, meaning) in enumerate(columns, 1):
        cards += [(f"TTYPE{i}", name, meaning), (f"TFORM{i}", form, "column format")]
        cards += [(f"TUNIT{i}", unit, "unit of the column")] if unit else []
    return cards


def _gti_hdu(times: NDArray[np.float64], when: list[Card]) -> bytes:
    cards: list[Card] = [
        *table_shape(16, len(times)),
        ("TFIELDS", 2, "number of columns"),
        ("TTYPE1", "START", "start of a good time"),
        ("TFORM1", "D", "column format"),
        ("TUNIT1", "s", "unit of the column"),
        ("TTYPE2", "STOP", "end of it"),
        ("TFORM2", "D", "column format"),
        ("TUNIT2", "s", "unit of the column"),
        ("EXTNAME", "GTI", "name of this extension"),
        ("HDUCLASS", "OGIP", "format"),
        ("HDUCLAS1", "GTI", "good time intervals"),
        *when,
    ]
    return hdu_bytes(header_text(cards), times.astype(">f8").tobytes())


class _Clock:
    """From seconds of an exposure to seconds at the barycentre: worked out every second, which is good to some nanoseconds."""

    def __init__(self, exposure: Exposure, gti: NDArray[np.float64]) -> None:
        low, high = gti[0, 0] - 1.0, gti[-1, 1] + 1.0
        self.grid = np.linspace(low, high, min(_MOST_STEPS, math.ceil(high - low) + 1))
        days = barycentric(
            self.grid, exposure.mjd, exposure.scale, exposure.ra, exposure.dec, exposure.timeline, exposure.barycentred
        )
        self.day = math.floor(days[0] + BJD_OFFSET - _MJD_ZERO)
        # What is added to the exposure's seconds changes slowly: a double holds it to 0.1 microseconds.
        self.added = (days - (self.day + _MJD_ZERO - BJD_OFFSET)) * DAY - self.grid

    def seconds(self, time: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return TDB at the barycentre (s) since midnight of the first day."""
        return np.asarray(time + np.interp(time, self.grid, self.added))
