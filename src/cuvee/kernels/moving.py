"""What has moved into an image since the reference was taken: sums of frames in bins of 2 x 2 pixels, less the reference.

The reference is described bin by bin: by its light (``still``), by five derivatives of it with which a displaced or smeared frame differs
from it (in column, row, twice in column, in both, twice in row), and by the variance of a mean of frames. What is read for every bin lies in planes
of its own, because memory is what costs time here.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, float32, float64, int64, njit, types, uint32, void
from numpy.typing import NDArray

__all__ = ["add_frame", "fit_slopes", "sky_cells", "subtract"]

N_FREE = 5
"""Derivatives that are fitted."""
PRIOR = (0.5, 0.5, 0.1, 0.1, 0.1)
"""How large their coefficients may be (px, px^2): without it few stars would let them run away."""
ROUNDS = 3
CLIP = 4.0
NOTHING = 0.003
"""A second derivative with a smaller coefficient (px^2) changes a star by less than what no model describes."""
FEWEST = 16

_REAL = {"reassoc", "contract", "nsz"}
"""Sums may be reordered, so that they become vectors; what is not a number stays so."""
_FRAME = types.Array(uint32, 2, "C", readonly=True)


@njit([void(_FRAME, boolean, float32[:, ::1])], cache=True, nogil=True, fastmath=_REAL)
def add_frame(words: NDArray[np.uint32], swap: bool, total: NDArray[np.float32]) -> None:
    """Add a frame to a sum in bins of 2 x 2 pixels.

    Parameters
    ----------
    words : uint32 array, shape (n_row, >= n_col)
        The frame's float32 words.
    swap : bool
        Whether they are of the other byte order.
    total : float32 array, shape (n_row // 2, n_col // 2)
        The sum; bin [i, j] holds rows 2 i and 2 i + 1, columns 2 j and 2 j + 1.
    """
    n_up, n_across = total.shape
    row = np.empty(2 * n_across, np.uint32)
    light = row.view(np.float32)
    low, high = np.uint32(0xFF00), np.uint32(0xFF0000)
    for r in range(2 * n_up):
        if swap:
            for c in range(2 * n_across):
                w = words[r, c]
                row[c] = np.uint32((w << 24) | ((w & low) << 8) | ((w & high) >> 8) | (w >> 24))
        else:
            for c in range(2 * n_across):
                row[c] = words[r, c]
        for j in range(n_across):
            total[r // 2, j] += light[2 * j] + light[2 * j + 1]


@njit([void(float32[:, ::1], float64, float32[:, ::1], int64, float64[:, ::1])], cache=True, nogil=True)
def sky_cells(
    total: NDArray[np.float32], scale: float, sample: NDArray[np.float32], step: int, sky: NDArray[np.float64]
) -> None:
    """Take the median of ``total * scale`` less the reference in equal cells.

    Parameters
    ----------
    total : float32 array, shape (n_up, n_across)
        Sum of frames.
    scale : float
        One over their number.
    sample : float32 array, shape (ceil(n_up / step), ceil(n_across / step))
        The reference, each ``step``-th bin in both directions; no others are looked at.
    step : int
        As above.
    sky : float64 array, shape (n_cell_up, n_cell_across)
        Receives the medians (e-/s a bin); NaN where fewer than sixteen bins are finite.
    """
    n_up, n_across = total.shape
    values = np.empty((n_up // sky.shape[0] + 2) * (n_across // sky.shape[1] + 2))
    for a in range(sky.shape[0]):
        i0 = (a * n_up // sky.shape[0] + step - 1) // step
        i1 = ((a + 1) * n_up // sky.shape[0] + step - 1) // step
        for c in range(sky.shape[1]):
            j0 = (c * n_across // sky.shape[1] + step - 1) // step
            j1 = ((c + 1) * n_across // sky.shape[1] + step - 1) // step
            n = 0
            for i in range(i0, i1):
                for j in range(j0, j1):
                    d = total[i * step, j * step] * scale - sample[i, j]
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


@njit("float64(float64[:, ::1], int64, int64, int64, int64)", cache=True, nogil=True)
def _level(sky: NDArray[np.float64], i: int, j: int, n_up: int, n_across: int) -> float:
    # Bilinear between the centres of the cells.
    a, u = _cell(i, n_up, sky.shape[0])
    c, v = _cell(j, n_across, sky.shape[1])
    a1, c1 = min(a + 1, sky.shape[0] - 1), min(c + 1, sky.shape[1] - 1)
    low = (1.0 - v) * sky[a, c] + v * sky[a, c1]
    high = (1.0 - v) * sky[a1, c] + v * sky[a1, c1]
    return float((1.0 - u) * low + u * high)


@njit(
    [void(float32[:, ::1], float64, float64, float64[:, ::1], float32[:, ::1], int64[:, ::1], int64[::1], float32[:, ::1])],
    cache=True,
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def fit_slopes(
    total: NDArray[np.float32],
    scale: float,
    exposure: float,
    sky: NDArray[np.float64],
    chosen: NDArray[np.float32],
    place: NDArray[np.int64],
    ptr: NDArray[np.int64],
    coef: NDArray[np.float32],
) -> None:
    """Find how far frames are displaced from the reference, and smeared, region by region.

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
    chosen : float32 array, shape (n_chosen, 8)
        The reference in bins that tell most of it: its light, the derivatives, the variance of one frame, and the
        square of what no model describes.
    place : int64 array, shape (n_chosen, 2)
        Which bins these are.
    ptr : int64 array, shape (n_region + 1,)
        Which of them belong to each region.
    coef : float32 array, shape (n_region, 5)
        Receives what the derivatives are to be multiplied with.
    """
    n_up, n_across = total.shape
    normal, right, found = np.empty((N_FREE, N_FREE)), np.empty(N_FREE), np.empty(N_FREE)
    for region in range(ptr.size - 1):
        first, last = ptr[region], ptr[region + 1]
        more, weight = np.empty(last - first), np.empty(last - first)
        for e in range(first, last):
            i, j = place[e, 0], place[e, 1]
            level = _level(sky, i, j, n_up, n_across)
            more[e - first] = total[i, j] * scale - chosen[e, 0] - level
            weight[e - first] = 1.0 / ((chosen[e, 6] + max(level, 0.0) / exposure) * scale + chosen[e, 7])
        found[:] = 0.0
        for turn in range(ROUNDS):
            normal[:] = 0.0
            right[:] = 0.0
            for k in range(N_FREE):
                normal[k, k] = 1.0 / PRIOR[k] ** 2
            for e in range(first, last):
                d, w = more[e - first], weight[e - first]
                rest = d
                for k in range(N_FREE):
                    rest -= found[k] * chosen[e, k + 1]
                # From the second turn on: a star that has changed tells nothing of the pointing.
                if not np.isfinite(d) or (turn > 0 and rest * rest * w > CLIP * CLIP):
                    continue
                for k in range(N_FREE):
                    right[k] += chosen[e, k + 1] * d * w
                    for m in range(N_FREE):
                        normal[k, m] += chosen[e, k + 1] * chosen[e, m + 1] * w
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
        for k in range(N_FREE):
            coef[region, k] = found[k]


@njit([void(float32[::1], float32, float32[::1])], cache=True, nogil=True, fastmath=_REAL)
def _take_off(line: NDArray[np.float32], factor: float, plane: NDArray[np.float32]) -> None:
    # Two arrays and no more, so that LLVM makes vectors of it.
    for j in range(line.size):
        line[j] -= factor * plane[j]


@njit([void(float32[::1], float32, float32[::1], float32[::1])], cache=True, nogil=True, fastmath=_REAL)
def _begin(line: NDArray[np.float32], scale: float, total: NDArray[np.float32], still: NDArray[np.float32]) -> None:
    for j in range(line.size):
        line[j] = scale * total[j] - still[j]


@njit(
    [
        void(
            float32[:, ::1], float64, float64[:, ::1], float32[:, ::1], float32[:, :, ::1], float32[:, ::1], int64,
            float32[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def subtract(
    total: NDArray[np.float32],
    scale: float,
    sky: NDArray[np.float64],
    still: NDArray[np.float32],
    slopes: NDArray[np.float32],
    coef: NDArray[np.float32],
    region: int,
    rest: NDArray[np.float32],
) -> None:
    """Subtract reference, displacement and sky from a mean of frames.

    Parameters
    ----------
    total, scale, sky
        As in `fit_slopes`.
    still : float32 array, shape (n_up, n_across)
        The reference.
    slopes : float32 array, shape (5, n_up, n_across)
        Its derivatives.
    coef : float32 array, shape (n_region, 5)
        From `fit_slopes`.
    region : int
        Side of a region in bins; regions are numbered row by row.
    rest : float32 array, shape (n_up, n_across)
        Receives what is left (e-/s a bin).
    """
    n_up, n_across = total.shape
    across = (n_across + region - 1) // region
    levels = np.empty(n_across, np.float32)
    before, beyond = np.empty(n_across, np.int64), np.empty(n_across, np.float32)
    cells = np.empty(sky.shape[1] + 1, np.float32)
    for j in range(n_across):
        before[j], beyond[j] = _cell(j, n_across, sky.shape[1])
    factor = np.float32(scale)
    for i in range(n_up):
        a, u = _cell(i, n_up, sky.shape[0])
        for c in range(sky.shape[1]):
            cells[c] = (1.0 - u) * sky[a, c] + u * sky[min(a + 1, sky.shape[0] - 1), c]
        cells[sky.shape[1]] = cells[sky.shape[1] - 1]
        for j in range(n_across):
            low = cells[before[j]]
            levels[j] = low + beyond[j] * (cells[before[j] + 1] - low)
        _begin(rest[i], factor, total[i], still[i])
        _take_off(rest[i], np.float32(1.0), levels)
        for r in range(across):
            own = coef[(i // region) * across + r]
            first, last = r * region, min((r + 1) * region, n_across)
            for k in range(N_FREE):
                if k < 2 or abs(own[k]) > NOTHING:
                    _take_off(rest[i, first:last], own[k], slopes[k, i, first:last])
