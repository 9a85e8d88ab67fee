"""The nouns of photon counting: event tables, the trace of a spectrum on a detector, what is left after screening."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FIELDS",
    "REASONS",
    "Boxes",
    "EventTable",
    "Exposure",
    "Spectrum",
    "Timeline",
    "Trace",
    "composite_key",
    "setting_words",
    "short_limits",
]

FIELDS = ("time", "x", "y", "weight", "quality", "pulse_height")
"""What is taken of an event, in the order of `EventTable.fields`."""

REASONS = {
    "time": "its time is not a number",
    "gti": "it lies outside of the good time intervals",
    "quality": "the mission's quality bits",
    "pulse_height": "its pulse height is not that of a photon",
    "edge": "it lies beyond the detector's columns",
    "wavelength": "its column has no wavelength, or one beyond the limits",
    "airglow": "it lies in a line of the Earth's upper atmosphere",
    "outside": "it lies neither in the source's region nor in the background's",
}
"""Why an event is left out; the first that holds counts, so that these and what is kept add up to all events."""


@dataclass(frozen=True, slots=True)
class EventTable:
    """How the rows of an event table are laid out.

    Parameters
    ----------
    n_row, width : int
        Number of rows, and bytes of each.
    fields : int64 array, shape (6, 2)
        Byte offset and type of each of `FIELDS`: 0 absent, 1 uint8, 2 int16, 3 int32, 4 float32, 5 float64, all big-endian.
    scale : float64 array, shape (6, 2)
        Factor and zero of each.
    walk : float
        Rows that an event lies too high for each unit of its pulse height; the zero of rows in ``scale`` says of which height none does.
    """

    n_row: int
    width: int
    fields: NDArray[np.int64]
    scale: NDArray[np.float64]
    walk: float = 0.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where the observatory was; all arrays have shape (n_second,).

    Parameters
    ----------
    time : float64 array
        Since the exposure's zero (s).
    longitude, latitude : float64 array
        Of the point under it (deg).
    sun_altitude : float64 array
        Of the Sun over its horizon (deg): below zero it is night.
    """

    time: NDArray[np.float64]
    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]
    sun_altitude: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the headers and small tables of one event file say.

    Parameters
    ----------
    path : str
        The file.
    rootname : str
        The exposure's name.
    part : str
        The segment of the detector that the file holds, ``FUVA``; empty where it holds all.
    target : str
        What the proposer calls the target.
    ra, dec : float
        Of the target (deg, ICRS).
    setting : tuple of str
        Instrument, detector, grating, central wavelength, aperture; what, with the target, makes exposures comparable.
    mjd : float
        Of the zero of the events' times.
    scale : str
        Time scale of ``mjd`` (``utc``, ``tt``, ``tdb``).
    barycentred : bool
        Whether times are those at the solar system's barycentre.
    seconds : float
        Exposure time by the header (s).
    gti : float64 array, shape (n, 2)
        Good time intervals (s), in order, none touching another.
    table : EventTable
        The events.
    cards : mapping of str to object
        Other header cards that the instrument needs again.
    timeline : Timeline, optional
        Where the observatory was.
    """

    path: str
    rootname: str
    part: str
    target: str
    ra: float
    dec: float
    setting: tuple[str, ...]
    mjd: float
    scale: str
    barycentred: bool
    seconds: float
    gti: NDArray[np.float64]
    table: EventTable
    cards: Mapping[str, Any] = field(default_factory=dict)
    timeline: Timeline | None = None


@dataclass(frozen=True, slots=True)
class Boxes:
    """Where an instrument's header says that the light of a source, and of nothing, falls on a segment.

    Parameters
    ----------
    n_col : int
        Columns of the segment.
    source : tuple of float
        Middle and height of the source's box at column 0 (rows).
    behind : tuple of (float, float)
        The same of each background box.
    slope : float
        Rows by which all of them rise a column.
    """

    n_col: int
    source: tuple[float, float]
    behind: tuple[tuple[float, float], ...]
    slope: float = 0.0


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The mission's extracted spectrum of one segment or order; arrays have shape (n_col,), by the event table's columns.

    Parameters
    ----------
    name : str
        Segment, stripe or order.
    seconds : float
        Exposure time (s).
    wavelength : float64 array
        Angstrom; 0 where a column has none.
    flux, net, dark : float64 array
        erg/s/cm2/A, count/s, and the background in the source's region (count/s).
    share : float64 array
        Share of the source's light that falls into its region; 1 where unknown.
    low, high : float64 array
        First and last row of the source's region, both included.
    counts : float64 array
        Events in the source's region by the mission's count; NaN where it does not say.
    behind : float64 array, shape (n_region, 2, n_col)
        First and last row of background regions, where the spectrum says; else of shape (0, 2, n_col).
    pulse : tuple of float, optional
        Lowest and highest pulse height that the mission took for a photon's, where the spectrum says.
    """

    name: str
    seconds: float
    wavelength: NDArray[np.float64]
    flux: NDArray[np.float64]
    net: NDArray[np.float64]
    dark: NDArray[np.float64]
    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    counts: NDArray[np.float64]
    behind: NDArray[np.float64]
    pulse: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """Where the light of a source lies on one segment of a detector, and what it is worth; arrays have shape (n_col,).

    Parameters
    ----------
    name : str
        The segment (``FUVA``), stripe (``NUVB``) or order (``65``).
    low, high : float64 array
        First and last row of the source's region, both included.
    behind : float64 array, shape (n_region, 2, n_col)
        First and last row of each background region.
    wavelength : float64 array
        Angstrom; 0 where a column has none.
    gain : float64 array
        Energy that a count stands for, times the width of a column: ((erg/cm2) / count); 0 where there is no calibration.
    dark : float64 array
        Background in the source's region by the mission's own spectrum (count/s); NaN where it has none.
    calibrated : bool
        Whether ``gain`` is known.
    pulse : tuple of float, optional
        Lowest and highest pulse height of a photon, where the list itself does not say.
    """

    name: str
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    behind: NDArray[np.float64]
    wavelength: NDArray[np.float64]
    gain: NDArray[np.float64]
    dark: NDArray[np.float64]
    calibrated: bool
    pulse: tuple[float, float] | None = None


def composite_key(facts: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Return what exposures have in common that make one composite: instrument, detector, target, grating, central wavelength, aperture.

    Parameters
    ----------
    facts : mapping
        `cuvee.model.records.FileInfo.facts` of a file of photons.
    names : mapping of str to str
        What targets are called, by what the files call them.
    """
    instrument, detector, *rest = facts["setting"].split("_")
    target = names.get(facts["target"], facts["target"])
    words = "_".join(word or "none" for word in (f"{instrument}-{detector}", target, *rest))
    return re.sub(r"[^a-z0-9_.+-]+", "-", words.lower())


def setting_words(setting: Sequence[str]) -> str:
    """Join what makes exposures comparable to one text, of which no word is lost."""
    return "_".join(word.replace("_", "-") for word in setting)


def short_limits(limits: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Return the wavelengths of segments or stripes as they are, and of the many orders of an echelle from first to last: ``44 orders``.

    Parameters
    ----------
    limits : mapping of str to (float, float)
        Shortest and longest wavelength of each (Angstrom).
    """
    if len(limits) <= _MOST_STRIPES:
        return dict(limits)
    lows, highs = zip(*limits.values(), strict=True)
    return {f"{len(limits)} orders": (min(lows), max(highs))}


_MOST_STRIPES = 3
"""On one detector; more are orders of an echelle."""
