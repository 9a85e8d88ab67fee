"""What has moved into an image since the reference was taken: sums of frames in bins of 2 x 2 pixels, less the reference, and their peaks.

The reference is described bin by bin by eight numbers (``parts``): its light, the derivatives of it with which a displaced or smeared frame
differs from it (in column, row, twice in column, in both, twice in row), the variance of one frame, and the square of what no model describes.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int64, njit, void
from numpy.typing import NDArray

__all__ = ["add_bins", "find_peaks", "fit_parts", "sky_cells", "subtract"]

N_LANE = 16
N_FREE = 5
"""Derivatives that are fitted."""
PRIOR = (0.5, 0.5, 0.1, 0.1, 0.1)
"""How large their coefficients may be (px, px^2): without it few stars would let them run away."""
ROUNDS = 3
CLIP = 4.0
FAINTEST = 3.0
"""A peak's brightest bin stands out by so many standard deviations."""
FEWEST = 16

_REAL = {"reassoc", "contract", "nsz"}
"""Sums may be reordered, so that they become vectors; what is not a number stays so."""


@njit(
    [
        void(
            float32[:, ::1], int64, int64, int64, int64, int64, int64, int64, float32[:, ::1], float32[:, :, ::1]
        )
    ],
    cache=True,
    nogil=True,
    fastmath=_REAL,
)  # fmt: skip
def add_bins(
    image: NDArray[np.float32],
    top: int,
    left: int,
    width: int,
    i0: int,
    i1: int,
    j0: int,
    j1: int,
    use: NDArray[np.float32],
    total: NDArray[np.float32],
) -> None:
    """Sum some lanes of a tile in bins of 2 x 2 pixels.

    Parameters
    ----------
    image : float32 array, shape (n_pixel, 16)
        Lanes of the tile (e-/s).
    top, left, width : int
        First row and column of the tile, and its columns.
    i0, i1, j0, j1 : int
        Bins to sum: bin [i, j] holds rows 2 i and 2 i + 1, columns 2 j and 2 j + 1.
    use : float32 array, shape (2, 16)
        Above zero for the lanes of each of two sums.
    total : float32 array, shape (2, n_up, n_across)
        Receives the sums.
    """
    zero = np.float32(0.0)
    for i in range(i0, i1):
        for j in range(j0, j1):
            p = (2 * i - top) * width + 2 * j - left
            q = p + width
            first, second = zero, zero
            for b in range(N_LANE):
                x = image[p, b] + image[p + 1, b] + image[q, b] + image[q + 1, b]
                first += x if use[0, b] > zero else zero
                second += x if use[1, b] > zero else zero
            total[0, i, j] = first
            total[1, i, j] = second


