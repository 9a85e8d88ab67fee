"""Scatter: against numpy, scipy and noise of known size."""

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import median_abs_deviation

from cuvee.metrics import (
    MAD_TO_SIGMA,
    good_points,
    median,
    pair_scatter,
    point_to_point_scatter,
    robust_scatter,
    summarise,
)
from cuvee.model.flags import COSMIC_RAY, SATURATED
from cuvee.model.records import LightCurves, Targets


@pytest.mark.parametrize("n", [1, 2, 3, 10, 701])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_median_is_that_of_numpy(n: int, dtype: type) -> None:
    rng = np.random.default_rng(n)
    values: NDArray[Any] = rng.normal(100, 7, (50, n)).astype(dtype)
    values[rng.random(values.shape) < 0.3] = np.nan
    values[0] = 1.0
    values[1:, 0] = np.where(np.isnan(values[1:]).all(axis=1), 3.0, values[1:, 0])
    np.testing.assert_allclose(median(values), np.nanmedian(values.astype(float), axis=1), rtol=0, atol=0)


def test_rows_without_a_number_have_no_median() -> None:
    assert np.isnan(median(np.full((2, 5), np.nan))).all()
    assert np.isnan(median(np.empty((3, 0)))).all()
    assert median(np.empty((0, 4))).shape == (0,)


def test_robust_scatter_is_that_of_scipy() -> None:
    rng = np.random.default_rng(3)
    values = rng.standard_t(2, (20, 300))
    values[:, ::11] = np.nan
    expected = median_abs_deviation(values, axis=1, scale="normal", nan_policy="omit")
    np.testing.assert_allclose(robust_scatter(values), expected, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 301])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_robust_scatter_of_equal_few_and_missing_values(n: int, dtype: type) -> None:
    rng = np.random.default_rng(n)
    values: NDArray[Any] = np.round(rng.standard_t(2, (400, n)), 1).astype(dtype)
    values[rng.random(values.shape) < 0.3] = np.nan
    values[0], values[1] = 7.0, np.nan
    wide = values.astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of rows without a number
        deviation = np.nanmedian(np.abs(wide - np.nanmedian(wide, axis=1)[:, None]), axis=1)
    np.testing.assert_array_equal(robust_scatter(values), MAD_TO_SIGMA * deviation)


def test_point_to_point_scatter_finds_the_noise_under_variation_flares_and_bad_points() -> None:
    rng = np.random.default_rng(4)
    sigma = np.array([0.5, 2.0, 8.0])[:, None]
    flux = 1000 + rng.normal(0, sigma, (3, 20_000))
    flux += 300 * np.sin(np.arange(20_000) / 2000.0)
    flux[:, 5000:5100] += 500.0
    good = np.ones(20_000, bool)
    good[::50] = False
    flux[:, ~good] += 1e6
    # The relative error of a MAD from n points is about 1.17 / sqrt(n) = 0.8 %, more for correlated differences.
    np.testing.assert_allclose(point_to_point_scatter(flux, good), sigma[:, 0], rtol=0.03)
    # Plain scatter sees the variation instead.
    assert (robust_scatter(flux) > 100).all()


def test_point_to_point_scatter_uses_pairs_of_good_neighbours_only() -> None:
    flux = np.array([[1.0, 2.0, 50.0, 4.0, 5.5]])
    good = np.array([True, True, False, True, True])
    # Two differences are left, 1 and 1.5: their MAD is 0.25.
    np.testing.assert_allclose(point_to_point_scatter(flux, good), [1.482602218505602 * 0.25 / np.sqrt(2)], rtol=1e-12)
    assert np.isnan(point_to_point_scatter(flux, np.array([True, False, True, False, True]))).all()
    each = np.array([[True] * 5, [False] * 5])
    scatter = point_to_point_scatter(np.vstack([flux, flux]), each)
    assert np.isfinite(scatter[0])
    assert np.isnan(scatter[1])


