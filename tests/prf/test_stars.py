"""Choosing stars and improving them, against dense least squares."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.model.prf import Prf, knot_count
from cuvee.model.records import Geometry
from cuvee.prf.scene import Scene, draw, pointing_factors
from cuvee.prf.stars import FLUX_ERROR, field_shift, inside, isolated, settle, solve_blocks

GEOMETRY = Geometry(50, 70, 900, 200)


def gaussian_prf(order: int = 0) -> Prf:
    n = knot_count(2, 4)
    at = (np.arange(n) - n // 2) / 2
    coef = np.zeros(((order + 1) * (order + 2) // 2, n, n))
    coef[0] = np.exp(-(at[:, None] ** 2 + at**2) / 1.6) / 5.0
    return Prf(coef, 2, 4, order, (234.5, 924.5), (35.0, 25.0))


def test_small_systems() -> None:
    rng = np.random.default_rng(2)
    root = rng.normal(size=(5, 7, 4, 4))
    matrix = np.einsum("...ij,...kj->...ik", root, root) + 0.1 * np.eye(4)
    right = rng.normal(size=(5, 7, 4))
    np.testing.assert_allclose(
        solve_blocks(matrix, right), np.linalg.solve(matrix, right[..., None])[..., 0], rtol=1e-7
    )


def scene(n_star: int = 60) -> Scene:
    rng = np.random.default_rng(11)
    # Some stars lie beyond the edges; the last two share a place.
    col, row = 200 + rng.uniform(-6, 76, n_star), 900 + rng.uniform(-6, 56, n_star)
    col[-1], row[-1] = col[-2] + 1e-3, row[-2]
    flux = 10 ** rng.uniform(2.0, 4.0, n_star)
    return Scene(gaussian_prf(), col, row, flux, rng.normal(0.0, 0.05, (6, 2)))


def test_a_drawn_scene_is_the_sum_of_its_stars() -> None:
    from cuvee.prf import stamps

    here = scene()
    drawn = draw(here, GEOMETRY)
    first_col, first_row, values = stamps(here.prf, here.col, here.row)
    padded = np.zeros((6, 50 + 40, 70 + 40))
    for s in range(here.col.size):
        r, c = first_row[s] - 900 + 20, first_col[s] - 200 + 20
        padded[:, r : r + 9, c : c + 9] += here.flux[s] * values[:, s]
    np.testing.assert_allclose(drawn.model, padded[:, 20:70, 20:90], rtol=1e-5, atol=1e-3)
    mean = pointing_factors(here.pointing).mean(axis=0)
    np.testing.assert_allclose(drawn.design[0], np.einsum("a,asrc->src", mean, values), atol=1e-6)
    np.testing.assert_array_equal(drawn.design[1:], values[1:3])


def test_all_stars_together_are_improved_as_by_dense_least_squares() -> None:
    here = scene()
    rng = np.random.default_rng(12)
    n = here.col.size
    drawn = draw(here, GEOMETRY)
    weight = rng.uniform(0.5, 2.0, (50, 70)).astype(np.float32)
    weight[10:12, 30] = 0.0
    residual = rng.normal(0.0, 2.0, (50, 70)).astype(np.float32)
    prior = (here.col + rng.normal(0, 0.01, n), here.row + rng.normal(0, 0.01, n), here.flux * rng.uniform(0.9, 1.1, n))
    col, row, flux = settle(here, drawn, residual, weight, prior, 0.02)

    columns = np.zeros((3, n, 50 + 40, 70 + 40))
    for s in range(n):
        r, c = drawn.first_row[s] + 20, drawn.first_col[s] + 20
        for kind in range(3):
            columns[kind, s, r : r + 9, c : c + 9] = drawn.design[kind, s] * (here.flux[s] if kind else 1.0)
    root = np.sqrt(weight.astype(np.float64)).ravel()
    design = columns[:, :, 20:70, 20:90].reshape(3 * n, -1).T * root[:, None]
    hold = np.concatenate([1.0 / (FLUX_ERROR * prior[2]), np.full(2 * n, 1.0 / 0.02)])
    goal = np.concatenate([prior[2] - here.flux, prior[0] - here.col, prior[1] - here.row]) * hold
    design, right = np.concatenate([design, np.diag(hold)]), np.concatenate([residual.ravel() * root, goal])
    step = np.linalg.lstsq(design, right, rcond=None)[0].reshape(3, n)
    error = np.sqrt(np.diag(np.linalg.inv(design.T @ design))).reshape(3, n)
    for found, start, kind in ((flux, here.flux, 0), (col, here.col, 1), (row, here.row, 2)):
        assert np.abs(found - start - step[kind]).max() < 1e-3 * np.abs(step[kind]).max()
        assert (np.abs(found - start - step[kind]) / error[kind]).max() < 0.01


def test_two_stars_in_one_place_share_the_flux_as_the_catalogue_says() -> None:
    prf = gaussian_prf()
    col, row = np.array([230.2, 230.2]), np.array([920.4, 920.4])
    truth = Scene(prf, col, row, np.array([2600.0, 1300.0]), np.zeros((4, 2)))
    start = Scene(prf, col, row, np.array([2000.0, 1000.0]), np.zeros((4, 2)))
    image = draw(truth, GEOMETRY).model[0]
    drawn = draw(start, GEOMETRY)
    weight = np.full((50, 70), 4.0, np.float32)
    _, _, flux = settle(start, drawn, image - drawn.model[0], weight, (col, row, start.flux), 0.02)
    assert flux.sum() == pytest.approx(3900.0, rel=1e-3)
    # The correction goes as the variance that the catalogue has for each, the square of its flux.
    assert (flux[0] - 2000.0) / (flux[1] - 1000.0) == pytest.approx(4.0, rel=0.02)


def test_the_smooth_shift_leaves_outliers_out() -> None:
    rng = np.random.default_rng(4)
    prf = gaussian_prf(order=1)
    col, row = 200 + rng.uniform(0, 70, 300), 900 + rng.uniform(0, 50, 300)
    u, v = (col - 234.5) / 35.0, (row - 924.5) / 25.0
    shift = np.stack([0.1 + 0.03 * u - 0.02 * v, -0.2 + 0.05 * u], axis=1)
    moved = shift + rng.normal(0.0, 1e-3, (300, 2))
    moved[:10] += 0.5
    here = Scene(prf, col + moved[:, 0], row + moved[:, 1], np.ones(300), np.zeros((2, 2)))
    found = field_shift(here, col, row, np.arange(0, 300, 2))
    assert np.abs(found - shift).max() < 1e-3


def test_neighbours_and_edges() -> None:
    col, row = np.array([100.0, 105.0, 140.0, 144.0, 180.0]), np.full(5, 50.0)
    flux = np.array([1000.0, 100.0, 1000.0, 400.0, 10.0])
    alone = isolated(col, row, flux, np.arange(5), 7)
    np.testing.assert_array_equal(alone, [True, False, False, False, True])
    there = inside(np.array([199.6, 202.9, 203.0, 266.0, 266.6]), np.full(5, 920.0), GEOMETRY, 3)
    np.testing.assert_array_equal(there, [False, True, True, True, False])
