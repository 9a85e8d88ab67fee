"""Several exposures of one target in one configuration as one light curve, over the wavelengths that all of them have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import BadData, NoWork
from cuvee.events.exposure import COLUMNS, EventList, PhotonCurve, bin_exposure
from cuvee.events.params import EventParams
from cuvee.events.statistics import Statistics, statistics
from cuvee.model.photons import Trace
from cuvee.model.time import DAY

__all__ = ["Composite", "common_limits", "compose"]


@dataclass(frozen=True, slots=True)
class Composite:
    """A light curve of several exposures.

    Parameters
    ----------
    members : tuple of PhotonCurve
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

    members: tuple[PhotonCurve, ...]
    points: dict[str, NDArray[Any]]
    columns: dict[str, tuple[str, str]]
    limits: dict[str, tuple[float, float]]
    left_out: dict[str, str]
    statistics: Statistics


def common_limits(traces: Sequence[Sequence[Trace]]) -> dict[str, tuple[float, float]]:
    """Return the wavelengths that the segments of all exposures have and are calibrated at.

    Parameters
    ----------
    traces : sequence of sequences of Trace
        Of each exposure.

    Returns
    -------
    dict of str to (float, float)
        By segment (Angstrom); without those that some exposure lacks, or in which nothing is common.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for one in traces:
        for trace in one:
            known = trace.wavelength[(trace.wavelength > 0.0) & (trace.gain > 0.0)]
            if known.size:
                found.setdefault(trace.name, []).append((float(known.min()), float(known.max())))
    limits = {
        name: (max(low for low, _ in each), min(high for _, high in each))
        for name, each in found.items()
        if len(each) == len(traces)
    }
    return {name: (low, high) for name, (low, high) in limits.items() if low < high}


def compose(
    exposures: Sequence[tuple[Sequence[EventList], int]], params: EventParams, bits: int, n_row: int
) -> Composite:
    """Bin the photons of several exposures over their common wavelengths.

    Parameters
    ----------
    exposures : sequence of (sequence of EventList, int)
        The lists of each exposure, and how many its detector should give.
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
    """
    left_out: dict[str, str] = {}
    calibrated = [one for one in exposures if all(trace.calibrated for each in one[0] for trace in each.traces)]
    chosen = list(calibrated or exposures)
    for lists, _ in exposures:
        if calibrated and not any(lists is one for one, _ in chosen):
            left_out[lists[0].exposure.rootname] = "it has no extracted spectrum"
    limits = (
        common_limits([[trace for each in lists for trace in each.traces] for lists, _ in chosen]) if calibrated else {}
    )
    members = []
    for lists, parts in chosen:
        if calibrated:
            lists = _within(lists, limits)
        if not lists:
            left_out[chosen[0][0][0].exposure.rootname] = "it has no wavelength in common with the others"
            continue
        try:
            members.append(bin_exposure(lists, params, bits, n_row, parts, limits))
        except (BadData, NoWork) as error:
            left_out[lists[0].exposure.rootname] = error.message
    if len(members) < 2:
        why = "; ".join(f"{name}: {words}" for name, words in left_out.items())
        raise NoWork(f"A composite needs two exposures{f' ({why})' if why else ''}.")
    members.sort(key=lambda one: float(one.points["time"][0]))
    names = [name for name in members[0].points if all(name in one.points for one in members)]
    points = {name: np.concatenate([one.points[name] for one in members]) for name in names}
    points["dataset"] = np.repeat(
        np.arange(1, len(members) + 1, dtype=np.int32), [one.points["time"].size for one in members]
    )
    order = np.argsort(points["time"], kind="stable")
    points = {name: values[order] for name, values in points.items()}
    points["cadence"] = np.arange(order.size, dtype=np.int32)
    said = members[0].columns | {"cadence": COLUMNS["cadence"], "dataset": ("", "number of the exposure, from 1")}
    seconds = (points["time"] - points["time"][0]) * DAY
    exposure, gross, background = (points[name].astype(np.float64) for name in ("exposure", "gross", "background"))
    found = statistics(seconds, exposure, gross, background)
    return Composite(tuple(members), points, {name: said[name] for name in points}, limits, left_out, found)


def _within(lists: Sequence[EventList], limits: dict[str, tuple[float, float]]) -> list[EventList]:
    kept = []
    for one in lists:
        traces = [trace for trace in one.traces if trace.name in limits]
        if traces:
            kept.append(EventList(one.exposure, one.chunks, traces))
    return kept
