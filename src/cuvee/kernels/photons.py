"""One pass over the rows of an event table, as they lie in the file: screened, told apart by region, and counted."""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, float64, int16, int32, int64, njit, types, uint8
from numba.core.cgutils import ir  # the language of numba's own compiler
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["count_rows"]

TIME, X, Y, WEIGHT, QUALITY, PULSE = range(6)

NOT_A_NUMBER, NO_GOOD_TIME, BAD_QUALITY, BAD_PULSE, BEYOND, OUTSIDE = 0, 1, 2, 3, 4, 7
"""Places in `cuvee.model.photons.REASONS`; 5 and 6 are reasons of columns."""


def _loaded(bits: int, kind: Any, result: Any) -> Any:
    """Return an intrinsic that loads a big-endian number from anywhere: one load, one swap. Put together byte by byte it takes three times as long."""

    @intrinsic
    def load(_typing, rows, i, at):
        def build(context, builder, signature, args):
            array = context.make_array(signature.args[0])(context, builder, args[0])
            row, column = (context.cast(builder, args[k], signature.args[k], types.int64) for k in (1, 2))
            width = builder.extract_value(array.shape, 1)
            place = builder.gep(array.data, [builder.add(builder.mul(row, width), column)])
            word = ir.IntType(bits)
            raw = builder.load(builder.bitcast(place, word.as_pointer()), align=1)
            name = f"llvm.bswap.i{bits}"
            swap = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(word, [word]), name)
            swapped = builder.call(swap, [raw])
            return builder.bitcast(swapped, kind) if kind is not None else swapped

        return result(rows, i, at), build

    return load


_load_i2 = _loaded(16, None, types.int16)
_load_i4 = _loaded(32, None, types.int32)
_load_f4 = _loaded(32, ir.FloatType(), types.float32)
_load_f8 = _loaded(64, ir.DoubleType(), types.float64)


@njit(cache=True, nogil=True, inline="always")
def _value(rows: Any, i: int, at: int, code: int) -> float:
    """Return a big-endian number of one of the types of `cuvee.model.photons.EventTable`."""
    if code == 4:
        return float(_load_f4(rows, i, at))
    if code == 1:
        return float(rows[i, at])
    if code == 2:
        return float(_load_i2(rows, i, at))
    if code == 3:
        return float(_load_i4(rows, i, at))
    return float(_load_f8(rows, i, at))


