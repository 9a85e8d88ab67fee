"""The noise of light curves over hours: slow variation taken off, outliers left out, running means."""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import boolean, float32, float64, int32, int64, njit, types, void
from numpy.typing import NDArray

__all__ = ["running_noise"]

WINDOW = 101  # bins of the Savitzky-Golay filter
FEWEST = 51  # bins that a stretch of time without a gap must have
GAP = 5  # steps from one bin to the next, above which a stretch ends
FAR = 5.0  # standard deviations from which a bin is an outlier
TURNS = 3
SIZES = (2, 13)  # bins of the running means


@njit(types.UniTuple(float64, 2)(float64[::1], float64[::1], int64), cache=True, nogil=True)
def _sums_of_steps(high, low, n):
    """Add up the first n of high - low, and their squares."""
    # Four sums each run beside the others: a single one would wait for each addition.
    a0, a1, a2, a3, b0, b1, b2, b3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(0, n - 3, 4):
        s0, s1, s2, s3 = high[i] - low[i], high[i + 1] - low[i + 1], high[i + 2] - low[i + 2], high[i + 3] - low[i + 3]
        a0, a1, a2, a3 = a0 + s0, a1 + s1, a2 + s2, a3 + s3
        b0, b1, b2, b3 = b0 + s0 * s0, b1 + s1 * s1, b2 + s2 * s2, b3 + s3 * s3
    for i in range(n - n % 4, n):
        s0 = high[i] - low[i]
        a0, b0 = a0 + s0, b0 + s0 * s0
    return a0 + a1 + a2 + a3, b0 + b1 + b2 + b3


@njit(
    int64(
        types.Array(float32, 1, "C", readonly=True), types.Array(boolean, 1, "C", readonly=True),
        types.Array(int32, 1, "C", readonly=True), int64, float64[::1], int64[::1],
    ),
    cache=True,
    nogil=True,
)  # fmt: skip
def _to_bins(flux, good, bins, width, value, ends):
    """Take the mean of each bin that has half of its points; ``ends`` takes where stretches end, their number is returned."""
    n, start, n_end, before = 0, 0, 0, int64(-1)
    count, total = 0, 0.0
    for i in range(flux.size):
        x, at = float64(flux[i]), int64(bins[i])
        known = good[i] & (x - x == 0.0)
        if width > 1:
            count += known
            if known:
                total += x
            if i + 1 < flux.size and bins[i + 1] == bins[i]:
                continue
            known = 2 * count >= width
            x = total / max(count, 1)
            count, total = 0, 0.0
        if known & (at - before > GAP):
            if n - start >= FEWEST:
                n_end += 1
                ends[n_end] = n
            else:
                n = start
            start = n
        # Without a branch: nobody could foretell which points are good.
        value[n] = x
        n += known
        before = at if known else before
    if n - start >= FEWEST:
        n_end += 1
        ends[n_end] = n
    return n_end


@njit(void(float64[::1], float64[::1], float64[:, ::1]), cache=True, nogil=True)
def _filter(value, left, sums):
    """Take a running parabola off a stretch; what is left goes to ``left``."""
    n = value.size
    window = min(WINDOW, n - 1 + n % 2)
    half = window // 2
    middle = n - window + 1  # windows that there are
    base = value[0]
    s0, s1, s2 = sums[0], sums[1], sums[2]
    a, b, c = 0.0, 0.0, 0.0
    for i in range(n):
        x, t = value[i] - base, float64(i)
        a += x
        b += t * x
        c += t * t * x
        s0[i + 1], s1[i + 1], s2[i + 1] = a, b, c
    # Sums of even powers of the distance from the middle of a window.
    k0 = float64(window)
    k2 = k0 * (k0 * k0 - 1.0) / 12.0
    k4 = k2 * (3.0 * k0 * k0 - 7.0) / 20.0
    below = 1.0 / (k0 * k4 - k2 * k2)
    # Views that begin where they are read let the compiler take several points at once.
    h0, h1, h2 = s0[window:], s1[window:], s2[window:]
    inside, rest = value[half:], left[half:]
    for i in range(middle):
        t = float64(i + half)
        a, b, c = h0[i] - s0[i], h1[i] - s1[i], h2[i] - s2[i]
        rest[i] = inside[i] - base - (k4 * a - k2 * (c - 2.0 * t * b + t * t * a)) * below
    # At the ends the parabolas of the first and of the last window go on.
    for side in range(2):
        i = 0 if side == 0 else middle - 1
        t = float64(i + half)
        a, b, c = h0[i] - s0[i], h1[i] - s1[i], h2[i] - s2[i]
        c += t * t * a - 2.0 * t * b
        b -= t * a
        p0, p1, p2 = (k4 * a - k2 * c) * below + base, b / k2, (k0 * c - k2 * a) * below
        for j in range(half) if side == 0 else range(i + half + 1, n):
            k = float64(j - i - half)
            left[j] = value[j] - (p0 + k * (p1 + k * p2))


