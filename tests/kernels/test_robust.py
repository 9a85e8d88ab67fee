"""Clipped means against slow references and astropy."""

import numpy as np
import pytest
from astropy.stats import sigma_clip

from cuvee.kernels import robust


def _clip(image: np.ndarray, groups: list[np.ndarray], base: np.ndarray | None = None, n_pass: int = 20) -> np.ndarray:
    ptr = np.concatenate([[0], np.cumsum([g.size for g in groups])]).astype(np.int64)
    pixel = np.concatenate(groups).astype(np.int32)[:, None]
    base = np.zeros(pixel.size, np.float32) if base is None else base
    mean, error = np.empty((2, len(groups), 16), np.float32)
    scratch = np.empty((6, 16), np.float32)
    robust.clipped_mean(image, 0, len(groups), ptr, pixel, base, 3.0, n_pass, 10, scratch, mean, error)
    return np.stack([mean, error])


def test_clipped_mean_equals_astropy() -> None:
    rng = np.random.default_rng(7)
    image = rng.normal(5000.0, 3.0, (900, 16)).astype(np.float32)
    image[rng.integers(0, 900, 40), rng.integers(0, 16, 40)] += 200.0
    image[rng.integers(0, 900, 40), rng.integers(0, 16, 40)] = np.nan
    groups = [rng.choice(900, n, replace=False) for n in (50, 141, 300, 600)]
    mean, error = _clip(image, groups)
    for g, pixels in enumerate(groups):
        for b in range(16):
            values = image[pixels, b].astype(float)
            kept = sigma_clip(values[np.isfinite(values)], sigma=3.0, maxiters=50, cenfunc="mean", masked=False)
            assert mean[g, b] == pytest.approx(kept.mean(), abs=2e-3)
            inside = np.isin(values, kept)
            pairs = inside[: values.size // 2 * 2].reshape(-1, 2).all(axis=1)
            steps = np.diff(values[: values.size // 2 * 2].reshape(-1, 2))[pairs]
            assert error[g, b] == pytest.approx(np.sqrt((steps**2).mean() / 2 / kept.size), rel=1e-3)


def test_a_slope_is_no_noise() -> None:
    rng = np.random.default_rng(13)
    slope = np.arange(400) * 0.05
    image = (100.0 + slope[:, None] + rng.normal(0, 0.5, (400, 16))).astype(np.float32)
    mean, error = _clip(image, [np.arange(400)])
    assert np.std(slope) > 10 * 0.5
    np.testing.assert_allclose(error[0], 0.5 / np.sqrt(400), rtol=0.25)
    assert np.abs(mean[0] - 100.0 - slope.mean()).max() < 5 * 0.5 / np.sqrt(400)


def test_error_without_pairs_is_told_by_all_values() -> None:
    rng = np.random.default_rng(14)
    image = rng.normal(100.0, 2.0, (40, 16)).astype(np.float32)
    image[1::2] = np.nan
    _, error = _clip(image, [np.arange(40)])
    np.testing.assert_allclose(error[0], image[::2].astype(float).std(axis=0, ddof=1) / np.sqrt(20), rtol=1e-4)


def test_clipped_mean_of_few_or_no_pixels_is_nan() -> None:
    image = np.ones((40, 16), np.float32)
    image[:, 3] = np.nan
    image[:31, 4] = np.nan
    image[:15, 5] = np.nan
    mean, error = _clip(image, [np.arange(40), np.arange(9), np.arange(0)])
    assert np.isnan(mean[0, [3, 4]]).all()
    assert mean[0, 5] == 1.0
    assert error[0, 5] == 0.0
    assert np.isnan(mean[1:]).all()
    assert np.isnan(error[1:]).all()


def test_static_structure_is_neither_noise_nor_clipped() -> None:
    rng = np.random.default_rng(8)
    structure = rng.exponential(50.0, 200).astype(np.float32)
    structure -= structure.mean()
    image = (100.0 + structure[:, None] + rng.normal(0, 1.0, (200, 16))).astype(np.float32)
    mean, error = _clip(image, [np.arange(200)], structure)
    np.testing.assert_allclose(error[0], 1.0 / np.sqrt(200), rtol=0.3)
    assert np.abs(mean[0] - 100.0).max() < 0.3


def test_error_of_the_mean_is_the_scatter_of_the_mean() -> None:
    rng = np.random.default_rng(9)
    image = rng.normal(100.0, 2.0, (400 * 60, 16)).astype(np.float32)
    mean, error = _clip(image, list(np.arange(400 * 60).reshape(60, 400)))
    assert np.std(mean) == pytest.approx(np.mean(error), rel=0.06)


def test_stack_mean_leaves_out_what_stands_out() -> None:
    rng = np.random.default_rng(10)
    stack = rng.normal(10.0, 1.0, (21, 30, 40)).astype(np.float32)
    stack[4, 3, 2] = 500.0
    stack[5, 3, 2] = np.nan
    stack[:, 0, 0] = np.nan
    stack[1:, 0, 1] = np.inf
    mean = np.empty((30, 40), np.float32)
    robust.stack_mean(stack, 5.0, mean)
    assert np.isnan(mean[0, 0])
    assert mean[0, 1] == stack[0, 0, 1]
    good = np.delete(stack[:, 3, 2], [4, 5])
    median = np.median(stack[np.isfinite(stack[:, 3, 2]), 3, 2])
    mad = np.median(np.abs(np.delete(stack[:, 3, 2], 5) - median))
    assert np.all(np.abs(good - median) < 5 * 1.4826 * mad)
    assert mean[3, 2] == pytest.approx(good.mean(dtype=float), rel=1e-6)
    away = np.abs(mean[5:] - stack[:, 5:].mean(axis=0))
    assert np.quantile(away, 0.99) < 0.2  # a normal deviate beyond 5 robust sigma of 21 values is rare
    assert np.median(away) < 1e-6


def test_stack_of_equal_values() -> None:
    mean = np.empty((1, 1), np.float32)
    robust.stack_mean(np.full((3, 1, 1), 2.5, np.float32), 5.0, mean)
    assert mean[0, 0] == 2.5
