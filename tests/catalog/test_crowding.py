"""Crowding against brute force: every star drawn on all pixels, apertures summed by photutils."""

from typing import Any

import numpy as np
import pytest
from photutils.aperture import CircularAperture, aperture_photometry
from scipy.special import erf

from cuvee.catalog.crowding import crowding, gaussian_sigma
from cuvee.model.records import Geometry

RADII = (1.5, 2.5, 3.5)


def draw(geometry: Geometry, col: Any, row: Any, flux: Any, fwhm: float) -> Any:
    """One star on every pixel of the series."""
    scale = 1.0 / (np.sqrt(2.0) * fwhm / 2.3548200450309493)
    edges_x = np.arange(geometry.n_col + 1) - 0.5 + geometry.col0 - col
    edges_y = np.arange(geometry.n_row + 1) - 0.5 + geometry.row0 - row
    return flux * np.outer(0.5 * np.diff(erf(edges_y * scale)), 0.5 * np.diff(erf(edges_x * scale)))


def by_brute_force(geometry: Geometry, col: Any, row: Any, flux: Any, target: Any, fwhm: float) -> Any:
    scene = np.sum([draw(geometry, *star, fwhm) for star in zip(col, row, flux, strict=True)], axis=0)
    shares = np.empty((len(target), len(RADII)))
    for i, t in enumerate(target):
        own = draw(geometry, col[t], row[t], flux[t], fwhm)
        apertures = [CircularAperture((col[t] - geometry.col0, row[t] - geometry.row0), r) for r in RADII]
        sums = [
            [aperture_photometry(image, a, method="exact")["aperture_sum"][0] for a in apertures]
            for image in (own, scene)
        ]
        shares[i] = np.divide(sums[0], sums[1])
    return shares


@pytest.mark.parametrize("fwhm", [1.2, 1.9, 3.5])
def test_agrees_with_brute_force_in_a_crowded_field(fwhm: float) -> None:
    rng = np.random.default_rng(42)
    geometry = Geometry(40, 50, 700, 1300)
    n = 300
    # Some stars lie off the silicon; their light falls on it.
    col, row = rng.uniform(1300 - 6, 1350 + 5, n), rng.uniform(700 - 6, 740 + 5, n)
    flux = 10.0 ** (0.4 * (20.44 - rng.uniform(8, 19, n)))
    inside = (col > 1299.5) & (col < 1349.5) & (row > 699.5) & (row < 739.5)
    target = np.flatnonzero(inside)[:120]
    got = crowding(geometry, col, row, flux, target, RADII, fwhm)
    truth = by_brute_force(geometry, col, row, flux, target, fwhm)
    assert np.abs(got - truth).max() < 1e-6
    assert truth.min() < 0.05
    assert truth.max() > 0.95


def test_a_star_alone_has_all_the_light_and_twins_share_it() -> None:
    geometry = Geometry(64, 64, 0, 0)
    col, row = np.array([10.3, 40.2, 40.2]), np.array([11.7, 30.9, 30.9])
    got = crowding(geometry, col, row, np.array([5.0, 7.0, 7.0]), np.arange(3), RADII, 1.9)
    np.testing.assert_allclose(got[0], 1.0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(got[1:], 0.5, rtol=0, atol=1e-12)


def test_the_unit_of_flux_and_the_order_of_stars_do_not_matter() -> None:
    rng = np.random.default_rng(4)
    geometry = Geometry(30, 30, 5, 5)
    col, row = rng.uniform(5, 34, (2, 80))
    flux = rng.uniform(1, 1000, 80)
    target = np.arange(80)
    first = crowding(geometry, col, row, flux, target, RADII, 2.0)
    np.testing.assert_allclose(crowding(geometry, col, row, 1e6 * flux, target, RADII, 2.0), first, rtol=1e-12)
    shuffled = rng.permutation(80)
    again = crowding(geometry, col[shuffled], row[shuffled], flux[shuffled], target, RADII, 2.0)
    assert np.array_equal(again, first[shuffled])


def test_a_circle_off_the_pixels_has_no_share() -> None:
    geometry = Geometry(11, 11, 0, 0)
    got = crowding(geometry, np.array([-9.0]), np.array([5.0]), np.array([1.0]), np.array([0]), RADII, 1.9)
    assert np.isnan(got).all()


def test_width() -> None:
    assert gaussian_sigma(2.3548200450309493) == pytest.approx(1.0, rel=1e-12)
