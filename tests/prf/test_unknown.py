"""Stars that nobody knew of, put into noise beside stars that are badly subtracted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from cuvee.model.prf import Prf, knot_count
from cuvee.model.records import Geometry
from cuvee.prf.spline import spline_rows
from cuvee.prf.unknown import find_stars

SIGMA = 0.85
SHAPE = (120, 160)
GEOMETRY = Geometry(*SHAPE, 300, 500, 2048, 2048)


def profile(offset: NDArray[np.float64]) -> NDArray[np.float64]:
    c = 1.0 / (np.sqrt(2.0) * SIGMA)
    return np.asarray(0.5 * (erf((offset + 0.5) * c) - erf((offset - 0.5) * c)))


def gaussian_prf() -> Prf:
    """Fit splines to a pixel-integrated Gaussian along one axis."""
    at: NDArray[np.float64] = np.arange(-150, 151) / 20.0
    rows = spline_rows(at, 3, 7)
    line = np.linalg.lstsq(rows, profile(at), rcond=None)[0]
    assert line.size == knot_count(3, 7)
    return Prf(np.outer(line, line)[None], 3, 7, 0, (579.5, 359.5), (80.0, 60.0))


def draw(col: float, row: float, flux: float) -> NDArray[np.float64]:
    return np.asarray(
        flux
        * np.outer(
            profile(np.arange(SHAPE[0], dtype=np.float64) - row), profile(np.arange(SHAPE[1], dtype=np.float64) - col)
        )
    )


def test_unknown_stars_are_found_where_they_are() -> None:
    rng = np.random.default_rng(3)
    noise = 0.05
    known = draw(40.3, 50.2, 30_000.0)
    truth = [(100.4, 30.7, 8.0), (20.1, 90.2, 40.0), (130.6, 80.3, 300.0), (45.0, 53.5, 4000.0)]
    new = sum(draw(*star) for star in truth)
    residual = (0.01 * known * rng.choice([-1.0, 1.0], SHAPE) + new + noise * rng.standard_normal(SHAPE)).astype(
        np.float32
    )
    variance = np.full(SHAPE, noise**2, np.float32)
    variance[80:83, 120:124] = np.inf
    col, row, flux = find_stars(gaussian_prf(), residual, variance, (known + new).astype(np.float32), GEOMETRY)
    assert col.size == len(truth)
    for x, y, light in truth:
        k = int(np.argmin(np.hypot(col - 500 - x, row - 300 - y)))
        assert np.hypot(col[k] - 500 - x, row[k] - 300 - y) < 0.25
        assert 0.75 < flux[k] / light < 1.2


def test_noise_holds_no_stars() -> None:
    rng = np.random.default_rng(5)
    residual = (0.05 * rng.standard_normal(SHAPE)).astype(np.float32)
    residual[10, 10] = np.nan
    nothing = np.zeros(SHAPE, np.float32)
    col, row, flux = find_stars(gaussian_prf(), residual, np.full(SHAPE, 0.0025, np.float32), nothing, GEOMETRY)
    assert col.size == row.size == flux.size == 0
    col, _, _ = find_stars(gaussian_prf(), residual, np.full(SHAPE, np.inf, np.float32), nothing, GEOMETRY)
    assert col.size == 0
