"""Sums, subtraction and peaks of the search for moving objects, against numpy and injected truth."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

from cuvee.extract.moving import REGION, describe_still
from cuvee.kernels import moving
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


def test_bins_are_the_sums_of_the_lanes_in_use() -> None:
    rng = np.random.default_rng(1)
    lanes = rng.normal(size=(24, 34, 16)).astype(np.float32)
    lanes[:, :, [3, 9]] = np.nan  # frames that are missing
    lanes[5, 7, 0] = np.nan
    use = np.zeros((2, 16), np.float32)
    use[0, [0, 1]], use[1, [8, 10, 15]] = 1.0, 1.0
    total = np.full((2, 30, 40), -1.0, np.float32)
    # The tile begins at row 6 and column 11; its bins 4 to 14 and 6 to 21 lie in it.
    moving.add_bins(lanes.reshape(-1, 16), 6, 11, 34, 4, 14, 6, 21, use, total)
    for sum_, chosen in zip(total, use > 0, strict=True):
        frame = lanes[..., chosen].sum(axis=2)
        expected = binned(frame[2:22, 1:31])
        np.testing.assert_allclose(sum_[4:14, 6:21], expected, rtol=0, atol=2e-5)
        assert (sum_[:4] == -1.0).all()
    assert np.isnan(total[0]).sum() == 1


@pytest.mark.parametrize("moved", [(0.05, -0.08), (0.3, 0.2)])
def test_what_the_pointing_does_to_the_stars_is_taken_off(moved: tuple[float, float]) -> None:
    image = stars()
    still = describe_still(reference_of(image))
    assert still is not None
    frame = shift(image, moved[::-1], order=5, mode="nearest") + 7.0
    total = binned(2.0 * frame).astype(np.float32)
    sky = np.empty((3, 3))
    moving.sky_cells(total, 0.5, still.parts, 1, sky)
    np.testing.assert_allclose(sky, 28.0, atol=3.0)  # four pixels
    coef = np.empty((1, 8), np.float32)
    moving.fit_parts(total, 0.5, 1425.6, sky, still.parts, still.place, still.ptr, coef)
    np.testing.assert_allclose(coef[0, 1:3], moved, atol=0.03 * np.hypot(*moved) + 0.002)
    rest, weight = np.empty_like(total), np.empty_like(total)
    moving.subtract(total, 0.5, 1425.6, sky, still.parts, coef, REGION, rest, weight)
    plain = binned(frame - image) - 28.0
    inner = np.s_[4:-4, 4:-4]
    assert np.std(rest[inner]) < 0.1 * np.std(plain[inner])
    room = np.empty((1000, 4))
    assert moving.find_peaks(rest, weight, 6.0, room) == 0


def test_weights_are_one_over_photons_readout_and_what_no_model_describes() -> None:
    image = np.full((64, 64), 150.0)
    still = describe_still(reference_of(image))
    assert still is not None
    total = np.full((32, 32), 3 * 4 * 190.0, np.float32)  # three frames, each 40 e-/s brighter
    sky, coef = np.full((1, 1), 160.0), np.zeros((1, 8), np.float32)
    coef[0, 0] = 1.0
    rest, weight = np.empty_like(total), np.empty_like(total)
    moving.subtract(total, 1 / 3, 1425.6, sky, still.parts, coef, REGION, rest, weight)
    np.testing.assert_allclose(rest, 0.0, atol=1e-3)
    variance = 4 * (190.0 / 1425.6 + 720 * (64 + 5.2**2 / 12) / 1425.6**2) / 3
    np.testing.assert_allclose(weight, 1.0 / variance, rtol=1e-5)


def test_peaks_are_found_where_they_were_put_and_noise_is_not() -> None:
    rng = np.random.default_rng(4)
    rest = rng.normal(0.0, 0.5, (400, 400)).astype(np.float32)
    weight = np.full_like(rest, 4.0)
    place = np.stack(np.meshgrid(np.arange(20, 390, 30), np.arange(20, 390, 30)), axis=-1).reshape(-1, 2)
    place = place + rng.uniform(-0.5, 0.5, place.shape)
    y, x = np.mgrid[:400, :400]
    for i, j in place:
        rest += (20.0 / (2 * np.pi * 0.25) * np.exp(-((y - i) ** 2 + (x - j) ** 2) / 0.5)).astype(np.float32)
    rest[200:220, :40] += 30.0  # an edge is no point
    rest[300, 300] = np.nan
    room = np.empty((5000, 4))
    found = room[: moving.find_peaks(rest, weight, 6.0, room)]
    away = np.hypot(*(found[:, None, :2] - place).transpose(2, 0, 1))
    far = (away.min(axis=1) > 1.0) & ((found[:, 0] < 195) | (found[:, 0] > 225))
    assert not far.any()
    clear = (place[:, 0] < 195) | (place[:, 0] > 225)
    assert (away.min(axis=0)[clear] < 0.5).mean() > 0.98
    mine = found[np.argmin(away, axis=0)][clear]
    assert np.median(mine[:, 2]) == pytest.approx(20.0, rel=0.1)
    assert moving.find_peaks(rest, weight, 6.0, room[:3]) == 3


def test_pixels_without_a_value_in_the_reference_are_not_looked_at() -> None:
    image = stars()
    image[60:64, 80:84] = np.nan
    still = describe_still(reference_of(image))
    assert still is not None
    lost = np.isnan(still.parts).any(axis=2)
    assert lost[30:32, 40:42].all()
    assert lost.sum() < 40
    assert np.isfinite(still.parts[still.place[:, 0], still.place[:, 1]]).all()
    assert describe_still(reference_of(image[:12, :12])) is None
