"""Whether a light curve of counts varies, by more than its counts and its background must.

What is measured is what a constant source would give with the same exposures and the same background: so a source that
does not vary comes out as constant, however faint it is.

References
----------
Vaughan et al. 2003, MNRAS 345, 1271 (excess variance); Cash 1979, ApJ 228, 939 (likelihood of counts); the Poisson factor is that of the
Lightcurve Legacy of COS and STIS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.events.periods import LEAST_CELLS, PERIODS, TRIALS, Peak, find_peak

__all__ = ["Statistics", "statistics"]

FloatArray = NDArray[np.float64]

TOGETHER = 10_000
"""Bins that are simulated at a time."""


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
    peaks = {name: Peak(nan, nan, nan) for name in PERIODS}
    if gross.size < 2:
        return Statistics(int(gross.sum()), nan, nan, nan, nan, nan, nan, nan, nan, peaks)
    rate = _constant_rate(exposure, gross, background)
    expected = np.maximum(rate * exposure + background, 0.0)
    net = (gross - background) / exposure
    mean = float(np.average(net, weights=exposure))
    spread = float(np.sqrt(np.average((net - mean) ** 2, weights=exposure)))
    scatter = float(((gross - expected) ** 2).sum() / (gross.size - 1))
    factor = float(np.sqrt(scatter / expected.mean())) if expected.mean() > 0.0 else nan
    excess, excess_err = _excess(net, expected / exposure**2, mean)
    rng = np.random.default_rng(seed)
    constant = _constancy(gross, expected, rng)
    from scipy import stats

    found = stats.pearsonr(time, net) if spread > 0.0 and gross.size > 2 else None
    whole = exposure >= 0.5 * exposure.max()
    if np.count_nonzero(whole) >= LEAST_CELLS:
        bins = time[whole], exposure[whole], gross[whole], background[whole], expected[whole]
        peaks = {name: find_peak(*bins, span, rng) for name, span in PERIODS.items()}
    return Statistics(
        int(gross.sum()), mean, spread, factor, excess, excess_err, constant,
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


def _constancy(gross: FloatArray, expected: FloatArray, rng: np.random.Generator) -> float:
    """Return how often a constant source deviates as much; a normal tail stands in where no simulation came as far."""
    from scipy import stats

    ours, theirs = float(_deviance(gross, expected)), np.zeros(TRIALS)
    for start in range(0, expected.size, TOGETHER):
        some = expected[start : start + TOGETHER]
        theirs += _deviance(rng.poisson(some, (TRIALS, some.size)).astype(np.float64), some)
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
