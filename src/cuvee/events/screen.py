"""Which exposures are used, and which of their time and events: from what their headers say and what the user wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import BadData, NoWork
from cuvee.events.gti import common_gti, night_gti
from cuvee.events.params import AIRGLOW, EventParams
from cuvee.events.regions import Screen
from cuvee.model.photons import Exposure, Trace

__all__ = ["EventList", "check_exposure", "good_time", "screen_of", "unwanted"]

DATES = (36_934.0, 88_069.0)
"""The years 1960 to 2099 (MJD): UTC has leap seconds from the first on, and what lies beyond the last is damage."""

MOST_BINS = 2_000_000
"""Bins of a light curve, at most: some 100 bytes each, and a damaged table of good times asks for any number."""


@dataclass(frozen=True, slots=True)
class EventList:
    """One file of photons, ready to be read.

    Parameters
    ----------
    exposure : Exposure
        Its headers.
    chunks : callable
        Returns an iterator over its rows, each time from the start.
    traces : sequence of Trace
        Where the source's light lies on it.
    """

    exposure: Exposure
    chunks: Callable[[], Iterator[NDArray[np.uint8]]]
    traces: Sequence[Trace]


def check_exposure(exposure: Exposure) -> None:
    """Raise `BadData` for an exposure that is to be set aside for what its headers say.

    Raises
    ------
    BadData
        ``no-events``, ``header`` or ``bad-expflag``.
    """
    path, cards = exposure.path, exposure.cards
    if exposure.table.n_row == 0:
        raise BadData(f"{path} holds no events.", "no-events", path)
    if not DATES[0] < exposure.mjd < DATES[1]:
        raise BadData(f"{path} cannot be from MJD {exposure.mjd:g}, when its times begin.", "header", path)
    if not (abs(exposure.ra) <= 360.0 and abs(exposure.dec) <= 90.0):
        raise BadData(
            f"{path} cannot look at right ascension {exposure.ra:g} and declination {exposure.dec:g}.", "header", path
        )
    if cards.get("flag", "NORMAL") not in ("NORMAL", ""):
        raise BadData(f"{path} was interrupted: its header card EXPFLAG is {cards['flag']!r}.", "bad-expflag", path)


def unwanted(seconds: float, proposal: int, params: EventParams) -> tuple[str, str] | None:
    """Return why the user does not want an exposure: reason, and the end of a sentence about it; None where he does.

    Parameters
    ----------
    seconds : float
        Exposure time (s).
    proposal : int
        Number of its proposal.
    params : EventParams
        What is wanted.
    """
    if seconds < params.least:
        return "short-exposure", f"was exposed for {seconds:g} s, less than [events] least = {params.least:g}."
    if proposal in params.proposals:
        return "bad-proposal", f"is of proposal {proposal}, which [events] proposals names."
    return None


def good_time(lists: Sequence[EventList], params: EventParams) -> NDArray[np.float64]:
    """Return the good time that all lists of an exposure share, shape (n, 2) (s), after a look at their headers.

    Raises
    ------
    BadData, NoWork
        As `bin_exposure`.
    """
    first = lists[0].exposure
    for one in lists:
        check_exposure(one.exposure)
    gti = common_gti([one.exposure.gti for one in lists])
    if params.airglow == "night":
        if first.timeline is None:
            raise BadData(
                f"{first.path} has no TIMELINE, so night and day cannot be told apart; use [events] airglow = \"windows\".", "no-timeline",
                first.path,
            )  # fmt: skip
        gti = common_gti([gti, night_gti(first.timeline.time, first.timeline.sun_altitude)])
    if not gti.size and params.airglow == "night":
        raise NoWork(f'{first.rootname} was taken by day, and [events] airglow is "night".')
    if not gti.size:
        raise BadData(f"{first.path} has no good time that all segments of its exposure share.", "no-gti", first.path)
    if gti[-1, 1] - gti[0, 0] > MOST_BINS * params.step:
        raise BadData(
            f"{first.path} has good time over {gti[-1, 1] - gti[0, 0]:.4g} s, more than {MOST_BINS:,} bins of [events] step = {params.step:g}.",
            "too-long", first.path,
        )  # fmt: skip
    return gti


def screen_of(
    exposure: Exposure,
    trace: Trace,
    gti: NDArray[np.float64],
    params: EventParams,
    bits: int,
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> Screen:
    """Return what is left out of the events of a segment, stripe or order; arguments as `bin_exposure` has them."""
    windows: tuple[tuple[float, float], ...] = AIRGLOW if params.airglow == "windows" else ()
    everything = (-np.inf, np.inf)
    # Where there are bits, the mission's bit for pulse heights says it.
    told = exposure.cards.get("raw") or not bits
    pulse = (trace.pulse or exposure.cards.get("pulse", everything)) if told else everything
    low, high = (limits or {}).get(trace.name, params.band)
    return Screen(gti, bits | params.quality, pulse, windows, (max(low, params.band[0]), min(high, params.band[1])))
