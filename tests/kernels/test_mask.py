"""Flooding against what makes a watershed one: nobody else's marker can be reached along a higher path."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cuvee.kernels import mask

EIGHT = np.ones((3, 3), bool)


def lowest_point_of_best_path(
    image: NDArray[np.float64], region: NDArray[np.int32], start: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How high one can stay on the way from ``start`` to each pixel: relaxed until nothing changes."""
    best = np.where(start, image, -np.inf)
    while True:
        new = best.copy()
        for number in range(1, region.max() + 1):
            inside = region == number
            around = ndimage.grey_dilation(
                np.where(inside, best, -np.inf), footprint=EIGHT, mode="constant", cval=-np.inf
            )
            new[inside] = np.maximum(best, np.minimum(image, around))[inside]
        if np.array_equal(new, best):
            return best
        best = new


@pytest.mark.parametrize("seed", range(6))
def test_every_pixel_belongs_to_a_marker_that_it_reaches_highest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (23, 17)
    image = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    if seed % 2:
        image = np.round(image, 1)  # plateaus
    region = ndimage.label(image > np.quantile(image, 0.3), EIGHT)[0].astype(np.int32)
    label = np.zeros(shape, np.int32)
    inside = np.argwhere(region > 0)
    for number, (r, c) in enumerate(inside[rng.choice(len(inside), 7, replace=False)], start=1):
        label[r, c] = number
    marker = label.copy()
    mask.flood(image, region, label)

    reach = np.stack([lowest_point_of_best_path(image, region, marker == k) for k in range(1, 8)])
    reached = np.isfinite(reach.max(axis=0))
    np.testing.assert_array_equal(label > 0, reached)
    for k in range(1, 8):
        mine = label == k
        np.testing.assert_array_equal(reach[k - 1][mine], reach.max(axis=0)[mine])
        assert ndimage.label(mine, EIGHT)[1] == 1
        assert mine[marker == k].all()
        assert np.unique(region[mine]).size == 1


def test_a_plateau_is_shared_by_distance() -> None:
    image = np.ones((1, 11))
    label = np.zeros((1, 11), np.int32)
    label[0, 1], label[0, 8] = 1, 2
    mask.flood(image, np.ones((1, 11), np.int32), label)
    assert label[0].tolist() == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]


def test_minimum_apertures_are_the_pixels_within_one_of_the_position() -> None:
    label = np.zeros((9, 9), np.int32)
    label[0, 0] = 4
    usable = np.ones((9, 9), bool)
    usable[4, 5] = False
    col = np.array([4.3, 0.4, 8.2, 4.2, 5.0])
    row = np.array([4.6, 0.3, 8.4, 4.9, 4.0])
    last = mask.minimum_apertures(col, row, np.array([0, 1, 2, 3, 4]), usable, label, 4)
    # The second star's pixel is taken by a mask, the fourth's by the first star, the fifth's has no value.
    assert last == 6
    rows, cols = np.mgrid[:9, :9]
    np.testing.assert_array_equal(label == 5, (abs(rows - 4.6) <= 1) & (abs(cols - 4.3) <= 1) & usable)
    np.testing.assert_array_equal(label == 6, (rows == 8) & (cols == 8))
    assert (label > 0).sum() == 3 + 1 + 1
