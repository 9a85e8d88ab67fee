"""Straps, stray light and the glow of a corner: fluxes come back without them, and scatter as their errors say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import sep
from numpy.typing import NDArray
from tests.extract.scenes import batches, moments_of

from cuvee import extract, prf, reference
from cuvee.kernels import render
from cuvee.model.psf import StarModel
from cuvee.model.records import FluxBlock, Geometry, Readout, Reference, Targets
from cuvee.simulate.detector import strap_response
from cuvee.simulate.pixels import background, expose, prf_at
from cuvee.simulate.stray import Patch, add_corner_glow, add_patches

SIDE, LEARNED, MEASURED = 384, 32, 16
READOUT = Readout(1425.6, (5.2,), (9.0,), 720, (0,), 1e5)
RADII = (1.5, 2.5, 3.5)
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Field:
    """Frames of stars down to magnitude 17: those that are learned from are dark, over those that are measured stray light rises."""

    corner: tuple[int, int]
    col: FloatArray
    row: FloatArray
    mag: FloatArray
    flux: FloatArray
    strap: NDArray[np.float32]
    frames: list[Any]
    stars: list[Any]
    skies: list[Any]

    @property
    def measured(self) -> NDArray[np.int64]:
        """Numbers of the stars that are measured."""
        x, y = self.col - self.corner[0], self.row - self.corner[1]
        inside = (np.minimum(x, y) > 6) & (np.maximum(x, y) < SIDE - 7)
        return np.flatnonzero(inside & (self.mag < 16.0))

    def extract(self, psf: bool, mesh_size: int = 64) -> FluxBlock:
        ids = self.measured
        n, zero = ids.size, np.zeros(ids.size)
        targets = Targets(
            np.arange(n), ids, zero, zero, self.mag[ids], np.full(n, "ffi"), self.col[ids], self.row[ids], np.ones((n, 3)),
            np.zeros(n, np.int32), RADII,
        )  # fmt: skip
        dark = self.frames[:LEARNED]
        geometry = Geometry(SIDE, SIDE, self.corner[1], self.corner[0], 2048, 2048)
        still = Reference("ffi", geometry, reference.mean_image(dark), "", 2019.0, 0.0, 0.0, ("a",), READOUT)
        model = None
        if psf:
            even, gain = extract.even(still)
            catalogue = (self.col, self.row, self.flux)
            learned = prf.learn(dark, geometry, even.readout, *catalogue, prf.PrfParams(), gain=gain)
            places = (learned.col, learned.row, learned.flux)
            model = StarModel("ffi", learned.prf, np.arange(self.mag.size), *places, learned.numbers)
        some = batches(self.frames[LEARNED:], range(MEASURED))
        params = extract.ExtractParams(radii=RADII, psf=psf, mesh_size=mesh_size)
        return extract.extract(some, moments_of(MEASURED), ("",) * MEASURED, targets, still, params, model)

    def truth(self, name: str) -> FloatArray:
        """Return the light of all stars in an aperture, or the star's own, shape (n_star, n_frame)."""
        ids = self.measured
        if name == "psf":
            return np.repeat(self.flux[ids, None], MEASURED, axis=1)
        x, y = self.col[ids] - self.corner[0], self.row[ids] - self.corner[1]
        radius = RADII[int(name.removeprefix("aperture")) - 1]
        images = [np.asarray(image, np.float64) for image in self.stars[LEARNED:]]
        return np.array([sep.sum_circle(image, x, y, radius, subpix=0)[0] for image in images]).T

    def pulls(self, block: FluxBlock, name: str, some: NDArray[np.bool_]) -> FloatArray:
        """Return (flux - truth) / error of the stars among some that are fainter than 13."""
        some = some & (self.mag[self.measured] > 13.0)
        flux, error = (block.planes[f"{name}_{what}"].astype(np.float64) for what in ("flux", "flux_err"))
        pull = ((flux - self.truth(name)) / error)[some]
        return np.asarray(pull[np.isfinite(pull).all(axis=1)])

    def near_strap(self, reach: int) -> NDArray[np.bool_]:
        """Tell which stars have a strap so near (px)."""
        at = np.rint(self.col[self.measured]).astype(int) - self.corner[0]
        return np.array([self.strap[max(k - reach, 0) : k + reach + 1].any() for k in at])


def make(corner: tuple[int, int], straps: float, stray: float, glow: float) -> Field:
    rng = np.random.default_rng(31)
    n = int(1e5 * (SIDE / 2048) ** 2)
    low, high = 10 ** (0.3 * 8.0), 10 ** (0.3 * 17.0)
    mag = np.log10(low + (high - low) * rng.random(n)) / 0.3
    flux = 10 ** (0.4 * (20.44 - mag))
    col, row = (c + rng.uniform(-8, SIDE + 8, n) for c in corner)
    shape = prf_at(col, row)
    half = np.where(mag < 12, 10, 7)
    strap = strap_response(straps)[corner[0] : corner[0] + SIDE]
    frames, stars, skies = [], [], []
    for t in range(LEARNED + MEASURED):
        rise = max(t - LEARNED + 1, 0) / MEASURED
        light = (Patch(stray * rise, 1.1, 0.7, 0.95),) if rise else ()
        sky = background(*corner, SIDE, 0.2 * t)
        add_patches(sky, *corner, light)
        add_corner_glow(sky, *corner, glow, light)
        dx, dy = rng.normal(0.0, 0.03, 2)
        star = np.zeros_like(sky)
        render.add_stars(
            star, col + dx - corner[0], row + dy - corner[1], flux, shape.core_sigma, shape.core_shift, shape.wing_sigma,
            shape.wing_shift, shape.wing_share, half,
        )  # fmt: skip
        clean = (star + sky) * (1.0 + strap)
        gain, read = (np.full(SIDE, value[0], np.float32) for value in (READOUT.gain, READOUT.read_noise))
        frames.append(expose(rng, clean, gain, read, READOUT.exposure, READOUT.n_read)[0])
        stars.append(star)
        skies.append(sky)
    return Field(corner, col, row, mag, flux, strap, frames, stars, skies)


