"""The one pass over an exposure's events: chunks of rows in, counts by bin and region out; memory does not grow with the events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition, Event, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import BadData
from cuvee.events.regions import Screen, column_reasons, kinds_of_reason, regions_of
from cuvee.model.photons import FIELDS, REASONS, EventTable, Trace

__all__ = ["GTI_TOLERANCE", "N_SAME", "Sums", "add_up", "add_up_traces", "row_values", "source_events"]

GTI_TOLERANCE = 0.02
"""Seconds by which an event's time may lie outside of an interval: both are rounded to ticks."""

N_SAME = 5
"""How many of the first `REASONS` do not depend on where the regions lie."""

MOST_SUMS = 40_000_000
"""Bins times pieces of bands, at most: 56 bytes each, for each thread."""

NO_KINDS = np.empty(0, np.uint8)
"""Where the kernel could say of each event what became of it, where it need not."""

_NUMPY = {1: ">u1", 2: ">i2", 3: ">i4", 4: ">f4", 5: ">f8"}


@dataclass(frozen=True, slots=True)
class Sums:
    """What one segment's events add up to.

    Parameters
    ----------
    bins : float64 array, shape (n_band, 6, n_bin)
        Events in the source's region, their weights, energies, squared energies, and rows; energies of events in the background's regions.
    behind : int64 array, shape (n_band, n_bin)
        Events in the background's regions.
    spectrum : int64 array, shape (n_col,)
        Events in the source's region, by column.
    reasons : dict of str to int
        Events that were left out, by reason.
    n_event : int
        All events.
    kept : bool array, shape (n_col,)
        Columns that are used.
    columns : int64 array, shape (n_band, 2)
        First and last column of each band.
    image : int32 array, shape (n_image_row, n_image_col)
        Events of good time, quality and pulse height, on a grid of 4 rows and a power of two of columns, at most 512 of them; without rows
        for all but the first of a list's traces, which have the same one.
    pulses : int64 array, shape (256,)
        Pulse heights in the source's region, where it is used, whatever they and the quality are.
    span : tuple of float
        First and last time (s).
    """

    bins: NDArray[np.float64]
    behind: NDArray[np.int64]
    spectrum: NDArray[np.int64]
    reasons: dict[str, int]
    n_event: int
    kept: NDArray[np.bool_]
    columns: NDArray[np.int64]
    image: NDArray[np.int32]
    pulses: NDArray[np.int64]
    span: tuple[float, float]


def add_up(
    chunks: Iterable[NDArray[np.uint8]],
    table: EventTable,
    trace: Trace,
    screen: Screen,
    columns: Sequence[tuple[int, int]],
    edges: NDArray[np.float64],
    n_row: int = 1024,
    threads: int = 1,
) -> Sums:
    """Screen and bin the events of one segment; see `add_up_traces`."""
    return add_up_traces(chunks, table, [trace], [screen], [columns], edges, n_row, threads)[0]


def add_up_traces(
    chunks: Iterable[NDArray[np.uint8]],
    table: EventTable,
    traces: Sequence[Trace],
    screens: Sequence[Screen],
    columns: Sequence[Sequence[tuple[int, int]]],
    edges: NDArray[np.float64],
    n_row: int = 1024,
    threads: int = 1,
) -> list[Sums]:
    """Screen and bin the events of one list for all its stripes or orders; it is read once.

    Parameters
    ----------
    chunks : iterable of uint8 arrays, each of shape (n, width)
        Rows of the table, in order. Each array is the caller's to keep.
    table : EventTable
        Their layout.
    traces : sequence of Trace
        Regions and wavelengths.
    screens : sequence of Screen
        What is left out for each; they differ in wavelengths only.
    columns : sequence of sequences of (int, int)
        Of each trace: first and last column of each band, both included.
    edges : float64 array, shape (n_bin + 1,)
        Of bins of equal length (s).
    n_row : int
        Rows of the segment, for the image.
    threads : int
        How many chunks are counted at the same time. The sums are the same to the last bit for any number.

    Returns
    -------
    list of Sums
        One a trace. An event is kept or left out for each of them anew.

    Raises
    ------
    BadData
        ``no-events``, ``singular-event`` (all at one time), ``non-linear-time`` (times run backwards, or are no numbers), or ``too-long``.
    """
    parts = [
        _Part(table, trace, screen, np.array(bands, np.int64).reshape(-1, 2), edges, n_row if k == 0 else 0)
        for k, (trace, screen, bands) in enumerate(zip(traces, screens, columns, strict=True))
    ]
    totals = [_Counts(part) for part in parts]
    # A thread that is done before its turn goes on with the next chunk, in a counter more.
    counters = [[_Counts(part) for part in parts] for _ in range(2 * threads - 1)]
    n_event = _count_all(chunks, table, counters, totals, threads)
    for counted in counters:
        for total, counts in zip(totals, counted, strict=True):
            total.take_counts(counts)
    first, *others = totals
    _check(n_event, first.order)
    for total in others:
        total.order = first.order
    return [total.result(n_event, first) for total in totals]


