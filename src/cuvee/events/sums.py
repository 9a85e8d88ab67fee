"""The one pass over an exposure's events: chunks of rows in, counts by bin and region out; memory does not grow with the events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import BadData
from cuvee.model.photons import FIELDS, REASONS, EventTable, Trace

__all__ = ["GTI_TOLERANCE", "Screen", "Sums", "add_up", "add_up_traces", "column_reasons", "places"]

GTI_TOLERANCE = 0.02
"""Seconds by which an event's time may lie outside of an interval: both are rounded to ticks."""

IMAGE_COLUMNS = 512
NOT_ONE_BY_ONE = (
    np.empty(0),
    np.empty(0, np.int32),
    np.empty(0, np.float32),
    np.empty(0, np.uint8),
    np.empty(0, np.float32),
)
"""Where the kernel could put events, where it need not."""

ROWS = 32000
"""Rows that no detector has; where a region has no end."""

N_SAME = 5
"""How many of the first `REASONS` do not depend on where the regions lie."""

_NUMPY = {1: ">u1", 2: ">i2", 3: ">i4", 4: ">f4", 5: ">f8"}


@dataclass(frozen=True, slots=True)
class Screen:
    """What is left out of a segment's events.

    Parameters
    ----------
    gti : float64 array, shape (n, 2)
        Good time (s).
    bits : int
        Quality bits of events that are left out.
    pulse : tuple of float
        Lowest and highest pulse height of a photon.
    windows : tuple of (float, float)
        Wavelengths that are left out, of source and background alike (Angstrom).
    band : tuple of float
        Wavelengths that are kept (Angstrom).
    """

    gti: NDArray[np.float64]
    bits: int
    pulse: tuple[float, float]
    windows: tuple[tuple[float, float], ...]
    band: tuple[float, float]


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
    image : int32 array, shape (n_image_row, 512)
        Events of good time, quality and pulse height, on a grid of 4 rows; without rows for all but the first of a list's traces,
        which have the same one.
    pulses : int64 array, shape (256,)
        Pulse heights in the source's region.
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
) -> Sums:
    """Screen and bin the events of one segment; see `add_up_traces`."""
    return add_up_traces(chunks, table, [trace], [screen], [columns], edges, n_row)[0]


def add_up_traces(
    chunks: Iterable[NDArray[np.uint8]],
    table: EventTable,
    traces: Sequence[Trace],
    screens: Sequence[Screen],
    columns: Sequence[Sequence[tuple[int, int]]],
    edges: NDArray[np.float64],
    n_row: int = 1024,
) -> list[Sums]:
    """Screen and bin the events of one list for all its stripes or orders; it is read once.

    Parameters
    ----------
    chunks : iterable of uint8 arrays, each of shape (n, width)
        Rows of the table, in order.
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

    Returns
    -------
    list of Sums
        One a trace. An event is kept or left out for each of them anew.

    Raises
    ------
    BadData
        ``no-events``, ``singular-event`` (all at one time), or ``non-linear-time`` (times run backwards).
    """
    ledgers = [
        _Ledger(trace, screen, bands, edges, n_row if k == 0 else 0)
        for k, (trace, screen, bands) in enumerate(zip(traces, screens, columns, strict=True))
    ]
    n_event = 0
    first, *others = ledgers
    for rows in chunks:
        first.add(rows, table)
        n_event += len(rows)
        if others:
            y = _rows_of(rows, table)
            for ledger in others:
                low, high = ledger.reach
                ledger.add(rows[(y >= low) & (y <= high)], table)
    _check(n_event, first.order)
    for ledger in others:
        ledger.take_over(first, n_event)
    return [ledger.sums(n_event) for ledger in ledgers]


def _rows_of(rows: NDArray[np.uint8], table: EventTable) -> NDArray[np.float64]:
    """Return the detector's rows of events, shape (n,)."""
    at = FIELDS.index("y")
    offset, code = (int(one) for one in table.fields[at])
    record = np.dtype({"names": ["y"], "formats": [_NUMPY[code]], "offsets": [offset], "itemsize": table.width})
    return np.asarray(rows.view(record)["y"][:, 0] * table.scale[at, 0] + table.scale[at, 1])


