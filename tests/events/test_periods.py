"""Periods against astropy, against light that was put in, and against sources that do not vary."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.timeseries import LombScargle
from numpy.typing import NDArray
from scipy import stats

from cuvee.events.periods import Peak, find_peak
from cuvee.events.statistics import statistics

SHORT = (5.0, 600.0)


def counted(time: NDArray[np.float64], rate: float, period: float = 0.0, amplitude: float = 0.0, seed: int = 1) -> Peak:
    """Return the peak of simulated counts in bins of 2 s."""
    rng = np.random.default_rng(seed)
    light = 1.0 + (amplitude * np.sin(2.0 * np.pi * time / period) if amplitude else np.zeros(time.size))
    gross = rng.poisson(2.0 * rate * light).astype(np.float64)
    exposure, background = np.full(time.size, 2.0), np.zeros(time.size)
    return find_peak(time, exposure, gross, background, np.full(time.size, 2.0 * rate), SHORT, rng)


def test_power_is_that_of_astropy() -> None:
    rng = np.random.default_rng(3)
    time, exposure = np.arange(1.0, 1400.0, 2.0), rng.uniform(1.2, 2.0, 700)
    there = np.ones(700, np.bool_)
    there[100:160] = False  # a gap
    time, exposure = time[there], exposure[there]
    gross = rng.poisson(20.0 * exposure * (1.0 + 0.3 * np.sin(2.0 * np.pi * time / 37.0))).astype(np.float64)
    found = find_peak(time, exposure, gross, np.zeros(time.size), 20.0 * exposure, SHORT, rng)
    wanted = LombScargle(time, gross / exposure, dy=exposure**-0.5).power(1.0 / found.period)
    assert found.power == pytest.approx(wanted, rel=1e-5)  # transforms are in single precision
    assert found.period == pytest.approx(37.0, abs=37.0**2 / 1400.0 / 2.0)


def visits(n: int, days: float) -> NDArray[np.float64]:
    """Return the bins of exposures of 300 s, so many days apart."""
    return np.concatenate([86400.0 * days * k + 2.0 * np.arange(150) + 1.0 for k in range(n)])


def test_a_composite_of_years_shows_a_period_that_no_exposure_shows() -> None:
    time = visits(60, 30.0)
    assert time.size > 4_000
    alone = counted(time[:150], 2.0, 23.0, 0.12)
    assert alone.false_alarm > 0.05
    together = counted(time, 2.0, 23.0, 0.12)
    assert together.false_alarm < 1e-6
    assert together.period == pytest.approx(23.0, abs=23.0**2 / 300.0 / 2.0)


@pytest.mark.parametrize("n", [1, 60])
def test_a_constant_source_is_alarming_as_often_as_is_said(n: int) -> None:
    chances = np.array([counted(visits(n, 1.0), 0.2, seed=seed).false_alarm for seed in range(60 if n == 1 else 25)])
    assert stats.kstest(chances, "uniform").pvalue > 1e-3
    assert chances.min() > 1e-4


def test_brightness_that_differs_from_stretch_to_stretch_is_no_period() -> None:
    time, rng = visits(8, 10.0), np.random.default_rng(2)
    rate = np.repeat([1.0, 9.0, 3.0, 20.0, 1.0, 5.0, 12.0, 2.0], 150)
    gross = rng.poisson(2.0 * rate).astype(np.float64)
    found = statistics(time, np.full(time.size, 2.0), gross, np.zeros(time.size))
    assert found.constant < 1e-10
    assert found.peaks["short"].false_alarm > 1e-3


def test_a_long_light_curve_is_searched_as_finely_as_a_short_one() -> None:
    time = np.asarray(
        20.0 * np.arange(15_000) + 10.0, np.float64
    )  # 300 ks: finer than 20,000 frequencies of 40 to 600 s
    rng = np.random.default_rng(4)
    for period in (41.37, 222.22):
        gross = rng.poisson(2.0 * (1.0 + 0.2 * np.sin(2.0 * np.pi * time / period))).astype(np.float64)
        found = find_peak(
            time, np.full(time.size, 20.0), gross, np.zeros(time.size), np.full(time.size, 2.0), SHORT, rng
        )
        assert found.period == pytest.approx(period, rel=1e-3)
        assert found.false_alarm < 1e-20
