"""How much a weighted sum of pixels jumps from frame to frame, and the weights with which it jumps least.

All sums are plain loops that run in one order whatever the number of threads. Products of numpy arrays, and the searches of
scipy, go through a BLAS that splits its work by the cores it finds, and waits for them where they are busy.
"""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float64, int64, njit, types
from numpy.typing import NDArray

__all__ = ["least_variation", "variation"]

MEMORY = 20
"""Past steps that a direction is made of."""
SUFFICIENT = 1e-4
"""Share of the descent promised by the slope that a step must keep (Armijo's rule)."""
SHORTEST = 1e-10
"""Of a step, in units of the one first tried; none that gains is expected below it."""

_TABLE = types.Array(float64, 2, "C", readonly=True)
_LINE = types.Array(float64, 1, "C", readonly=True)
_TUPLE = types.Tuple((float64, float64[::1]))


@njit([_TUPLE(_TABLE, _LINE, float64)], cache=True, nogil=True)
def variation(
    step: NDArray[np.float64], weight: NDArray[np.float64], softening: float
) -> tuple[float, NDArray[np.float64]]:
    """Softened total variation of a weighted sum of pixels, and its gradient.

    With f_t = sum_p w_p s_pt the value is sum_t sqrt(f_t^2 + e^2): convex, and near sum_t abs(f_t) for small e.

    Parameters
    ----------
    step : float64 array, shape (n_pixel, n_step)
        Differences of each pixel's flux between neighbouring frames.
    weight : float64 array, shape (n_pixel,)
        Of each pixel.
    softening : float
        e, in the unit of f: jumps well below it count with their square; positive.

    Returns
    -------
    value : float
        In the unit of f.
    gradient : float64 array, shape (n_pixel,)
        Derivative of the value with respect to each weight, in the unit of ``step``.
    """
    n_pixel, n_step = step.shape
    jump = np.zeros(n_step)
    for p in range(n_pixel):
        w = weight[p]
        if w != 0.0:
            for t in range(n_step):
                jump[t] += w * step[p, t]
    value = 0.0
    for t in range(n_step):
        size = math.sqrt(jump[t] * jump[t] + softening * softening)
        value += size
        jump[t] /= size
    gradient = np.empty(n_pixel)
    for p in range(n_pixel):
        # Four sums side by side: one alone would wait for each addition to end before it begins the next.
        a = b = c = d = 0.0
        for t in range(0, n_step - 3, 4):
            a += jump[t] * step[p, t]
            b += jump[t + 1] * step[p, t + 1]
            c += jump[t + 2] * step[p, t + 2]
            d += jump[t + 3] * step[p, t + 3]
        for t in range(n_step - n_step % 4, n_step):
            a += jump[t] * step[p, t]
        gradient[p] = (a + b) + (c + d)
    return value, gradient


@njit([_TUPLE(_TABLE, _LINE, _LINE, float64, float64)], cache=True, nogil=True)
def _objective(
    step: NDArray[np.float64], mean: NDArray[np.float64], weight: NDArray[np.float64], softening: float, unit: float
) -> tuple[float, NDArray[np.float64]]:
    """Return variation / unit + (mean flux - 1)^2 and its gradient."""
    value, gradient = variation(step, weight, softening)
    off = -1.0
    for p in range(weight.size):
        off += weight[p] * mean[p]
    for p in range(weight.size):
        gradient[p] = gradient[p] / unit + 2.0 * off * mean[p]
    return value / unit + off * off, gradient


@njit([float64(_LINE, _LINE, types.Array(boolean, 1, "C", readonly=True))], cache=True, nogil=True)
def _dot(a: NDArray[np.float64], b: NDArray[np.float64], free: NDArray[np.bool_]) -> float:
    """Return the product of two vectors over the free pixels."""
    total = 0.0
    for p in range(a.size):
        if free[p]:
            total += a[p] * b[p]
    return total


