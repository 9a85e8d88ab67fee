"""Passes over frames for the learning of a PRF: what is kept of a frame, the sky between stars, residuals under stars."""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float32, float64, int64, njit, void
from numpy.typing import NDArray

__all__ = ["expected_light", "keep_frame", "sky_cells", "star_moments", "star_projections"]


@njit(
    [
        void(
            float32[:, ::1], int64, float64[:, ::1], float32[:, ::1], float32[:, ::1], boolean[:, ::1], int64[::1],
            int64[::1], float32[:, :, :, ::1], int64[::1], float32[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def keep_frame(
    frame: NDArray[np.float32],
    t: int,
    total: NDArray[np.float64],
    top: NDArray[np.float32],
    second: NDArray[np.float32],
    bad: NDArray[np.bool_],
    cut_col: NDArray[np.int64],
    cut_row: NDArray[np.int64],
    cutouts: NDArray[np.float32],
    pixel: NDArray[np.int64],
    samples: NDArray[np.float32],
) -> None:
    """Keep of one frame what the learning needs; all but the frame is changed in place.

    Parameters
    ----------
    frame : float32 array, shape (n_row, n_col)
        e-/s; what is not finite makes its pixel bad.
    t : int
        Number of the frame.
    total : float64 array, shape (n_row, n_col)
        Sum of all frames so far.
    top, second : float32 array, shape (n_row, n_col)
        Largest and second largest value so far; -inf before the first frame.
    bad : bool array, shape (n_row, n_col)
        Pixels without a good value in every frame.
    cut_col, cut_row : int64 array, shape (n_cut,)
        Where the cutouts begin; they lie on the frame.
    cutouts : float32 array, shape (n_cut, n_frame, size, size)
        Pixels around stars.
    pixel : int64 array, shape (n_sample,)
        Numbers of single pixels, row by row.
    samples : float32 array, shape (n_frame, n_sample)
        Their values.
    """
    n_row, n_col = frame.shape
    for r in range(n_row):
        for c in range(n_col):
            v = frame[r, c]
            if not math.isfinite(v):
                bad[r, c] = True
                continue
            total[r, c] += v
            if v > top[r, c]:
                second[r, c] = top[r, c]
                top[r, c] = v
            elif v > second[r, c]:
                second[r, c] = v
    size = cutouts.shape[2]
    for s in range(cut_col.size):
        for r in range(size):
            for c in range(size):
                cutouts[s, t, r, c] = frame[cut_row[s] + r, cut_col[s] + c]
    for k in range(pixel.size):
        samples[t, k] = frame[pixel[k] // n_col, pixel[k] % n_col]


@njit([void(float64[::1], float64[::1], float64[::1], float64, float64[:, ::1])], cache=True, nogil=True)
def expected_light(
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    flux: NDArray[np.float64],
    faint: float,
    image: NDArray[np.float64],
) -> None:
    """Add the wide wings that stars may have to an image, to tell where the sky is darkest.

    The profile is a Moffat function of index 2.5 and core radius 1.5 px, wider than a telescope's in focus.

    Parameters
    ----------
    col, row, flux : float64 array, shape (n_star,)
        Places on the image (px) and fluxes (e-/s).
    faint : float
        A star is followed to where it gives a pixel this little (e-/s), at most 60 px far.
    image : float64 array, shape (n_row, n_col)
        Changed in place.
    """
    n_row, n_col = image.shape
    core = 1.5 * 1.5
    for s in range(col.size):
        peak = 1.5 * flux[s] / (math.pi * core)
        if not peak > faint:
            continue
        reach = min(60.0, math.sqrt(core * (peak / faint) ** 0.4))
        for r in range(max(0, math.ceil(row[s] - reach)), min(n_row, math.floor(row[s] + reach) + 1)):
            for c in range(max(0, math.ceil(col[s] - reach)), min(n_col, math.floor(col[s] + reach) + 1)):
                q = 1.0 + ((r - row[s]) ** 2 + (c - col[s]) ** 2) / core
                image[r, c] += peak / (q * q * math.sqrt(q))


@njit(
    [void(float32[:, ::1], float32[:, ::1], float64[:, ::1], int64[::1], float64, float64[:, ::1])],
    cache=True,
    nogil=True,
)
def sky_cells(
    samples: NDArray[np.float32],
    model: NDArray[np.float32],
    pointing: NDArray[np.float64],
    ptr: NDArray[np.int64],
    clip: float,
    level: NDArray[np.float64],
) -> None:
    """Clipped mean of the sky in each cell of each frame.

    Parameters
    ----------
    samples : float32 array, shape (n_frame, n_sample)
        Pixels (e-/s).
    model : float32 array, shape (6, n_sample)
        The stars' light there and its derivatives with the pointing.
    pointing : float64 array, shape (n_frame, 6)
        Factors of the six in each frame.
    ptr : int64 array, shape (n_cell + 1,)
        Where the pixels of each cell begin.
    clip : float
        Standard deviations.
    level : float64 array, shape (n_frame, n_cell)
        Filled (e-/s); NaN in a cell without pixels.
    """
    n_frame = samples.shape[0]
    longest = 0
    for k in range(ptr.size - 1):
        longest = max(longest, ptr[k + 1] - ptr[k])
    values = np.empty(longest)
    for t in range(n_frame):
        for k in range(ptr.size - 1):
            n = ptr[k + 1] - ptr[k]
            for i in range(n):
                v = np.float64(samples[t, ptr[k] + i])
                for a in range(6):
                    v -= pointing[t, a] * model[a, ptr[k] + i]
                values[i] = v
            low, high = -np.inf, np.inf
            mean = np.nan
            base = 0.0
            for i in range(n):
                if math.isfinite(values[i]):
                    base = values[i]
                    break
            for _ in range(5):
                count = 0
                total = 0.0
                squares = 0.0
                for i in range(n):
                    if low < values[i] < high:
                        d = values[i] - base
                        count += 1
                        total += d
                        squares += d * d
                if count == 0:
                    break
                shift = total / count
                spread = math.sqrt(max(squares / count - shift * shift, 0.0))
                mean = base + shift
                low, high = mean - clip * spread, mean + clip * spread
                if spread == 0.0:
                    break
            level[t, k] = mean


@njit(
    [
        float64(
            float32[:, :, :, ::1], float64[:, :, ::1], float32[:, :, ::1], float32[:, ::1], float64[:, ::1], float64, int64,
            int64, int64, int64, int64, int64, int64,
        )
    ],
    cache=True,
    nogil=True,
    inline="always",
)  # fmt: skip
def _residual(
    cutouts: NDArray[np.float32],
    plane: NDArray[np.float64],
    model: NDArray[np.float32],
    variance: NDArray[np.float32],
    pointing: NDArray[np.float64],
    clip: float,
    s: int,
    t: int,
    r: int,
    c: int,
    cut_row: int,
    cut_col: int,
    middle: int,
) -> float:
    # One pixel of one frame less sky and stars; 0 where a particle or an asteroid stands out from both.
    i, j = r - cut_row, c - cut_col
    value = cutouts[s, t, i, j] - plane[s, t, 0] - plane[s, t, 1] * (j - middle) - plane[s, t, 2] * (i - middle)
    for a in range(6):
        value -= pointing[t, a] * model[a, r, c]
    limit = 10.0 * math.sqrt(variance[r, c]) + clip * abs(model[0, r, c])
    return value if abs(value) <= limit or math.isinf(clip) else 0.0


@njit(
    [
        void(
            float32[:, :, :, ::1], int64[::1], int64[::1], float64[:, :, ::1], float32[:, :, ::1], float32[:, ::1],
            float64[:, ::1], boolean[::1], float64, int64[::1], int64[::1], int64[::1], int64, float64[:, :, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def star_moments(
    cutouts: NDArray[np.float32],
    cut_col: NDArray[np.int64],
    cut_row: NDArray[np.int64],
    plane: NDArray[np.float64],
    model: NDArray[np.float32],
    variance: NDArray[np.float32],
    pointing: NDArray[np.float64],
    used: NDArray[np.bool_],
    clip: float,
    which: NDArray[np.int64],
    first_col: NDArray[np.int64],
    first_row: NDArray[np.int64],
    width: int,
    moments: NDArray[np.float64],
) -> None:
    """Sum the residuals under each star over the frames, weighted by the six factors of the pointing.

    Parameters
    ----------
    cutouts, cut_col, cut_row
        As in `keep_frame`.
    plane : float64 array, shape (n_cut, n_frame, 3)
        Sky at the middle of each cutout (e-/s), and its slopes along columns and rows (e-/s/px).
    model : float32 array, shape (6, n_row, n_col)
        The light of all stars and its derivatives with the pointing.
    variance : float32 array, shape (n_row, n_col)
        Of a pixel of one frame ((e-/s)^2).
    pointing : float64 array, shape (n_frame, 6)
        1, dcol, drow, dcol^2/2, dcol drow, drow^2/2.
    used : bool array, shape (n_frame,)
        Frames that count.
    clip : float
        What lies ten standard deviations and this share of the stars' light off the model is left out; inf for nothing.
    which : int64 array, shape (n_star,)
        Cutout of each star.
    first_col, first_row : int64 array, shape (n_star,)
        Place of each stamp's pixel [0, 0] on the frame; the stamp lies in the cutout.
    width : int
        Pixels along a side of the stamp.
    moments : float64 array, shape (n_star, width * width, 6)
        Filled.
    """
    _, n_frame, size, _ = cutouts.shape
    for s in range(which.size):
        k = which[s]
        moments[s] = 0.0
        for t in range(n_frame):
            if not used[t]:
                continue
            for r in range(width):
                for c in range(width):
                    value = _residual(
                        cutouts, plane, model, variance, pointing, clip, k, t, first_row[s] + r, first_col[s] + c,
                        cut_row[k], cut_col[k], size // 2,
                    )  # fmt: skip
                    for a in range(6):
                        moments[s, r * width + c, a] += pointing[t, a] * value


@njit(
    [
        void(
            float32[:, :, :, ::1], int64[::1], int64[::1], float64[:, :, ::1], float32[:, :, ::1], float32[:, ::1],
            float64[:, ::1], float64, int64[::1], int64[::1], int64[::1], float32[:, :, :, ::1], float32[:, ::1],
            float64[:, :, ::1], float64[:, :, ::1], float64[:, :, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def star_projections(
    cutouts: NDArray[np.float32],
    cut_col: NDArray[np.int64],
    cut_row: NDArray[np.int64],
    plane: NDArray[np.float64],
    model: NDArray[np.float32],
    variance: NDArray[np.float32],
    pointing: NDArray[np.float64],
    clip: float,
    which: NDArray[np.int64],
    first_col: NDArray[np.int64],
    first_row: NDArray[np.int64],
    stamps: NDArray[np.float32],
    weight: NDArray[np.float32],
    residual: NDArray[np.float64],
    response: NDArray[np.float64],
    gram: NDArray[np.float64],
) -> None:
    """Project the residuals under each star on its stamp and its two first derivatives, frame by frame.

    Parameters
    ----------
    cutouts, cut_col, cut_row, plane, model, variance, pointing, clip, which, first_col, first_row
        As in `star_moments`.
    stamps : float32 array, shape (3, n_star, K, K)
        P, dP/dcol, dP/drow.
    weight : float32 array, shape (n_row, n_col)
        Inverse variance; 0 where a pixel is bad.
    residual : float64 array, shape (n_star, 3, n_frame)
        Filled: sum of weight x stamp x residual.
    response : float64 array, shape (n_star, 3, 6)
        Filled: the same of the six images of ``model``.
    gram : float64 array, shape (n_star, 3, 3)
        Filled: the same of the star's own stamps.
    """
    _, n_frame, size, _ = cutouts.shape
    width = stamps.shape[2]
    w = np.empty(3)
    for s in range(which.size):
        k = which[s]
        residual[s] = 0.0
        response[s] = 0.0
        gram[s] = 0.0
        for r in range(width):
            for c in range(width):
                y, x = first_row[s] + r, first_col[s] + c
                if weight[y, x] == 0.0:
                    continue
                for b in range(3):
                    w[b] = weight[y, x] * stamps[b, s, r, c]
                    for a in range(6):
                        response[s, b, a] += w[b] * model[a, y, x]
                    for a in range(3):
                        gram[s, b, a] += w[b] * stamps[a, s, r, c]
                for t in range(n_frame):
                    value = _residual(
                        cutouts, plane, model, variance, pointing, clip, k, t, y, x, cut_row[k], cut_col[k], size // 2
                    )
                    for b in range(3):
                        residual[s, b, t] += w[b] * value
