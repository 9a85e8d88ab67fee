"""Sums, subtraction and peaks of the search for moving objects, against numpy and injected truth."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

from cuvee.extract.moving import REGION, STEP, _rows, describe_still
from cuvee.kernels import moving, moving_peaks
from cuvee.model.records import Geometry, Readout, Reference

READOUT = Readout(1425.6, (5.2,), (8.0,), 720, (0,), 2e5)


def stars(n: int = 300, side: int = 200) -> NDArray[np.float64]:
    rng = np.random.default_rng(3)
    image = np.zeros((side, side))
    place = rng.integers(4, side - 4, (n, 2))
    image[place[:, 0], place[:, 1]] = 10.0 ** rng.uniform(2.0, 4.5, n)
    return np.asarray(100.0 + gaussian_filter(image, 0.9))


def reference_of(image: NDArray[Any]) -> Reference:
    geometry = Geometry(image.shape[0], image.shape[1], 10, 20)
    return Reference("ffi", geometry, image.astype(np.float32), "", 2020.0, 0.0, 0.0, ("a",), READOUT)


def binned(image: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(image.reshape(image.shape[0] // 2, 2, -1, 2).sum(axis=(1, 3)))


@pytest.mark.parametrize("order", ["<f4", ">f4"])
def test_bins_are_the_sums_of_their_pixels(order: str) -> None:
    rng = np.random.default_rng(1)
    raw = rng.normal(size=(21, 50)).astype(order)
    raw[5, 17] = np.nan
    frame = raw[:, 11:42]  # of an odd number of rows and columns the last ones are left out
    total = np.full((10, 15), 2.0, np.float32)
    for _ in range(2):
        moving.add_frame(_rows(frame.view(np.uint32)), order == ">f4", total)
    expected = 2.0 + 2.0 * binned(np.asarray(frame[:20, :30], np.float64))
    np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-5)
    assert np.isnan(total).sum() == 1


@pytest.mark.parametrize("moved", [(0.05, -0.08), (0.3, 0.2)])
def test_what_the_pointing_does_to_the_stars_is_taken_off(moved: tuple[float, float]) -> None:
    image = stars()
    still = describe_still(reference_of(image))
    assert still is not None
    frame = shift(image, moved[::-1], order=5, mode="nearest") + 7.0
    total = binned(2.0 * frame).astype(np.float32)
    sky = np.empty((3, 3))
    moving.sky_cells(total, 0.5, still.sample, STEP, sky)
    np.testing.assert_allclose(sky, 28.0, atol=3.0)  # four pixels
    coef = np.empty((1, 5), np.float32)
    moving.fit_slopes(total, 0.5, 1425.6, sky, still.chosen, still.place, still.ptr, coef)
    np.testing.assert_allclose(coef[0, :2], moved, atol=0.05 * np.hypot(*moved))
    rest = np.empty_like(total)
    moving.subtract(total, 0.5, sky, still.light, still.slopes, coef, REGION, rest)
    plain = binned(frame - image) - 28.0
    inner = np.s_[4:-4, 4:-4]
    assert np.std(rest[inner]) < 0.07 * np.std(plain[inner])


def test_pieces_of_the_subtraction_are_those_of_numpy() -> None:
    rng = np.random.default_rng(2)
    still, total = rng.normal(size=(2, 40, 300)).astype(np.float32)
    slopes = rng.normal(size=(5, 40, 300)).astype(np.float32)
    coef = rng.normal(size=(2, 5)).astype(np.float32)
    coef[1, 3] = 0.001  # too little to matter
    sky = rng.normal(size=(1, 2))
    rest = np.empty((40, 300), np.float32)
    moving.subtract(total, 0.25, sky, still, slopes, coef, 256, rest)
    coef[1, 3] = 0.0
    place = np.clip((np.arange(300) + 0.5) / 150.0 - 0.5, 0.0, 1.0)
    expected = 0.25 * total - still - (sky[0, 0] + place * (sky[0, 1] - sky[0, 0]))
    for region, cols in enumerate((slice(0, 256), slice(256, 300))):
        expected[:, cols] -= np.tensordot(coef[region], slopes[:, :, cols], 1)
    np.testing.assert_allclose(rest, expected, rtol=0, atol=1e-5)


def test_the_variance_is_that_of_photons_and_readout() -> None:
    still = describe_still(reference_of(np.full((64, 64), 150.0)))
    assert still is not None
    np.testing.assert_allclose(still.variance, 4 * (150.0 / 1425.6 + 720 * (64 + 5.2**2 / 12) / 1425.6**2), rtol=1e-5)
    np.testing.assert_allclose(still.floor, 0.0, atol=1e-12)
    np.testing.assert_allclose(still.light, 600.0)


def test_peaks_are_found_where_they_were_put_and_noise_is_not() -> None:
    rng = np.random.default_rng(4)
    rest = rng.normal(0.0, 0.5, (400, 400)).astype(np.float32)
    variance, sky = np.full_like(rest, 0.25), np.zeros((1, 1))
    grid = np.stack(np.meshgrid(np.arange(20, 390, 30), np.arange(20, 390, 30)), axis=-1).reshape(-1, 2)
    place = grid + rng.uniform(-0.5, 0.5, grid.shape)
    y, x = np.mgrid[:400, :400]
    for i, j in place:
        rest += (20.0 / (2 * np.pi * 0.25) * np.exp(-((y - i) ** 2 + (x - j) ** 2) / 0.5)).astype(np.float32)
    rest[180:230, 100:140] += 30.0  # an edge is no point, ...
    rest[:, 33] += 8.0  # ... and a strap neither
    rest[300, 300] = np.nan
    room = np.empty((5000, 6))
    found = room[: moving_peaks.find_peaks(rest, variance, sky, 0.5, 1425.6, 6.0, room)]
    away = np.hypot(*(found[:, None, :2] - place).transpose(2, 0, 1))
    corner = (
        np.hypot(found[:, None, 0] - [180, 180, 230, 230], found[:, None, 1] - [100, 140, 100, 140]).min(axis=1) < 5
    )
    strap = np.abs(found[:, 1] - 33) < 2
    assert not ((away.min(axis=1) > 1.0) & ~corner & ~strap).any()
    assert strap.sum() <= 2  # of 400 bins, each 16 times the noise
    clear = ((place[:, 0] < 170) | (place[:, 0] > 240)) & (np.abs(place[:, 1] - 33) > 5)
    assert (away.min(axis=0)[clear] < 0.5).mean() > 0.97
    mine = found[np.argmin(away, axis=0)][clear]
    assert np.median(mine[:, 2]) == pytest.approx(20.0, rel=0.1)
    assert moving_peaks.find_peaks(rest, variance, sky, 0.5, 1425.6, 6.0, room[:3]) == 3
    # Under a sky that is 100 times as bright as the noise was told, they are nothing.
    sky[:] = 100.0 * 0.25 * 1425.6 / 0.5
    assert moving_peaks.find_peaks(rest, variance, sky, 0.5, 1425.6, 6.0, room) == 0


def test_pixels_without_a_value_in_the_reference_are_not_looked_at() -> None:
    image = stars()
    image[60:64, 80:84] = np.nan
    still = describe_still(reference_of(image))
    assert still is not None
    lost = np.isnan(still.light)
    assert lost[30:32, 40:42].all()
    assert lost.sum() < 40
    assert np.isfinite(still.chosen).all()
    assert describe_still(reference_of(image[:12, :12])) is None


@pytest.mark.parametrize("order", ["<f4", ">f4"])
def test_the_light_of_peaks_is_the_same_sum_in_a_frame_and_in_its_bins(order: str) -> None:
    rng = np.random.default_rng(9)
    frame = rng.normal(100.0, 5.0, (60, 84)).astype(order)
    variance = rng.uniform(1.0, 4.0, (30, 42)).astype(np.float32)
    place = np.array([[2, 2], [14, 20], [27, 39]])
    mean, noise, one = np.empty(3), np.empty(3), np.empty(3)
    bins = binned(np.asarray(frame, np.float64)).astype(np.float32)
    moving_peaks.light_of_rest(bins, variance, place, mean, noise)
    moving_peaks.light_of_frame(_rows(frame.view(np.uint32)), order == ">f4", variance, place, one)
    np.testing.assert_allclose(one, mean, atol=2e-3)
    kernel = np.outer([1, 2, 1], [1, 2, 1])
    for k, (i, j) in enumerate(place):
        around, weight = bins[i - 2 : i + 3, j - 2 : j + 3], kernel / variance[i - 1 : i + 2, j - 1 : j + 2]
        ring = (around.sum() - around[1:4, 1:4].sum()) / 16
        assert mean[k] == pytest.approx((weight * (around[1:4, 1:4] - ring)).sum(), rel=1e-4, abs=1e-3)
        assert noise[k] == pytest.approx(np.sqrt((kernel * weight).sum()), rel=1e-6)
