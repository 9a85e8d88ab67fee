"""Clipped means against slow references and astropy; the mesh against surfaces that it must reproduce."""

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
            assert error[g, b] == pytest.approx(kept.std(ddof=1) / np.sqrt(kept.size), rel=2e-2)


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


def test_cells_become_values_at_their_centres() -> None:
    # A parabola's mean over a cell of unit side is its central value + (fxx + fyy)/24.
    i, j = np.mgrid[:7, :9].astype(float)
    centre = 3.0 + 2.0 * i - j + 0.5 * i**2 + 0.25 * j**2
    cell_mean = centre + (1.0 + 0.5) / 24
    mean = np.repeat(cell_mean[:, :, None], 16, axis=2).astype(np.float32)
    error = np.ones_like(mean)
    robust.fill_cells(mean, error, np.zeros((7, 9, 2)))
    np.testing.assert_allclose(mean, np.repeat(centre[:, :, None], 16, axis=2), rtol=1e-6)


def test_cells_move_from_centroid_to_centre() -> None:
    i, j = np.mgrid[:6, :6].astype(float)
    shift = np.random.default_rng(11).uniform(-0.2, 0.2, (6, 6, 2))
    shift[[0, -1]] = shift[:, [0, -1]] = 0.0
    at_centroid = 4.0 * (i + shift[..., 0]) - 3.0 * (j + shift[..., 1])
    mean = np.repeat(at_centroid[:, :, None], 16, axis=2).astype(np.float32)
    robust.fill_cells(mean, np.ones_like(mean), shift)
    # The neighbours that give the slope are displaced themselves, hence no more than second order.
    assert np.abs(mean[..., 0] - (4.0 * i - 3.0 * j)).max() < 0.5
    assert np.abs(mean[..., 0] - (4.0 * i - 3.0 * j)).mean() < 0.5 * np.abs(at_centroid - (4.0 * i - 3.0 * j)).mean()


def test_empty_cells_borrow_and_say_so() -> None:
    mean = np.full((4, 4, 16), 10.0, np.float32)
    error = np.ones_like(mean)
    mean[1:3, 1:3, 2] = np.nan
    mean[:, :, 3] = np.nan
    error[np.isnan(mean)] = np.nan
    robust.fill_cells(mean, error, np.zeros((4, 4, 2)))
    np.testing.assert_allclose(mean[:, :, 2], 10.0)
    assert np.all(error[1:3, 1:3, 2] == 2.0)
    assert np.isnan(mean[:, :, 3]).all()
    np.testing.assert_allclose(mean[:, :, 4:], 10.0)


def test_interpolation_is_a_weighted_sum() -> None:
    rng = np.random.default_rng(12)
    mean, error = rng.normal(0, 1, (2, 25, 16)).astype(np.float32)
    cell = rng.integers(0, 25, (40, 16)).astype(np.int32)
    weight = rng.normal(0, 1, (40, 16)).astype(np.float32)
    level, level_err = np.empty((2, 40, 16), np.float32)
    robust.interpolate(mean, np.abs(error), cell, weight, level, level_err)
    np.testing.assert_allclose(level, np.einsum("sk,skb->sb", weight, mean[cell]), atol=1e-5)
    np.testing.assert_allclose(level_err, np.sqrt(np.einsum("sk,skb->sb", weight**2, error[cell] ** 2)), rtol=1e-5)
