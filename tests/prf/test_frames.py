"""What is kept of the frames, and the sky between the stars."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.kernels import prf_frames
from cuvee.prf.frames import Kept, dark_pixels, fit_sky, keep
from cuvee.prf.pointing import solve_pointing
from cuvee.prf.scene import pointing_factors

NO_STARS = (np.zeros(0), np.zeros(0), np.zeros(0))


def keep_all(frames: list[np.ndarray], pixel: np.ndarray, noise: float = 0.5) -> Kept:
    return keep(frames, np.array([3, 20]), np.array([5, 1]), 9, pixel, np.full(frames[0].shape[1], noise))


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f8"])
def test_mean_and_cutouts_of_any_float(dtype: str) -> None:
    rng = np.random.default_rng(1)
    stack = rng.normal(100.0, 0.5, (12, 40, 50)).astype(dtype)
    stack[3, 7, 9] = 900.0  # a particle
    stack[5, 30, 30] = np.nan
    stack[:, 2, 2] = 4000.0 + 300.0 * rng.normal(size=12)  # a star that moves
    kept = keep_all(list(stack), np.array([0, 51, 1999]))
    np.testing.assert_array_equal(np.argwhere(kept.bad), [[30, 30]])
    expected = stack.astype(np.float64).mean(axis=0)
    expected[30, 30] = 0.0
    assert abs(kept.mean[7, 9] - 100.0) < 1.0
    expected[7, 9] = kept.mean[7, 9]
    np.testing.assert_allclose(kept.mean, expected, rtol=1e-6)
    np.testing.assert_array_equal(kept.cutouts[0], stack[:, 5:14, 3:12].astype(np.float32))
    np.testing.assert_array_equal(kept.cutouts[1], stack[:, 1:10, 20:29].astype(np.float32))
    np.testing.assert_array_equal(kept.samples, stack.reshape(12, -1)[:, [0, 51, 1999]].astype(np.float32))


def test_a_sloping_sky_under_stars_in_one_corner_of_each_cell() -> None:
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:192, :256]
    sky = 80.0 + 0.04 * x - 0.03 * y + 1e-4 * (x - 100) * (y - 50)
    # Dark pixels are then all in the other corners: their mean place is not the middle.
    col, row = np.repeat(np.arange(16.0, 256, 64), 3), np.tile(np.arange(16.0, 192, 64), 4)
    flux = np.full(12, 3e4)
    pixel = dark_pixels(np.zeros(sky.shape, np.bool_), col, row, flux, 0.05)
    far = np.hypot(pixel[:, None] % 256 - col, pixel[:, None] // 256 - row).min(axis=1)
    assert far.min() > 15
    frames = [(sky * (1 + 0.1 * t) + rng.normal(0.0, 0.5, sky.shape)).astype(np.float32) for t in range(3)]
    for frame in frames:
        frame.ravel()[pixel[::37]] += 50.0  # asteroids
    found = fit_sky(keep_all(frames, pixel), sky.shape)
    assert np.abs(found.mean_image() - 1.1 * sky).max() < 0.3
    assert (found.mean_image() - 1.1 * sky).std() < 0.05
    planes = found.planes(np.array([100]), np.array([60]), 19)
    np.testing.assert_allclose(planes[0, :, 0], sky[69, 109] * np.array([1.0, 1.1, 1.2]), atol=0.1)
    slope_x, slope_y = 0.04 + 1e-4 * (69 - 50), -0.03 + 1e-4 * (109 - 100)
    np.testing.assert_allclose(planes[0, :, 1], slope_x * np.array([1.0, 1.1, 1.2]), atol=5e-3)
    np.testing.assert_allclose(planes[0, :, 2], slope_y * np.array([1.0, 1.1, 1.2]), atol=5e-3)


@pytest.mark.parametrize("shape", [(20, 30), (64, 130), (190, 64)])
def test_sky_of_images_of_few_cells(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    bad = np.zeros(shape, np.bool_)
    bad[:5] = True
    pixel = dark_pixels(bad, *NO_STARS, 0.05)
    assert (pixel // shape[1]).min() >= 5
    found = fit_sky(keep_all([rng.normal(50.0, 0.5, shape) for _ in range(4)], pixel), shape)
    assert np.abs(found.mean_image() - 50.0).max() < 0.2


def test_a_cell_without_a_good_pixel_gets_the_usual_level() -> None:
    bad = np.zeros((128, 128), np.bool_)
    bad[:64, :64] = True
    pixel = dark_pixels(bad, *NO_STARS, 0.05)
    frames = [np.full((128, 128), level, np.float32) for level in (10.0, 20.0)]
    found = fit_sky(keep_all(frames, pixel), (128, 128))
    np.testing.assert_allclose(found.mean_image(), 15.0)


def test_moments_and_projections_are_sums_over_pixels_and_frames() -> None:
    """Against one numpy expression each; a particle in one frame is left out of it."""
    rng = np.random.default_rng(4)
    n_frame, shape, width = 5, (40, 50), 5
    frames = [rng.normal(100.0, 1.0, shape).astype(np.float32) for _ in range(n_frame)]
    model = rng.normal(0.0, 3.0, (6, *shape)).astype(np.float32)
    variance = np.full(shape, 1.5, np.float32)
    weight = rng.uniform(0.5, 1.0, shape).astype(np.float32)
    weight[9, 8] = 0.0
    pointing = rng.normal(0.0, 0.1, (n_frame, 2))
    factors = pointing_factors(pointing)
    planes = np.zeros((2, n_frame, 3))
    planes[:, :, 0], planes[:, :, 1], planes[:, :, 2] = 100.0, 0.2, -0.1
    first_col, first_row = np.array([5, 21]), np.array([7, 4])
    frames[2][8, 7] += 500.0
    kept = keep_all(frames, np.array([0]))
    stamps = rng.normal(size=(3, 2, width, width)).astype(np.float32)
    used = np.array([True, True, True, False, True])
    moments = np.empty((2, width * width, 6))
    args = (kept.cutouts, kept.cut_col, kept.cut_row, planes, model, variance, factors)
    which = np.arange(2)
    prf_frames.star_moments(*args, used, 0.5, which, first_col, first_row, width, moments)
    residual, response, gram = np.empty((2, 3, n_frame)), np.empty((2, 3, 6)), np.empty((2, 3, 3))
    prf_frames.star_projections(
        *args, 0.5, which, first_col, first_row, stamps, weight, residual, response, gram
    )  # fmt: skip
    middle = ((7, 9), (24, 5))
    for s in range(2):
        r, c = np.mgrid[first_row[s] : first_row[s] + width, first_col[s] : first_col[s] + width]
        sky = 100.0 + 0.2 * (c - middle[s][0]) - 0.1 * (r - middle[s][1])
        left = np.stack([f[r, c] - sky for f in frames]) - np.einsum("ta,arc->trc", factors, model[:, r, c])
        if s == 0:
            left[2, 1, 2] = 0.0
        expected = np.einsum("ta,trc->rca", factors[used], left[used]).reshape(-1, 6)
        np.testing.assert_allclose(moments[s], expected, atol=2e-4)
        weighted = stamps[:, s] * weight[r, c]
        np.testing.assert_allclose(residual[s], np.einsum("brc,trc->bt", weighted, left), atol=2e-3)
        np.testing.assert_allclose(response[s], np.einsum("brc,arc->ba", weighted, model[:, r, c]), atol=2e-4)
        np.testing.assert_allclose(gram[s], np.einsum("brc,drc->bd", weighted, stamps[:, s]), atol=1e-4)


def test_pointing_of_stars_that_all_move_together() -> None:
    """Residuals made from the series itself, with stars that vary, and one whose neighbour flares."""
    rng = np.random.default_rng(6)
    n_star, n_frame = 40, 8
    stamps = rng.normal(size=(n_star, 6, 50))
    flux = rng.uniform(100.0, 1000.0, n_star)
    truth = rng.normal(0.0, 0.05, (n_frame, 2))
    model = np.einsum("s,sap->sap", flux, stamps)
    light = np.einsum("ta,sap->stp", pointing_factors(truth), model)
    light *= 1.0 + 1e-4 * rng.normal(size=(n_star, n_frame, 1))
    light[0, 3] += 300.0 * stamps[0, 1]
    before = np.zeros((n_frame, 2))
    left = light - model[:, :1]
    basis = stamps[:, :3]
    found = solve_pointing(
        np.einsum("sbp,stp->sbt", basis, left), np.einsum("sbp,sap->sba", basis, model),
        np.einsum("sbp,sdp->sbd", basis, basis), flux, before,
    )  # fmt: skip
    np.testing.assert_allclose(found, truth, atol=2e-5)
