"""The source's events that a light curve was made of, one by one: the same screen, in the order of time, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.events.params import EventParams
from cuvee.events.regions import Screen
from cuvee.events.screen import EventList, good_time, screen_of
from cuvee.events.sums import row_values, source_events
from cuvee.model.photons import Trace

__all__ = ["KeptEvents", "kept_events"]


@dataclass(frozen=True, slots=True)
class KeptEvents:
    """Events in the order of time; all arrays have shape (n,).

    Parameters
    ----------
    time : float64 array
        Since the exposure's zero (s).
    wavelength : float32 array
        Angstrom; NaN where the column has none.
    weight : float32 array
        What the event counts for.
    pulse : float32 array
        Pulse height; 0 where there is none.
    part : int16 array
        Number of the segment, stripe or order, from 0.
    """

    time: NDArray[np.float64]
    wavelength: NDArray[np.float32]
    weight: NDArray[np.float32]
    pulse: NDArray[np.float32]
    part: NDArray[np.int16]

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> KeptEvents:
        """Return some of them."""
        return KeptEvents(*(getattr(self, name)[which] for name in self.__slots__))


def kept_events(
    lists: Sequence[EventList], params: EventParams, bits: int
) -> tuple[NDArray[np.float64], list[str], Iterator[KeptEvents]]:
    """Return the good time of an exposure, the names of its parts, and its events in the source's regions.

    Parameters
    ----------
    lists, params, bits
        As `cuvee.events.exposure.bin_exposure` has them.

    Returns
    -------
    float64 array of shape (n, 2), list of str, iterator of KeptEvents
        Good time (s) since the exposure's zero. Memory does not grow with the events.

    Raises
    ------
    BadData, NoWork
        As `cuvee.events.exposure.bin_exposure`.
    """
    gti = good_time(lists, params)
    parts = [(one, trace) for one in lists for trace in one.traces]
    streams = [
        _part_events(one, trace, screen_of(one.exposure, trace, gti, params, bits), k)
        for k, (one, trace) in enumerate(parts)
    ]
    return gti, [trace.name for _, trace in parts], _in_order(streams)


def _part_events(one: EventList, trace: Trace, screen: Screen, part: int) -> Iterator[KeptEvents]:
    table = one.exposure.table
    wavelength = np.where(trace.wavelength > 0.0, trace.wavelength, np.nan).astype(np.float32)
    for rows in source_events(one.chunks(), table, trace, screen):
        column = np.rint(row_values(rows, table, "x")).astype(np.int32)
        weight, pulse = (row_values(rows, table, field).astype(np.float32) for field in ("weight", "pulse_height"))
        yield KeptEvents(
            row_values(rows, table, "time"), wavelength[column], weight, pulse, np.full(len(rows), part, np.int16)
        )


def _in_order(streams: Sequence[Iterator[KeptEvents]]) -> Iterator[KeptEvents]:
    """Merge streams that are each in the order of time, with a piece or two of each in memory; of one time the first stream's come first."""
    waiting: dict[int, KeptEvents] = {}
    live = dict(enumerate(streams))
    while live:
        # What has come of a stream last may have more of its time to come.
        until = min((waiting[k].time[-1] if k in waiting else -np.inf) for k in live)
        for k in [k for k in live if k not in waiting or waiting[k].time[-1] <= until]:
            piece = next((piece for piece in live[k] if piece.time.size), None)
            if piece is None:
                del live[k]
            else:
                waiting[k] = _joined([waiting[k], piece]) if k in waiting else piece
        until = min((waiting[k].time[-1] for k in live), default=np.inf)
        ready = [waiting[k].take(waiting[k].time < until) for k in sorted(waiting)]
        left = {k: piece.take(piece.time >= until) for k, piece in waiting.items()}
        waiting = {k: piece for k, piece in left.items() if piece.time.size}
        if any(piece.time.size for piece in ready):
            both = _joined(ready)
            yield both.take(np.argsort(both.time, kind="stable"))


def _joined(pieces: Sequence[KeptEvents]) -> KeptEvents:
    return KeptEvents(*(np.concatenate([getattr(one, name) for one in pieces]) for name in KeptEvents.__slots__))
