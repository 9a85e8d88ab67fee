"""PSF photometry where the data are not as they should be: each case is reduced whole, and what cannot be measured says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from tests.run.stamps import make_workspace
from tests.run.test_psf import ask
from tests.run.workspaces import done, raw_files, run

import cuvee
from cuvee.model.flags import NO_PSF, SATURATED
from cuvee.simulate.params import PLAIN, SimulationParams
from cuvee.simulate.signals import CONSTANT
from cuvee.simulate.tess import simulate
from cuvee.store.blocks import read_block
from cuvee.store.numbers import read_columns
from cuvee.survey import LightCurve, Survey

FRAMES, STARS, SIZE = 40, 600, 220
ORIGIN = (2048 - SIZE) // 2

COLLATERAL = 44
"""Columns of a frame's file before the first science pixel."""

Image = NDArray[np.float32]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of constant and variable stars, nothing else; PSF fluxes are asked for, nothing has been done."""
    root = tmp_path_factory.mktemp("hard") / "plain"
    simulate(root, frames=FRAMES, stars=STARS, size=SIZE, seed=8, params=PLAIN)
    ask(root, psf=True)
    return root


def changed(plain: Path, root: Path, change: Callable[[int, Image], Image | None]) -> Path:
    """Copy the workspace, and change the pixels of its frames."""
    shutil.copytree(plain, root)
    for k, path in enumerate(raw_files(root)):
        with fits.open(path, mode="update", memmap=False) as file:
            new = change(k, file[1].data.astype(np.float32))
            if new is not None:
                file[1].data = new
    return root


def truth_of(root: Path) -> dict[int, dict[str, Any]]:
    columns = read_columns(root / "truth" / "stars.parquet")
    return {
        int(star): {name: values[k] for name, values in columns.items()}
        for k, star in enumerate(columns["id"].tolist())
    }


def honest(survey: Survey) -> dict[int, LightCurve]:
    """Return all light curves, of which every point has a PSF flux with an error or says that it has none."""
    curves = {int(star): survey.light_curve(star) for star in survey.light_curves(["id"])["id"].to_pylist()}
    for curve in curves.values():
        lost = np.isnan(curve.psf_flux)
        assert ((curve.flag[lost] & NO_PSF) > 0).all()
        assert np.isfinite(curve.psf_flux_err[~lost]).all()
    return curves


def pulls(curve: LightCurve, flux: float) -> NDArray[np.float64]:
    return np.asarray((curve.psf_flux.astype(float) - flux) / curve.psf_flux_err)


def room(star: dict[str, Any]) -> float:
    """How far a star stands inside the pixels' outer edge (px)."""
    places = [star[axis] - ORIGIN for axis in ("col", "row")]
    return float(min(min(place + 0.5, SIZE - 0.5 - place) for place in places))


def test_stars_at_the_edge_have_their_flux_or_none(plain: Path, tmp_path: Path) -> None:
    root = changed(plain, tmp_path / "w", lambda *_: None)
    assert not run(root).troubled
    curves, truth = honest(cuvee.open(root)), truth_of(root)
    ratio = []
    for star, curve in curves.items():
        one = truth[star]
        if room(one) < 0.0:
            assert np.isnan(curve.psf_flux).all()
        elif room(one) < 2.0 and one["kind"] == CONSTANT and one["mag"] < 15.5:
            ratio.append(float(np.nanmedian(curve.psf_flux) / one["flux"]))
            assert np.nanstd(pulls(curve, float(np.nanmean(curve.psf_flux)))) < 2.0
    assert len(ratio) > 5
    assert abs(np.median(ratio) - 1.0) < 0.02
    assert np.abs(np.array(ratio) - 1.0).max() < 0.25


def test_a_field_of_saturated_stars_has_apertures_and_says_why(plain: Path, tmp_path: Path) -> None:
    """All light is 300 times as much, and full pixels hold no more: no star is both whole and alone enough to teach."""

    def flood(_: int, image: Image) -> Image:
        return np.asarray(np.minimum((image - 100.0) * 300.0 + 100.0, 1.6e5), np.float32)

    root = changed(plain, tmp_path / "w", flood)
    table = root / "BASE" / "CAT" / "catalog.csv"
    head, *lines = table.read_text().splitlines()
    rows = [line.rpartition(",") for line in lines]
    brighter = [f"{first},{float(mag) - 2.5 * np.log10(300.0):.4f}" for first, _, mag in rows]
    table.write_text("\n".join([head, *brighter]) + "\n")
    summary = run(root)
    assert not summary.troubled
    assert ("prf", "no-work") in summary.counts
    survey = cuvee.open(root)
    said = survey.diagnostics()["errors"].to_pylist()
    assert all(
        "enough to teach the PRF" in words and "There are apertures, but no PSF fluxes" in words for words in said
    )
    curves = [survey.light_curve(star) for star in survey.light_curves(["id"])["id"].to_pylist()]
    assert all((curve.flag & NO_PSF).all() for curve in curves)
    full = [curve for curve in curves if ((curve.flag & SATURATED) > 0).all()]
    assert len(full) > 50
    assert all(np.isnan(curve.psf_flux).all() and np.isfinite(curve.flux).any() for curve in full)


