"""Whether a light curve of counts varies, by more than its counts and its background must.

What is measured is what a constant source would give with the same exposures and the same background: so a source that
does not vary comes out as constant, however faint it is.

References
----------
Vaughan et al. 2003, MNRAS 345, 1271 (excess variance); Cash 1979, ApJ 228, 939 (likelihood of counts); Scargle 1982, ApJ 263, 835
(periodogram); the periods and the Poisson factor are those of the Lightcurve Legacy of COS and STIS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PERIODS", "Peak", "Statistics", "periodogram", "statistics"]

FloatArray = NDArray[np.float64]

PERIODS = {"short": (5.0, 600.0), "medium": (600.0, 3600.0), "long": (3600.0, 36000.0)}
"""Ranges in which periods are sought (s)."""

TRIALS = 200
"""Constant light curves that the height of a peak is compared with; beyond them a Gumbel distribution is fitted to theirs."""

LEAST_BINS = 10
OVERSAMPLING = 5
MOST_FREQUENCIES = 20_000


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
class Statistics:
    """How a light curve of counts varies.

    Parameters
    ----------
    total : int
        Events in all bins.
    mean, spread : float
        Mean and standard deviation of the net rate (count/s), weighted by exposure.
    poisson_factor : float
        Standard deviation of the counts over what their mean and the exposures of a constant source and its background give.
    excess_variance, excess_variance_err : float
        Normalised excess variance of the net rate, and its error.
    constant : float
        Probability that a constant source varies as much, from the likelihood of its counts.
    pearson_r, pearson_p : float
        Correlation of net rate and time, and the probability of one as large.
    peaks : dict of str to Peak
        By range of periods.
    """

    total: int
    mean: float
    spread: float
    poisson_factor: float
    excess_variance: float
    excess_variance_err: float
    constant: float
    pearson_r: float
    pearson_p: float
    peaks: dict[str, Peak]


def statistics(
    time: FloatArray,
    exposure: FloatArray,
    gross: FloatArray,
    background: FloatArray,
    seed: int = 1,
    periods: bool = True,
) -> Statistics:
    """Return how a light curve varies.

    Parameters
    ----------
    time : float64 array, shape (n_bin,)
        Middle of each bin (s).
    exposure, gross, background : float64 arrays, shape (n_bin,)
        Good time (s), events in the source's region, and how many of them are expected to be background. Bins with less than half of
        the longest exposure count for no period, and those without any for nothing.
    seed : int
        Of the simulations.
    periods : bool
        Whether to look for periods.

    Returns
    -------
    Statistics
        NaN for what too few bins cannot tell.
    """
    used = (exposure > 0.0) & np.isfinite(gross) & np.isfinite(background)
    time, exposure, gross, background = (
        np.asarray(one, np.float64)[used] for one in (time, exposure, gross, background)
    )
    nan = float("nan")
    nothing = {name: Peak(nan, nan, nan) for name in PERIODS}
    if gross.size < 2:
        return Statistics(int(gross.sum()), nan, nan, nan, nan, nan, nan, nan, nan, nothing)
    rate = _constant_rate(exposure, gross, background)
    expected = np.maximum(rate * exposure + background, 0.0)
    net = (gross - background) / exposure
    mean = float(np.average(net, weights=exposure))
    spread = float(np.sqrt(np.average((net - mean) ** 2, weights=exposure)))
    scatter = float(((gross - expected) ** 2).sum() / (gross.size - 1))
    factor = float(np.sqrt(scatter / expected.mean())) if expected.mean() > 0.0 else nan
    excess, excess_err = _excess(net, expected / exposure**2, mean)
    rng = np.random.default_rng(seed)
    fake = rng.poisson(np.maximum(expected, 0.0), (TRIALS, gross.size)).astype(np.float64)
    from scipy import stats

    found = stats.pearsonr(time, net) if spread > 0.0 and gross.size > 2 else None
    peaks = dict(nothing)
    whole = exposure >= 0.5 * exposure.max()
    if periods and np.count_nonzero(whole) >= LEAST_BINS:
        args = time[whole], exposure[whole], gross[whole], background[whole], fake[:, whole]
        peaks = {name: _peak(*args, low, high) for name, (low, high) in PERIODS.items()}
    return Statistics(
        int(gross.sum()), mean, spread, factor, excess, excess_err, _constancy(gross, expected, fake),
        float(found.statistic) if found else nan, float(found.pvalue) if found else nan, peaks,
    )  # fmt: skip


def _constant_rate(exposure: FloatArray, gross: FloatArray, background: FloatArray) -> float:
    """Return the likeliest rate of a constant source (count/s); not below zero."""
    low, high = 0.0, float(gross.sum() / exposure.sum())
    # The derivative of the likelihood falls with the rate: halve until the rate is known to a part in 1e12.
    if high <= 0.0:
        return 0.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        model = middle * exposure + np.maximum(background, 1e-12)
        if (gross * exposure / model).sum() > exposure.sum():
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _deviance(gross: FloatArray, expected: FloatArray) -> FloatArray:
    from scipy.special import xlogy

    model = np.maximum(expected, 1e-12)
    return np.asarray(2.0 * (model - gross + xlogy(gross, gross / model)).sum(axis=-1))


def _constancy(gross: FloatArray, expected: FloatArray, fake: FloatArray) -> float:
    """Return how often a constant source deviates as much; a normal tail stands in where no simulation came as far."""
    from scipy import stats

    ours, theirs = float(_deviance(gross, expected)), _deviance(fake, expected)
    share = (np.count_nonzero(theirs >= ours) + 1) / (len(theirs) + 1)
    if share > 5.0 / len(theirs):
        return float(share)
    # A gamma distribution with the mean and the variance of the simulated ones: chi2 where counts are many.
    mean, variance = float(theirs.mean()), float(theirs.var())
    if variance <= 0.0:
        return float(share)
    return float(stats.gamma.sf(ours, mean**2 / variance, scale=variance / mean))


def _excess(net: FloatArray, variance: FloatArray, mean: float) -> tuple[float, float]:
    if mean <= 0.0:
        return float("nan"), float("nan")
    n, noise = net.size, float(variance.mean())
    excess = (float(net.var(ddof=1)) - noise) / mean**2
    # Vaughan et al. 2003, equation 11.
    share = np.sqrt(noise) / mean
    error = np.sqrt(
        (np.sqrt(2.0 / n) * share**2) ** 2 + (np.sqrt(noise / n) * 2.0 * np.sqrt(max(excess, 0.0)) / mean) ** 2
    )
    return float(excess), float(error)


def periodogram(
    time: FloatArray, values: FloatArray, weights: FloatArray, low: float, high: float
) -> tuple[FloatArray, FloatArray]:
    """Return periods and their power.

    Parameters
    ----------
    time, values, weights : float64 arrays, shapes (n,), (..., n), (n,)
        s, anything, and inverse variances.
    low, high : float
        Range of periods (s); none shorter than two of the shortest steps, or longer than the light curve.

    Returns
    -------
    period : float64 array, shape (n_period,)
        s; empty where the range holds none.
    power : float64 array, shape (..., n_period)
        Share of the variance that a sine of the period explains.
    """
    span, step = float(time[-1] - time[0]), float(np.diff(time).min())
    low, high = max(low, 2.0 * step), min(high, span)
    if not low < high:
        return np.zeros(0), np.zeros((*values.shape[:-1], 0))
    n = int(np.clip(OVERSAMPLING * span * (1.0 / low - 1.0 / high), 20, MOST_FREQUENCIES))
    frequency = np.linspace(1.0 / high, 1.0 / low, n)
    flat = values.reshape(-1, values.shape[-1])
    weights = weights / weights.sum()
    flat = flat - (flat @ weights)[:, None]
    variance = (flat**2) @ weights
    power = np.empty((len(flat), n))
    weighted = flat * weights
    for k, one in enumerate(frequency):
        phase = 2.0 * np.pi * one * time
        cos, sin = np.cos(phase), np.sin(phase)
        # The two are made orthogonal, and free of the mean (Zechmeister & Kuerster 2009, A&A 496, 577).
        c, s = float(cos @ weights), float(sin @ weights)
        cc, ss, cs = (
            float(cos**2 @ weights) - c * c,
            float(sin**2 @ weights) - s * s,
            float((cos * sin) @ weights) - c * s,
        )
        yc, ys = weighted @ cos, weighted @ sin
        below = cc * ss - cs * cs
        power[:, k] = (ss * yc**2 + cc * ys**2 - 2.0 * cs * yc * ys) / below if below > 1e-12 * cc * ss else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.where(variance[:, None] > 0.0, power / variance[:, None], 0.0)
    return 1.0 / frequency, power.reshape(*values.shape[:-1], n)


def _peak(
    time: FloatArray,
    exposure: FloatArray,
    gross: FloatArray,
    background: FloatArray,
    fake: FloatArray,
    low: float,
    high: float,
) -> Peak:
    from scipy import stats

    weights = exposure**2 / np.maximum(gross.mean() * exposure / exposure.mean(), 1e-12)
    values = (np.vstack([gross, fake]) - background) / exposure
    period, power = periodogram(time, values, weights, low, high)
    if not period.size:
        return Peak(float("nan"), float("nan"), float("nan"))
    best = int(power[0].argmax())
    theirs = power[1:].max(axis=1)
    share = float((np.count_nonzero(theirs >= power[0, best]) + 1) / (len(theirs) + 1))
    if share <= 5.0 / len(theirs) and np.ptp(theirs) > 1e-9:  # they are shares of one
        place, scale = stats.gumbel_r.fit(theirs)
        share = float(stats.gumbel_r.sf(power[0, best], place, scale))
    return Peak(float(period[best]), float(power[0, best]), float(share))
