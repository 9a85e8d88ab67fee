"""The steps on the way to masks, each on a picture small enough to be drawn."""

import numpy as np
import pytest
from astropy.convolution import Gaussian2DKernel, convolve
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import ndimage

from cuvee.photometry import mask_segments as parts
from cuvee.photometry.mask import MaskParams, masks

EIGHT = np.ones((3, 3), bool)


@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_the_core_points_of_dbscan(seed: int) -> None:
    dbscan = pytest.importorskip("sklearn.cluster").DBSCAN
    image = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 30)), 0.6)
    level = np.quantile(image, 0.6)
    at = np.argwhere(image > level)
    found = dbscan(eps=np.sqrt(2.0) + 1e-9, min_samples=4).fit(at)
    expected = np.zeros(image.shape, int)
    core = found.core_sample_indices_
    expected[tuple(at[core].T)] = found.labels_[core] + 1
    got = parts.clusters(image, level, 4)
    np.testing.assert_array_equal(got > 0, expected > 0)
    pairs = np.unique(np.stack([got[got > 0], expected[got > 0]]), axis=1)
    assert pairs.shape[1] == got.max() == expected.max()  # one to one


def test_smoothing_fills_gaps_from_their_neighbours() -> None:
    image = np.random.default_rng(1).gamma(1.0, 30.0, (20, 20))
    image[9, 9:12] = np.nan
    expected = convolve(image, Gaussian2DKernel(0.5, x_size=5), boundary="extend", nan_treatment="interpolate")
    np.testing.assert_allclose(parts.smooth(image, 0.5)[3:-3, 3:-3], expected[3:-3, 3:-3], rtol=1e-9)
    lone = np.full((15, 15), np.nan)
    lone[0, 0] = 3.0
    np.testing.assert_allclose(parts.smooth(lone, 0.5)[:3, :3], 3.0)
    assert parts.smooth(lone, 0.5)[10, 10] == 0.0


def test_full_columns_are_high_and_flat() -> None:
    image = np.full((12, 6), 5.0)
    image[2:10, 1] = 1000.0 + np.tile([0.0, 4.0], 4)  # full
    image[2:10, 2] = 400.0  # flat, but not half as high as the highest
    image[2:10, 3] = np.linspace(600.0, 1000.0, 8)  # high, but a slope
    image[5:7, 4] = 1000.0  # two pixels are no column
    image[3:8, 5] = [100.0, 300.0, 1000.0, 300.0, 100.0]  # a star as it should be
    image[0:2, 1] = 300.0  # the foot of the full column
    labels = (image > 10.0).astype(np.int32)
    full = parts.bled_columns(image, labels, np.array([1]))
    expected = np.zeros(image.shape, bool)
    expected[2:10, 1] = True
    np.testing.assert_array_equal(full, expected)
    assert not parts.bled_columns(image, labels, np.array([], np.int64)).any()


def peaks(*at: tuple[int, int, float]) -> NDArray[np.float64]:
    image = np.zeros((20, 20))
    for r, c, height in at:
        image += height * np.exp(-0.5 * np.hypot(*(np.indices(image.shape) - np.array([r, c])[:, None, None])) ** 2)
    return image


def marked(
    image: NDArray[np.float64], col: list[float], row: list[float], saturated: bool, peak_size: int = 3
) -> list[list[int]]:
    labels = np.ones(image.shape, np.int32)
    nowhere = np.zeros(image.shape, bool)
    x, y, near = np.array(col, float), np.array(row, float), np.full(len(col), saturated)
    params = MaskParams(peak_size=peak_size)
    marks = parts.markers(image, labels, nowhere, x, y, near, params)
    return np.argwhere(marks > 0).tolist()


def test_a_star_marks_the_peak_nearest_to_it() -> None:
    image = peaks((5, 5, 100.0), (5, 9, 60.0), (14, 14, 10.0))
    assert marked(image, [9.8, 5.4], [5.2, 4.1], False) == [[5, 5], [5, 9]]
    assert marked(image, [9.8], [5.2], False) == [[5, 9]]
    assert marked(image, [16.0], [16.0], False) == [[14, 14]]  # 2 sqrt 2 away
    assert marked(image, [16.1], [16.1], False) == [[5, 5]]  # too far: what is left is the highest
    assert marked(image, [18.0], [18.0], True) == [[14, 14]]  # a saturated star may
    assert marked(image, [19.5], [19.5], True) == [[5, 5]]
    assert marked(image, [9.8, 5.4], [5.2, 4.1], False, 9) == [
        [5, 5]
    ]  # the lower one is within four pixels of a higher


def test_full_columns_are_one_peak() -> None:
    image = peaks((8, 8, 100.0), (14, 14, 50.0))
    full = np.zeros(image.shape, bool)
    full[4:12, 7] = True
    labels = np.ones(image.shape, np.int32)
    col, row = np.array([8.0, 14.0]), np.array([8.0, 14.0])
    marks = parts.markers(image, labels, full, col, row, np.array([True, False]), MaskParams())
    expected = full.copy()
    expected[14, 14] = True  # the peak beside the full column is part of it
    np.testing.assert_array_equal(marks > 0, expected)
    assert marks.max() == 2


def test_each_cluster_has_a_marker() -> None:
    image = peaks((4, 4, 9.0), (4, 15, 8.0), (15, 4, 7.0))
    labels = np.zeros(image.shape, np.int32)
    for number, (r, c) in enumerate([(4, 4), (4, 15), (15, 4)], start=1):
        labels[r - 2 : r + 3, c - 2 : c + 3] = number
    none = np.array([])
    marks = parts.markers(image, labels, labels < 0, none, none, none.astype(bool), MaskParams())
    assert np.argwhere(marks).tolist() == [[4, 4], [4, 15], [15, 4]]


def test_bled_charge_is_taken_from_other_masks_but_not_their_own_light() -> None:
    labels = np.zeros((14, 5), np.int32)
    labels[2:7, 2], labels[7:12, 2], labels[3:6, 4] = 1, 2, 3
    image = np.where(labels > 0, 100.0, 0.0)
    image[2:10, 2] = 5e4
    image[12, 2] = 50.0
    grown = parts.follow_bleeding(image, 10.0, labels, np.array([1]))
    assert grown[:, 2].tolist() == [0, 0] + [1] * 8 + [2, 2, 0, 0]  # as far as it is full
    np.testing.assert_array_equal(grown[:, 4], labels[:, 4])
    labels[7:12, 2] = 0
    grown = parts.follow_bleeding(image, 10.0, labels, np.array([1]))
    assert grown[:, 2].tolist() == [0, 0] + [1] * 11 + [0]  # what is nobody's, down to the level


def test_masks_have_a_least_size_and_no_gaps_in_their_numbers() -> None:
    labels = np.array([[1, 1, 0, 3], [0, 2, 0, 3], [4, 4, 4, 3]], np.int32)
    assert parts.renumber(labels, 3).tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [2, 2, 2, 1]]
    image = np.random.default_rng(3).normal(size=(15, 15))
    image[7, 7] = 500.0
    at, mag = np.array([7.0]), np.array([12.0])
    hot = MaskParams(min_neighbours=1, threshold=6.0)
    assert masks(image, at, at, mag, hot).minimum.tolist() == [True]
    found = masks(image, at, at, mag, hot.model_copy(update={"min_pixels": 1}))
    assert found.minimum.tolist() == [False]
    assert found.size.tolist() == [1]


def test_a_peak_needs_a_middle() -> None:
    with pytest.raises(ValidationError, match="peak_size must be odd"):
        MaskParams(peak_size=4)
