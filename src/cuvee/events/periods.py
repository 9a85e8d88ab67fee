"""Periods of a light curve of counts, and how likely a source that does not vary shows a peak as high.

A period is sought where its phase can be followed: data that span longer than some 20,000 frequencies can tell apart are cut into stretches, and what
a period explains is added up over these. So the work grows with the data and not with the time between the first and the last, exposures of many
years are searched as finely as those of a day, and a source may lose its phase from one stretch to the next.

References
----------
Scargle 1982, ApJ 263, 835; Zechmeister & Kuerster 2009, A&A 496, 577 (a free mean, and weights); the periods are those of the Lightcurve Legacy of
COS and STIS.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["PERIODS", "Peak", "find_peak"]

FloatArray = NDArray[np.float64]

PERIODS = {"short": (5.0, 600.0), "medium": (600.0, 3600.0), "long": (3600.0, 36000.0)}
"""Ranges in which periods are sought (s)."""

TRIALS = 200
"""Constant light curves that the height of a peak is compared with; beyond them a Gumbel distribution is fitted to theirs."""
FEWEST_TRIALS = 50
MANY_STRETCHES = 50
"""Where there are more, there are fewer trials, for the work must end: heights that are sums of many scatter less."""

LEAST_CELLS = 10
OVERSAMPLING = 4
MOST_FREQUENCIES = 20_000
FINENESS = 10
"""Time is told in tenths of the shortest period, which takes up to 3 % of its power, and less of longer ones."""
ALIKE = 1e-5
"""Where cosine and sine are as like as this (or one of them is nothing), a stretch says nothing of a period: it is much shorter than it, or the period
is two bins."""
TOGETHER = 16
"""Light curves that are transformed at a time."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest peak of a periodogram.

    Parameters
    ----------
    period : float
        s; NaN where the light curve is too short for the range.
    power : float
        Share of the variance that it explains.
    false_alarm : float
        Probability that a constant source shows a peak as high as this, by simulation.
    """

    period: float
    power: float
    false_alarm: float


@dataclass(frozen=True, slots=True)
class _Grid:
    """Times as cells of equal length, and the frequencies that they are asked for."""

    width: float
    size: int
    first: int
    last: int

    @property
    def periods(self) -> FloatArray:
        """In seconds, the longest one first."""
        return np.asarray(self.size * self.width / np.arange(self.first, self.last + 1))


def find_peak(
    time: FloatArray,
    exposure: FloatArray,
    gross: FloatArray,
    background: FloatArray,
    expected: FloatArray,
    span: tuple[float, float],
    rng: np.random.Generator,
) -> Peak:
    """Return the highest peak among the periods of a range.

    Parameters
    ----------
    time, exposure : float64 arrays, shape (n_bin,)
        Middle of each bin, rising (s), and good time in it (s); not zero.
    gross, background, expected : float64 arrays, shape (n_bin,)
        Events, how many of them are expected to be background, and how many there would be of a constant source.
    span : tuple of float
        The range (s); no period is shorter than two bins, or longer than the longest stretch.
    rng : Generator
        Of the simulations. Their source is constant within each stretch.

    Returns
    -------
    Peak
        NaN where no stretch is long enough.
    """
    nothing = Peak(float("nan"), float("nan"), float("nan"))
    step = float(np.median(np.diff(time)))
    low, high = max(span[0], 2.0 * step), span[1]
    if not low < high:
        return nothing
    width = _cell(step, low)
    rows = []
    for start, stop in _stretches(time, MOST_FREQUENCIES / (OVERSAMPLING * (1.0 / low - 1.0 / high))):
        cell = np.rint((time[start:stop] - time[start]) / width).astype(np.int64)
        first = np.flatnonzero(np.r_[True, np.diff(cell) > 0])
        if first.size >= LEAST_CELLS:
            sums = (np.add.reduceat(one[start:stop], first) for one in (exposure, gross, background, expected))
            rows.append((cell[first], *sums))
    grid = _grid(max((int(cell[-1]) + 1 for cell, *_ in rows), default=0), width, low, high)
    if grid is None:
        return nothing
    n_trial = max(FEWEST_TRIALS, min(TRIALS, TRIALS * MANY_STRETCHES // len(rows)))
    explained, variance = np.zeros((n_trial + 1, grid.last - grid.first + 1)), np.zeros(n_trial + 1)
    for cell, seconds, events, behind, constant in rows:
        mean = constant * (events.sum() / constant.sum()) if constant.sum() > 0.0 else constant
        fake = rng.poisson(mean, (n_trial, mean.size))
        one = _explained(cell, (np.vstack([events[None], fake]) - behind) / seconds, seconds, grid)
        explained += one[0]
        variance += one[1]
    power = np.divide(explained, variance[:, None], out=np.zeros_like(explained), where=variance[:, None] > 0.0)
    best = int(power[0].argmax())
    return Peak(float(grid.periods[best]), float(power[0, best]), _chance(float(power[0, best]), power[1:].max(axis=1)))


def _cell(step: float, low: float) -> float:
    """Return the length of a cell (s): so many bins are put together, or a bin is so many cells long."""
    finest = low / FINENESS
    return float(step * np.floor(finest / step) if step <= finest else step / np.ceil(step / finest))


def _stretches(time: FloatArray, longest: float) -> list[tuple[int, int]]:
    """Return where stretches no longer than ``longest`` (s) begin and end: cut at longer gaps, then into equal parts."""
    found = []
    edges = np.r_[0, np.flatnonzero(np.diff(time) > longest) + 1, time.size]
    for start, stop in pairwise(edges):
        length = time[stop - 1] - time[start]
        n = max(int(np.ceil(length / longest)), 1)
        cuts = start + np.searchsorted(time[start:stop], time[start] + length * np.arange(1, n) / n)
        found += [(int(a), int(b)) for a, b in pairwise(np.r_[start, cuts, stop]) if b > a]
    return found


def _grid(n_cell: int, width: float, low: float, high: float) -> _Grid | None:
    from scipy.fft import next_fast_len

    if n_cell < LEAST_CELLS:
        return None
    size = next_fast_len(OVERSAMPLING * n_cell, real=True)
    length = size * width
    first, last = int(np.ceil(length / min(high, (n_cell - 1) * width))), int(np.floor(length / low))
    return _Grid(width, size, first, last) if first <= last else None


def _explained(
    cell: NDArray[np.int64], values: FloatArray, weights: FloatArray, grid: _Grid
) -> tuple[FloatArray, FloatArray]:
    """Return the weighted squares that each period explains, and all of them; by light curve."""
    from scipy.fft import fft, rfft

    total = float(weights.sum())
    share = weights / total
    values = values - (values @ share)[:, None]
    k = np.arange(grid.first, grid.last + 1)
    window = np.zeros(grid.size)
    window[cell] = share
    at = fft(window)
    # Cosine and sine are made orthogonal, and free of the mean (Zechmeister & Kuerster 2009).
    once, twice = at[k], at[2 * k % grid.size]
    c, s = once.real, -once.imag
    cc, ss, cs = 0.5 * (1.0 + twice.real) - c * c, 0.5 * (1.0 - twice.real) - s * s, -0.5 * twice.imag - c * s
    below = cc * ss - cs * cs
    sound = below > ALIKE
    of_cos, of_sin, of_both = (
        np.divide(one, below, out=np.zeros_like(below), where=sound).astype(np.float32) for one in (ss, cc, 2.0 * cs)
    )
    explained = np.empty((len(values), k.size), np.float32)
    scale = np.abs(values).max() or 1.0
    for start in range(0, len(values), TOGETHER):
        some = values[start : start + TOGETHER] * (weights / weights.max()) / scale
        rows = np.zeros((len(some), grid.size), np.float32)
        rows[:, cell] = some
        at = rfft(rows)[:, grid.first : grid.last + 1]
        re, im = at.real, at.imag
        explained[start : start + TOGETHER] = of_cos * re * re + of_sin * im * im + of_both * re * im
    return explained * (total * (scale * weights.max() / total) ** 2), (values**2 @ share) * total


def _chance(height: float, theirs: FloatArray) -> float:
    """Return how often a constant source's highest peak is as high."""
    from scipy import stats

    share = float((np.count_nonzero(theirs >= height) + 1) / (len(theirs) + 1))
    if share <= 5.0 / len(theirs) and np.ptp(theirs) > 1e-9:  # they are shares of one
        place, scale = stats.gumbel_r.fit(theirs)
        share = float(stats.gumbel_r.sf(height, place, scale))
    return share