@njit([void(float32[:, ::1], float64, float32[:, :, ::1], int64, float64[:, ::1])], cache=True, nogil=True)
def sky_cells(
    total: NDArray[np.float32], scale: float, parts: NDArray[np.float32], step: int, sky: NDArray[np.float64]
) -> None:
    """Take the median of ``total * scale`` less the reference in equal cells.

    Parameters
    ----------
    total : float32 array, shape (n_up, n_across)
        Sum of frames.
    scale : float
        One over their number.
    parts : float32 array, shape (n_up, n_across, 8)
        The reference.
    step : int
        Only each so many-th bin in both directions is looked at.
    sky : float64 array, shape (n_cell_up, n_cell_across)
        Receives the medians (e-/s a bin); NaN where fewer than sixteen bins are finite.
    """
    n_up, n_across = total.shape
    values = np.empty((n_up // sky.shape[0] + 2) * (n_across // sky.shape[1] + 2))
    for a in range(sky.shape[0]):
        for c in range(sky.shape[1]):
            n = 0
            for i in range(a * n_up // sky.shape[0], (a + 1) * n_up // sky.shape[0], step):
                for j in range(c * n_across // sky.shape[1], (c + 1) * n_across // sky.shape[1], step):
                    d = total[i, j] * scale - parts[i, j, 0]
                    if np.isfinite(d):
                        values[n] = d
                        n += 1
            sky[a, c] = np.median(values[:n]) if n >= FEWEST else np.nan


@njit("Tuple((int64, float64))(int64, int64, int64)", cache=True, nogil=True)
def _cell(k: int, n: int, n_cell: int) -> tuple[int, float]:
    # The cell whose centre is before bin k, and how far beyond it the bin lies, in cells; held at the ends.
    at = (k + 0.5) * n_cell / n - 0.5
    low = min(max(int(np.floor(at)), 0), max(n_cell - 2, 0))
    return low, min(max(at - low, 0.0), 1.0) if n_cell > 1 else 0.0


@njit(
    [void(float32[:, ::1], float64, float64, float64[:, ::1], float32[:, :, ::1], int64[:, ::1], int64[::1], float32[:, ::1])],
    cache=True,
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def fit_parts(
    total: NDArray[np.float32],
    scale: float,
    exposure: float,
    sky: NDArray[np.float64],
    parts: NDArray[np.float32],
    place: NDArray[np.int64],
    ptr: NDArray[np.int64],
    coef: NDArray[np.float32],
) -> None:
    """Find how far frames are displaced from the reference, and smeared, region by region.

    Parameters
    ----------
    total, scale, sky, parts
        As in `subtract`.
    exposure : float
        Time on source of a frame (s).
    place : int64 array, shape (n_chosen, 2)
        Bins that tell most of it.
    ptr : int64 array, shape (n_region + 1,)
        Which of them belong to each region.
    coef : float32 array, shape (n_region, 8)
        Receives what the parts are to be multiplied with: 1, the five coefficients, 0, 0.
    """
    n_up, n_across = total.shape
    normal, right, found = np.empty((N_FREE, N_FREE)), np.empty(N_FREE), np.empty(N_FREE)
    for region in range(ptr.size - 1):
        found[:] = 0.0
        for turn in range(ROUNDS):
            normal[:] = 0.0
            right[:] = 0.0
            for k in range(N_FREE):
                normal[k, k] = 1.0 / PRIOR[k] ** 2
            for e in range(ptr[region], ptr[region + 1]):
                i, j = place[e, 0], place[e, 1]
                a, u = _cell(i, n_up, sky.shape[0])
                c, v = _cell(j, n_across, sky.shape[1])
                a1, c1 = min(a + 1, sky.shape[0] - 1), min(c + 1, sky.shape[1] - 1)
                level = (1.0 - u) * ((1.0 - v) * sky[a, c] + v * sky[a, c1])
                level += u * ((1.0 - v) * sky[a1, c] + v * sky[a1, c1])
                one = parts[i, j]
                d = total[i, j] * scale - one[0] - level
                variance = (one[6] + max(level, 0.0) / exposure) * scale + one[7]
                left = d
                for k in range(N_FREE):
                    left -= found[k] * one[k + 1]
                # From the second turn on: a star that has changed tells nothing of the pointing.
                if not np.isfinite(d) or (turn > 0 and left * left > CLIP * CLIP * variance):
                    continue
                for k in range(N_FREE):
                    right[k] += one[k + 1] * d / variance
                    for m in range(N_FREE):
                        normal[k, m] += one[k + 1] * one[m + 1] / variance
            # Gauss: the matrix is symmetric and, with its prior, positive.
            for k in range(N_FREE):
                for m in range(k + 1, N_FREE):
                    factor = normal[m, k] / normal[k, k]
                    right[m] -= factor * right[k]
                    for n in range(k, N_FREE):
                        normal[m, n] -= factor * normal[k, n]
            for k in range(N_FREE - 1, -1, -1):
                rest = right[k]
                for m in range(k + 1, N_FREE):
                    rest -= normal[k, m] * found[m]
                found[k] = rest / normal[k, k]
        coef[region, 0] = 1.0
        coef[region, 1 + N_FREE :] = 0.0
        for k in range(N_FREE):
            coef[region, k + 1] = found[k]


@njit(
    [
        void(
            float32[:, ::1], float64, float64, float64[:, ::1], float32[:, :, ::1], float32[:, ::1], int64,
            float32[:, ::1], float32[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath=_REAL,
)  # fmt: skip
def subtract(
    total: NDArray[np.float32],
    scale: float,
    exposure: float,
    sky: NDArray[np.float64],
    parts: NDArray[np.float32],
    coef: NDArray[np.float32],
    region: int,
    rest: NDArray[np.float32],
    weight: NDArray[np.float32],
) -> None:
    """Subtract reference, displacement and sky from a sum of frames.

    Parameters
    ----------
    total : float32 array, shape (n_up, n_across)
        Sum of frames.
    scale : float
        One over their number.
    exposure : float
        Time on source of one of them (s).
    sky : float64 array, shape (n_cell_up, n_cell_across)
        From `sky_cells`, without gaps; between the cells' centres it is bilinear.
    parts : float32 array, shape (n_up, n_across, 8)
        The reference.
    coef : float32 array, shape (n_region, 8)
        From `fit_parts`.
    region : int
        Side of a region in bins; regions are numbered row by row.
    rest, weight : float32 array, shape (n_up, n_across)
        Receive what is left (e-/s a bin), and one over its variance.
    """
    n_up, n_across = total.shape
    across = (n_across + region - 1) // region
    factor, part = np.float32(scale), np.float32(1.0 / exposure)
    cells = np.empty(sky.shape[1])
    levels = np.empty(n_across, np.float32)
    zero, one = np.float32(0.0), np.float32(1.0)
    for i in range(n_up):
        a, u = _cell(i, n_up, sky.shape[0])
        a1 = min(a + 1, sky.shape[0] - 1)
        for c in range(sky.shape[1]):
            cells[c] = (1.0 - u) * sky[a, c] + u * sky[a1, c]
        for j in range(n_across):
            c, v = _cell(j, n_across, sky.shape[1])
            levels[j] = (1.0 - v) * cells[c] + v * cells[min(c + 1, sky.shape[1] - 1)]
        for r in range(across):
            own = coef[(i // region) * across + r]
            for j in range(r * region, min((r + 1) * region, n_across)):
                model = zero
                for k in range(8):
                    model += own[k] * parts[i, j, k]
                level = levels[j]
                rest[i, j] = total[i, j] * factor - model - level
                brighter = level if level > zero else zero
                weight[i, j] = one / ((parts[i, j, 6] + brighter * part) * factor + parts[i, j, 7])


@njit(int64(float32[:, ::1], float32[:, ::1], float64, float64[:, ::1]), cache=True, nogil=True, error_model="numpy")
def find_peaks(
    rest: NDArray[np.float32], weight: NDArray[np.float32], least: float, found: NDArray[np.float64]
) -> int:
    """Find what stands out as a point source does: the local maxima of an image.

    Parameters
    ----------
    rest, weight : float32 array, shape (n_up, n_across)
        From `subtract`.
    least : float
        Smallest signal-to-noise ratio in 3 x 3 bins, less the median of the sixteen around them.
    found : float64 array, shape (n_most, 4)
        Receives row and column (in bins), flux (e-/s) and signal to noise of each.

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
            if not (r > 0.0 and r * r * weight[i, j] >= FAINTEST * FAINTEST):
                continue
            strength = r * r * weight[i, j]
            highest = True
            for y in range(i - 1, i + 2):
                for x in range(j - 1, j + 2):
                    other = rest[y, x]
                    if not np.isfinite(other):
                        highest = False
                    if other > 0.0 and other * other * weight[y, x] > strength:
                        highest = False
            if not highest:
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
            flux, signal, norm, light, up, along = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for y in range(i - 1, i + 2):
                for x in range(j - 1, j + 2):
                    value = rest[y, x] - base
                    share = (2.0 - abs(y - i)) * (2.0 - abs(x - j))
                    flux += value
                    signal += share * value * weight[y, x]
                    norm += share * share * weight[y, x]
                    if value > 0.0:
                        light += value
                        up += (y - i) * value
                        along += (x - j) * value
            if norm <= 0.0 or signal < least * np.sqrt(norm):
                continue
            found[n, 0], found[n, 1] = i + up / light, j + along / light
            found[n, 2], found[n, 3] = flux, signal / np.sqrt(norm)
            n += 1
            if n == found.shape[0]:
                return n
    return n