def source_events(
    chunks: Iterable[NDArray[np.uint8]], table: EventTable, trace: Trace, screen: Screen
) -> Iterator[NDArray[np.uint8]]:
    """Yield those rows of each chunk that `add_up` counts in the source's region."""
    from cuvee.kernels.photons import SOURCE, row_counter

    everything = np.array([[0, trace.low.size - 1]])
    counts = _Counts(_Part(table, trace, screen, everything, np.array([0.0, np.inf]), 0))
    loop = row_counter(tuple(table.fields[:, 1].tolist()))
    for rows in chunks:
        kind_of = np.empty(len(rows), np.uint8)
        counts.count(rows, table, loop, kind_of)
        yield rows[kind_of == SOURCE]


def row_values(rows: NDArray[np.uint8], table: EventTable, field: str) -> NDArray[np.float64]:
    """Return what a field of rows says, shape (n,); where the table has none, weights are 1 and all else is 0.

    Parameters
    ----------
    rows : uint8 array, shape (n, width)
        Rows of the table.
    table : EventTable
        Their layout.
    field : str
        One of `FIELDS`.
    """
    at = FIELDS.index(field)
    offset, code = (int(one) for one in table.fields[at])
    if not code:
        return np.full(len(rows), 1.0 if field == "weight" else 0.0)
    record = np.dtype({"names": ["value"], "formats": [_NUMPY[code]], "offsets": [offset], "itemsize": table.width})
    values = np.asarray(rows.view(record)["value"][:, 0] * table.scale[at, 0] + table.scale[at, 1])
    if field == "y" and table.walk:
        values -= table.walk * row_values(rows, table, "pulse_height")
    return values