@pytest.mark.parametrize("kind", ["frames", "stamps"])
def test_frames_that_are_all_flagged_are_measured_and_stay_flagged(plain: Path, tmp_path: Path, kind: str) -> None:
    root = tmp_path / "w"
    if kind == "frames":
        shutil.copytree(plain, root)
        for path in raw_files(root):
            with fits.open(path, mode="update") as file:
                file[1].header["DQUALITY"] = 32
    else:
        make_workspace(root, 4, 30, config="[extract]\npsf = true\n")
        for path in (root / "RAW").iterdir():
            with fits.open(path, mode="update") as file:
                file["PIXELS"].data["QUALITY"][:] = 32
    summary = run(root)
    assert not summary.troubled
    assert not summary.bad
    assert done(summary)["prf" if kind == "frames" else "prf-series"] == 1
    survey = cuvee.open(root)
    table = survey.diagnostics().to_pylist()
    assert {row["n_good"] for row in table} == {0}
    assert all("no good point" in row["errors"] or row["errors"].startswith("all points") for row in table)
    curves = honest(survey)
    assert np.mean([np.isfinite(curve.psf_flux).mean() for curve in curves.values()]) > 0.99
    assert all((curve.quality == 32).all() for curve in curves.values())


def test_after_a_jump_of_a_pixel_nothing_wrong_is_given(plain: Path, tmp_path: Path) -> None:
    """From the middle on all pixels are one column and one row farther; what cannot be followed has no flux, and says so.

    Half of the frames that the PRF is learned from lie beyond the jump, so what is measured before it is only good to some tenths of a per
    cent, and psf_chi2 says that it does not fit.
    """
    root = changed(plain, tmp_path / "w", lambda k, image: np.roll(image, (1, 1), (0, 1)) if k >= FRAMES // 2 else None)
    assert not run(root).troubled
    curves, truth = honest(cuvee.open(root)), truth_of(root)
    measured, spread, chi2 = [], [], []
    for star, curve in curves.items():
        one = truth[star]
        if room(one) > 10.0 and one["kind"] == CONSTANT and 9.0 < one["mag"] < 13.0:
            first, later = curve.psf_flux[: FRAMES // 2 - 1], curve.psf_flux[FRAMES // 2 :]
            measured.append(np.isfinite(first).all())
            if measured[-1]:
                spread.append(np.std(first) / np.median(first))
                chi2.append(np.nanmedian(curve.psf_chi2[: FRAMES // 2 - 1]))
                assert np.abs(later[np.isfinite(later)] / np.median(first) - 1.0).max(initial=0.0) < 0.02
    assert len(measured) > 20
    assert np.mean(measured) > 0.9  # of blends, the fainter star is never measured
    assert np.median(spread) < 0.005
    assert np.median(chi2) > 100.0


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_drift_through_a_bad_column(tmp_path: Path, value: float) -> None:
    """Stars near a column that is not a number, or dead, scatter as their errors say while they drift over it, and those farther off, too.

    Where dead pixels took part, the pointing was wrong by half a pixel, and all stars of the detector scattered by forty errors.
    """
    root = tmp_path / "made"
    params = SimulationParams(effects=frozenset(), jitter=0.03, drift=0.9)
    simulate(root, frames=FRAMES, stars=STARS, size=SIZE, seed=9, params=params)
    ask(root, psf=True)
    middle = SIZE // 2

    def spoil(_: int, image: Image) -> Image:
        image[:, COLLATERAL + middle] = value
        return image

    root = changed(root, tmp_path / "w", spoil)
    assert not run(root).troubled
    curves, truth = honest(cuvee.open(root)), truth_of(root)
    spread: dict[bool, list[float]] = {True: [], False: []}
    ratio = []
    for star, curve in curves.items():
        one = truth[star]
        if room(one) > 8.0 and one["kind"] == CONSTANT and 8.5 < one["mag"] < 13.5:
            flux = curve.psf_flux[np.isfinite(curve.psf_flux)]
            if flux.size:
                near = abs(one["col"] - ORIGIN - middle) < 5.0
                spread[near].append(float(np.std(flux) / np.nanmedian(curve.psf_flux_err)))
                ratio.append(float(np.median(flux) / one["flux"]))
    assert np.abs(np.percentile(ratio, [10, 50, 90]) - 1.0).max() < 0.02
    assert len(spread[True]) > 3
    for found in spread.values():
        assert np.median(found) < 1.3
    frames = read_columns(root / "truth" / "frames.parquet")
    blocks = [read_block(path) for path in sorted(root.glob("RED/**/*.arrow"))]
    where = [one for b in blocks for one, name in zip(b.meta["pointing"], b.names, strict=True) if name]
    for k, axis in enumerate(("col", "row")):
        made = frames[f"jitter_{axis}"] + frames[f"drift_{axis}"]
        assert np.std([one[k][0] for one in where] - made) < 1e-3
