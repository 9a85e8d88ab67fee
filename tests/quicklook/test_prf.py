"""The picture of a PRF: against the stamps that photometry draws, and against a star of known width."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from cuvee.model.prf import Prf, knot_count
from cuvee.prf import stamps
from cuvee.quicklook.prf import FINE, figure_prf, noise_pixels, sample_prf, view_prf

FloatArray = NDArray[np.float64]
KNOTS, HALF = 3, 6


def gaussian(sigma_col: float, sigma_row: float, growth: float = 0.0) -> Prf:
    """A Gaussian, fitted by scipy's B-splines at the knots; by ``growth`` brighter at u = 1."""
    n = knot_count(KNOTS, HALF)
    t = np.arange(-3.0, n + 3.0) - n // 2
    at = np.clip(np.arange(n) - n // 2, t[5], t[n]).astype(float)
    rows = BSpline.design_matrix(at, t, 5).toarray()
    # At the three knots beyond the stamp on either side there is nothing to fit.
    across, up = (
        np.linalg.lstsq(rows, np.exp(-0.5 * (at / KNOTS / s) ** 2), rcond=None)[0] for s in (sigma_col, sigma_row)
    )
    whole = np.outer(up, across) / (2.0 * np.pi * sigma_col * sigma_row)
    coef = np.stack([whole, growth * whole, np.zeros_like(whole)])
    return Prf(coef, KNOTS, HALF, 1, (500.0, 300.0), (200.0, 200.0))


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.3, -0.2), (-0.45, 0.49)])
def test_it_is_what_photometry_draws(dx: float, dy: float) -> None:
    prf = gaussian(0.8, 1.1, 0.2)
    prf.coef[2] = 0.05 * prf.coef[0] ** 2
    col, row = 431.0 + dx, 388.0 + dy
    first_col, first_row, values = stamps(prf, np.array([col]), np.array([row]))
    around = np.arange(2 * HALF + 1, dtype=float)
    across, coef, up = sample_prf(prf, col, row, first_col[0] + around - col, first_row[0] + around - row)
    np.testing.assert_allclose(up @ coef @ across.T, values[0, 0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("sigma", [0.6, 0.85, 1.4])
def test_a_round_gaussian_has_its_width_everywhere(sigma: float) -> None:
    prf = gaussian(sigma, sigma, 0.3)
    for col in (300.0, 500.0, 690.0):
        view = view_prf(prf, "here", col, 310.0)
        assert view.fwhm == pytest.approx(2.0 * np.sqrt(2.0 * np.log(2.0)) * sigma, rel=5e-3)
        near = view.radius < 2.5 * sigma
        expected = view.profile[0] * np.exp(-0.5 * (view.radius / sigma) ** 2)
        np.testing.assert_allclose(view.profile[near], expected[near], rtol=5e-3)
        # Unit light, integrated over all distances from the star; brighter to the right.
        assert view.image.sum() / FINE**2 == pytest.approx(1.0 + 0.3 * (col - 500.0) / 200.0, rel=2e-3)
        # Noise pixels of a Gaussian, 4 pi sigma^2, for a star of unit light.
        if sigma > 0.7:
            unit = 1.0 + 0.3 * (col - 500.0) / 200.0
            assert noise_pixels(prf, col, 310.0) * unit**2 == pytest.approx(4.0 * np.pi * sigma**2, rel=0.01)


def test_rows_run_upwards_and_columns_to_the_right() -> None:
    view = view_prf(gaussian(0.8, 1.6), "here", 500.0, 300.0)
    middle = view.image.shape[0] // 2
    reach = 2 * FINE
    assert view.image[middle + reach, middle] > 3.0 * view.image[middle, middle + reach]
    # The mean over directions lies between the two.
    k = int(np.searchsorted(view.radius, 2.0))
    assert view.image[middle, middle + reach] < view.profile[k] < view.image[middle + reach, middle]


def test_pictures_are_drawn_even_of_what_is_no_star() -> None:
    prf = gaussian(0.8, 0.8)
    figure_prf(
        [view_prf(prf, f"place {k}", 400.0 + 10 * k, 300.0) for k in range(5)], pixel=21.0
    ).draw_without_rendering()
    flat = Prf(np.ones_like(prf.coef) * 1e-3, KNOTS, HALF, 1, prf.centre, prf.scale)
    view = view_prf(flat, "flat", 500.0, 300.0)
    assert np.isnan(view.fwhm)
    figure_prf([view]).draw_without_rendering()
