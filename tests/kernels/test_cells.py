"""The mesh's cells against surfaces that they must reproduce."""

import numpy as np

from cuvee.kernels import cells


def test_cells_become_values_at_their_centres() -> None:
    # A parabola's mean over a cell of unit side is its central value + (fxx + fyy)/24.
    i, j = np.mgrid[:7, :9].astype(float)
    centre = 3.0 + 2.0 * i - j + 0.5 * i**2 + 0.25 * j**2
    cell_mean = centre + (1.0 + 0.5) / 24
    mean = np.repeat(cell_mean[:, :, None], 16, axis=2).astype(np.float32)
    error = np.ones_like(mean)
    cells.fill_cells(mean, error, np.zeros((7, 9, 2)), mean[:, :, 0].astype(float))
    np.testing.assert_allclose(mean, np.repeat(centre[:, :, None], 16, axis=2), rtol=1e-6)


def test_cells_move_from_centroid_to_centre() -> None:
    i, j = np.mgrid[:6, :6].astype(float)
    shift = np.random.default_rng(11).uniform(-0.2, 0.2, (6, 6, 2))
    shift[[0, -1]] = shift[:, [0, -1]] = 0.0
    at_centroid = 4.0 * (i + shift[..., 0]) - 3.0 * (j + shift[..., 1])
    mean = np.repeat(at_centroid[:, :, None], 16, axis=2).astype(np.float32)
    cells.fill_cells(mean, np.ones_like(mean), shift, mean[:, :, 0].astype(float))
    # The neighbours that give the slope are displaced themselves, hence no more than second order.
    assert np.abs(mean[..., 0] - (4.0 * i - 3.0 * j)).max() < 0.5
    assert np.abs(mean[..., 0] - (4.0 * i - 3.0 * j)).mean() < 0.5 * np.abs(at_centroid - (4.0 * i - 3.0 * j)).mean()


def test_empty_cells_borrow_and_say_so() -> None:
    mean = np.full((4, 4, 16), 10.0, np.float32)
    error = np.ones_like(mean)
    mean[1:3, 1:3, 2] = np.nan
    mean[:, :, 3] = np.nan
    error[np.isnan(mean)] = np.nan
    cells.fill_cells(mean, error, np.zeros((4, 4, 2)), np.zeros((4, 4)))
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
    cells.interpolate(mean, np.abs(error), cell, weight, level, level_err)
    np.testing.assert_allclose(level, np.einsum("sk,skb->sb", weight, mean[cell]), atol=1e-5)
    np.testing.assert_allclose(level_err, np.sqrt(np.einsum("sk,skb->sb", weight**2, error[cell] ** 2)), rtol=1e-5)


def test_errors_say_where_interpolation_cannot_follow() -> None:
    # exp(x / h) with cells of unit side, of which the reference image shows a half.
    n, scale = 12, 0.9
    i = np.arange(n)
    line = 50.0 * (np.exp((i + 0.5) / scale) - np.exp((i - 0.5) / scale)) * scale / np.exp((n - 1) / scale)
    mean = np.repeat(np.repeat(line[None, :, None], n, axis=0), 16, axis=2).astype(np.float32)
    error = np.full_like(mean, 1e-3)
    cells.fill_cells(mean, error, np.zeros((n, n, 2)), 0.5 * mean[:, :, 0].astype(float))
    value = mean[5, :, 0].astype(float)
    for k, place in ((n - 2, n - 2.5), (n - 3, n - 3.5)):
        midway = (-value[k - 2] + 9 * value[k - 1] + 9 * value[k] - value[k + 1]) / 16
        wrong = 0.5 * abs(midway - 50.0 * np.exp((place - n + 1) / scale))  # half of it is in the reference image
        assert 0.5 * wrong < error[5, k, 0] < 3.0 * wrong
    u = np.linspace(0.0, 0.5, 51)
    weight = np.stack([u * (u + 1) / 2, -u * (u + 2), (u + 1) * (u + 2) / 2])
    wrong = 0.5 * np.abs(weight.T @ value[-3:] - 50.0 * np.exp(u / scale))
    assert 0.5 < error[5, -1, 0] / np.sqrt((wrong**2).mean()) < 2.0
    assert error[5, 2, 0] < 0.1 * error[5, -1, 0]


def test_what_the_reference_image_has_adds_no_error() -> None:
    rough = np.random.default_rng(15).normal(100.0, 10.0, (8, 9))
    mean = np.repeat(rough[:, :, None], 16, axis=2).astype(np.float32) + np.float32(3.0)
    still, error = np.repeat(rough[:, :, None], 16, axis=2).astype(np.float32), np.ones_like(mean)
    cells.fill_cells(still, np.ones_like(mean), np.zeros((8, 9, 2)), np.zeros((8, 9)))
    cells.fill_cells(mean, error, np.zeros((8, 9, 2)), still[:, :, 0].astype(float))
    np.testing.assert_allclose(error, 1.0, rtol=1e-4)