class _Ledger:
    """What the events of one trace add up to, chunk by chunk."""

    def __init__(
        self, trace: Trace, screen: Screen, columns: Sequence[tuple[int, int]], edges: NDArray[np.float64], n_row: int
    ) -> None:
        n_col, n_bin = trace.low.size, edges.size - 1
        self.trace, self.screen = trace, screen
        self.gti = np.ascontiguousarray(screen.gti)
        self.reason = column_reasons(trace, screen)
        self.place = places(trace, self.reason)
        self.bands = np.array(columns, np.int64).reshape(-1, 2)
        self.first, self.last = (np.ascontiguousarray(self.bands[:, k]) for k in (0, 1))
        self.start, self.step = float(edges[0]), float(edges[1] - edges[0])
        self.bins = np.zeros((len(self.bands), n_bin, 6))
        self.behind = np.zeros((len(self.bands), n_bin), np.int64)
        self.spectrum = np.zeros(n_col, np.int64)
        self.counts, self.order = np.zeros(len(REASONS), np.int64), np.array([np.nan, np.nan, 0.0, 0.0])
        self.image = np.zeros((-(-n_row // 4), int(self.place[-1, 7]) + 1), np.int32)
        self.pulses = np.zeros(256, np.int64)
        edges_of_regions = np.concatenate([trace.low, trace.high, trace.behind.ravel()])
        edges_of_regions = edges_of_regions[np.isfinite(edges_of_regions)]
        # No event beyond lies in a region; half a row more, for kernels round.
        self.reach = edges_of_regions.min(initial=np.inf) - 1.0, edges_of_regions.max(initial=-np.inf) + 1.0
        self.n_seen = 0

    def add(self, rows: NDArray[np.uint8], table: EventTable) -> None:
        from cuvee.kernels import photons

        screen = self.screen
        self.n_seen += len(rows)
        photons.count_rows(
            rows, table.fields, table.scale, self.gti, GTI_TOLERANCE, screen.bits, *screen.pulse, self.place, self.trace.gain, self.first,
            self.last, self.start, self.step, self.bins, self.behind, self.spectrum, self.counts, self.pulses, self.image, self.order,
            *NOT_ONE_BY_ONE,
        )  # fmt: skip

    def take_over(self, first: _Ledger, n_event: int) -> None:
        """Count the reasons for events that lay too far off to be looked at: those that are the same for all traces, else ``outside``."""
        self.order = first.order
        n_kept = self.n_seen - int(self.counts.sum())
        self.counts[:N_SAME] = first.counts[:N_SAME]
        self.counts[-1] += n_event - n_kept - int(self.counts.sum())

    def sums(self, n_event: int) -> Sums:
        return Sums(
            np.ascontiguousarray(self.bins.transpose(0, 2, 1)), self.behind, self.spectrum, dict(zip(REASONS, self.counts.tolist(), strict=True)), n_event, self.reason == 0,
            self.bands, self.image, self.pulses, (float(self.order[0]), float(self.order[1])),
        )  # fmt: skip


def places(trace: Trace, reason: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return what the kernels want to know of each column, shape (n_col, 8): rows of source and background, and why it is not used.

    Raises
    ------
    ValueError
        If there are more than two background regions.
    """
    if trace.behind.shape[0] > 2:
        raise ValueError(f"{trace.name} has {trace.behind.shape[0]} background regions, and two are the most")
    place = np.zeros((trace.low.size, 8), np.int16)
    place[:, 2] = place[:, 4] = 1  # regions that end before they start
    regions = [(trace.low, trace.high), *trace.behind]
    for k, (low, high) in enumerate(regions):
        for column, rows in ((2 * k, np.ceil(low)), (2 * k + 1, np.floor(high))):
            place[:, column] = np.clip(np.nan_to_num(rows, nan=1.0 if column % 2 == 0 else 0.0), -ROWS, ROWS)
    place[:, 6] = reason
    n_col = place.shape[0]
    place[:, 7] = np.arange(n_col) // -(-n_col // IMAGE_COLUMNS)
    return place


def _check(n_event: int, order: NDArray[np.float64]) -> None:
    if n_event == 0:
        raise BadData("its table of events is empty.", "no-events")
    if order[2] > 0.0:
        raise BadData(f"its times run backwards, {int(order[2])} times.", "non-linear-time")
    if order[3] == 0.0:
        raise BadData("all its events have the same time.", "singular-event")


def column_reasons(trace: Trace, screen: Screen) -> NDArray[np.uint8]:
    """Return why a column is not used, 0 where it is; the number is the reason's place in `REASONS`, from 1."""
    names = list(REASONS)
    reason = np.zeros(trace.low.size, np.uint8)
    wavelength = trace.wavelength
    if not (wavelength > 0.0).any():
        return reason
    low, high = screen.band
    for start, stop in screen.windows:
        reason[(wavelength > start) & (wavelength < stop)] = names.index("airglow") + 1
    reason[(wavelength <= 0.0) | (wavelength < low) | (wavelength >= high)] = names.index("wavelength") + 1
    return reason
