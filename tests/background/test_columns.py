"""Straps that were put in must be found as strong as they are, and nowhere else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from cuvee.background import column_response
from cuvee.background.columns import column_excess
from cuvee.kernels import render
from cuvee.simulate.detector import strap_response
from cuvee.simulate.pixels import background, prf_at
from cuvee.simulate.stray import add_corner_glow

COL0 = 1400
"""Columns from here on have two groups of straps and the lines of a clock among them."""


def field(n_row: int, n_col: int, n_star: int, straps: float, glow: float = 0.0, seed: int = 21) -> NDArray[np.float32]:
    """Return a reference image of 32 frames: sky, stars down to magnitude 17, straps, noise."""
    rng = np.random.default_rng(seed)
    side = max(n_row, n_col)
    image = background(COL0, 0, side, 3.0)[:n_row, :n_col]
    if glow:
        add_corner_glow(image, 0, 0, glow, ())
    mag = np.log10(10 ** (0.3 * 9) + (10 ** (0.3 * 17) - 10 ** (0.3 * 9)) * rng.random(n_star)) / 0.3
    col, row = rng.uniform(-5, n_col + 5, n_star), rng.uniform(-5, n_row + 5, n_star)
    shape = prf_at(col + COL0, row)
    render.add_stars(
        image, col, row, 10 ** (0.4 * (20.44 - mag)), shape.core_sigma, shape.core_shift, shape.wing_sigma, shape.wing_shift,
        shape.wing_share, np.full(n_star, 8),
    )  # fmt: skip
    image *= 1.0 + response(n_col, straps)
    image += (np.sqrt((image / 1425.6 + 0.04) / 32) * rng.standard_normal(image.shape)).astype(np.float32)
    return image


def response(n_col: int, straps: float) -> NDArray[np.float32]:
    return strap_response(straps)[COL0 : COL0 + n_col]


@pytest.mark.parametrize("n_star", [800, 8000])
def test_straps_are_found_as_strong_as_they_are(n_star: int) -> None:
    true = response(400, 0.04)
    found = column_response(field(512, 400, n_star, 0.04))
    assert np.count_nonzero(true) > 15
    np.testing.assert_array_equal(found != 1.0, true != 0.0)
    # A column's mode is as good as a spread of some e-/s over the root of its pixels: a thousandth of a sky of 100 in a crowd.
    assert np.abs(found - 1.0 - true).max() < (0.001 if n_star < 1000 else 0.004)


@pytest.mark.parametrize(("shape", "n_star", "glow"), [((512, 400), 8000, 0.0), ((128, 128), 200, 0.0), ((700, 300), 2000, 60.0), ((2048, 40), 500, 0.0)])  # fmt: skip
def test_without_straps_nothing_is_changed(shape: tuple[int, int], n_star: int, glow: float) -> None:
    np.testing.assert_array_equal(column_response(field(*shape, n_star, 0.0, glow)), 1.0)


def hide(image: Any) -> None:
    image[:, 100:140] = np.nan


def drain(image: Any) -> None:
    image -= np.float32(np.median(image))


def spoil(image: Any) -> None:
    image[:, 50] *= 1.5


@pytest.mark.parametrize("change", [hide, drain, spoil], ids=["missing", "subtracted", "defect"])
def test_what_is_no_strap_is_left_alone(change: Any) -> None:
    image = field(256, 300, 600, 0.0)
    change(image)
    np.testing.assert_array_equal(column_response(image), 1.0)


@pytest.mark.parametrize("shape", [(63, 300), (1, 1), (64, 1), (300, 3)])
def test_images_too_small_to_tell(shape: tuple[int, int]) -> None:
    np.testing.assert_array_equal(column_response(field(*shape, 20, 0.04)), 1.0)
    np.testing.assert_array_equal(column_response(np.full(shape, np.nan, np.float32)), 1.0)


def test_a_real_image_has_its_straps(shared_data: Path) -> None:
    name = "tess2018206192942-s0001-1-4-0120-s_ffic.fits.gz"
    with fits.open(shared_data / "tess_ffi_crop" / name) as file:
        image = file[1].data[:, 44:].astype(np.float32)
    found = column_excess(image)
    straps = np.flatnonzero(strap_response(0.04)[: found.size])
    assert straps.tolist() == [76, 77, 80, 81, 84, 85]
    # One frame of 128 rows is too little to be sure of a strap, but the six stand out, by as much as the medians of their pixels do.
    usual = 1.4826 * np.median(np.abs(found))
    middle = np.median(image, axis=0)
    beside = np.median(np.concatenate([middle[60:76], middle[90:110]]))
    theirs = middle[straps] / beside - 1.0
    assert found[straps].mean() > 5.0 * usual / np.sqrt(6)
    assert found[straps].mean() == pytest.approx(theirs.mean(), abs=4.0 * usual / np.sqrt(6))
    assert found[straps].min() > np.percentile(np.delete(found, straps), 95)
