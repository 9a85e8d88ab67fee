"""Dead pixels among stars: those that were put in, and no others."""

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.extract.scenes import add_star

from cuvee.photometry.dead import dead_pixels


def field(n_star: int, level: float = 100.0) -> NDArray[np.float32]:
    """Stars on a background that slopes by a third over the image, with noise."""
    rng = np.random.default_rng(n_star)
    y, x = np.mgrid[:200, :260]
    image = level * (1.0 + x / 780.0 - y / 1200.0)
    for col, row, flux in zip(
        rng.uniform(0, 259, n_star), rng.uniform(0, 199, n_star), 10.0 ** rng.uniform(1, 5, n_star), strict=True
    ):
        add_star(image, col, row, flux)
    noisy: NDArray[np.float32] = (image + rng.normal(0.0, 0.5, image.shape)).astype(np.float32)
    return noisy


@pytest.mark.parametrize("n_star", [0, 300, 6000])
def test_what_was_put_in_is_found_and_no_star_is_lost(n_star: int) -> None:
    image = field(n_star)
    error = np.full(260, 0.5)
    assert not dead_pixels(image, error).any()
    truth = np.zeros(image.shape, bool)
    truth[:, 131] = truth[40, 60:70] = truth[7, 9] = True
    image[truth] = 3.0
    image[100, 100] = np.nan
    np.testing.assert_array_equal(dead_pixels(image, error), truth)


def test_without_a_background_nothing_is_dead() -> None:
    image = field(200, 0.0)
    image[:, 50] = 0.0
    assert not dead_pixels(image, np.full(260, 0.5)).any()
    assert not dead_pixels(np.full((9, 9), np.nan, np.float32), np.full(9, 0.5)).any()
