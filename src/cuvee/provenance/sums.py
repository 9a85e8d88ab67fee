"""The arithmetic of a flux once more, slowly and for one star in one frame: plain numpy in double precision.

What `cuvee.kernels` does for fifty thousand stars and sixteen frames at once in single precision, written down a second time from its
definition, so that the one can be held against the other. Arrays in, numbers out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "EPS",
    "Clipped",
    "Sum",
    "circle",
    "circle_overlap",
    "clipped_mean",
    "clipped_median",
    "compare",
    "mesh_nodes",
    "weighted_sum",
]

EPS = 2.0**-23
"""Spacing of float32 relative to the number."""

N_LEAST_PAIRS = 4
"""With fewer pairs of values that were kept, the spread of all tells the noise."""

TURNS = 3
"""Turns in which means of cells become values at their centres."""

INNER, OUTER = 3.0 / 128.0, 0.16
"""What interpolation is wrong by at most, in fourth differences of the cells' means; and at the outermost cells, in third ones."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def circle_overlap(x0: float, x1: float, y0: float, y1: float, radius: float) -> float:
    """Area that a circle round the origin shares with a rectangle.

    Parameters
    ----------
    x0, x1, y0, y1 : float
        Sides of the rectangle (px).
    radius : float
        Radius of the circle (px).

    Returns
    -------
    float
        Exact: the rectangle is cut into upright strips within which its top and its bottom are either a side or the circle, and each
        strip is integrated (the integral of sqrt(r^2 - x^2) is (x sqrt(r^2 - x^2) + r^2 asin(x / r)) / 2).
    """

    def arc(x: float) -> float:
        return 0.5 * (
            x * math.sqrt(max(radius**2 - x * x, 0.0)) + radius**2 * math.asin(max(-1.0, min(1.0, x / radius)))
        )

    cuts = {x0, x1, -radius, radius}
    for y in (y0, y1):
        if abs(y) < radius:
            half = math.sqrt(radius**2 - y * y)
            cuts |= {-half, half}
    area = 0.0
    for a, b in pairwise(sorted(x for x in cuts if x0 <= x <= x1)):
        middle = 0.5 * (a + b)
        height = math.sqrt(max(radius**2 - middle * middle, 0.0))
        if min(y1, height) <= max(y0, -height):
            continue
        top = y1 * (b - a) if y1 <= height else arc(b) - arc(a)
        bottom = y0 * (b - a) if y0 >= -height else arc(a) - arc(b)
        area += top - bottom
    return area


def circle(col: float, row: float, radius: float, shape: tuple[int, int]) -> tuple[IntArray, IntArray, FloatArray]:
    """Pixels that a circle touches, and how much of each lies within it.

    Parameters
    ----------
    col, row : float
        Centre, from the centre of pixel [0, 0] (px); where not finite there are no pixels.
    radius : float
        Radius (px).
    shape : tuple of int
        Rows and columns of the image; what lies beyond is left out.

    Returns
    -------
    cols, rows : int64 array, shape (n,)
        The pixels, row by row.
    weight : float64 array, shape (n,)
        Their areas within the circle.
    """
    found: list[tuple[int, int, float]] = []
    if math.isfinite(col) and math.isfinite(row):
        reach = radius + 0.5
        for j in range(max(math.ceil(row - reach), 0), min(math.floor(row + reach) + 1, shape[0])):
            for i in range(max(math.ceil(col - reach), 0), min(math.floor(col + reach) + 1, shape[1])):
                dx, dy = i - col, j - row
                nearest = max(abs(dx) - 0.5, 0.0) ** 2 + max(abs(dy) - 0.5, 0.0) ** 2
                if nearest < radius**2 * (1.0 - 1e-12):  # else the overlap vanishes in rounding
                    found.append((i, j, circle_overlap(dx - 0.5, dx + 0.5, dy - 0.5, dy + 0.5, radius)))
    cols, rows, weight = zip(*found, strict=True) if found else ((), (), ())
    return np.array(cols, np.int64), np.array(rows, np.int64), np.array(weight, np.float64)


@dataclass(frozen=True, slots=True)
class Clipped:
    """A clipped mean or median.

    Parameters
    ----------
    level, error : float
        Result and its standard error; NaN where too few values are left.
    kept : bool array, shape (n,)
        Which values entered it.
    passes : tuple of dict
        What each round found: ``n``, ``level``, ``spread``.
    """

    level: float
    error: float
    kept: NDArray[np.bool_]
    passes: tuple[dict[str, float], ...]


