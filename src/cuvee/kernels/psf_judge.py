"""How well the model of all stars fits the pixels of each star in sixteen frames, and what cosmic rays added to it."""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, void
from numpy.typing import NDArray

__all__ = ["judge"]

N_LANE = 16


@njit(
    [
        void(
            float32[:, ::1], int64, int64, int64[::1], int64[::1], int64[:, ::1], float32[:, ::1], int64[:, ::1],
            float32[:, ::1], float32[:, :, ::1], float32[:, ::1], float64, float32[:, ::1], float32[:, :, ::1],
            float32[:, ::1], float32[::1], float32[:, ::1], float32[::1], float64, float64, int64, float32[:, ::1],
            float32[:, ::1], int32[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
)  # fmt: skip
def judge(
    image: NDArray[np.float32],
    first: int,
    last: int,
    base: NDArray[np.int64],
    width: NDArray[np.int64],
    box: NDArray[np.int64],
    weight: NDArray[np.float32],
    corner: NDArray[np.int64],
    reference: NDArray[np.float32],
    stars: NDArray[np.float32],
    inverse_variance: NDArray[np.float32],
    floor: float,
    basis: NDArray[np.float32],
    pointing: NDArray[np.float32],
    level: NDArray[np.float32],
    still_level: NDArray[np.float32],
    flux: NDArray[np.float32],
    still_flux: NDArray[np.float32],
    odd: float,
    good: float,
    most: int,
    chi2: NDArray[np.float32],
    added: NDArray[np.float32],
    hits: NDArray[np.int32],
) -> None:
    """Compare the pixels of the stars ``first:last`` with the reference image, moved, and brighter or fainter, as the frame's are.

    What a PRF does not describe, a halo, a sensitive column, is in the reference image and so does not count: only changes do.
    A cosmic ray hits one pixel, or a few; a star that changes, changes in all pixels of its PRF. So the pixel that fits worst,
    by its residual over the residual's own error when it is left out of the fit, is left out if it is too bright beyond ``odd``,
    and then the next one. It stays out only where what remains fits: else it was no cosmic ray.

    Parameters
    ----------
    image : float32 array, shape (n_pixel, 16)
        Lanes of the tile (e-/s).
    first, last : int
        Range of stars.
    base, width, box, weight
        Rows as `cuvee.kernels.star_space.sum_stamps` takes them.
    corner : int64 array, shape (n_star, 2)
        Image row and column of each stamp's pixel [0, 0].
    reference : float32 array, shape (n_row, n_col)
        The reference image (e-/s).
    stars : float32 array, shape (6, n_row, n_col)
        The model of all stars in it, and the derivatives (e-/s).
    inverse_variance : float32 array, shape (n_row, n_col)
        Of the pixels of one frame.
    floor : float
        What the model is believed to at best, as a share of the light in a pixel.
    basis, pointing : float32 arrays, shapes (n_star, n_basis) and (2, n_basis, 16)
        Displacements (px).
    level, still_level : float32 arrays, shapes (n_star, 16) and (n_star,)
        Background at the stars, in the frames and in the reference image (e-/s/pixel).
    flux, still_flux : float32 arrays, shapes (n_star, 16) and (n_star,)
        Fluxes (e-/s).
    odd : float
        A pixel is looked at whose residual is this many times its error.
    good : float
        Reduced chi2 at which what remains fits.
    most : int
        Pixels that a cosmic ray hits at most.
    chi2 : float32 array, shape (n_star, 16)
        Receives the sum of squares over the degrees of freedom; NaN where a star has no more pixels than one.
    added : float32 array, shape (n_star, 16)
        Receives what cosmic rays added to the flux (e-/s).
    hits : int32 array, shape (n_star, 16)
        Receives the number of pixels that were hit.
    """
    side = int(np.sqrt(float64(weight.shape[1])) + 0.5)
    rest = np.empty((side * side, N_LANE), np.float32)
    w = np.empty(side * side)
    pull = np.empty(side * side)
    share = np.empty(side * side)
    x = np.empty(N_LANE, np.float32)
    y = np.empty(N_LANE, np.float32)
    change = np.empty(N_LANE, np.float32)
    total = np.empty(N_LANE, np.float32)
    half = float32(0.5)
    for s in range(first, last):
        for b in range(N_LANE):
            x[b] = 0.0
            y[b] = 0.0
            total[b] = 0.0
            change[b] = flux[s, b] - still_flux[s]
            added[s, b] = 0.0
            hits[s, b] = 0
        for k in range(basis.shape[1]):
            for b in range(N_LANE):
                x[b] += basis[s, k] * pointing[0, k, b]
                y[b] += basis[s, k] * pointing[1, k, b]
        n = 0
        told = 0.0
        for j in range(box[s, 0], box[s, 1]):
            row = corner[s, 0] + j
            for i in range(box[s, 2], box[s, 3]):
                col = corner[s, 1] + i
                raw = float64(inverse_variance[row, col])
                if raw <= 0.0:
                    continue
                m0, m1, m2 = stars[0, row, col], stars[1, row, col], stars[2, row, col]
                m3, m4, m5 = half * stars[3, row, col], stars[4, row, col], half * stars[5, row, col]
                a = float64(weight[s, j * side + i]) / raw
                w[n] = 1.0 / (1.0 / raw + (floor * m0) ** 2)
                here = reference[row, col] - still_level[s]
                share[n] = a
                pull[n] = raw * a
                told += raw * a * a
                p = base[s] + j * width[s] + i
                a32, w32 = float32(a), float32(w[n])
                for b in range(N_LANE):
                    light = here + x[b] * (m1 + x[b] * m3 + y[b] * m4) + y[b] * (m2 + y[b] * m5)
                    r = image[p, b] - level[s, b] - light - change[b] * a32
                    rest[n, b] = r
                    total[b] += w32 * r * r
                n += 1
        for b in range(N_LANE):
            if n < 2 or told <= 0.0:
                chi2[s, b] = np.nan
                continue
            left, sum_of_squares, kept = n, float64(total[b]), told
            chi2[s, b] = sum_of_squares / (n - 1)
            if not chi2[s, b] > good:
                continue
            shift = 0.0
            for _ in range(min(most, n - 3)):
                worst, at = odd * odd, -1
                for k in range(n):
                    if w[k] <= 0.0 or rest[k, b] < 0.0:
                        continue
                    r = float64(rest[k, b]) - shift * share[k]
                    free = 1.0 - pull[k] * share[k] / kept
                    if r > 0.0 and free > 0.05 and w[k] * r * r / free > worst:
                        worst, at = w[k] * r * r / free, k
                if at < 0:
                    break
                # Without this pixel the fit, whose weights know no floor, moves by what it alone had pulled.
                r = float64(rest[at, b]) - shift * share[at]
                kept -= pull[at] * share[at]
                shift -= pull[at] * r / kept
                w[at] = -w[at]
                sum_of_squares -= worst
                left -= 1
                if sum_of_squares / (left - 1) <= good:
                    break
            for k in range(n):
                w[k] = abs(w[k])
            if left < n and sum_of_squares / (left - 1) <= good:
                chi2[s, b] = max(sum_of_squares, 0.0) / (left - 1)
                added[s, b] = -shift
                hits[s, b] = n - left