@njit(
    [
        int64(
            uint8[:, ::1], int64[:, ::1], float64[:, ::1], float64[:, ::1], float64, int64, float64, float64, int16[:, ::1],
            float64[::1], int64[::1], int64[::1], float64, float64, float64[:, :, ::1], int64[:, ::1], int64[::1],
            int64[::1], int64[::1], int32[:, ::1], float64[::1], float64[::1], int32[::1], float32[::1], uint8[::1], float32[::1],
        )
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def count_rows(
    rows: NDArray[np.uint8],
    fields: NDArray[np.int64],
    scale: NDArray[np.float64],
    gti: NDArray[np.float64],
    tolerance: float,
    bits: int,
    pulse_low: float,
    pulse_high: float,
    place: NDArray[np.int16],
    gain: NDArray[np.float64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    start: float,
    step: float,
    sums: NDArray[np.float64],
    behind: NDArray[np.int64],
    spectrum: NDArray[np.int64],
    reasons: NDArray[np.int64],
    pulses: NDArray[np.int64],
    image: NDArray[np.int32],
    order: NDArray[np.float64],
    time: NDArray[np.float64],
    column: NDArray[np.int32],
    row: NDArray[np.float32],
    region: NDArray[np.uint8],
    weight: NDArray[np.float32],
) -> int:
    """Screen the rows of an event table, and add what is kept to the bins of a light curve, band by band, or keep it one by one.

    All of it is one function: numba counts references of arrays at each call of another, which takes ten times as long as an event.

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
    place : int16 array, shape (n_col, 8)
        Of each column: first and last row of the source, of the first and of the second background region (all included; an empty one ends
        before it starts), the number of the reason for which it is not used, from 1, 0 where it is, and its column of the image.
    gain : float64 array, shape (n_col,)
        As `cuvee.model.photons.Trace` has it.
    first, last : int64 arrays, shape (n_band,)
        First and last column of each band, both included.
    start, step : float
        Where the first bin starts, and how long each is (s).
    sums : float64 array, shape (n_band, n_bin, 6)
        Counted up: events, their weights, weight x gain, (weight x gain)^2, and rows; weight x gain of events of the background regions.
    behind : int64 array, shape (n_band, n_bin)
        Counted up: events of the background regions.
    spectrum : int64 array, shape (n_col,)
        Counted up: events of the source's region by column.
    reasons : int64 array, shape (8,)
        Counted up, in the order of ``REASONS``.
    pulses : int64 array, shape (256,)
        Counted up: pulse heights of events in the source's region, before they are screened for it.
    image : int32 array, shape (n_image_row, n_image_col)
        Counted up: all on the detector of good time, quality and pulse height, on a grid of 4 rows and ``n_col / n_image_col`` columns.
    order : float64 array, shape (4,)
        First and last time so far, how many lay before their predecessors, whether there are two different ones. Begin with NaN, NaN, 0, 0.
    time, column, row, region, weight : arrays, shape (>= n_row,) or (0,)
        Receive what is kept, where they have room: seconds, column, row, 1 for source and 2 for background, the event's weight. Nothing is
        added to bins then.

    Returns
    -------
    int
        How many events were kept one by one.
    """
    n_band, n_bin = behind.shape
    n_col, n_gti, n_image = place.shape[0], gti.shape[0], image.shape[0]
    before, n, one_by_one, rises = order[1], 0, time.size > 0, False
    # What a loop reads of arrays it reads again each time, for all that it knows they are those that it writes to.
    t_at, t_code, t_scale, t_zero = fields[TIME, 0], fields[TIME, 1], scale[TIME, 0], scale[TIME, 1]
    x_at, x_code, x_scale, x_zero = fields[X, 0], fields[X, 1], scale[X, 0], scale[X, 1]
    y_at, y_code, y_scale, y_zero = fields[Y, 0], fields[Y, 1], scale[Y, 0], scale[Y, 1]
    w_at, w_code, q_at, q_code = fields[WEIGHT, 0], fields[WEIGHT, 1], fields[QUALITY, 0], fields[QUALITY, 1]
    p_at, p_code = fields[PULSE, 0], fields[PULSE, 1]
    at, opens, closes = 0, np.inf, -np.inf
    if n_gti:
        opens, closes = gti[0, 0] - tolerance, gti[0, 1] + tolerance
    for i in range(rows.shape[0]):
        t = _value(rows, i, t_at, t_code) * t_scale + t_zero
        if not np.isfinite(t):
            reasons[NOT_A_NUMBER] += 1
            continue
        if not before <= t:
            if np.isnan(before):
                order[0] = t
            else:
                order[2] += 1.0
        rises |= t > before
        before = t
        if not opens <= t <= closes and n_gti:
            # Times mostly rise: an interval near that of the last event holds the next.
            while at + 1 < n_gti and t >= gti[at + 1, 0] - tolerance:
                at += 1
            while at > 0 and t < gti[at, 0] - tolerance:
                at -= 1
            opens, closes = gti[at, 0] - tolerance, gti[at, 1] + tolerance
        if not opens <= t <= closes:
            reasons[NO_GOOD_TIME] += 1
            continue
        x = _value(rows, i, x_at, x_code) * x_scale + x_zero if x_code else 0.0
        y = _value(rows, i, y_at, y_code) * y_scale + y_zero if y_code else 0.0
        # Rows beyond what 16 bits hold are beyond any detector, too.
        sound = np.isfinite(x) and -30000.0 < y < 30000.0
        c = np.int64(np.rint(x)) if sound else np.int64(-1)
        r = np.int64(np.rint(y)) if sound else np.int64(0)
        on = 0 <= c < n_col
        p = c if on else np.int64(0)
        in_source = on & (place[p, 0] <= r) & (r <= place[p, 1])
        faint_or_loud = False
        if p_code:
            pulse = _value(rows, i, p_at, p_code)
            if in_source and 0.0 <= pulse < pulses.size:
                pulses[np.int64(pulse)] += 1
            faint_or_loud = not (pulse_low <= pulse <= pulse_high)
        if q_code and np.int64(_value(rows, i, q_at, q_code)) & bits:
            reasons[BAD_QUALITY] += 1
            continue
        if faint_or_loud:
            reasons[BAD_PULSE] += 1
            continue
        if not on:
            reasons[BEYOND] += 1
            continue
        if 0 <= r >> 2 < n_image:
            image[r >> 2, place[p, 7]] += 1
        if not in_source and not (place[p, 2] <= r <= place[p, 3] or place[p, 4] <= r <= place[p, 5]):
            reasons[OUTSIDE] += 1
            continue
        if place[p, 6]:
            reasons[place[p, 6] - 1] += 1
            continue
        w = _value(rows, i, w_at, w_code) if w_code else 1.0
        if one_by_one:
            time[n], column[n], row[n], weight[n] = t, c, y, w
            region[n] = 1 if in_source else 2
            n += 1
            continue
        # Within the tolerance an event may lie before the first bin, or behind the last.
        k = min(max(np.int64(np.floor((t - start) / step)), 0), n_bin - 1)
        energy = w * gain[c]
        if not in_source:
            for b in range(n_band):
                if first[b] <= c <= last[b]:
                    behind[b, k] += 1
                    sums[b, k, 5] += energy
            continue
        spectrum[c] += 1
        for b in range(n_band):
            if first[b] <= c <= last[b]:
                sums[b, k, 0] += 1.0
                sums[b, k, 1] += w
                sums[b, k, 2] += energy
                sums[b, k, 3] += energy * energy
                sums[b, k, 4] += y
    order[1] = before
    if rises:
        order[3] = 1.0
    return n
