"""Several exposures of one target in one configuration as one light curve, over the wavelengths that all of them have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import BadData, NoWork
from cuvee.events.exposure import COLUMNS, bin_exposure
from cuvee.events.params import EventParams
from cuvee.events.screen import EventList
from cuvee.events.statistics import Statistics, statistics
from cuvee.model.photons import Exposure, Trace
from cuvee.model.time import DAY

__all__ = ["Composite", "Member", "common_limits", "compose", "reach_of", "within"]


Open = Callable[[], tuple[Sequence[EventList], int]]
"""Opens the lists of an exposure, and says how many its detector should give."""


@dataclass(frozen=True, slots=True)
class Member:
    """What a composite keeps of one of its exposures.

    Parameters
    ----------
    exposure : Exposure
        The first segment's.
    start, step : float
        Where the first bin begins, since the exposure's zero, and how long each is (s).
    seconds : float
        Good time.
    wavelengths : tuple of float
        Shortest and longest that is used (Angstrom); 0, 0 where none is known.
    """

    exposure: Exposure
    start: float
    step: float
    seconds: float
    wavelengths: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Composite:
    """A light curve of several exposures.

    Parameters
    ----------
    members : tuple of Member
        Exposures, in the order of time.
    points : dict of str to array, each of shape (n_bin,)
        The columns of `cuvee.events.exposure.COLUMNS`, and ``dataset``, which counts the exposures from 1.
    columns : dict of str to (str, str)
        Their units and meanings.
    limits : dict of str to (float, float)
        Wavelengths that all exposures have, by segment (Angstrom); empty where none has a calibration.
    left_out : dict of str to str
        Why an exposure is no part of it, by name.
    statistics : Statistics
        How it varies.
    """

    members: tuple[Member, ...]
    points: dict[str, NDArray[Any]]
    columns: dict[str, tuple[str, str]]
    limits: dict[str, tuple[float, float]]
    left_out: dict[str, str]
    statistics: Statistics


def common_limits(reaches: Sequence[Mapping[str, tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """Return the wavelengths that the segments of all exposures have.

    Parameters
    ----------
    reaches : sequence of mapping of str to (float, float)
        Of each exposure, the wavelengths by segment (Angstrom).

    Returns
    -------
    dict of str to (float, float)
        By segment (Angstrom); without those that some exposure lacks, or in which nothing is common.
    """
    found = {}
    for name in reaches[0] if reaches else ():
        each = [one[name] for one in reaches if name in one]
        low, high = max(low for low, _ in each), min(high for _, high in each)
        if len(each) == len(reaches) and low < high:
            found[name] = low, high
    return found


def compose(exposures: Sequence[Open], params: EventParams, bits: int, n_row: int) -> Composite:
    """Bin the photons of several exposures over their common wavelengths.

    Parameters
    ----------
    exposures : sequence of callable
        Each opens the lists of an exposure, and says how many its detector should give. Each is called twice: first for its wavelengths, then for
        its photons, so that never more than one is in memory.
    params : EventParams
        Bins, bands, what is left out.
    bits, n_row : int
        Quality bits and rows of the instrument.

    Returns
    -------
    Composite
        Exposures with a calibration; where none has one, all, as rates.

    Raises
    ------
    NoWork
        If there are fewer than two, or they have no wavelength in common.
    BadData
        If a list cannot be opened; with its path.
    """
    params = params.model_copy(update={"resolve": 0.0})
    names, known = [], []
    for opened in exposures:
        lists, _ = opened()
        names.append(lists[0].exposure.rootname)
        traces = [trace for one in lists for trace in one.traces]
        known.append(reach_of(traces) if all(trace.calibrated for trace in traces) else None)
    calibrated = [one for one in known if one is not None]
    limits = common_limits(calibrated)
    left_out: dict[str, str] = {}
    found: list[tuple[Member, dict[str, NDArray[Any]]]] = []
    said: dict[str, tuple[str, str]] = {}
    for opened, name, reach in zip(exposures, names, known, strict=True):
        if calibrated and reach is None:
            left_out[name] = "it has no extracted spectrum"
            continue
        lists, parts = opened()
        if calibrated:
            lists = within(lists, limits)
        if not lists:
            left_out[name] = "it has no wavelength in common with the others"
            continue
        try:
            one = bin_exposure(lists, params, bits, n_row, parts, limits)
        except (BadData, NoWork) as error:
            left_out[name] = error.message
            continue
        seconds = float(np.diff(one.gti).sum())
        found.append((Member(one.exposure, one.start, one.step, seconds, one.wavelengths), one.points))
        said = said or one.columns
    if len(found) < 2:
        why = "; ".join(f"{name}: {words}" for name, words in left_out.items())
        raise NoWork(f"A composite needs two exposures{f' ({why})' if why else ''}.")
    found.sort(key=lambda one: float(one[1]["time"][0]))
    points = _joined([one for _, one in found])
    said |= {"cadence": COLUMNS["cadence"], "dataset": ("", "number of the exposure, from 1")}
    seconds = (points["time"] - points["time"][0]) * DAY
    exposure, gross, background = (points[name].astype(np.float64) for name in ("exposure", "gross", "background"))
    return Composite(
        tuple(member for member, _ in found), points, {name: said[name] for name in points}, limits, left_out,
        statistics(seconds, exposure, gross, background),
    )  # fmt: skip


def _joined(members: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Put the columns that all exposures have behind one another, in the order of time."""
    points = {
        name: np.concatenate([one[name] for one in members])
        for name in members[0]
        if all(name in one for one in members)
    }
    n_bin = [one["time"].size for one in members]
    points["dataset"] = np.repeat(np.arange(1, len(members) + 1, dtype=np.int32), n_bin)
    order = np.argsort(points["time"], kind="stable")
    points = {name: values[order] for name, values in points.items()}
    points["cadence"] = np.arange(order.size, dtype=np.int32)
    return points


def reach_of(traces: Sequence[Trace]) -> dict[str, tuple[float, float]]:
    """Return the wavelengths at which each segment is calibrated (Angstrom)."""
    reach = {}
    for trace in traces:
        known = trace.wavelength[(trace.wavelength > 0.0) & (trace.gain > 0.0)]
        if known.size:
            reach[trace.name] = float(known.min()), float(known.max())
    return reach


def within(lists: Sequence[EventList], limits: Mapping[str, tuple[float, float]]) -> list[EventList]:
    """Return the lists with only those segments that have limits."""
    kept = []
    for one in lists:
        traces = [trace for trace in one.traces if trace.name in limits]
        if traces:
            kept.append(EventList(one.exposure, one.chunks, traces))
    return kept
