"""Whether counts vary, at the edge of what can be told."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.stats import poisson_conf_interval

from cuvee.events.blocks import bayesian_blocks
from cuvee.events.limits import poisson_errors
from cuvee.events.statistics import statistics


def test_a_background_far_below_zero_ends_no_statistics() -> None:
    n = 200
    time, counts = np.arange(n, dtype=np.float64), np.random.default_rng(1).poisson(3.0, n).astype(np.float64)
    # Of a damaged spectrum: then no simulated light curve has a count, and all are alike.
    found = statistics(time, np.ones(n), counts, np.full(n, -1e3))
    assert found.constant < 0.01  # counts where there should be none


def test_errors_of_few_counts_are_those_of_astropy() -> None:
    counts = np.r_[0.0, 1.0, 2.0, 7.0, 100.0, 1.0]
    low, high = poisson_conf_interval(counts, "frequentist-confidence")
    below, above = poisson_errors(counts)
    np.testing.assert_allclose(counts - below, low, rtol=1e-6)
    np.testing.assert_allclose(counts + above, high, rtol=1e-6)


@pytest.mark.parametrize("background", [0.0, 20.0])
def test_excess_variance_is_that_of_the_source_whatever_its_background(background: float) -> None:
    rng, n, share = np.random.default_rng(1), 4000, 0.3
    light = 10.0 * (1.0 + share * rng.standard_normal(n).clip(-3.0, 3.0))
    counts = np.asarray(rng.poisson(light + background), np.float64)
    found = statistics(np.arange(n, dtype=np.float64), np.ones(n), counts, np.full(n, background))
    assert found.excess_variance == pytest.approx(share**2, abs=4.0 * found.excess_variance_err)
    assert found.excess_variance_err < 0.2 * share**2 * (1.0 + background / 10.0)
    still = np.asarray(rng.poisson(10.0 + background, n), np.float64)
    found = statistics(np.arange(n, dtype=np.float64), np.ones(n), still, np.full(n, background))
    assert abs(found.excess_variance) < 4.0 * found.excess_variance_err


def test_a_drift_is_found_and_no_drift_is_none() -> None:
    rng, n = np.random.default_rng(1), 500
    time = np.arange(n, dtype=np.float64)
    for slope, low, high in ((0.5, 0.0, 1e-6), (0.0, 1e-3, 1.0)):
        counts = np.asarray(rng.poisson(20.0 * (1.0 + slope * (time / n - 0.5)) + 5.0), np.float64)
        found = statistics(time, np.ones(n), counts, np.full(n, 5.0))
        assert low <= found.pearson_p <= high


def test_blocks_begin_where_the_rate_changes_and_nowhere_else() -> None:
    rng = np.random.default_rng(1)
    rate = np.r_[np.full(300, 3.0), np.full(40, 15.0), np.full(300, 3.0)]
    found = bayesian_blocks(np.asarray(rng.poisson(rate), np.float64), np.ones(rate.size))
    assert np.abs(found - [0, 300, 340]).max() <= 2
    still = [bayesian_blocks(np.asarray(rng.poisson(3.0, 300), np.float64), np.ones(300)).size for _ in range(50)]
    assert still.count(1) >= 45  # one in a hundred has a change where there is none
