"""Frames and catalogues as they come: broken pixels, saturated stars, particles, stars in one place, few stars."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.prf.fields import Field, light, make_field

from cuvee.prf import Learned, PrfParams, learn, stamps

PARAMS = PrfParams(half=4, knots=2, order=1)


def run(field: Field, **changes: Any) -> Learned:
    given: dict[str, Any] = {
        "frames": field.frames,
        "params": PARAMS,
        "bad": None,
        "catalogue": field.catalogue,
    } | changes
    col, row, flux = given["catalogue"]
    readout = given.get("readout", field.readout)
    return learn(given["frames"], field.geometry, readout, col, row, flux, given["params"], given["bad"])


@pytest.fixture(scope="module")
def field() -> Field:
    return make_field("gauss", size=224, n_star=450, n_frame=8, seed=21, faintest=14.0)


@pytest.fixture(scope="module")
def plain(field: Field) -> Learned:
    return run(field)


def off_truth(field: Field, learned: Learned, half: int = 4) -> float:
    """Largest error of the PRF in any pixel of stars all over the frames, in units of their light."""
    rng = np.random.default_rng(1)
    g = field.geometry
    col, row = g.col0 + rng.uniform(20, g.n_col - 20, 40), g.row0 + rng.uniform(20, g.n_row - 20, 40)
    _, _, values = stamps(learned.prf, col, row)
    _, share, _ = light(field, col, row, half)
    return float(np.abs(values[0].reshape(40, -1) - share).max())


def near_truth(field: Field, learned: Learned) -> None:
    assert off_truth(field, learned) < 0.008
    assert (learned.pointing - field.pointing).std(axis=0).max() < 4e-4


def test_the_same_again_in_any_byte_order(field: Field, plain: Learned) -> None:
    near_truth(field, plain)
    again = run(field, frames=[frame.astype(">f4") for frame in field.frames])
    np.testing.assert_array_equal(again.prf.coef, plain.prf.coef)
    np.testing.assert_array_equal(again.flux, plain.flux)
    np.testing.assert_array_equal(again.pointing, plain.pointing)


def test_order_of_the_catalogue_and_stars_without_numbers(field: Field, plain: Learned) -> None:
    rng = np.random.default_rng(2)
    shuffle = rng.permutation(field.col.size)
    col, row, flux = (np.append(values[shuffle], values[:3]) for values in field.catalogue)
    col[-3], row[-2], flux[-1] = np.nan, np.nan, -1.0
    again = run(field, catalogue=(col, row, flux))
    np.testing.assert_array_equal(again.col[:-3], plain.col[shuffle])
    np.testing.assert_array_equal(again.flux[:-3], plain.flux[shuffle])
    assert np.isnan(again.col[-3])
    assert again.flux[-1] == -1.0
    np.testing.assert_array_equal(np.sort(shuffle[again.teachers]), np.sort(plain.teachers))


def test_bad_pixels_and_particles(field: Field) -> None:
    rng = np.random.default_rng(3)
    frames = [frame.copy() for frame in field.frames]
    bad = np.zeros(frames[0].shape, np.bool_)
    bad[:, 100] = True
    for frame in frames:
        frame[:, 100] += 3000.0
    for t, frame in enumerate(frames):
        hit = rng.integers(0, 224, (2, 40))
        frame[hit[0], hit[1]] += 10 ** rng.uniform(2.0, 4.0, 40).astype(np.float32)
        frame[200 - t, 30:60] = np.nan
    learned = run(field, frames=frames, bad=bad)
    near_truth(field, learned)
    assert np.isinf(learned.variance[:, 100]).all()
    assert np.isinf(learned.variance[193:201, 30:60]).all()
    assert np.isfinite(learned.variance[:190, 30:60]).all()
    # Nobody teaches with a bad pixel in the core.
    core = np.abs(np.rint(field.col[learned.teachers]) - field.geometry.col0 - 100)
    assert core.min() > 3


def test_saturated_stars_do_not_teach(field: Field) -> None:
    level = 1500.0
    frames = [np.minimum(frame, level) for frame in field.frames]
    learned = run(field, frames=frames, readout=replace(field.readout, saturation=0.98 * level))
    near_truth(field, learned)
    mean = np.mean(frames, axis=0)
    around = np.arange(-3, 4)
    row = np.rint(field.row[learned.teachers]).astype(int)[:, None, None] - field.geometry.row0 + around[:, None]
    col = np.rint(field.col[learned.teachers]).astype(int)[:, None, None] - field.geometry.col0 + around
    assert mean[row, col].max() < 0.98 * level
    assert (field.flux > field.flux[learned.teachers].max()).sum() > 20
    assert np.isinf(learned.variance).sum() > 10
    # Their wings say how bright they are, all the same.
    g = field.geometry
    inside = (np.abs(field.col - g.col0 - 112) < 95) & (np.abs(field.row - g.row0 - 112) < 95)
    bright = inside & (field.flux > level / 0.2)
    assert bright.sum() > 10
    assert np.median(np.abs(learned.flux / field.flux - 1.0)[bright]) < 0.02


def test_stars_in_one_place_and_a_crowd(field: Field) -> None:
    """Every tenth star of the catalogue is there twice, with half the flux each."""
    twice = np.arange(0, field.col.size, 10)
    col, row, flux = (np.append(values, values[twice]) for values in field.catalogue)
    flux[twice] *= 0.5
    flux[field.col.size :] *= 0.5
    learned = run(field, catalogue=(col, row, flux))
    near_truth(field, learned)
    assert np.isfinite(learned.flux).all()
    total = learned.flux[twice] + learned.flux[field.col.size :]
    bright = field.flux[twice] > 1000.0
    assert bright.sum() > 8
    assert np.median(np.abs(total / field.flux[twice] - 1.0)[bright]) < 0.01


@pytest.mark.parametrize("offset", [(0.9, -0.8), (-0.5, 0.5)])
def test_a_catalogue_that_is_off_by_most_of_a_pixel(field: Field, plain: Learned, offset: tuple[float, float]) -> None:
    col, row, flux = field.catalogue
    learned = run(field, catalogue=(col + offset[0], row + offset[1], flux))
    near_truth(field, learned)
    bright = plain.teachers[field.flux[plain.teachers] > 3000.0]
    assert np.quantile(np.abs(learned.col - plain.col)[bright], 0.9) < 1e-3
    assert np.quantile(np.abs(learned.row - plain.row)[bright], 0.9) < 1e-3


def test_frames_without_jitter() -> None:
    """Nothing tells the pixel phase from the shape then, but what comes out still fits the frames."""
    still = make_field("gauss", size=160, n_star=250, n_frame=8, seed=9, faintest=14.0, jitter=0.0)
    learned = run(still)
    assert np.abs(learned.pointing).max() < 5e-4
    assert off_truth(still, learned) < 0.02


def test_few_stars_make_a_constant_prf() -> None:
    small = make_field("gauss", size=128, n_star=60, n_frame=8, seed=5, faintest=11.0)
    learned = run(small)
    assert learned.prf.order == 0
    assert 15 <= learned.numbers["n_teacher"] < 60
    assert off_truth(small, learned) < 0.03
    # Wings that no star shows stay dark.
    edge = np.ones((9, 9), np.bool_)
    edge[1:-1, 1:-1] = False
    _, _, values = stamps(learned.prf, np.array([560.3]), np.array([360.8]))
    assert np.abs(values[0, 0][edge]).max() < 2e-3


def test_frames_that_point_far_away_do_no_harm(field: Field) -> None:
    far = make_field("gauss", size=224, n_star=450, n_frame=8, seed=21, faintest=14.0, jitter=0.05)
    assert np.array_equal(far.frames[0], field.frames[0])
    # The last frame is moved by a whole third of a pixel: by interpolation in Fourier space, good to the noise of bright stars.
    wave = np.fft.fftfreq(224)
    moved = np.fft.ifft2(np.fft.fft2(field.frames[-1].astype(np.float64)) * np.exp(-2j * np.pi * 0.3 * wave)).real
    learned = run(field, frames=[*field.frames[:-1], moved.astype(np.float32)])
    assert off_truth(field, learned) < 0.01
    shift: NDArray[np.float64] = learned.pointing[-1] - learned.pointing[:-1].mean(axis=0)
    expected = field.pointing[-1] + [0.3, 0.0] - field.pointing[:-1].mean(axis=0)
    np.testing.assert_allclose(shift, expected, atol=0.02)
