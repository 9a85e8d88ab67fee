"""One pass over the rows of an event table, as they lie in the file: screened, told apart by region, and counted."""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numba import float64, int16, int32, int64, njit, types, uint8, uint32, uint64
from numba.core.cgutils import ir  # the language of numba's own compiler
from numba.extending import intrinsic

__all__ = ["BANKS", "BEHIND", "NO_GOOD_TIME", "N_KIND", "PLACES", "SOURCE", "row_counter"]

SOURCE, BEHIND = 0, 1
"""Kinds of events that are kept; those up to 7 are left out for their place."""

BEYOND, BAD_PULSE, BAD_QUALITY, NO_GOOD_TIME, NOT_A_NUMBER = 8, 16, 24, 32, 40
"""Events that are left out for something else; what their place says is added. Of several reasons that with the greatest number holds."""

PLACES, N_KIND = 8, 48
BLOCK = 512
"""Rows that go through all steps together; what is known of them stays in the processor's nearest cache."""

BANKS = 4
"""A counter that was just raised cannot be raised again for some ten cycles: several take turns."""


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


@lru_cache(maxsize=32)
def row_counter(codes: tuple[int, ...]) -> Callable[..., None]:
    """Return the loop over rows whose numbers have these types; it is compiled once for each, and kept on the disk.

    Parameters
    ----------
    codes : tuple of int, of length 6
        Types of `cuvee.model.photons.FIELDS`, as `cuvee.model.photons.EventTable` numbers them.

    Returns
    -------
    callable
        ``count(rows, fields, scale, walk, gti, tolerance, bits, pulse, profile, kinds, low, n_low, group, shift, gain, start, step, sums, behind,
        spectrum, tally, image, order, touched, kind_of)``.

    Notes
    -----
    The arguments of what is returned:

    rows : uint8 array, shape (n_row, width)
        The rows, as they lie in the file.
    fields, scale, walk : arrays of shape (6, 2), float
        As `cuvee.model.photons.EventTable` has them.
    gti : float64 array, shape (n, 2)
        Good time intervals (s), in order.
    tolerance : float
        Seconds by which an event may lie outside of them.
    bits : int
        Quality bits of events that are left out.
    pulse : float64 array, shape (2,)
        Pulse heights of photons, both included.
    profile : uint32 array, shape (n_col,)
        Where in ``kinds`` the rows of each column begin.
    kinds : uint8 array
        Kinds of events by row, one piece of ``n_low`` rows from row ``low`` for each sort of column; what lies beyond is as the first or last.
    group : int16 array, shape (n_col,)
        Into which of the sums each column goes.
    shift : int
        An image's column is the detector's, shifted to the right by so many bits.
    gain : float64 array, shape (n_col,)
        As `cuvee.model.photons.Trace` has it.
    start, step : float
        Where the first bin starts, and how long each is (s).
    sums : float64 array, shape (n_group, n_bin, 6)
        Counted up: events, their weights, weight x gain, (weight x gain)^2, and rows; weight x gain of events of the background regions.
    behind : int64 array, shape (n_group, n_bin)
        Counted up: events of the background regions.
    spectrum : int64 array, shape (n_col,)
        Counted up: events of the source's region by column.
    tally : int64 array, shape (4, 48, 257) or (4, 48, 1)
        Counted up, in turns: events by kind, and by pulse height where there is one; the last place takes heights beyond 255.
    image : int32 array, shape (1 + n_image_row, n_image_col) or (0, n)
        Counted up: all on the detector of good time, quality and pulse height, on a grid of 4 rows; the rest goes into the first row.
    order : float64 array, shape (4,)
        First and last time so far, how many lay before their predecessors, whether there are two different ones. Begin with NaN, NaN, 0, 0.
    touched : int64 array, shape (2,)
        Widened: first and last bin that was counted up.
    kind_of : uint8 array, shape (n_row,) or (0,)
        Receives the kind of each event, where it has room.
    """
    type_t, type_x, type_y, type_w, type_q, type_p = codes

    # All of it is one function: numba counts references of arrays at each call of another, which takes ten times as long as an event.
    @njit(
        [
            types.void(
                uint8[:, ::1], int64[:, ::1], float64[:, ::1], float64, float64[:, ::1], float64, int64, float64[::1], uint32[::1], uint8[::1], int64,
                int64, int16[::1], int64, float64[::1], float64, float64, float64[:, :, ::1], int64[:, ::1], int64[::1], int64[:, :, ::1],
                int32[:, ::1], float64[::1], int64[::1], uint8[::1],
            )
        ],
        cache=True,
        nogil=True,
        error_model="numpy",
    )  # fmt: skip
    def count(
        rows, fields, scale, walk, gti, tolerance, bits, pulse, profile, kinds, low, n_low, group, shift, gain, start, step, sums, behind,
        spectrum, tally, image, order, touched, kind_of,
    ):  # fmt: skip
        n_bin, n_col, n_gti = behind.shape[1], profile.shape[0], gti.shape[0]
        n_image, image_width = image.shape[0] - 1, image.shape[1]
        flat, tally_of, n_height = image.reshape(image.size), tally.reshape(tally.size), tally.shape[2]
        keep, last_bin, top = kind_of.size > 0, n_bin - 1, n_low - 1
        # What a loop reads of arrays it reads again each time, for all that it knows they are those that it writes to.
        t_at, t_scale, t_zero = fields[0, 0], scale[0, 0], scale[0, 1]
        x_at, x_scale, x_zero = fields[1, 0], scale[1, 0], scale[1, 1]
        y_at, y_scale, y_zero = fields[2, 0], scale[2, 0], scale[2, 1]
        w_at, q_at, p_at, quiet, loud = fields[3, 0], fields[4, 0], fields[5, 0], pulse[0], pulse[1]
        t, x, y, p = np.zeros(BLOCK), np.zeros(BLOCK), np.zeros(BLOCK), np.zeros(BLOCK)
        q, height, place = np.zeros(BLOCK, int32), np.zeros(BLOCK, int32), np.zeros(BLOCK, int32)
        column, row, bin_of, turn = (
            np.zeros(BLOCK, int32),
            np.zeros(BLOCK, int32),
            np.zeros(BLOCK, int32),
            np.zeros(BLOCK, int32),
        )
        lit, dark = np.empty(BLOCK, int32), np.empty(BLOCK, int32)
        late, bad, kind = np.zeros(BLOCK, uint8), np.zeros(BLOCK, uint8), np.zeros(BLOCK, uint8)
        before, at, opens, closes = order[1], 0, np.inf, -np.inf
        if n_gti:
            opens, closes = gti[0, 0] - tolerance, gti[0, 1] + tolerance
        first_bin, final_bin = touched[0], touched[1]
        for i0 in range(0, rows.shape[0], BLOCK):
            m = min(BLOCK, rows.shape[0] - i0)
            for j in range(m):
                t[j] = _value(rows, i0 + j, t_at, type_t) * t_scale + t_zero
                if type_x:
                    x[j] = _value(rows, i0 + j, x_at, type_x) * x_scale + x_zero
                if type_y:
                    y[j] = _value(rows, i0 + j, y_at, type_y) * y_scale + y_zero
                if type_q:
                    q[j] = int32(_value(rows, i0 + j, q_at, type_q))
                if type_p:
                    p[j] = _value(rows, i0 + j, p_at, type_p)
            if walk != 0.0:
                for j in range(m):
                    y[j] -= walk * p[j]

            # Times mostly rise, and most blocks lie in one interval: then no event needs to be looked at.
            rising = 0
            for j in range(1, m):
                rising += t[j] >= t[j - 1]
            regular = rising == m - 1 and opens <= t[0] and t[m - 1] <= closes and not t[0] < before
            if regular:
                if np.isnan(before):
                    order[0] = before = t[0]
                if t[m - 1] > before:
                    order[3] = 1.0
                before = t[m - 1]
                late[:m] = 0
            else:
                for j in range(m):
                    late[j] = 0
                    if not np.isfinite(t[j]):
                        late[j], t[j] = NOT_A_NUMBER, start
                        continue
                    if np.isnan(before):
                        order[0] = t[j]
                    elif t[j] < before:
                        order[2] += 1.0
                    elif t[j] > before:
                        order[3] = 1.0
                    before = t[j]
                    if n_gti and not opens <= before <= closes:
                        # An interval near that of the last event holds the next.
                        while at + 1 < n_gti and before >= gti[at + 1, 0] - tolerance:
                            at += 1
                        while at > 0 and before < gti[at, 0] - tolerance:
                            at -= 1
                        opens, closes = gti[at, 0] - tolerance, gti[at, 1] + tolerance
                    if not opens <= before <= closes:
                        late[j] = NO_GOOD_TIME

            # Within the tolerance an event may lie before the first bin, or behind the last.
            low_bin = int32(min(max((t[0] - start) / step, 0.0), last_bin))
            high_bin = int32(min(max((t[m - 1] - start) / step, 0.0), last_bin))
            if regular and low_bin == high_bin:
                # Divisions take as long as all else that is done about times.
                bin_of[:m] = low_bin
            else:
                for j in range(m):
                    bin_of[j] = int32(min(max((t[j] - start) / step, 0.0), last_bin))
                for j in range(m):
                    low_bin, high_bin = min(low_bin, bin_of[j]), max(high_bin, bin_of[j])
            first_bin, final_bin = min(first_bin, low_bin), max(final_bin, high_bin)
            alike = low_bin == high_bin and sums.shape[0] == 1

            for j in range(m):
                # Rows beyond what 16 bits hold are beyond any detector, too.
                across = np.rint(x[j])
                on = (across >= 0.0) & (across < n_col) & (y[j] > -30000.0) & (y[j] < 30000.0)
                c = int32(across) if on else int32(0)
                r = int32(np.rint(y[j])) if on else int32(-30000)
                reason = uint8(0) if on else uint8(BEYOND)
                if type_p:
                    reason = max(reason, uint8(0) if (quiet <= p[j]) & (p[j] <= loud) else uint8(BAD_PULSE))
                    height[j] = int32(p[j]) if (p[j] >= 0.0) & (p[j] < 256.0) else int32(n_height - 1)
                if type_q:
                    reason = max(reason, uint8(BAD_QUALITY) if q[j] & bits else uint8(0))
                reason = max(reason, late[j])
                bad[j] = reason
                column[j] = c
                row[j] = int32(min(max(r - low, 0), top))
                line = r >> 2
                line = line + 1 if (line >= 0) & (line < n_image) & (reason == 0) else 0
                place[j] = int32(line * image_width + (c >> shift))

            if n_image > 0:
                for j in range(m):
                    flat[uint64(place[j])] += 1
            # One thing at a time: together they need more than the processor has registers.
            for j in range(m):
                kind[j] = kinds[uint64(profile[uint64(column[j])]) + uint64(row[j])]
            for j in range(m):
                kind[j] |= bad[j]
                turn[j] = (N_KIND * (j % BANKS) + kind[j]) * n_height + height[j]
            for j in range(m):
                tally_of[uint64(turn[j])] += 1
            n_lit, n_dark = 0, 0
            for j in range(m):
                lit[uint64(n_lit)] = j
                n_lit += kind[j] == SOURCE
            for j in range(m):
                n_dark += kind[j] == BEHIND
            if n_dark > 0:
                n_dark = 0
                for j in range(m):
                    dark[uint64(n_dark)] = j
                    n_dark += kind[j] == BEHIND
            if keep:
                kind_of[i0 : i0 + m] = kind[:m]

            # Events of one bin and piece mostly come one after the other: they are added up before anything is written.
            s = 0
            while s < n_lit:
                j = uint64(lit[s])
                k, g, end = bin_of[j], group[uint64(column[j])], s + 1
                if alike:
                    end = n_lit
                while end < n_lit and bin_of[lit[end]] == k and group[column[lit[end]]] == g:
                    end += 1
                weights, energies, squares, lines = 0.0, 0.0, 0.0, 0.0
                for i in range(s, end):
                    j = uint64(lit[uint64(i)])
                    c = uint64(column[j])
                    weight = _value(rows, i0 + j, w_at, type_w) if type_w else 1.0
                    energy = weight * gain[c]
                    spectrum[c] += 1
                    weights += weight
                    energies += energy
                    squares += energy * energy
                    lines += y[j]
                sums[g, k, 0] += end - s
                sums[g, k, 1] += weights
                sums[g, k, 2] += energies
                sums[g, k, 3] += squares
                sums[g, k, 4] += lines
                s = end
            for i in range(n_dark):
                j = uint64(dark[uint64(i)])
                c = uint64(column[j])
                k, g = bin_of[j], group[c]
                behind[g, k] += 1
                sums[g, k, 5] += (_value(rows, i0 + j, w_at, type_w) if type_w else 1.0) * gain[c]
        order[1] = before
        touched[0], touched[1] = first_bin, final_bin

    return count  # type: ignore[no-any-return]