@pytest.fixture(scope="module")
def strapped() -> tuple[Field, FluxBlock]:
    """Sky of 100 e-/s/pixel that rises by some 400, on columns with straps of up to 4 %."""
    field = make((1400, 900), 0.04, 300.0, 0.0)
    return field, field.extract(psf=True)


@pytest.mark.parametrize("name", ["aperture1", "aperture3", "psf"])
def test_stars_on_straps_are_as_good_as_others(strapped: tuple[Field, FluxBlock], name: str) -> None:
    field, block = strapped
    on, off = field.near_strap(1), ~field.near_strap(5)
    mine, others = (field.pulls(block, name, some) for some in (on, off))
    assert min(len(mine), len(others)) > 100
    for pull in (mine, others):
        assert np.median(pull.std(axis=1, ddof=1)) == pytest.approx(1.0, abs=0.1)
        assert abs(np.median(pull)) < 0.3
    assert 1.4826 * np.median(np.abs(mine)) == pytest.approx(1.4826 * np.median(np.abs(others)), rel=0.2)


def test_what_straps_would_do_is_gone(strapped: tuple[Field, FluxBlock]) -> None:
    """Left alone, the excess of the sky alone would be tens of errors."""
    field, block = strapped
    some = field.near_strap(0) & (field.mag[field.measured] > 14.0)
    x = field.col[field.measured] - field.corner[0]
    y = field.row[field.measured] - field.corner[1]
    for k in (0, MEASURED - 1):
        glow = np.asarray(field.skies[LEARNED + k] * field.strap, np.float64)
        left = sep.sum_circle(glow, x, y, 2.5, subpix=0)[0] / block.planes["aperture2_flux_err"][:, k]
        assert np.median(left[some]) > 10.0
    pull = field.pulls(block, "aperture2", some)
    assert abs(np.median(pull[:, -1])) < 0.02 * np.median(left[some])


def test_pixels_on_straps_fit_and_were_hit_by_nothing(strapped: tuple[Field, FluxBlock]) -> None:
    """What grows with stray light in some columns only is neither a misfit nor a cosmic ray."""
    field, block = strapped
    on, off = field.near_strap(1), ~field.near_strap(5)
    chi2 = block.planes["psf_chi2"]
    assert np.nanmedian(chi2[on]) == pytest.approx(np.nanmedian(chi2[off]), rel=0.1)
    hit = (block.planes["flag"] & 4096) != 0
    assert hit[on].mean() < 0.005


def test_the_block_says_by_what_columns_were_multiplied(strapped: tuple[Field, FluxBlock]) -> None:
    field, block = strapped
    gain = dict(block.meta["gain"])
    straps = np.flatnonzero(field.strap)
    assert sorted(gain) == (straps + field.corner[0]).tolist()
    for k in straps:
        assert gain[int(k) + field.corner[0]] == pytest.approx(1.0 / (1.0 + field.strap[k]), abs=1e-3)


def test_a_field_without_straps_is_left_as_it_is() -> None:
    field = make((1400, 900), 0.0, 300.0, 0.0)
    block = field.extract(psf=False)
    assert block.meta["gain"] == []
    pull = field.pulls(block, "aperture2", np.ones(field.measured.size, bool))
    assert np.median(pull.std(axis=1, ddof=1)) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("mesh_size", "least", "worst"), [(64, 0.6, 3.0), (32, 0.8, 1.6)])
def test_a_glowing_corner_is_in_the_errors(mesh_size: int, least: float, worst: float) -> None:
    """There interpolation goes astray: so does the mean by some errors, but no light curve scatters by more than it says."""
    field = make((0, 0), 0.0, 100.0, 60.0)
    block = field.extract(psf=True, mesh_size=mesh_size)
    x, y = field.col[field.measured], field.row[field.measured]
    away = 2895.0 - np.hypot(2047.0 - x, 2047.0 - y)
    edge = np.minimum(np.minimum(x, y), SIDE - 1.0 - np.maximum(x, y))
    corner, plain = away < 200.0, (away > 350.0) & (edge > 0.5 * mesh_size)
    for name in ("aperture1", "aperture3", "psf"):
        for some, (low, high) in ((plain, (0.9, 1.1)), (corner, (least, 1.1))):
            pull = field.pulls(block, name, some)
            assert len(pull) > 50
            assert low < np.median(pull.std(axis=1, ddof=1)) < high
        assert 1.4826 * np.median(np.abs(field.pulls(block, name, corner))) < worst
    # A steep slope across a cell is no noise of its mean, and a glow elsewhere none of the cells around.
    error = block.planes["background_err"]
    noise = np.sqrt(block.planes["background"] / READOUT.exposure + 0.04) / 20.0
    assert np.median((error / noise)[plain]) == pytest.approx(1.0, abs=0.25)
