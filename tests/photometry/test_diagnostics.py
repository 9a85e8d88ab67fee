"""Diagnostics against star-by-star arithmetic and against noise of known size."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cuvee.metrics import median, robust_scatter
from cuvee.model.records import LightCurves, Targets
from cuvee.photometry.diagnostics import diagnose

FloatArray = NDArray[np.float64]
Numbers = dict[str, NDArray[Any]]
PLAIN = ("variance", "rms_hour", "ptp", "variability")


def curves(seed: int, n_star: int = 5, n_point: int = 700) -> tuple[FloatArray, NDArray[np.float32], FloatArray]:
    rng = np.random.default_rng(seed)
    time = 1325.3 + np.arange(n_point) / 144.0
    time[n_point // 2 :] += 1.3
    flux = 1000.0 + 5.0 * rng.normal(size=(n_star, n_point)) + 20.0 * np.sin(time) * np.arange(n_star)[:, None]
    return time, flux.astype(np.float32), rng.uniform(4.0, 6.0, flux.shape)


def of(
    time: FloatArray, flux: NDArray[Any], err: NDArray[Any], good: NDArray[np.bool_], counts: list[int] | None = None
) -> Numbers:
    """Diagnose stars given as rows, or, with counts, laid one after the other."""
    n = len(flux) if counts is None else len(counts)
    counts = counts or [flux.shape[1]] * n
    nothing, whole = np.zeros(n), np.arange(n)
    targets = Targets(
        whole, whole, nothing, nothing, nothing, np.full(n, "ffi"), nothing, nothing, np.linspace(0.1, 1.0, n)[:, None],
        np.zeros(n, np.int32), (1.5, 2.5),
    )  # fmt: skip
    times = np.broadcast_to(time, flux.shape).ravel() if flux.ndim == 2 else time
    points: dict[str, NDArray[Any]] = {
        "time": np.ascontiguousarray(times),
        "flux": flux.ravel().astype(np.float32),
        "flag": np.zeros(flux.size, np.int32),
    }
    best = np.resize(np.array(["aperture1", "aperture2", "psf"]), n)
    made = LightCurves(targets, "s0001", "1-1", best, np.cumsum([0, *counts]), points)
    middle = median(np.where(good & np.isfinite(flux), err, np.nan)) if flux.ndim == 2 else np.ones(n)
    return diagnose(made, good.ravel(), middle)


def plain(time: FloatArray, flux: FloatArray, err: FloatArray) -> tuple[float, ...]:
    """One star, its good points only, as the definitions read."""
    start = time[0] - 0.5 * np.median(np.diff(time))
    hour = np.floor((time - start) * 24.0)
    means = [flux[hour == h].mean() for h in np.unique(hour)]
    left = flux - np.polynomial.Polynomial.fit(time, flux, 3)(time)
    return (
        float(np.var(flux, ddof=1)),
        float(stats.median_abs_deviation(means, scale="normal")),
        float(np.median(np.abs(np.diff(flux)))),
        float(np.std(left, ddof=1) / np.median(err)),
    )


def rows(got: Numbers) -> FloatArray:
    return np.column_stack([got[name] for name in PLAIN])


def test_all_stars_at_once_as_one_by_one() -> None:
    time, flux, err = curves(1)
    rng = np.random.default_rng(2)
    good = rng.uniform(size=flux.shape) > 0.2
    flux[rng.uniform(size=flux.shape) > 0.95] = np.nan
    flux[0, 3] = np.inf
    times = np.tile(time, (len(flux), 1)) + np.arange(len(flux))[:, None] * 3e-3  # each star's own
    times[1, 5] = np.nan
    err[1, 5] = np.nan
    got = rows(of(times, flux, err, good))
    for k in range(len(flux)):
        use = good[k] & np.isfinite(flux[k]) & np.isfinite(times[k])
        expected = plain(times[k, use], flux[k, use].astype(float), err[k, use])
        np.testing.assert_allclose(got[k, [0, 1, 3]], np.array(expected)[[0, 1, 3]], rtol=1e-8)
        # Differences are taken in single precision, in which the flux comes: half of 6e-5 is the spacing at 1000.
        assert got[k, 2] == pytest.approx(expected[2], abs=3.1e-5)


def test_light_curves_of_different_lengths() -> None:
    time, flux, err = curves(3, 3, 400)
    good = np.ones(flux.shape, bool)
    whole = of(time, flux, err, good)
    counts = [400, 0, 150]
    ragged = of(
        np.concatenate([time, time[:150]]), np.concatenate([flux[0], flux[2, :150]]), err, good.ravel()[:550], counts
    )
    short = of(time[:150], flux[2:, :150], err[2:, :150], good[2:, :150])
    for name in ("variance", "rms_hour", "ptp"):
        assert ragged[name][0] == whole[name][0]
        assert np.isnan(ragged[name][1])
        assert ragged[name][2] == short[name][0]


def test_white_noise_has_the_size_that_was_put_in() -> None:
    rng = np.random.default_rng(4)
    time = np.arange(13_000) / 720.0  # two-minute cadence: 30 points an hour
    flux = (500.0 + 3.0 * rng.normal(size=(4, time.size))).astype(np.float32)
    got = of(time, flux, np.full(flux.shape, 3.0), np.ones(flux.shape, bool))
    np.testing.assert_allclose(np.sqrt(got["variance"]), 3.0, rtol=0.03)
    np.testing.assert_allclose(got["rms_hour"], 3.0 / np.sqrt(30.0), rtol=0.15)
    np.testing.assert_allclose(got["ptp"], stats.norm.ppf(0.75) * np.sqrt(2.0) * 3.0, rtol=0.06)
    np.testing.assert_allclose(got["variability"], 1.0, rtol=0.03)


def test_hours_that_end_with_a_cadence_hold_equal_numbers_of_points() -> None:
    # Half-hour cadence, each second point higher: if hours held one or three points now and then, their means would differ.
    for start in (0.0, 1325.2931471, 2459000.5):
        time = start + np.arange(600) / 48.0
        flux = np.tile(np.array([10.0, 12.0], np.float32), 300)[None]
        got = of(time, flux, np.ones_like(flux), np.ones((1, 600), bool))
        assert got["rms_hour"][0] == pytest.approx(0.0, abs=1e-9)


def test_slow_drift_is_no_variability() -> None:
    time, _, _ = curves(6)
    u = (time - time.mean()) / 3.0
    flux = 800.0 + 40.0 * u - 9.0 * u**2 + 3.0 * u**3 + np.random.default_rng(7).normal(size=time.size)
    got = of(time, flux.astype(np.float32)[None], np.ones((1, time.size)), np.ones((1, time.size), bool))
    assert got["variability"][0] == pytest.approx(1.0, abs=0.08)
    assert got["variance"][0] > 100.0


def test_what_the_house_has_elsewhere_agrees() -> None:
    _, flux, err = curves(8)
    everything = np.ones(flux.shape, bool)
    apart = np.arange(700.0)  # a day each: every point is an hour of its own
    np.testing.assert_allclose(
        of(apart, flux, err, everything)["rms_hour"], robust_scatter(flux.astype(float)), rtol=1e-12
    )


def test_too_few_points() -> None:
    time, flux, err = curves(10, 4, 6)
    good = np.array([[False] * 6, [True] + [False] * 5, [True] * 4 + [False] * 2, [True] * 6])
    got = of(time, flux, err, good)
    assert np.isnan(rows(got)[0]).all()
    assert np.isnan([got["variance"][1], got["ptp"][1], got["variability"][1]]).all()
    assert np.isnan(got["variability"][2])
    assert np.isfinite(got["ptp"][2])
    assert np.isfinite(rows(got)[3]).all()
    nothing = of(time[:0], flux[:, :0], err[:, :0], good[:, :0])
    assert np.isnan(rows(nothing)).all()


def test_aperture_and_flags() -> None:
    time, flux, err = curves(11, 3, 10)
    got = of(time, flux, err, np.ones(flux.shape, bool))
    np.testing.assert_allclose(got["contamination"], [0.9, 0.45, 0.0])
    np.testing.assert_allclose(got["n_pixel"], [np.pi * 1.5**2, np.pi * 2.5**2, np.nan])
    assert got["flag"].tolist() == [0, 0, 0]
