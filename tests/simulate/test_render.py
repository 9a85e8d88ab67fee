"""The renderer against the identities of a PRF and against a slow integral."""

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import dblquad

from cuvee.kernels.render import add_halos, add_stars, add_tracks, bleed
from cuvee.simulate.pixels import Prf, prf_at


def _draw(
    shape: tuple[int, int], col: ArrayLike, row: ArrayLike, flux: ArrayLike, prf: Prf, half: int
) -> NDArray[np.float32]:
    image = np.zeros(shape, dtype=np.float32)
    col = np.asarray(col, dtype=np.float64)
    n = col.size
    add_stars(
        image,
        col,
        np.asarray(row, dtype=np.float64),
        np.asarray(flux, dtype=np.float64),
        prf.core_sigma[:n],
        prf.core_shift[:n],
        prf.wing_sigma,
        prf.wing_shift[:n],
        prf.wing_share,
        np.full(n, half),
    )
    return image


PLACES = np.array([[0.0, 0.0], [2047.0, 0.0], [1023.5, 1023.5], [300.0, 1900.0], [2047.0, 2047.0]])


@pytest.mark.parametrize(("half", "lost"), [(7, 3e-5), (10, 1e-6)])
@pytest.mark.parametrize("phase", [(0.0, 0.0), (0.49, -0.31), (-0.5, 0.27)])
def test_all_the_flux_is_on_the_image_and_its_centroid_is_the_position(
    half: int, lost: float, phase: tuple[float, float]
) -> None:
    for place in PLACES:
        prf = prf_at(place[:1], place[1:])
        image = _draw((41, 41), [20 + phase[0]], [20 + phase[1]], [1000.0], prf, half).astype(np.float64)
        assert image.sum() == pytest.approx(1000.0, rel=lost + 1e-6)
        rows, cols = np.indices(image.shape)
        assert (image * cols).sum() / image.sum() == pytest.approx(20 + phase[0], abs=3e-4)
        assert (image * rows).sum() / image.sum() == pytest.approx(20 + phase[1], abs=3e-4)


def test_pixels_hold_the_integral_of_the_two_gaussians() -> None:
    prf = prf_at(PLACES[3:4, 0], PLACES[3:4, 1])
    image = _draw((21, 21), [10.3], [9.6], [1.0], prf, 7)

    def density(y: float, x: float) -> float:
        total = 0.0
        for share, sigma, shift in (
            (1 - prf.wing_share, prf.core_sigma[0], prf.core_shift[0]),
            (prf.wing_share, (prf.wing_sigma, prf.wing_sigma), prf.wing_shift[0]),
        ):
            u, v = (x - 10.3 - shift[0]) / sigma[0], (y - 9.6 - shift[1]) / sigma[1]
            total += share * np.exp(-0.5 * (u * u + v * v)) / (2 * np.pi * sigma[0] * sigma[1])
        return total

    for r, c in ((10, 10), (9, 11), (13, 6), (10, 15)):
        slow, _ = dblquad(density, c - 0.5, c + 0.5, r - 0.5, r + 0.5)
        assert image[r, c] == pytest.approx(slow, rel=2e-6)


def test_a_window_is_a_cut_out_of_a_larger_image() -> None:
    rng = np.random.default_rng(3)
    col, row, flux = 60 * rng.random(200), 50 * rng.random(200), 10 ** (4 * rng.random(200))
    prf = prf_at(col, row)
    whole = _draw((50, 60), col, row, flux, prf, 7)
    part = _draw((20, 25), col - 11, row - 17, flux, prf, 7)
    np.testing.assert_allclose(part, whole[17:37, 11:36], rtol=1e-5, atol=1e-4)


def test_the_prf_varies_over_the_field_by_up_to_five_percent() -> None:
    col, row = (g.ravel() for g in np.meshgrid(np.linspace(0, 2047, 33), np.linspace(0, 2047, 33)))
    fwhm = np.sqrt(8 * np.log(2)) * prf_at(col, row).core_sigma
    assert fwhm.min() > 1.9 * 0.949
    assert fwhm.max() < 1.9 * 1.051
    assert np.ptp(fwhm) > 0.12


def test_bled_charge_agrees_with_a_slow_reference() -> None:
    rng = np.random.default_rng(8)
    image = np.where(rng.random((60, 40)) < 0.02, 40.0 * rng.random((60, 40)), rng.random((60, 40))).astype(np.float32)
    before = image.astype(np.float64)
    full, lost = bleed(image, 2.0)
    # One packet after another: each pixel's excess in two halves, all of the upward ones first.
    slow = np.minimum(before, 2.0)
    gone = 0.0
    for c in range(40):
        for direction in (1, -1):
            for r in range(60)[::direction]:
                packet, at = 0.5 * max(0.0, before[r, c] - 2.0), r
                while packet > 0 and 0 <= at < 60:
                    taken = min(2.0 - slow[at, c], packet)
                    slow[at, c] += taken
                    packet -= taken
                    at += direction
                gone += packet
    np.testing.assert_allclose(image.sum() + lost, before.sum(), rtol=1e-6)
    np.testing.assert_allclose(image, slow, atol=1e-5)
    assert lost == pytest.approx(gone)
    assert full == np.count_nonzero(image >= np.float32(2.0))
    assert image.max() <= 2.0


def test_a_bleeding_star_runs_up_and_down_alike_and_only_along_its_column() -> None:
    image = np.zeros((101, 9), dtype=np.float32)
    image[50, 4] = 21.0
    full, lost = bleed(image, 1.0)
    assert lost == 0
    assert full == 21
    np.testing.assert_array_equal(np.flatnonzero(image[:, 4]), np.arange(40, 61))
    assert image[:, [0, 1, 2, 3, 5, 6, 7, 8]].sum() == 0


def test_tracks_are_straight_and_hold_their_charge() -> None:
    image = np.zeros((40, 40), dtype=np.float32)
    one = np.ones(1)
    add_tracks(image, 5 * one, 6 * one, 20 * one, 10 * one, 300 * one)
    assert image.sum() == pytest.approx(300)
    rows, cols = np.nonzero(image)
    assert np.abs((rows - 6) - (cols - 5) / 2).max() <= 1
    assert (cols.min(), cols.max()) == (5, 25)
    add_tracks(image, 38 * one, 38 * one, 20 * one, 0 * one, 100 * one)
    assert 300 < image.sum() < 320  # the rest is beyond the edge


def test_a_halo_has_its_profile() -> None:
    image = np.zeros((201, 201), dtype=np.float32)
    add_halos(image, np.array([100.0]), np.array([100.0]), np.array([1000.0]), 4.0, np.array([90]))
    assert image[100, 100] == pytest.approx(1000 / (2 * np.pi * 16), rel=1e-6)
    assert image[100, 103] == pytest.approx(image[100, 100] * (1 + 9 / 16) ** -1.5, rel=1e-6)
    # Within a radius R lies 1 - 1 / sqrt(1 + R^2 / 16) of the light.
    assert image.sum() == pytest.approx(1000 * (1 - 1 / np.sqrt(1 + 90**2 / 16)), rel=0.01)
