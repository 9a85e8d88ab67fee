"""The choice of the aperture: against noise of known size, and drawn stars summed by photutils."""

from math import erf

import numpy as np
from photutils.aperture import CircularAperture, aperture_photometry
from tests.collect.blocks import noisy

from cuvee.collect import choose_aperture, enclosed_light
from cuvee.collect.aperture import light_in_masks, unspilt
from cuvee.model.records import PixelMasks


def test_the_best_aperture_has_the_smallest_scatter_for_the_light_it_holds() -> None:
    fluxes = noisy([[1e-3, 2e-3, 3e-3], [9e-3, 1e-3, 2e-3], [9e-3, 4e-3, 1e-3]])
    good = np.ones(fluxes[0].shape, bool)
    shares = (1.0, 2.0, 3.0)  # as the fluxes of `noisy` grow
    assert choose_aperture(fluxes, good, shares).tolist() == [0, 1, 2]
    # Outliers count for nothing where they are flagged.
    for flux in fluxes:
        flux[:, ::3] += 1e6
    good[:, ::3] = False
    assert choose_aperture(fluxes, good, shares).tolist() == [0, 1, 2]


def test_light_of_neighbours_does_not_make_an_aperture_good() -> None:
    rng = np.random.default_rng(3)
    noise = [rng.normal(0, sigma, (1, 600)) for sigma in (2.0, 3.0, 4.0)]
    # The largest aperture is full of a bright constant neighbour: quiet for its flux, but not for the star's.
    fluxes = [level + n for level, n in zip((800.0, 1000.0, 90_000.0), noise, strict=True)]
    good = np.ones((1, 600), bool)
    assert choose_aperture(fluxes, good, (0.8, 0.99, 1.0)).tolist() == [0]


def test_a_clipped_aperture_is_taken_only_where_all_are() -> None:
    flux = noisy([[1e-3]] * 3)[0]
    good = np.ones(flux.shape, bool)
    fluxes = [3 * flux, 2 * flux, flux]
    whole = np.array([[True, True, False], [True, False, False], [False, False, False]])
    assert choose_aperture(fluxes, good, (1.0, 1.0, 1.0), whole).tolist() == [1, 0, 2]
    assert choose_aperture(fluxes, ~good, (1.0, 1.0, 1.0), whole).tolist() == [1, 0, 1]


def test_equals_and_stars_without_measure_take_the_middle_aperture() -> None:
    flux = noisy([[1e-3]])[0]
    dark = np.full_like(flux, np.nan)
    good = np.ones(flux.shape, bool)
    ones = (1.0, 1.0, 1.0)
    assert choose_aperture([flux, flux, flux], good, ones).tolist() == [1]
    assert choose_aperture([flux, dark, flux], good, ones).tolist() == [0]
    assert choose_aperture([dark, dark, dark], good, ones).tolist() == [1]
    assert choose_aperture([flux, flux, flux], ~good, ones).tolist() == [1]
    assert choose_aperture([-flux, -flux, -flux], good, ones).tolist() == [1]
    assert choose_aperture([flux, -flux, dark], good, ones).tolist() == [0]
    assert choose_aperture([flux, flux], good, (1.0, 1.0)).tolist() == [0]


def test_enclosed_light_is_that_of_drawn_stars() -> None:
    """Stars drawn pixel by pixel at all sub-pixel places, summed by photutils."""
    fwhm, radii = 1.9, (1.5, 2.5, 3.5)
    width = fwhm / np.sqrt(4 * np.log(2))
    edges = np.arange(-10.5, 11.0)
    rng = np.random.default_rng(8)
    sums = []
    for x, y in rng.uniform(-0.5, 0.5, (200, 2)):
        across, up = (np.diff([0.5 * erf((e - c) / width) for e in edges]) for c in (x, y))
        apertures = [CircularAperture((x + 10, y + 10), r) for r in radii]
        table = aperture_photometry(np.outer(up, across), apertures, method="exact")
        sums.append([table[f"aperture_sum_{k}"][0] for k in range(3)])
    np.testing.assert_allclose(enclosed_light(radii, fwhm), np.mean(sums, axis=0), atol=0.004)


def test_the_share_of_light_in_a_mask_may_differ_from_star_to_star() -> None:
    fluxes = noisy([[2e-3, 1e-3], [2e-3, 1e-3]])
    good = np.ones(fluxes[0].shape, bool)
    # Of the second star's light the second aperture holds so little that its noise weighs more.
    shares = (1.0, np.array([2.0, 0.2]))
    assert choose_aperture(fluxes, good, shares).tolist() == [1, 0]
    assert choose_aperture(fluxes, good, (1.0, np.array([np.nan, 2.0]))).tolist() == [0, 1]


def test_light_in_masks_is_that_of_drawn_stars() -> None:
    """Against a Gaussian summed on a grid twenty times as fine."""
    fwhm = 1.9
    sigma = fwhm / np.sqrt(8 * np.log(2))
    star = np.array([100.3, 200.0]), np.array([50.8, 60.1])
    col, row = np.array([99, 100, 101, 100], np.int32), np.array([51, 51, 51, 52], np.int32)
    masks = PixelMasks(np.array([0, 4, 4]), col, row, np.zeros(2, bool), np.ones(2, np.float32))
    share = light_in_masks(masks, *star, fwhm)
    sub = (np.arange(20) + 0.5) / 20 - 0.5
    drawn = 0.0
    for c, r in zip(col, row, strict=True):
        x, y = np.meshgrid(c + sub - star[0][0], r + sub - star[1][0])
        drawn += float(np.exp(-0.5 * (x**2 + y**2) / sigma**2).sum()) / 400 / (2 * np.pi * sigma**2)
    np.testing.assert_allclose(share[0], drawn, rtol=2e-4)
    assert np.isnan(share[1])


def test_a_star_that_spills_is_not_measured_in_circles_where_something_better_is() -> None:
    good = np.ones((4, 10), bool)
    full = np.zeros((4, 10), bool)
    full[1:, :6] = True
    methods = ["aperture1", "aperture2", "mask", "halo"]
    circles = [np.ones((4, 10))] * 2
    mask, halo = np.ones((4, 10)), np.full((4, 10), np.nan)
    mask[2:] = np.nan
    halo[2] = 1.0
    expected = [
        [True, True, True, False],
        [False, False, True, False],
        [False, False, False, True],
        [True, True, False, False],
    ]
    allowed = unspilt(methods, [*circles, mask, halo], good, full, None)
    assert allowed is not None
    assert allowed.tolist() == expected
    # A clipped mask is no better.
    whole = np.ones((4, 4), bool)
    whole[1, 2] = False
    allowed = unspilt(methods, [*circles, mask, halo], good, full, whole)
    assert allowed is not None
    assert allowed[1].tolist() == [True, True, False, False]
    full[1, 3:] = False  # in less than half of the points
    allowed = unspilt(methods, [*circles, mask, halo], good, full, None)
    assert allowed is not None
    assert allowed[1].tolist() == [True, True, True, False]
    # A star whose circles are clipped and whose points are all bad is not given a flux that it does not have.
    clipped = np.array([[False, False, True, True]] * 4)
    none = [*circles, np.full((4, 10), np.nan), np.full((4, 10), np.nan)]
    allowed = unspilt(methods, none, ~good, full, clipped)
    chosen = choose_aperture(none, ~good, (1.0,) * 4, allowed, np.array([0, 1, 2, 3]))
    assert chosen.tolist() == [0] * 4
    assert unspilt(methods[:2], circles, good, full, whole[:, :2]) is not None
    assert unspilt(methods[:2], circles, good, full, None) is None
