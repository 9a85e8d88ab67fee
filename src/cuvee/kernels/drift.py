"""Light curves summed up star by star: spread, what a cubic polynomial in time leaves of it, steps, means over an hour."""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import boolean, float32, float64, int64, njit, types, void
from numpy.typing import NDArray

__all__ = ["sum_up"]

N_TERM = 4


@njit(float64(float64[:, ::1], float64[::1]), cache=True, nogil=True)
def _explained(square, right):
    """Solve the normal equations by elimination, and return how much of the sum of squares the solution explains."""
    # Symmetric and positive: no pivoting is needed. A term that the points cannot tell from those before it is left out.
    explained = 0.0
    for i in range(N_TERM):
        if square[i, i] <= 1e-10 * square[0, 0]:
            continue
        explained += right[i] * right[i] / square[i, i]
        for j in range(i + 1, N_TERM):
            factor = square[j, i] / square[i, i]
            right[j] -= factor * right[i]
            for k in range(i + 1, N_TERM):
                square[j, k] -= factor * square[i, k]
    return explained


@njit(
    void(
        types.Array(float64, 1, "C", readonly=True), types.Array(float32, 1, "C", readonly=True),
        types.Array(boolean, 1, "C", readonly=True), types.Array(int64, 1, "C", readonly=True), float64, float64,
        float64[:, ::1], float32[:, ::1], float64[:, ::1],
    ),
    cache=True,
    nogil=True,
)  # fmt: skip
def sum_up(
    time: NDArray[np.float64],
    flux: NDArray[np.float32],
    good: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    step: float,
    width: float,
    squares: NDArray[np.float64],
    steps: NDArray[np.float32],
    means: NDArray[np.float64],
) -> None:
    """Sum up the good points of each star; those without a finite time or flux are never used.

    Parameters
    ----------
    time : float64 array, shape (n_point,)
        Ascending within a star (d); points of all stars, one star after the other.
    flux : float32 array, shape (n_point,)
        e-/s.
    good : bool array, shape (n_point,)
        Points to use.
    offsets : int64 array, shape (n_star + 1,)
        Where each star's points begin and end.
    step : float
        From one point to the next, usually (d): the first bin begins half of it before the first point.
    width : float
        Of the bins of time (d).
    squares : float64 array, shape (3, n_star)
        Takes the number of points, the sum of the squares about the mean, and of those about a cubic polynomial in time.
    steps : float32 array, shape (n_star, n), n at least the points of the longest light curve
        Takes the absolute difference of each good point to the good one before; untouched elsewhere.
    means : float64 array, shape (n_star, n)
        Takes the means of the bins of time, less the star's first good flux, in their order; untouched behind the last.
    """
    square, right = np.empty((N_TERM, N_TERM)), np.empty(N_TERM)
    for star in range(offsets.size - 1):
        first, last = offsets[star], offsets[star + 1]
        while first < last and not (good[first] and np.isfinite(flux[first]) and np.isfinite(time[first])):
            first += 1
        while first < last and not (good[last - 1] and np.isfinite(flux[last - 1]) and np.isfinite(time[last - 1])):
            last -= 1
        squares[:, star] = 0.0
        if first == last:
            continue
        base, before = float64(flux[first]), flux[first]
        middle, half = 0.5 * (time[first] + time[last - 1]), max(0.5 * (time[last - 1] - time[first]), 1e-9)
        start, per_width = time[first] - 0.5 * step, 1.0 / width
        t1, t2, t3, t4, t5, t6 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        r0, r1, r2, r3, rr = 0.0, 0.0, 0.0, 0.0, 0.0
        n, n_mean, here, n_here, total = 0, 0, int64(0), 0, 0.0
        for i in range(first, last):
            if not (good[i] and flux[i] - flux[i] == 0.0 and time[i] - time[i] == 0.0):
                continue
            x, u = flux[i] - base, (time[i] - middle) / half
            u2 = u * u
            u3, ux = u2 * u, u * x
            t1, t2, t3, t4, t5, t6 = t1 + u, t2 + u2, t3 + u3, t4 + u2 * u2, t5 + u2 * u3, t6 + u3 * u3
            r0, r1, r2, r3, rr = r0 + x, r1 + ux, r2 + u2 * x, r3 + u2 * ux, rr + x * x
            if n > 0:
                steps[star, n - 1] = abs(flux[i] - before)
            before = flux[i]
            n += 1
            at = int64((time[i] - start) * per_width)
            if at != here:
                if n_here > 0:
                    means[star, n_mean] = total / n_here
                    n_mean += 1
                here, n_here, total = at, 0, 0.0
            n_here += 1
            total += x
        means[star, n_mean] = total / n_here
        square[0, 0], square[0, 1], square[0, 2], square[0, 3] = n, t1, t2, t3
        square[1, 1], square[1, 2], square[1, 3] = t2, t3, t4
        square[2, 2], square[2, 3], square[3, 3] = t4, t5, t6
        for i in range(N_TERM):
            for j in range(i):
                square[i, j] = square[j, i]
        right[0], right[1], right[2], right[3] = r0, r1, r2, r3
        squares[0, star] = n
        squares[1, star] = max(rr - r0 * r0 / n, 0.0)
        squares[2, star] = max(rr - _explained(square, right), 0.0)
