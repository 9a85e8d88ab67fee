"""Steps of the solver against plain least squares, and the dense kernels against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from cuvee.kernels import prf_dense
from cuvee.model.prf import Prf, knot_count
from cuvee.prf import solve, stamps
from cuvee.prf.scene import pointing_factors

HALF, KNOTS = 3, 2


def test_products_and_factors_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    n = 16 * 23
    tall = rng.normal(size=(3 * n, n)).astype(np.float32)
    matrix = np.triu(rng.normal(size=(n, n)))
    before = matrix.copy()
    packed = np.ascontiguousarray(tall.reshape(3 * n, n // 16, 16).transpose(1, 0, 2))
    prf_dense.subtract_gram(packed, matrix)
    expected = before - np.triu(tall.T.astype(np.float64) @ tall.astype(np.float64))
    np.testing.assert_allclose(np.triu(matrix), expected, atol=3e-3)

    positive = (tall.T @ tall).astype(np.float64) + np.eye(n)
    right = rng.normal(size=n)
    factor, x = np.triu(positive), right.copy()
    assert prf_dense.cholesky(factor) == n
    np.testing.assert_allclose(np.triu(factor), linalg.cholesky(positive), rtol=1e-9, atol=1e-9)
    prf_dense.solve_cholesky(factor, x)
    np.testing.assert_allclose(positive @ x, right, atol=1e-9)


@pytest.mark.parametrize("row", [0, 5, 95, 96, 130])
def test_a_matrix_that_is_not_positive_is_noticed(row: int) -> None:
    matrix = np.eye(160)
    matrix[row, row] = -1.0
    assert prf_dense.cholesky(matrix) == row


@pytest.mark.parametrize("eliminate", [True, False])
def test_a_step_is_that_of_plain_least_squares(monkeypatch: pytest.MonkeyPatch, eliminate: bool) -> None:
    """Every pixel of every frame as one equation, and every prior as one more, in a matrix for all unknowns at once."""
    monkeypatch.setattr(solve, "MISFIT", 0.0)
    rng = np.random.default_rng(3)
    n_star, n_frame, order, position_error = 12, 5, 1, 0.02
    n_knot = knot_count(KNOTS, HALF)
    at = (np.arange(n_knot) - n_knot // 2) / KNOTS
    coef = np.zeros((3, n_knot, n_knot))
    coef[0] = np.exp(-(at[:, None] ** 2 + at**2)) / np.pi
    prf = Prf(coef, KNOTS, HALF, order, (50.0, 40.0), (50.0, 40.0))
    col, row = rng.uniform(10, 90, n_star), rng.uniform(10, 70, n_star)
    flux = rng.uniform(500.0, 5000.0, n_star)
    factors = pointing_factors(rng.normal(0.0, 0.1, (n_frame, 2)))
    _, _, values = stamps(prf, col, row)
    values = values.reshape(6, n_star, -1)
    n_pixel = values.shape[2]
    weight = rng.uniform(0.5, 2.0, (n_star, n_pixel))
    weight[3, 5] = 0.0
    off_prior = rng.normal(0.0, 0.01, (n_star, 2))
    left = rng.normal(0.0, 3.0, (n_frame, n_star, n_pixel))
    lesson = solve.Lesson(
        col, row, flux, off_prior, values.reshape(6, n_star, 2 * HALF + 1, -1), weight, np.ones(n_star),
        np.ascontiguousarray(np.einsum("ta,tsp->spa", factors, left)), np.einsum("ta,tb->ab", factors, factors),
    )  # fmt: skip
    better, n_unknown = solve.improve(prf, lesson, eliminate, position_error)

    # The reference: stamps are linear in the coefficients, so unit coefficients give their columns.
    radius = np.hypot(at[:, None], at)
    columns, place, priors, goals = [], [], [], []
    constraints, n_sum = solve._constraints(prf)
    for k in range(3):
        inside = np.argwhere(radius < (HALF + 0.75 if k == 0 else min(4.5, HALF + 0.75)))
        place += [(k, i, j) for i, j in inside]
    assert n_unknown == len(place)
    for k, i, j in place:
        unit = np.zeros_like(coef)
        unit[k, i, j] = 1.0
        one = stamps(Prf(unit, KNOTS, HALF, order, prf.centre, prf.scale), col, row)[2].reshape(6, n_star, -1)
        columns.append(np.einsum("ta,asp,s->tsp", factors, one.astype(np.float64), flux).ravel())
    if eliminate:
        zero = np.zeros_like(values[0])
        moving = (
            values,
            np.stack([values[1], values[3], values[4], zero, zero, zero]),
            np.stack([values[2], values[4], values[5], zero, zero, zero]),
        )
        for kind, shapes in enumerate(moving):
            for s in range(n_star):
                column = np.zeros((n_frame, n_star, n_pixel))
                column[:, s] = np.einsum("ta,ap->tp", factors, shapes[:, s].astype(np.float64))
                columns.append((column * (flux[s] if kind else 1.0)).ravel())
                if kind:
                    prior = np.zeros(len(place) + 3 * n_star)
                    prior[len(place) + kind * n_star + s] = 1.0 / position_error
                    priors.append(prior)
                    goals.append(-off_prior[s, kind - 1] / position_error)
    n_all = len(columns)
    for k in range(3):
        mine = np.array([p[0] == k for p in place])
        knots = [i * n_knot + j for q, i, j in place if q == k]
        now = coef[k].ravel()[knots]
        smooth = solve.SMOOTH * solve._smoothness(prf, solve.LOOSE[min(k, 1)]).toarray()[np.ix_(knots, knots)]
        root = linalg.cholesky(smooth)
        held = constraints[: None if eliminate else n_sum][:, knots] / solve.SUM_ERROR
        goal = np.zeros(held.shape[0])
        goal[:n_sum] = (k == 0) / solve.SUM_ERROR
        for rows, wanted in ((root, np.zeros(len(knots))), (held, goal)):
            full = np.zeros((rows.shape[0], n_all))
            full[:, np.flatnonzero(mine)] = rows
            priors += list(full)
            goals += list(wanted - rows @ now)
    root_weight = np.sqrt(np.broadcast_to(weight, left.shape)).ravel()
    design = np.concatenate([np.stack(columns, axis=1) * root_weight[:, None], np.array(priors)])
    answer = linalg.lstsq(design, np.concatenate([left.ravel() * root_weight, goals]), lapack_driver="gelsy")[0]
    step = np.array([better.coef[p] - coef[p] for p in place])
    assert np.abs(step).max() > 1e-4
    np.testing.assert_allclose(step, answer[: len(place)], atol=2e-3 * np.abs(step).max())
