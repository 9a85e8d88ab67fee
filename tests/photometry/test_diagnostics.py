"""Diagnostics against star-by-star arithmetic and against noise of known size."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cuvee.metrics import median, robust_scatter
from cuvee.photometry.diagnostics import Diagnostics, diagnose

FloatArray = NDArray[np.float64]


def curves(seed: int, n_star: int = 5, n_point: int = 700) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    time = 1325.3 + np.arange(n_point) / 144.0
    time[n_point // 2 :] += 1.3
    flux = 1000.0 + 5.0 * rng.normal(size=(n_star, n_point)) + 20.0 * np.sin(time) * np.arange(n_star)[:, None]
    return time, flux, rng.uniform(4.0, 6.0, flux.shape), rng.normal(30.0, 0.1, (2, *flux.shape))


def plain(time: FloatArray, flux: FloatArray, err: FloatArray, centroid: FloatArray) -> tuple[float, ...]:
    """One star, its good points only, as the definitions read."""
    start = time[0] - 0.5 * np.median(np.diff(time))
    hour = np.floor((time - start) * 24.0)
    means = [flux[hour == h].mean() for h in np.unique(hour)]
    left = flux - np.polynomial.Polynomial.fit(time, flux, 3)(time)
    return (
        float(np.median(flux)),
        float(np.var(flux, ddof=1)),
        float(stats.median_abs_deviation(means, scale="normal")),
        float(np.median(np.abs(np.diff(flux)))),
        float(np.std(left, ddof=1) / np.median(err)),
        *(float(np.median(c)) for c in centroid),
    )


def rows(got: Diagnostics) -> FloatArray:
    return np.column_stack(
        [got.mean_flux, got.variance, got.rms_hour, got.ptp, got.variability, got.pos_centroid[:, 0], got.pos_centroid[:, 1]]
    )  # fmt: skip


def test_all_stars_at_once_as_one_by_one() -> None:
    time, flux, err, centroid = curves(1)
    rng = np.random.default_rng(2)
    good = rng.uniform(size=flux.shape) > 0.2
    flux[rng.uniform(size=flux.shape) > 0.95] = np.nan
    flux[0, 3] = np.inf
    times = np.tile(time, (len(flux), 1)) + np.arange(len(flux))[:, None] * 3e-3  # each star's own
    times[1, 5] = np.nan
    got = rows(diagnose(times, flux, err, centroid, good))
    for k in range(len(flux)):
        use = good[k] & np.isfinite(flux[k]) & np.isfinite(times[k])
        expected = plain(times[k, use], flux[k, use], err[k, use], centroid[:, k, use])
        np.testing.assert_allclose(got[k], expected, rtol=1e-8)


def test_one_time_axis_serves_all() -> None:
    time, flux, err, centroid = curves(3)
    good = np.ones(flux.shape, bool)
    np.testing.assert_array_equal(
        rows(diagnose(time, flux, err, centroid, good)),
        rows(diagnose(np.tile(time, (5, 1)), flux, err, centroid, good)),
    )


def test_white_noise_has_the_size_that_was_put_in() -> None:
    rng = np.random.default_rng(4)
    time = np.arange(13_000) / 720.0  # two-minute cadence: 30 points an hour
    flux = 500.0 + 3.0 * rng.normal(size=(4, time.size))
    got = diagnose(time, flux, np.full(flux.shape, 3.0), np.zeros((2, *flux.shape)), np.ones(flux.shape, bool))
    np.testing.assert_allclose(np.sqrt(got.variance), 3.0, rtol=0.03)
    np.testing.assert_allclose(got.rms_hour, 3.0 / np.sqrt(30.0), rtol=0.15)
    np.testing.assert_allclose(got.ptp, stats.norm.ppf(0.75) * np.sqrt(2.0) * 3.0, rtol=0.06)
    np.testing.assert_allclose(got.variability, 1.0, rtol=0.03)


def test_hours_that_end_with_a_cadence_hold_equal_numbers_of_points() -> None:
    # Half-hour cadence, each second point higher: if hours held one or three points now and then, their means would differ.
    for start in (0.0, 1325.2931471, 2459000.5):
        time = start + np.arange(600) / 48.0
        flux = np.tile([10.0, 12.0], 300)[None]
        got = diagnose(time, flux, np.ones_like(flux), np.zeros((2, 1, 600)), np.ones((1, 600), bool))
        assert got.rms_hour[0] == pytest.approx(0.0, abs=1e-9)


def test_slow_drift_is_no_variability() -> None:
    time, _, _, centroid = curves(6)
    u = (time - time.mean()) / 3.0
    flux = (800.0 + 40.0 * u - 9.0 * u**2 + 3.0 * u**3 + np.random.default_rng(7).normal(size=time.size))[None]
    got = diagnose(time, flux, np.ones_like(flux), centroid[:, :1], np.ones(flux.shape, bool))
    assert got.variability[0] == pytest.approx(1.0, abs=0.08)
    assert got.variance[0] > 100.0


def test_what_the_house_has_elsewhere_agrees() -> None:
    time, flux, err, centroid = curves(8)
    good = np.random.default_rng(9).uniform(size=flux.shape) > 0.3
    got = diagnose(time, flux, err, centroid, good)
    np.testing.assert_array_equal(got.mean_flux, median(np.where(good, flux, np.nan)))
    everything = np.ones(flux.shape, bool)
    apart = np.arange(700.0)  # a day each: every point is an hour of its own
    np.testing.assert_allclose(
        diagnose(apart, flux, err, centroid, everything).rms_hour, robust_scatter(flux), rtol=1e-12
    )


def test_too_few_points() -> None:
    time, flux, err, centroid = curves(10, 4, 6)
    good = np.array([[False] * 6, [True] + [False] * 5, [True] * 4 + [False] * 2, [True] * 6])
    got = diagnose(time, flux, err, centroid, good)
    assert np.isnan(rows(got)[0]).all()
    assert np.isnan([got.variance[1], got.ptp[1], got.variability[1]]).all()
    assert got.mean_flux[1] == flux[1, 0]
    assert np.isnan(got.variability[2])
    assert np.isfinite(got.ptp[2])
    assert np.isfinite(rows(got)[3]).all()
    nothing = diagnose(time[:0], flux[:, :0], err[:, :0], centroid[:, :, :0], good[:, :0])
    assert np.isnan(rows(nothing)).all()