@njit([float64[::1](_LINE, boolean[::1], float64[:, ::1], float64[:, ::1], int64)], cache=True, nogil=True)
def _direction(
    gradient: NDArray[np.float64],
    free: NDArray[np.bool_],
    moved: NDArray[np.float64],
    turned: NDArray[np.float64],
    count: int,
) -> NDArray[np.float64]:
    """Return the quasi-Newton step of the free pixels (two loops over past steps and what they did to the gradient)."""
    n = gradient.size
    last = min(count, MEMORY)
    share, curvature = np.zeros(MEMORY), np.zeros(MEMORY)
    way = np.zeros(n)
    for p in range(n):
        if free[p]:
            way[p] = -gradient[p]
    scale = 0.0
    for k in range(last):
        i = (count - 1 - k) % MEMORY
        curvature[i] = _dot(moved[i], turned[i], free)
        if curvature[i] > 0.0:
            share[i] = _dot(moved[i], way, free) / curvature[i]
            if scale == 0.0:
                scale = curvature[i] / _dot(turned[i], turned[i], free)
            for p in range(n):
                if free[p]:
                    way[p] -= share[i] * turned[i, p]
    if scale > 0.0:
        way *= scale
    for k in range(last):
        i = (count - last + k) % MEMORY
        if curvature[i] > 0.0:
            back = share[i] - _dot(turned[i], way, free) / curvature[i]
            for p in range(n):
                if free[p]:
                    way[p] += back * moved[i, p]
    return way


@njit(
    [types.Tuple((float64[::1], int64))(_TABLE, _LINE, _LINE, float64, float64, float64, int64)], cache=True, nogil=True
)
def least_variation(
    step: NDArray[np.float64],
    mean: NDArray[np.float64],
    start: NDArray[np.float64],
    softening: float,
    unit: float,
    tolerance: float,
    most: int,
) -> tuple[NDArray[np.float64], int]:
    """Weights >= 0 for which ``variation / unit + (mean flux - 1)^2`` is least.

    The second term only keeps the scale: at a given ratio v of variation to mean flux (in ``unit``) the least over all
    scales is v - v^2 / 4, which falls with v up to v = 2. Both terms are convex, so there is one least value.

    Parameters
    ----------
    step : float64 array, shape (n_pixel, n_step)
        Differences of each pixel's flux between neighbouring frames.
    mean : float64 array, shape (n_pixel,)
        Mean flux of each pixel, in the unit of ``step``; positive.
    start : float64 array, shape (n_pixel,)
        First guess; not negative.
    softening : float
        As in `variation`; positive.
    unit : float
        What the variation is measured in, that of the first guess for example.
    tolerance : float
        Gain of a step, in the unit of the sum, below which the search ends.
    most : int
        Steps after which it ends in any case.

    Returns
    -------
    weight : float64 array, shape (n_pixel,)
        Not negative; pixels that do not help are exactly nought.
    n : int
        Steps that were taken.

    References
    ----------
    Gafni & Bertsekas 1984, SIAM J. Control Optim. 22, 936 (two-metric projection: weights at their bound that would go
    below it are held, the others take a Newton step and what falls below the bound is set to it); Nocedal & Wright 2006,
    Numerical Optimization, algorithm 7.4 (the Newton step from past ones).
    """
    n = start.size
    moved, turned = np.zeros((MEMORY, n)), np.zeros((MEMORY, n))
    free = np.empty(n, np.bool_)
    everywhere = np.ones(n, np.bool_)
    weight = start.copy()
    trial = np.empty(n)
    value, gradient = _objective(step, mean, weight, softening, unit)
    count = 0
    for iteration in range(most):
        for p in range(n):
            free[p] = weight[p] > 0.0 or gradient[p] < 0.0
        way = _direction(gradient, free, moved, turned, count)
        if count == 0 or not _dot(way, gradient, free) < 0.0:
            # Without a past: the way of steepest descent, no further than the first guess is long.
            count = 0
            steep = _dot(gradient, gradient, free)
            if steep == 0.0:
                return weight, iteration
            length = np.sqrt(_dot(weight, weight, everywhere) / steep)
            for p in range(n):
                way[p] = -min(1.0, length) * gradient[p] if free[p] else 0.0
        part = 1.0
        while True:
            slope = 0.0
            for p in range(n):
                trial[p] = max(weight[p] + part * way[p], 0.0)
                slope += gradient[p] * (trial[p] - weight[p])
            new, new_gradient = _objective(step, mean, trial, softening, unit)
            if new <= value + SUFFICIENT * slope:
                break
            part *= 0.5
            if part < SHORTEST:
                return weight, iteration
        i = count % MEMORY
        for p in range(n):
            moved[i, p] = trial[p] - weight[p]
            turned[i, p] = new_gradient[p] - gradient[p]
            weight[p] = trial[p]
        count += 1
        gain = value - new
        value, gradient = new, new_gradient
        if gain <= tolerance:
            return weight, iteration + 1
    return weight, most
