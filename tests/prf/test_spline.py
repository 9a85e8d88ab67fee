"""Stamps against scipy's own B-splines and against finite differences."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from cuvee.model.prf import Prf, knot_count
from cuvee.prf import stamps
from cuvee.prf.spline import sum_rows

HALF = 3
PLACE = {"centre": (500.0, 300.0), "scale": (512.0, 256.0)}


def random_prf(knots: int, order: int, seed: int = 1) -> Prf:
    n_knot = knot_count(knots, HALF)
    n_term = (order + 1) * (order + 2) // 2
    coef = np.random.default_rng(seed).normal(size=(n_term, n_knot, n_knot))
    return Prf(coef, knots, HALF, order, **PLACE)


def by_scipy(prf: Prf, col: float, row: float, d_col: int, d_row: int) -> NDArray[np.float64]:
    """One stamp, knot by knot, from scipy's B-splines."""
    u, v = (col - prf.centre[0]) / prf.scale[0], (row - prf.centre[1]) / prf.scale[1]
    phi = [1.0, u, v, u * u, u * v, v * v][: prf.coef.shape[0]]
    here = np.tensordot(phi, prf.coef, axes=1)
    n_knot = here.shape[0]
    around = np.arange(-HALF, HALF + 1)

    def basis(position: float, derivative: int) -> NDArray[np.float64]:
        x = prf.knots * (np.rint(position) + around - position)
        values = np.zeros((x.size, n_knot))
        for j in range(n_knot):
            spline = BSpline.basis_element(np.arange(-3.0, 4.0) + j - n_knot // 2, extrapolate=False)
            found = spline(x) if derivative == 0 else spline.derivative(derivative)(x)
            values[:, j] = np.nan_to_num(found)
        # The star's motion is opposite to the pixel's distance from it.
        return np.asarray(values * (-prf.knots) ** derivative)

    return np.asarray(basis(row, d_row) @ here @ basis(col, d_col).T)


@pytest.mark.parametrize(("knots", "order"), [(2, 0), (3, 2), (3, 1)])
def test_stamps_are_the_splines_of_scipy(knots: int, order: int) -> None:
    prf = random_prf(knots, order)
    col, row = np.array([510.2, 3.5, 1020.77]), np.array([290.49, 0.0, -2.31])
    first_col, first_row, values = stamps(prf, col, row)
    np.testing.assert_array_equal(first_col, np.rint(col) - HALF)
    np.testing.assert_array_equal(first_row, np.rint(row) - HALF)
    for a, (d_col, d_row) in enumerate([(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]):
        for s in range(col.size):
            expected = by_scipy(prf, col[s], row[s], d_col, d_row)
            np.testing.assert_allclose(values[a, s], expected, atol=2e-6 * np.abs(expected).max())


def test_derivatives_are_those_of_finite_differences() -> None:
    # The polynomials over the detector are held fixed by a constant PRF: derivatives are those of the spline alone.
    prf = random_prf(3, 0)
    rng = np.random.default_rng(5)
    col, row = 500 + rng.uniform(-0.4, 0.4, 20), 300 + rng.uniform(-0.4, 0.4, 20)
    h = 1e-2

    def at(d_col: float, d_row: float) -> NDArray[np.float64]:
        return stamps(prf, col + d_col * h, row + d_row * h)[2].astype(np.float64)

    values = at(0, 0)
    slope_col, slope_row = (at(1, 0) - at(-1, 0)) / (2 * h), (at(0, 1) - at(0, -1)) / (2 * h)
    for derivative, difference in (
        (values[1], slope_col[0]), (values[2], slope_row[0]), (values[3], slope_col[1]), (values[4], slope_row[1]),
        (values[5], slope_row[2]),
    ):  # fmt: skip
        assert np.abs(derivative - difference).max() < 2e-3 * np.abs(derivative).max()


def test_sums_of_stamps() -> None:
    prf = random_prf(3, 0)
    rows = sum_rows(3, HALF)
    phase = (np.arange(rows.shape[0]) + 0.5) / rows.shape[0] - 0.5
    expected = np.einsum("ai,ij,bj->ab", rows, prf.coef[0], rows)
    _, _, values = stamps(prf, np.tile(phase, phase.size), np.repeat(phase, phase.size))
    np.testing.assert_allclose(values[0].sum(axis=(1, 2)).reshape(expected.shape), expected, rtol=2e-5, atol=1e-4)