@pytest.mark.parametrize(
    ("n", "every"), [(0, 2), (1, 2), (2, 2), (9, 2), (40, 2), (801, 2), (802, 4), (1300, 4), (3700, 10)]
)
def test_pair_scatter_is_that_of_pairs_one_by_one(n: int, every: int) -> None:
    rng = np.random.default_rng(n)
    flux: NDArray[Any] = rng.normal(100, 7, (20, n)).astype(np.float32)
    good = rng.random(flux.shape) > 0.2
    one, twice = pair_scatter([flux, 2 * flux], good)
    np.testing.assert_allclose(twice, 2 * one, rtol=1e-6)
    for row, bad, found in zip(flux, ~good, one, strict=True):
        steps = [row[k + 1] - row[k] for k in range(0, n - 1, every) if not (bad[k] or bad[k + 1])]
        if steps:
            expected = MAD_TO_SIGMA / np.sqrt(2) * np.median(np.abs(np.asarray(steps, float) - np.median(steps)))
            assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
        else:
            assert np.isnan(found)


def test_pair_scatter_finds_the_noise_under_variation() -> None:
    rng = np.random.default_rng(8)
    flux = 1000 + rng.normal(0, 3.0, (40, 2000)) + 300 * np.sin(np.arange(2000) / 2000.0)
    (found,) = pair_scatter([flux], np.ones(flux.shape, bool))
    # The MAD of 334 differences has a relative error of 1.17 / sqrt(334).
    assert np.median(found) == pytest.approx(3.0, rel=0.03)
    assert np.std(found / 3.0) == pytest.approx(0.064, rel=0.4)


def _curves(counts: list[int], **columns: NDArray[Any]) -> LightCurves:
    n, total = len(counts), sum(counts)
    nothing, whole = np.zeros(n), np.arange(n)
    targets = Targets(
        whole, whole, nothing, nothing, nothing, np.full(n, "ffi"), nothing, nothing, np.ones((n, 1)),
        np.zeros(n, np.int32), (1.5,),
    )  # fmt: skip
    points = {
        "time": np.arange(total, dtype=float), "quality": np.zeros(total, np.int32), "flag": np.zeros(total, np.int32),
        "cadence": np.concatenate([np.arange(n, dtype=np.int32) for n in counts]),
        **{name: np.ones(total, np.float32) for name in ("flux", "flux_err", "background", "aperture1_flux")},
    }  # fmt: skip
    return LightCurves(targets, "s0001", "1-1", np.full(n, "psf"), np.cumsum([0, *counts]), {**points, **columns}, 0.0)


@pytest.mark.parametrize("counts", [[300, 300, 300], [300, 40, 560]])
def test_each_method_is_summed_up_where_there_are_psf_fluxes(counts: list[int]) -> None:
    rng = np.random.default_rng(9)
    small: NDArray[Any] = rng.normal(50, 1, 900).astype(np.float32)
    psf: NDArray[Any] = rng.normal(70, 2, 900).astype(np.float32)
    chi2: NDArray[Any] = rng.normal(1, 0.1, 900).astype(np.float32)
    flag = np.zeros(900, np.int32)
    flag[[3, 7, 899]] = COSMIC_RAY
    flag[10:20] |= SATURATED
    small[10:20] = 1e6
    chi2[10:20] = 1e6
    curves = _curves(counts, flag=flag, flux=psf, psf_flux=psf, aperture1_flux=small, psf_chi2=chi2)
    table = summarise(curves, good_points(curves, 1, SATURATED))
    assert table["n_cosmic_ray"].tolist() == [2, 0, 1]
    for name, values in (("aperture1", small), ("psf", psf)):
        for k, (start, stop) in enumerate(zip(curves.offsets, curves.offsets[1:], strict=False)):
            kept = np.where(flag[start:stop] & SATURATED, np.nan, values[start:stop].astype(float))
            steps = [b - a for a, b in zip(kept[::2], kept[1::2], strict=False)]
            expected = median_abs_deviation(steps, scale="normal", nan_policy="omit") / np.sqrt(2)
            assert table[f"{name}_scatter"][k] == pytest.approx(expected, rel=1e-5)
    # The median of 75 of 300 normal deviates is good to 1.25 x 0.1 / sqrt(75); of 10, three times less.
    np.testing.assert_allclose(table["psf_chi2"], 1.0, atol=0.15)
    bare = _curves(counts)
    assert not {"aperture1_scatter", "psf_chi2", "n_cosmic_ray"} & set(summarise(bare, good_points(bare, 1, SATURATED)))
