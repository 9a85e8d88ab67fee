"""The mode against a kernel density evaluated point by point, the level against its definition and against known skies."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cuvee.photometry.mask_threshold import kernel_width, mode, threshold

SAMPLES: dict[str, Callable[[np.random.Generator], NDArray[np.float64]]] = {
    "sky": lambda rng: rng.normal(3.0, 2.0, 2000),
    "sky and stars": lambda rng: np.concatenate([rng.normal(0.0, 1.0, 1500), rng.exponential(80.0, 500)]),
    "two levels": lambda rng: np.concatenate([rng.normal(-4.0, 1.0, 400), rng.normal(4.0, 1.0, 900)]),
    "few": lambda rng: rng.normal(0.0, 1.0, 7),
    "an outlier": lambda rng: np.append(rng.normal(0.0, 1.0, 500), -3000.0),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_mode_is_where_the_kernel_density_is_largest(name: str) -> None:
    values = SAMPLES[name](np.random.default_rng(5))
    width = kernel_width(values)
    density = stats.gaussian_kde(values, bw_method=width / values.std(ddof=1))
    at = np.median(values) + np.linspace(-12.0, 12.0, 4801)  # half of the values at least lie within
    assert mode(values) == pytest.approx(at[np.argmax(density(at))], abs=0.01 * width + 0.005)


def test_width_of_the_kernel_is_scotts_for_a_normal_distribution() -> None:
    values = np.random.default_rng(2).normal(0.0, 3.0, 20_000)
    assert kernel_width(values) == pytest.approx(1.059 * 3.0 * 20_000**-0.2, rel=0.02)


def test_mode_without_values_and_of_equal_values() -> None:
    assert np.isnan(mode(np.array([])))
    assert mode(np.array([4.0])) == 4.0
    assert mode(np.full(9, -2.5)) == -2.5
    assert mode(np.append(np.zeros(30), np.arange(10.0))) == 0.0


def test_level_above_a_sky_with_stars_is_that_of_the_sky() -> None:
    levels = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        image = rng.normal(12.0, 2.0, (100, 100))
        stars = rng.choice(image.size, 1200, replace=False)
        image.flat[stars] += rng.exponential(200.0, stars.size)
        levels.append([threshold(image, 0.0, 0.15), threshold(image, 0.8, 0.15)])
    # The mode of 8500 values scatters by a tenth of their standard deviation.
    np.testing.assert_allclose(np.std(levels, axis=0), [0.2, 0.27], atol=0.12)
    np.testing.assert_allclose(np.mean(levels, axis=0), [12.0, 12.0 + 0.8 * 2.0], atol=0.25)


def test_level_is_the_mode_and_the_median_deviation_of_the_fainter() -> None:
    image = np.random.default_rng(3).gamma(2.0, 5.0, (40, 30))
    image[4, 5:9] = np.nan
    faint = np.sort(image[np.isfinite(image)])[: int(np.ceil(0.85 * 1196))]
    middle = mode(faint)
    spread = stats.median_abs_deviation(np.concatenate([faint[faint < middle], 2 * middle - faint[faint < middle]]))
    assert threshold(image, 0.8, 0.15) == pytest.approx(middle + 0.8 * spread / stats.norm.ppf(0.75), rel=1e-12)


@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0.0), (3.0, -700.0), (1e9, 1e9)])
def test_level_follows_the_unit(scale: float, shift: float) -> None:
    image = np.random.default_rng(7).gamma(1.5, 4.0, (50, 50))
    expected = scale * threshold(image, 0.8, 0.15) + shift
    assert threshold(scale * image + shift, 0.8, 0.15) == pytest.approx(expected, rel=1e-9)


def test_level_of_an_image_without_a_value_or_with_one() -> None:
    assert np.isnan(threshold(np.full((4, 4), np.nan), 0.8, 0.15))
    assert threshold(np.array([[7.0]]), 0.8, 0.15) == 7.0
    assert threshold(np.full((5, 5), 1.5), 0.8, 0.15) == 1.5
