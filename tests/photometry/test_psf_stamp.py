"""PSF fluxes of a stamp against what was put in, and against a fit of every parameter to every frame by itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import least_squares

from cuvee import prf
from cuvee.model.prf import Prf
from cuvee.model.records import Geometry
from cuvee.photometry.psf_stamp import StampFluxes, StampModel, solve_stamp

EXPOSURE, READ = 1425.6, 0.04
GEOMETRY = Geometry(11, 11, 500, 700)
SHAPE = prf.gaussian_prf((0.6, 0.55), 0.4, 2.0, 7, GEOMETRY)
PLACE = np.array([[705.2, 504.8], [707.9, 506.1], [702.0, 508.3], [704.1, 502.2]])
FLUX = np.array([4000.0, 2500.0, 900.0, 60.0])
LEVEL = 150.0


def draw(place: NDArray[np.float64], flux: NDArray[np.float64], shape: Prf = SHAPE) -> NDArray[np.float64]:
    return np.asarray(prf.unit_stars(shape, place, GEOMETRY)[0] @ flux)


class Series:
    """Frames of a stamp whose stars move, and vary; the last star is constant and is not solved for."""

    def __init__(self, n: int, jitter: float, noise: bool, seed: int = 3, share: float = 1.0) -> None:
        self.mean = share * FLUX
        rng = np.random.default_rng(seed)
        self.moved = rng.normal(0.0, jitter, (n, 2))
        self.moved -= self.moved.mean(axis=0)
        self.level = LEVEL + rng.normal(0.0, 5.0, n)
        self.flux = self.mean * (1.0 + np.array([0.02, 0.01, 0.05, 0.0]) * rng.normal(size=(n, 4)))
        clean = np.stack([draw(PLACE + d, f) + b for d, f, b in zip(self.moved, self.flux, self.level, strict=True)])
        self.sigma = np.sqrt(clean / EXPOSURE + READ)
        self.cube = (clean + (self.sigma * rng.normal(size=clean.shape) if noise else 0.0)).astype(np.float32)

    def model(self, level: bool = True) -> StampModel:
        still = np.asarray(np.nanmean(self.cube, axis=0, dtype=np.float64))
        stars = prf.unit_stars(SHAPE, PLACE, GEOMETRY)
        return StampModel(
            still,
            stars[:3, :, :3],
            stars @ self.mean,
            1.0 / (np.maximum(still, 0.0) / EXPOSURE + READ),
            EXPOSURE,
            level,
        )

    def change(self) -> NDArray[np.float64]:
        return np.asarray(self.flux[:, :3] - self.flux[:, :3].mean(axis=0))


def solved(series: Series) -> StampFluxes:
    return solve_stamp(series.model(), series.cube)


def test_without_noise_changes_and_pointing_come_back() -> None:
    series = Series(200, 0.03, noise=False)
    found = solved(series)
    # The mean of moved stars is a little wider than a star: what is left is of second order.
    np.testing.assert_allclose(found.pointing, series.moved, atol=4e-4)
    np.testing.assert_allclose(found.change - found.change.mean(axis=0), series.change(), atol=0.6)
    assert not found.hit.any()
    assert (found.missing == 0.0).all()


def test_errors_are_those_of_the_noise() -> None:
    series = Series(600, 0.02, noise=True, share=0.1)  # bright stars are not believed to their photons
    found = solved(series)
    pull = (found.change - series.change()) / found.error
    assert np.abs(np.std(pull, axis=0) - 1.0).max() < 0.08
    np.testing.assert_allclose(np.median(found.chi2, axis=0), 1.0, atol=0.1)


def test_it_agrees_with_a_fit_of_all_parameters_to_each_frame() -> None:
    """The slow reference draws the stars anew at every trial, and knows no series in the displacement."""
    series = Series(24, 0.02, noise=True)
    found = solved(series)
    model = series.model()
    still = draw(PLACE, FLUX)
    weight = np.sqrt(model.inverse_variance)
    for t in range(24):
        above = series.cube[t].astype(np.float64) - model.still

        def left(at: NDArray[np.float64], above: NDArray[np.float64] = above) -> NDArray[np.float64]:
            here = draw(PLACE + at[:2], FLUX + np.append(100.0 * at[2:5], 0.0)) + at[5]
            return np.asarray((above - (here - still)) * weight)

        best = least_squares(left, np.full(6, 1e-3), diff_step=1e-3, x_scale=0.1).x
        np.testing.assert_allclose(found.change[t], 100.0 * best[2:5], atol=0.15 * found.error[t].max())
        np.testing.assert_allclose(found.pointing[t], best[:2], atol=2e-4)


def test_a_cosmic_ray_is_taken_out_and_a_flare_is_not() -> None:
    series = Series(60, 0.02, noise=True)
    middle = 5 * 11 + 5
    series.cube[7, middle] += 300.0
    series.cube[9] += draw(PLACE[:1], np.array([800.0])).astype(np.float32)
    found = solved(series)
    assert found.hit[7, 0]
    assert np.abs(found.change[7, 0] - series.change()[7, 0]) < 6 * found.error[7, 0]
    assert not found.hit[9].any()
    assert found.change[9, 0] - series.change()[9, 0] == pytest.approx(800.0, abs=30.0)
    assert not np.delete(found.hit, [7], axis=0).any()


def test_missing_pixels_are_told_and_the_rest_is_used() -> None:
    series = Series(40, 0.02, noise=True)
    series.cube[3, 0] = np.nan
    series.cube[5] = np.nan
    found = solved(series)
    assert np.isfinite(found.change[3]).all()
    assert (found.missing[3] < 0.05).all()
    assert np.isnan(found.change[5]).all()
    np.testing.assert_allclose(found.missing[5], 1.0)
    assert np.isfinite(np.delete(found.change, 5, axis=0)).all()


def test_faint_stars_do_not_tell_where_a_frame_points() -> None:
    series = Series(30, 0.0, noise=True)
    model = series.model()
    faint = StampModel(
        np.full_like(model.still, LEVEL), model.stars, 1e-3 * model.light, model.inverse_variance, EXPOSURE, True
    )
    found = solve_stamp(faint, (series.cube - model.still + LEVEL).astype(np.float32))
    assert (found.pointing == 0.0).all()
    assert np.isfinite(found.change).all()


def test_fewer_pixels_than_unknowns_give_nothing() -> None:
    model = Series(5, 0.0, noise=True).model()
    few = np.zeros_like(model.inverse_variance)
    few[:4] = 1.0
    found = solve_stamp(
        StampModel(model.still, model.stars, model.light, few, EXPOSURE, True), model.still[None].astype(np.float32)
    )
    assert np.isnan(found.change).all()
