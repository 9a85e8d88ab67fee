"""Scatter: against numpy, scipy and noise of known size."""

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import median_abs_deviation

from cuvee.metrics import MAD_TO_SIGMA, median, point_to_point_scatter, robust_scatter


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