def clipped_mean(values: FloatArray, kappa: float, n_pass: int, n_least: int) -> Clipped:
    """Mean of the values within ``kappa`` standard deviations of it.

    Parameters
    ----------
    values : float64 array, shape (n,)
        What is not a number is left out.
    kappa : float
        Clip beyond this many standard deviations.
    n_pass : int
        Rounds, the first of them unclipped; ends early when nothing more is clipped.
    n_least : int
        With fewer accepted values, the result is NaN.

    Returns
    -------
    Clipped
        The error is sqrt(mean of d^2 / 2 / n), with d the difference of the first and second, third and fourth, ... value, where both were
        kept; with fewer than four such pairs spread / sqrt(n - 1), with the spread sqrt(mean of squares - square of the mean).
    """
    kept = np.isfinite(values)
    passes: list[dict[str, float]] = []
    low, high = -math.inf, math.inf
    for _ in range(n_pass):
        with np.errstate(invalid="ignore"):
            kept = np.isfinite(values) & (values >= low) & (values <= high)
        n = int(kept.sum())
        level = float(values[kept].mean()) if n else math.nan
        spread = float(values[kept].std()) if n else math.nan
        passes.append({"n": n, "level": level, "spread": spread})
        if n == 0 or (len(passes) > 1 and passes[-2]["n"] == n):
            break
        low, high = level - kappa * spread, level + kappa * spread
    if n < n_least:
        return Clipped(math.nan, math.nan, kept, tuple(passes))
    with np.errstate(invalid="ignore"):
        inside = (values >= low) & (values <= high)
    first, second = np.arange(0, values.size - 1, 2), np.arange(1, values.size, 2)
    pairs = inside[first] & inside[second]
    if pairs.sum() < N_LEAST_PAIRS:
        return Clipped(level, spread / math.sqrt(max(n - 1, 1)), kept, tuple(passes))
    noise = float(((values[first] - values[second])[pairs] ** 2).mean()) / 2.0
    return Clipped(level, math.sqrt(noise / n), kept, tuple(passes))


def clipped_median(values: FloatArray, kappa: float, n_pass: int, n_least: int) -> Clipped:
    """Median of the values within ``kappa`` standard deviations of it.

    Parameters
    ----------
    values, kappa, n_pass, n_least
        As in `clipped_mean`; here up to ``n_pass`` clippings follow the first median.

    Returns
    -------
    Clipped
        The error is 1.2533 spread / sqrt(n), with the standard deviation of the values before they were clipped last.
    """
    kept = np.isfinite(values)
    level = float(np.median(values[kept])) if kept.any() else math.nan
    spread = math.nan
    passes: list[dict[str, float]] = []
    for _ in range(n_pass):
        n = int(kept.sum())
        spread = float(np.sqrt(((values[kept] - values[kept].mean()) ** 2).sum() / max(n - 1, 1))) if n else math.nan
        passes.append({"n": n, "level": level, "spread": spread})
        with np.errstate(invalid="ignore"):
            near = kept & (np.abs(values - level) <= kappa * spread)
        if near.sum() == n:
            break
        kept = near
        level = float(np.median(values[kept])) if kept.any() else math.nan
    n = int(kept.sum())
    if n < n_least:
        return Clipped(math.nan, math.nan, kept, tuple(passes))
    return Clipped(level, 1.2533 * spread / math.sqrt(n), kept, tuple(passes))


def mesh_nodes(
    mean: FloatArray, error: FloatArray, shift: FloatArray, still: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Turn the means of mesh cells into values at the cells' centres.

    An empty cell takes the mean of its neighbours (of eight), with twice their largest error, ring by ring. Then a mean over a cell is the
    value at the centroid of its pixels plus 1/24 of the second differences; slope and curvature come from the neighbours' values (their means
    in the first of three turns), at the outermost cells the curvature of the next. To the error is added, in squares, how far interpolation may go
    astray: the sum over the axes of five cells or more of 3/128 of the fourth difference about the cell (or about the nearest that has one), at the
    outermost cells 0.16 of the third; the smaller of that of the values and that of their change since the reference image.

    Parameters
    ----------
    mean, error : float64 array, shape (n_cell_row, n_cell_col)
        Clipped means and their errors; NaN for an empty cell.
    shift : float64 array, shape (n_cell_row, n_cell_col, 2)
        Row and column of the centroid of a cell's pixels less those of its centre, in cells.
    still : float64 array, shape (n_cell_row, n_cell_col)
        The means in the reference image.

    Returns
    -------
    value, error : float64 array, shape (n_cell_row, n_cell_col)
    """
    mean, error = _filled(mean, error)
    value = _at_centres(mean, shift)
    before = _at_centres(_filled(still, still)[0], shift)
    astray = sum(_astray(np.moveaxis(value, axis, 0), np.moveaxis(before, axis, 0), axis) for axis in (0, 1))
    return value, np.sqrt(error**2 + np.nan_to_num(astray) ** 2)


def _filled(mean: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Let empty cells borrow from those around them."""
    mean, error = mean.copy(), error.copy()
    while np.isnan(mean).any() and not np.isnan(mean).all():
        old, worst = mean.copy(), error.copy()
        for i, j in np.argwhere(np.isnan(old)):
            around = (slice(max(i - 1, 0), i + 2), slice(max(j - 1, 0), j + 2))
            known = np.isfinite(old[around])
            if known.any():
                mean[i, j] = old[around][known].mean()
                error[i, j] = 2.0 * worst[around][known].max()
    return mean, error