@njit(void(float64[::1], float64[::1]), cache=True, nogil=True)
def _add_up(values, sums):
    """Let ``sums[i]`` be the sum of the first i values."""
    total = 0.0
    ends = sums[1:]
    for i in range(values.size):
        total += values[i]
        ends[i] = total


@njit(int64(float64[::1], float64[::1], int64[::1], int64, float64), cache=True, nogil=True)
def _drop(value, left, ends, n_end, limit):
    """Drop the bins whose ``left`` is beyond plus or minus ``limit``, and stretches of which too few are left; return how many stay."""
    lost = 0
    for i in range(ends[n_end]):
        lost += abs(left[i]) > limit
    if lost == 0:
        return n_end
    kept, i, n_kept = 0, 0, 0
    for k in range(1, n_end + 1):
        start, last = kept, ends[k]
        while i < last:
            value[kept], left[kept] = value[i], left[i]
            kept += abs(left[kept]) <= limit
            i += 1
        if kept - start >= FEWEST:
            n_kept += 1
            ends[n_kept] = kept
        else:
            kept = start
    return n_kept


@njit(
    void(
        types.Array(float32, 1, "C", readonly=True), types.Array(boolean, 1, "C", readonly=True),
        types.Array(int32, 1, "C", readonly=True), types.Array(int64, 1, "C", readonly=True), int64, float64[:, ::1],
    ),
    cache=True,
    nogil=True,
)  # fmt: skip
def running_noise(
    flux: NDArray[np.float32],
    good: NDArray[np.bool_],
    bins: NDArray[np.int32],
    offsets: NDArray[np.int64],
    width: int,
    noise: NDArray[np.float64],
) -> None:
    """Take the standard deviation of the running means of two and of thirteen bins, star by star.

    Parameters
    ----------
    flux : float32 array, shape (n_point,)
        Points of all stars, one star after the other.
    good : bool array, shape (n_point,)
        Points to use; one that is not finite is never used.
    bins : int32 array, shape (n_point,)
        Number of the bin that each point is in: not negative, and ascending within a star.
    offsets : int64 array, shape (n_star + 1,)
        Where each star's points begin and end.
    width : int
        Points of a full bin; a bin with fewer than half of them is none.
    noise : float64 array, shape (2, n_star)
        Takes the result, in the unit of ``flux``; NaN where no stretch has 51 bins.

    Notes
    -----
    Bins that are missing are passed over, unless five or more follow each other: there one stretch ends and another begins. A parabola
    over the 101 bins about each bin is taken off (over fewer in a shorter stretch), and bins beyond five standard deviations are dropped
    until there are none. Where some were, the parabola may have bent to them: all is done again with the rest, at most three times.
    The time grows as the number of points.
    """
    longest = 0
    for star in range(offsets.size - 1):
        longest = max(longest, offsets[star + 1] - offsets[star])
    value, left = np.empty(longest + 1), np.empty(longest + 1)
    ends = np.zeros(longest // FEWEST + 2, np.int64)
    sums = np.zeros((3, longest + 2))
    nothing = np.zeros(longest + 1)
    count, total, squares = np.empty(2), np.empty(2), np.empty(2)
    for star in range(offsets.size - 1):
        noise[:, star] = np.nan
        here = slice(offsets[star], offsets[star + 1])
        n_end = _to_bins(flux[here], good[here], bins[here], width, value, ends)
        if n_end == 0:
            continue
        for _ in range(TURNS):
            for k in range(n_end):
                _filter(value[ends[k] : ends[k + 1]], left[ends[k] : ends[k + 1]], sums)
            first = n = ends[n_end]
            while n > 0:
                _, square = _sums_of_steps(left, nothing, n)
                n_end = _drop(value, left, ends, n_end, FAR * np.sqrt(square / n))
                if ends[n_end] == n:
                    break
                n = ends[n_end]
            if n == first or n == 0:
                break
        if n_end == 0:
            continue
        count[:], total[:], squares[:] = 0, 0.0, 0.0
        for k in range(n_end):
            n = ends[k + 1] - ends[k]
            _add_up(left[ends[k] : ends[k + 1]], sums[0])
            for j, size in enumerate(SIZES):
                one, two = _sums_of_steps(sums[0, size:], sums[0], n - size + 1)
                count[j] += n - size + 1
                total[j] += one
                squares[j] += two
        for j, size in enumerate(SIZES):
            mean = total[j] / count[j]
            noise[j, star] = np.sqrt(max(squares[j] / count[j] - mean * mean, 0.0)) / size
