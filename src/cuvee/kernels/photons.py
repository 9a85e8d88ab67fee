"""One pass over the rows of an event table, as they lie in the file: screened, told apart by region, and counted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, float64, int32, int64, njit, uint8, void
from numpy.typing import NDArray

__all__ = ["add_to_bins", "screen_rows"]

TIME, X, Y, WEIGHT, QUALITY, PULSE = range(6)
N_REASON = 8


@njit(cache=True, nogil=True, inline="always")
def _bits32(rows: Any, i: int, at: int) -> Any:
    """Return four bytes as a word; the compiler makes one load and one swap of it."""
    high = (np.uint32(rows[i, at]) << np.uint32(24)) | (np.uint32(rows[i, at + 1]) << np.uint32(16))
    return np.uint32(high | (np.uint32(rows[i, at + 2]) << np.uint32(8)) | np.uint32(rows[i, at + 3]))


@njit(cache=True, nogil=True, inline="always")
def _value(rows: Any, i: int, at: int, code: int) -> float:
    """Return a big-endian number of one of the types of `cuvee.model.photons.EventTable`."""
    if code == 4:
        return float(_bits32(rows, i, at).view(np.float32))
    if code == 1:
        return float(rows[i, at])
    if code == 2:
        return float(np.int16((np.uint16(rows[i, at]) << np.uint16(8)) | np.uint16(rows[i, at + 1])))
    if code == 3:
        return float(_bits32(rows, i, at).view(np.int32))
    word = (np.uint64(_bits32(rows, i, at)) << np.uint64(32)) | np.uint64(_bits32(rows, i, at + 4))
    return float(np.uint64(word).view(np.float64))


@njit(
    [
        int64(
            uint8[:, ::1], int64[:, ::1], float64[:, ::1], float64[:, ::1], float64, int64, float64, float64, uint8[::1], float64[::1],
            float64[::1], float64[:, :, ::1], float64[::1], int32[::1], float32[::1], uint8[::1], float32[::1], int64[::1],
            float64[::1], int32[:, ::1], int64[::1],
        )
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def screen_rows(
    rows: NDArray[np.uint8],
    fields: NDArray[np.int64],
    scale: NDArray[np.float64],
    gti: NDArray[np.float64],
    tolerance: float,
    bits: int,
    pulse_low: float,
    pulse_high: float,
    column_reason: NDArray[np.uint8],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    behind: NDArray[np.float64],
    time: NDArray[np.float64],
    column: NDArray[np.int32],
    row: NDArray[np.float32],
    region: NDArray[np.uint8],
    weight: NDArray[np.float32],
    reasons: NDArray[np.int64],
    order: NDArray[np.float64],
    image: NDArray[np.int32],
    pulses: NDArray[np.int64],
) -> int:
    """Screen the rows of an event table, and keep those of the source's and the background's regions.

    Parameters
    ----------
    rows : uint8 array, shape (n_row, width)
        The rows, as they lie in the file.
    fields, scale : arrays, shapes (6, 2)
        As `cuvee.model.photons.EventTable` has them.
    gti : float64 array, shape (n, 2)
        Good time intervals (s), in order.
    tolerance : float
        Seconds by which an event may lie outside of them.
    bits : int
        Quality bits of events that are left out.
    pulse_low, pulse_high : float
        Pulse heights of photons, both included.
    column_reason : uint8 array, shape (n_col,)
        0 where a column is used, else the number of the reason (from 1, in the order of ``REASONS``) for which it is not.
    low, high, behind : float64 arrays, shapes (n_col,), (n_col,), (n_region, 2, n_col)
        As `cuvee.model.photons.Trace` has them.
    time, column, row, region, weight : arrays, shape (>= n_row,)
        Receive what is kept: seconds, column, row, 1 for source and 2 for background, the event's weight.
    reasons : int64 array, shape (8,)
        Counted up, in the order of ``REASONS``.
    order : float64 array, shape (4,)
        First and last time so far, how many lay before their predecessors, whether there are two different ones. Begin with NaN, NaN, 0, 0.
    image : int32 array, shape (n_image_row, n_image_col)
        Counted up: all events with good times, quality and pulse height, on a grid of 4 rows and ``n_col / n_image_col`` columns.
    pulses : int64 array, shape (256,)
        Counted up: pulse heights of events in the source's region, before they are screened for it.

    Returns
    -------
    int
        How many are kept.
    """
    n, n_col, n_gti, n_region = 0, low.size, gti.shape[0], behind.shape[0]
    broad = max(1, n_col // image.shape[1])
    before, at_gti = order[1], 0
    for i in range(rows.shape[0]):
        t = _value(rows, i, fields[TIME, 0], fields[TIME, 1]) * scale[TIME, 0] + scale[TIME, 1]
        if not np.isfinite(t):
            reasons[0] += 1
            continue
        if np.isnan(before):
            order[0] = t
        elif t < before:
            order[2] += 1.0
        elif t > before:
            order[3] = 1.0
        before = t
        # Times mostly rise: the interval of the last event, or one near it, holds the next.
        while at_gti + 1 < n_gti and t >= gti[at_gti + 1, 0] - tolerance:
            at_gti += 1
        while at_gti > 0 and t < gti[at_gti, 0] - tolerance:
            at_gti -= 1
        if n_gti == 0 or t < gti[at_gti, 0] - tolerance or t > gti[at_gti, 1] + tolerance:
            reasons[1] += 1
            continue
        x = _value(rows, i, fields[X, 0], fields[X, 1]) * scale[X, 0] + scale[X, 1] if fields[X, 1] else 0.0
        y = _value(rows, i, fields[Y, 0], fields[Y, 1]) * scale[Y, 0] + scale[Y, 1] if fields[Y, 1] else 0.0
        wrong = fields[QUALITY, 1] and int(_value(rows, i, fields[QUALITY, 0], fields[QUALITY, 1])) & bits
        nowhere = not (np.isfinite(x) and np.isfinite(y))
        c = 0 if nowhere else int(np.rint(x))
        r = 0.0 if nowhere else np.rint(y)
        on_detector = not nowhere and 0 <= c < n_col
        in_source = on_detector and low[c] <= r <= high[c]
        if fields[PULSE, 1]:
            pulse = _value(rows, i, fields[PULSE, 0], fields[PULSE, 1])
            if in_source and 0.0 <= pulse < pulses.size:
                pulses[int(pulse)] += 1
            faint_or_loud = not (pulse_low <= pulse <= pulse_high)
        else:
            faint_or_loud = False
        if wrong:
            reasons[2] += 1
            continue
        if faint_or_loud:
            reasons[3] += 1
            continue
        if not on_detector:
            reasons[4] += 1
            continue
        j, k = int(r) >> 2, c // broad
        if 0 <= j < image.shape[0] and k < image.shape[1]:
            image[j, k] += 1
        kind = 1 if in_source else 0
        if kind == 0:
            for b in range(n_region):
                if behind[b, 0, c] <= r <= behind[b, 1, c]:
                    kind = 2
        if kind == 0:
            reasons[7] += 1
            continue
        if column_reason[c]:
            reasons[column_reason[c] - 1] += 1
            continue
        time[n] = t
        column[n] = c
        row[n] = y
        region[n] = kind
        weight[n] = _value(rows, i, fields[WEIGHT, 0], fields[WEIGHT, 1]) if fields[WEIGHT, 1] else 1.0
        n += 1
    order[1] = before
    return n


@njit(
    [
        void(
            int64, float64[::1], int32[::1], float32[::1], uint8[::1], float32[::1], float64[::1], int64[::1], int64[::1], float64,
            float64, float64[:, :, ::1], int64[:, ::1], float64[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def add_to_bins(
    n: int,
    time: NDArray[np.float64],
    column: NDArray[np.int32],
    row: NDArray[np.float32],
    region: NDArray[np.uint8],
    weight: NDArray[np.float32],
    gain: NDArray[np.float64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    start: float,
    step: float,
    sums: NDArray[np.float64],
    behind: NDArray[np.int64],
    spectrum: NDArray[np.float64],
) -> None:
    """Add screened events to the bins of a light curve, band by band.

    Parameters
    ----------
    n : int
        How many of the events count.
    time, column, row, region, weight
        From `screen_rows`.
    gain : float64 array, shape (n_col,)
        As `cuvee.model.photons.Trace` has it.
    first, last : int64 arrays, shape (n_band,)
        First and last column of each band, both included.
    start, step : float
        Where the first bin starts, and how long each is (s).
    sums : float64 array, shape (n_band, 5, n_bin)
        Counted up: events, their weights, weight x gain, (weight x gain)^2, and rows.
    behind : int64 array, shape (n_band, n_bin)
        Counted up: events of the background regions.
    spectrum : float64 array, shape (2, n_col)
        Counted up: events and weights of the source's region by column.
    """
    n_band, n_bin = behind.shape
    for i in range(n):
        k = int(np.floor((time[i] - start) / step))
        if k == n_bin and time[i] - start <= n_bin * step * (1.0 + 1e-12):
            k = n_bin - 1  # at the very end
        if k < 0 or k >= n_bin:
            continue
        c = column[i]
        if region[i] == 2:
            for b in range(n_band):
                if first[b] <= c <= last[b]:
                    behind[b, k] += 1
            continue
        w = float(weight[i])
        spectrum[0, c] += 1.0
        spectrum[1, c] += w
        for b in range(n_band):
            if first[b] <= c <= last[b]:
                energy = w * gain[c]
                sums[b, 0, k] += 1.0
                sums[b, 1, k] += w
                sums[b, 2, k] += energy
                sums[b, 3, k] += energy * energy
                sums[b, 4, k] += row[i]