def _at_centres(mean: FloatArray, shift: FloatArray) -> FloatArray:
    last = mean
    for _ in range(TURNS):
        value = mean.copy()
        for axis in (0, 1):
            lines = np.moveaxis(last, axis, 0)
            n = lines.shape[0]
            if n > 1:
                slope = np.gradient(lines, axis=0)  # of neighbours on both sides, one-sided at the ends
                value -= np.moveaxis(slope, 0, axis) * shift[:, :, axis]
            if n > 2:
                inner = np.clip(np.arange(n), 1, n - 2)
                value -= np.moveaxis(lines[inner + 1] - 2.0 * lines[inner] + lines[inner - 1], 0, axis) / 24.0
        last = value
    return last


def _astray(value: FloatArray, before: FloatArray, axis: int) -> FloatArray:
    """Say how far interpolation along the first axis may go astray at each cell, with that axis moved back to its place."""
    n = value.shape[0]
    if n < 5:
        return np.moveaxis(np.zeros_like(value), 0, axis)
    third, fourth = (
        np.minimum(*(np.abs(np.diff(one, order, axis=0)) for one in (value, value - before))) for order in (3, 4)
    )
    inner = INNER * fourth[np.clip(np.arange(n) - 2, 0, n - 5)]
    inner[0], inner[-1] = OUTER * third[0], OUTER * third[-1]
    return np.moveaxis(inner, 0, axis)


@dataclass(frozen=True, slots=True)
class Sum:
    """A flux with everything that it is made of.

    Parameters
    ----------
    total : float
        Sum of weight x pixel (e-/s).
    area : float
        Sum of the weights (px).
    area2 : float
        Sum of the squared weights.
    light2 : float
        Sum of weight^2 x pixel before anything was subtracted from it (e-/s): what the photons' noise sees.
    flux, flux_err : float
        total - area x background, and the root of the variance (e-/s).
    variance : dict of str to float
        Its terms ((e-/s)^2): ``photons``, ``reading``, ``background``.
    guessed : bool
        Whether ``light2`` came out negative, so that the background under the aperture stands in for it.
    """

    total: float
    area: float
    area2: float
    light2: float
    flux: float
    flux_err: float
    variance: dict[str, float]
    guessed: bool


def weighted_sum(
    pixel: NDArray[Any],
    counts: NDArray[Any],
    weight: FloatArray,
    level: float,
    level_err: float,
    exposure: float,
    pixel_variance: float,
) -> Sum:
    """Flux in an aperture, and its error.

    Parameters
    ----------
    pixel : float array, shape (n,)
        Pixels (e-/s); infinities count as not a number, and one of those makes the flux NaN.
    counts : float array, shape (n,)
        The pixels before anything was subtracted from them (e-/s).
    weight : float64 array, shape (n,)
        Areas within the aperture (px).
    level, level_err : float
        Background and its error (e-/s/pixel).
    exposure : float
        Time on source (s).
    pixel_variance : float
        What reading and digitising add to one pixel ((e-/s)^2).

    Returns
    -------
    Sum
        ``var = sum w^2 c / t + sum w^2 v + (sum w)^2 e^2`` (`cuvee.photometry.noise`).
    """
    if weight.size == 0:
        nothing = dict.fromkeys(("photons", "reading", "background"), math.nan)
        return Sum(math.nan, 0.0, 0.0, math.nan, math.nan, math.nan, nothing, False)
    value = np.where(np.isfinite(pixel), pixel, np.nan).astype(np.float64)
    before = np.where(np.isfinite(counts), counts, np.nan).astype(np.float64)
    total, area, area2 = float((weight * value).sum()), float(weight.sum()), float((weight**2).sum())
    light2 = float((weight**2 * before).sum())
    guessed = light2 < 0.0
    shot = max(level * area2, 0.0) if guessed else light2
    variance = {
        "photons": shot / exposure,
        "reading": area2 * pixel_variance,
        "background": (area * level_err) ** 2,
    }
    flux = total - area * level
    error = math.sqrt(sum(variance.values())) if math.isfinite(flux) else math.nan
    return Sum(total, area, area2, light2, flux, error, variance, guessed)


def compare(redone: float, stored: float, tolerance: float) -> dict[str, Any]:
    """Hold a number that was computed again against the stored one; two that are no numbers agree."""
    both_nan = math.isnan(redone) and math.isnan(stored)
    difference = redone - stored
    return {
        "redone": redone,
        "stored": stored,
        "difference": difference,
        "tolerance": tolerance,
        "agrees": both_nan or abs(difference) <= tolerance,
    }
