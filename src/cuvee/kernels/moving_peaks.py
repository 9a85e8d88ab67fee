"""Peaks in what is left of an image without the reference, and in how many of its frames they are."""

from __future__ import annotations

import numpy as np
from numba import boolean, float32, float64, int64, njit, types, uint32, void
from numpy.typing import NDArray

__all__ = ["find_peaks", "light_of_frame", "light_of_rest"]

FAINTEST = 3.0
"""A peak's brightest bin stands out by so many standard deviations."""
ALONE = 0.7
"""What its signal to noise must be over the bins above and below alone, and over those left and right, in terms of the least."""
_FRAME = types.Array(uint32, 2, "C", readonly=True)


@njit(
    int64(
        float32[:, ::1], float32[:, ::1], float64[:, ::1], float64, float64, float64, float64[:, ::1]
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def find_peaks(
    rest: NDArray[np.float32],
    variance: NDArray[np.float32],
    sky: NDArray[np.float64],
    scale: float,
    exposure: float,
    least: float,
    found: NDArray[np.float64],
) -> int:
    """Find what stands out as a point source does: the local maxima of an image.

    Parameters
    ----------
    rest : float32 array, shape (n_up, n_across)
        What is left (e-/s a bin).
    variance : float32 array, shape (n_up, n_across)
        Of a mean of frames no brighter than the reference.
    sky : float64 array, shape (n_cell_up, n_cell_across)
        What the sky of these frames has more than the reference's (e-/s a bin).
    scale, exposure : float
        One over the number of frames, and the time on source of each (s): for what a brighter sky adds to the variance.
    least : float
        Smallest signal-to-noise ratio in 3 x 3 bins, less the median of the sixteen around them. Less the bins two above and
        below, and less those two to the left and right, it must be `ALONE` times as high: straps and columns of charge are no points.
    found : float64 array, shape (n_most, 6)
        Receives row and column (in bins), flux (e-/s) and signal to noise of each, and row and column of its brightest bin.

    Returns
    -------
    int
        How many; no more than there is room for.
    """
    n_up, n_across = rest.shape
    ring = np.empty(16)
    n = 0
    for i in range(2, n_up - 2):
        for j in range(2, n_across - 2):
            r = rest[i, j]
            if not r * abs(r) >= np.float32(FAINTEST * FAINTEST) * variance[i, j]:
                continue
            highest = True
            for y in range(i - 1, i + 2):
                for x in range(j - 1, j + 2):
                    # As many standard deviations as r, squared and without a division; what is no number fails, too.
                    other = rest[y, x]
                    if not other * abs(other) * variance[i, j] <= r * r * variance[y, x]:
                        highest = False
            if not highest:
                continue
            more = max(sky[i * sky.shape[0] // n_up, j * sky.shape[1] // n_across], 0.0) / exposure * scale
            signal, norm = 0.0, 0.0
            for y in range(i - 1, i + 2):
                for x in range(j - 1, j + 2):
                    share = (2.0 - abs(y - i)) * (2.0 - abs(x - j))
                    weight = 1.0 / (variance[y, x] + more)
                    signal += share * rest[y, x] * weight
                    norm += share * share * weight
            if not signal >= 0.7 * least * np.sqrt(norm):
                continue
            m = 0
            for y in range(i - 2, i + 3):
                for x in range(j - 2, j + 3):
                    if (abs(y - i) == 2 or abs(x - j) == 2) and np.isfinite(rest[y, x]):
                        ring[m] = rest[y, x]
                        m += 1
            if m < 8:
                continue
            base = np.median(ring[:m])
            flux, signal, light, up, along, down, aside = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for y in range(i - 1, i + 2):
                for x in range(j - 1, j + 2):
                    share = (2.0 - abs(y - i)) * (2.0 - abs(x - j)) / (variance[y, x] + more)
                    value = rest[y, x] - base
                    flux += value
                    signal += share * value
                    down += share * (rest[y, x] - 0.5 * (rest[i - 2, x] + rest[i + 2, x]))
                    aside += share * (rest[y, x] - 0.5 * (rest[y, j - 2] + rest[y, j + 2]))
                    if value > 0.0:
                        light += value
                        up += (y - i) * value
                        along += (x - j) * value
            strong = least * np.sqrt(norm)
            if signal < strong or down < ALONE * strong or aside < ALONE * strong:
                continue
            found[n, 0], found[n, 1] = i + up / light, j + along / light
            found[n, 2], found[n, 3] = flux, signal / np.sqrt(norm)
            found[n, 4], found[n, 5] = i, j
            n += 1
            if n == found.shape[0]:
                return n
    return n


@njit(
    [void(float32[:, ::1], float32[:, ::1], int64[:, ::1], float64[::1], float64[::1])],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def light_of_rest(
    rest: NDArray[np.float32],
    variance: NDArray[np.float32],
    place: NDArray[np.int64],
    signal: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> None:
    """Sum the light of peaks, weighted as their signal to noise is, less the mean of the sixteen bins around each.

    Parameters
    ----------
    rest, variance : float32 array, shape (n_up, n_across)
        As in `find_peaks`.
    place : int64 array, shape (n_peak, 2)
        The peaks' bins, at least two from the edge.
    signal, noise : float64 array, shape (n_peak,)
        Receive the sums, and their standard deviation without that of the mean.
    """
    for k in range(place.shape[0]):
        i, j = place[k, 0], place[k, 1]
        inner, outer, weights, norm = 0.0, 0.0, 0.0, 0.0
        for y in range(i - 2, i + 3):
            for x in range(j - 2, j + 3):
                if abs(y - i) == 2 or abs(x - j) == 2:
                    outer += rest[y, x] / 16.0
                else:
                    share = (2.0 - abs(y - i)) * (2.0 - abs(x - j))
                    inner += share * rest[y, x] / variance[y, x]
                    weights += share / variance[y, x]
                    norm += share * share / variance[y, x]
        signal[k], noise[k] = inner - weights * outer, np.sqrt(norm)


@njit(
    [void(_FRAME, boolean, float32[:, ::1], int64[:, ::1], float64[::1])], cache=True, nogil=True, error_model="numpy"
)
def light_of_frame(
    words: NDArray[np.uint32],
    swap: bool,
    variance: NDArray[np.float32],
    place: NDArray[np.int64],
    signal: NDArray[np.float64],
) -> None:
    """Take the same sums of one frame.

    Parameters
    ----------
    words : uint32 array, shape (n_row, >= n_col)
        The frame's float32 words.
    swap : bool
        Whether they are of the other byte order.
    variance, place, signal
        As in `light_of_rest`.
    """
    word = np.empty(4, np.uint32)
    light = word.view(np.float32)
    low, high = np.uint32(0xFF00), np.uint32(0xFF0000)
    for k in range(place.shape[0]):
        i, j = place[k, 0], place[k, 1]
        inner, outer, weights = 0.0, 0.0, 0.0
        for y in range(i - 2, i + 3):
            for x in range(j - 2, j + 3):
                for p in range(4):
                    w = words[2 * y + p // 2, 2 * x + p % 2]
                    word[p] = np.uint32((w << 24) | ((w & low) << 8) | ((w & high) >> 8) | (w >> 24)) if swap else w
                value = float(light[0]) + light[1] + light[2] + light[3]
                if abs(y - i) == 2 or abs(x - j) == 2:
                    outer += value / 16.0
                else:
                    share = (2.0 - abs(y - i)) * (2.0 - abs(x - j)) / variance[y, x]
                    inner += share * value
                    weights += share
        signal[k] = inner - weights * outer