class _Part:
    """What is looked up for the events of one trace."""

    def __init__(
        self,
        table: EventTable,
        trace: Trace,
        screen: Screen,
        bands: NDArray[np.int64],
        edges: NDArray[np.float64],
        n_row: int,
    ) -> None:
        self.n_height = 257 if table.fields[FIELDS.index("pulse_height"), 1] else 1
        self.gain, self.screen, self.bands = trace.gain, screen, bands
        self.gti, self.pulse = np.ascontiguousarray(screen.gti), np.array(screen.pulse, np.float64)
        self.reason = column_reasons(trace, screen)
        self.regions = regions_of(trace, self.reason, bands)
        self.start, self.step, self.n_bin = float(edges[0]), float(edges[1] - edges[0]), edges.size - 1
        n_piece = self.regions.pieces.shape[1]
        if n_piece * self.n_bin > MOST_SUMS:
            raise BadData(
                f"its {self.n_bin:,} bins in {n_piece:,} pieces of bands are more than {MOST_SUMS:,} sums; choose longer bins or fewer bands.",
                "too-long",
            )  # fmt: skip
        self.image_shape = (1 + -(-n_row // 4) if n_row else 0, ((trace.low.size - 1) >> self.regions.shift) + 1)


class _Counts:
    """What some events of one trace add up to."""

    def __init__(self, part: _Part) -> None:
        from cuvee.kernels import photons

        n_piece, n_col = part.regions.pieces.shape[1], part.gain.size
        self.part = part
        self.bins = np.zeros((n_piece, part.n_bin, 6))
        self.behind = np.zeros((n_piece, part.n_bin), np.int64)
        self.spectrum = np.zeros(n_col, np.int64)
        self.tally = np.zeros((photons.BANKS, photons.N_KIND, part.n_height), np.int64)
        self.image = np.zeros(part.image_shape, np.int32)
        self.order, self.touched = np.array([np.nan, np.nan, 0.0, 0.0]), np.array([part.n_bin, -1])

    def count(
        self,
        rows: NDArray[np.uint8],
        table: EventTable,
        loop: Callable[..., None],
        kind_of: NDArray[np.uint8] = NO_KINDS,
    ) -> None:
        """Add rows; whether they are in order is told of them alone."""
        part, regions = self.part, self.part.regions
        self.order[:], self.touched[:] = (np.nan, np.nan, 0.0, 0.0), (part.n_bin, -1)
        loop(
            rows, table.fields, table.scale, table.walk, part.gti, GTI_TOLERANCE, part.screen.bits, part.pulse, regions.profile, regions.kinds, regions.low,
            regions.n_low, regions.group, regions.shift, part.gain, part.start, part.step, self.bins, self.behind, self.spectrum, self.tally,
            self.image, self.order, self.touched, kind_of,
        )  # fmt: skip

    def take_sums(self, chunk: _Counts) -> None:
        """Take over what the rows that come next add up to, and leave zeros there."""
        bins = slice(chunk.touched[0], chunk.touched[1] + 1)
        self.bins[:, bins] += chunk.bins[:, bins]
        chunk.bins[:, bins] = 0.0
        first, last, backwards, rises = chunk.order
        if np.isnan(first):
            return
        if np.isnan(self.order[0]):
            self.order[0] = first
        else:
            backwards += first < self.order[1]
            rises = max(rises, first > self.order[1])
        self.order[1:] = last, self.order[2] + backwards, max(self.order[3], rises)

    def take_counts(self, other: _Counts) -> None:
        """Add what is counted in whole numbers, in whatever order."""
        for name in ("behind", "spectrum", "tally", "image"):
            mine: NDArray[Any] = getattr(self, name)
            mine += getattr(other, name)

    def pulses(self) -> NDArray[np.int64]:
        """Return how many events of the source's region and of good time have each pulse height, shape (256,), whatever it and the quality are."""
        from cuvee.kernels.photons import NO_GOOD_TIME, PLACES, SOURCE

        found = np.zeros(256, np.int64)
        if self.tally.shape[2] > 1:
            found += self.tally[:, SOURCE:NO_GOOD_TIME:PLACES, :-1].sum(axis=(0, 1))
        return found

    def result(self, n_event: int, first: _Counts) -> Sums:
        """Return the sums; reasons that are the same for all traces are those of the first, and events too far off to be looked at are outside."""
        from cuvee.kernels import photons

        part, pieces = self.part, self.part.regions.pieces
        tally, all_of = self.tally.sum(axis=(0, 2)), first.tally.sum(axis=(0, 2))
        same = {name: int(all_of[kinds_of_reason(name)].sum()) for name in list(REASONS)[:N_SAME]}
        own = {name: int(tally[kinds_of_reason(name)].sum()) for name in list(REASONS)[N_SAME:]}
        n_kept = int(tally[photons.SOURCE] + tally[photons.BEHIND])
        own["outside"] += n_event - n_kept - sum(same.values()) - sum(own.values())
        bins = np.stack([self.bins[of_band].sum(axis=0).T for of_band in pieces])
        behind = np.stack([self.behind[of_band].sum(axis=0) for of_band in pieces])
        return Sums(
            bins, behind, self.spectrum, same | own, n_event, part.reason == 0, part.bands, self.image[1:],
            self.pulses(), (float(self.order[0]), float(self.order[1])),
        )  # fmt: skip


def _count_all(
    chunks: Iterable[NDArray[np.uint8]],
    table: EventTable,
    counters: Sequence[Sequence[_Counts]],
    totals: Sequence[_Counts],
    threads: int,
) -> int:
    """Count all chunks, and return how many rows there are.

    A thread reads what it counts, for then it is near; one at a time, for a compressed file has one order. Sums are taken over in the order
    of the chunks: what is added in another order is rounded in another way.
    """
    from cuvee.kernels.photons import row_counter

    loop = row_counter(tuple(table.fields[:, 1].tolist()))
    numbered, reading, change, broken = enumerate(chunks), Lock(), Condition(), Event()
    idle = list(counters)
    counted: dict[int, tuple[int, Sequence[_Counts]]] = {}
    n_taken = n_event = 0

    def work() -> None:
        nonlocal n_taken, n_event
        try:
            while True:
                with change:
                    while not idle and not broken.is_set():
                        change.wait()
                    if broken.is_set():
                        return
                    mine = idle.pop()
                with reading:
                    k, rows = next(numbered, (-1, None))
                if rows is None:
                    return
                _count(mine, rows, table, loop)
                with change:
                    counted[k] = len(rows), mine
                    while n_taken in counted:
                        n, theirs = counted.pop(n_taken)
                        for total, counts in zip(totals, theirs, strict=True):
                            total.take_sums(counts)
                        n_taken, n_event = n_taken + 1, n_event + n
                        idle.append(theirs)
                    change.notify_all()
        except BaseException:
            broken.set()
            with change:
                change.notify_all()
            raise

    if threads == 1:
        work()
    else:
        with ThreadPoolExecutor(threads) as pool:
            for future in [pool.submit(work) for _ in range(threads)]:
                future.result()
    return n_event


def _count(counters: Sequence[_Counts], rows: NDArray[np.uint8], table: EventTable, loop: Callable[..., None]) -> None:
    """Count rows for each trace: all of them for the first, those in its reach for each other."""
    first, *others = counters
    first.count(rows, table, loop)
    if others:
        y = row_values(rows, table, "y")
        for counts in others:
            low, high = counts.part.regions.reach
            counts.count(rows[(y >= low) & (y <= high)], table, loop)


def _check(n_event: int, order: NDArray[np.float64]) -> None:
    if n_event == 0:
        raise BadData("its table of events is empty.", "no-events")
    if np.isnan(order[0]):
        raise BadData("none of its times is a number.", "non-linear-time")
    if order[2] > 0.0:
        raise BadData(f"its times run backwards, {int(order[2])} times.", "non-linear-time")
    if order[3] == 0.0:
        raise BadData("all its events have the same time.", "singular-event")
