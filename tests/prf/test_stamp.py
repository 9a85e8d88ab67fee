"""The stars of a stamp, and the shape of the stars of several, against what was put in."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cuvee import prf
from cuvee.errors import AlgorithmError
from cuvee.model.prf import Prf
from cuvee.model.records import Geometry

SHAPE = (0.55, 0.48, 0.45, 2.3)


def stamp(
    seed: int,
    col: list[float],
    row: list[float],
    flux: list[float],
    known: int,
    moved: tuple[float, float] = (0.0, 0.0),
) -> prf.StampImage:
    """A mean image with noise of a thousandth of its brightest pixel; the catalogue has the first ``known`` stars."""
    geometry = Geometry(11, 11, 300, 400)
    shape = prf.gaussian_prf(SHAPE[:2], SHAPE[2], SHAPE[3], 7, geometry)
    place = np.column_stack([np.array(col) + geometry.col0, np.array(row) + geometry.row0])
    clean = (prf.unit_stars(shape, place + moved, geometry)[0] @ np.array(flux)).reshape(11, 11) + 120.0
    sigma = 1e-3 * (clean.max() - 120.0)
    image = clean + np.random.default_rng(seed).normal(0.0, sigma, clean.shape)
    variance = np.full(image.shape, sigma**2)
    return prf.StampImage(
        image[None].astype(np.float32), variance[None].astype(np.float32), geometry, place[:known, 0], place[:known, 1],
        np.array(flux[:known]),
    )  # fmt: skip


def shape_of(one: prf.StampImage) -> Prf:
    return prf.gaussian_prf(SHAPE[:2], SHAPE[2], SHAPE[3], 7, one.geometry)


def settled(one: prf.StampImage, common: float = 0.1) -> prf.Settled:
    return prf.settle_stamp(shape_of(one), *one, 0.02, common, 0.02)


def test_stars_come_back_with_the_background() -> None:
    one = stamp(1, [5.2, 2.1, 8.6], [4.9, 7.7, 2.4], [5000.0, 1500.0, 800.0], 3)
    found = settled(one)
    assert found.col.size == 3
    np.testing.assert_allclose(found.flux, one.flux, rtol=0.02)
    np.testing.assert_allclose(np.hypot(found.col - one.col, found.row - one.row), 0.0, atol=0.02)
    assert found.level[0] == pytest.approx(120.0, abs=1.0)
    # Stars and background leave the noise, less what the eight and more parameters take of 121 pixels.
    left = (one.image - found.light - found.level[0]) / np.sqrt(one.variance)
    assert 0.75 < np.sqrt(np.mean(left**2)) < 1.15


def test_a_star_that_the_catalogue_lacks_is_found_and_takes_nothing_from_its_neighbour() -> None:
    one = stamp(2, [5.2, 7.6], [4.9, 6.3], [5000.0, 2500.0], 1)
    found = settled(one)
    near = np.hypot(found.col - one.geometry.col0 - 7.6, found.row - one.geometry.row0 - 6.3)
    assert near.min() < 0.1
    assert found.flux[np.argmin(near)] == pytest.approx(2500.0, rel=0.1)
    assert found.flux[0] == pytest.approx(5000.0, rel=0.05)


@pytest.mark.parametrize("moved", [(0.6, -0.4), (-0.5, 0.5)])
def test_a_stamp_that_lies_off_is_found(moved: tuple[float, float]) -> None:
    one = stamp(3, [5.2, 2.1, 8.6], [4.9, 7.7, 2.4], [5000.0, 1500.0, 800.0], 3, moved)
    found = settled(one, 0.5)
    np.testing.assert_allclose(found.col[:3] - one.col, moved[0], atol=0.05)
    np.testing.assert_allclose(found.row[:3] - one.row, moved[1], atol=0.05)


def test_two_stars_at_one_place_share_their_light_as_the_catalogue_says() -> None:
    one = stamp(4, [5.2, 5.2], [4.9, 4.9], [3000.0, 1000.0], 2)
    found = settled(one)
    assert found.flux[:2].sum() == pytest.approx(4000.0, rel=0.02)
    assert found.flux[0] / found.flux[1] == pytest.approx(3.0, rel=0.3)


def test_a_star_at_the_edge_and_one_beyond_it() -> None:
    one = stamp(5, [5.2, 10.4, -1.0], [4.9, 6.0, 3.0], [4000.0, 2000.0, 3000.0], 3)
    found = settled(one)
    np.testing.assert_allclose(found.flux[:2], [4000.0, 2000.0], rtol=0.05)
    assert np.isfinite(found.flux).all()


def test_the_shape_of_several_stamps_comes_back() -> None:
    rng = np.random.default_rng(6)
    stamps = [
        stamp(k, [5.0 + rng.uniform(-0.5, 0.5)], [5.0 + rng.uniform(-0.5, 0.5)], [rng.uniform(2e3, 6e3)], 1)
        for k in range(8)
    ]
    found, shape = prf.fit_shape(stamps, 1.9, 7, 0.02, 0.1)
    # Width of the whole, not of its parts: these can be exchanged for one another.
    col, row = np.array([405.3]), np.array([304.8])
    mine, truth = (prf.stamps(one, col, row)[2][0, 0] for one in (found, shape_of(stamps[0])))
    assert np.abs(mine - truth).max() < 0.03 * truth.max()
    assert 0.3 < shape[0] < 0.8


def test_stamps_without_a_star_have_no_shape() -> None:
    dark: NDArray[np.float32] = np.full((1, 9, 9), 100.0, np.float32)
    nobody = np.zeros(0)
    one = prf.StampImage(dark, np.ones_like(dark), Geometry(9, 9, 0, 0), nobody, nobody, nobody)
    with pytest.raises(AlgorithmError, match="No stamp shows a star"):
        prf.fit_shape([one], 1.9, 7, 0.02, 0.1)
    with pytest.raises(AlgorithmError, match="No stamp shows a star"):
        prf.fit_shape([], 1.9, 7, 0.02, 0.1)
