"""PSF photometry as a run does it: on request, the same bytes on any number of workers, and apertures where no PRF can be learned."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.run.workspaces import done, product_bytes, raw_files, run

import cuvee
from cuvee.model.flags import NO_PSF
from cuvee.provenance import explain_star
from cuvee.simulate import faults
from cuvee.simulate.params import SimulationParams
from cuvee.simulate.signals import CONSTANT
from cuvee.simulate.tess import simulate
from cuvee.store.blocks import read_block
from cuvee.store.numbers import read_columns
from cuvee.store.star_models import read_star_model

FRAMES, STARS, SIZE = 48, 900, 300
ORIGIN = (2048 - SIZE) // 2

Workspace = Callable[[str], Path]


def ask(root: Path, psf: bool) -> None:
    path = root / "cuvee.toml"
    text = path.read_text()
    for old in ('# psf = "frames"', "psf = true", "psf = false"):
        if old in text:
            path.write_text(text.replace(old, f"psf = {'true' if psf else 'false'}"))
            return
    raise AssertionError(text)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("psf") / "finished"
    params = SimulationParams(effects=frozenset({"aberration", "cosmic-rays"}), jitter=0.05)
    simulate(root, frames=FRAMES, stars=STARS, size=SIZE, seed=6, params=params)
    ask(root, psf=True)
    summary = run(root)
    assert done(summary)["prf"] == 1
    assert not summary.troubled
    return root


@pytest.fixture
def workspace(finished: Path, tmp_path: Path) -> Workspace:
    """Return copies of the workspace: ``finished`` ones, or ``raw`` ones with nothing done."""

    def make(kind: str) -> Path:
        root = tmp_path / kind
        shutil.copytree(finished, root, symlinks=True)
        if kind != "finished":
            for name in ("LC", "RED", "report"):
                shutil.rmtree(root / name, ignore_errors=True)
            for name in ("prf", "reference-frames", "CAT/partitions"):
                shutil.rmtree(root / "BASE" / name, ignore_errors=True)
            (root / "cuvee.db").unlink()
        return root

    return make


def test_psf_fluxes_scatter_less_than_apertures_and_have_the_errors_they_claim(finished: Path) -> None:
    truth = read_columns(finished / "truth" / "stars.parquet")
    kind = dict(zip(truth["id"].tolist(), truth["kind"].tolist(), strict=True))
    survey = cuvee.open(finished)
    table = survey.light_curves(columns=["id", "mag", "best"])
    gain, pull, share = [], [], []
    for star, mag in zip(table["id"].to_pylist(), table["mag"].to_pylist(), strict=True):
        curve = survey.light_curve(star)
        if kind[star] != CONSTANT:
            continue
        flux, error = curve.psf_flux[curve.good], curve.psf_flux_err[curve.good]
        if not np.isfinite(flux).all() or flux.size < 30:
            continue
        best = min(
            np.std(getattr(curve, f"aperture{k}_flux")[curve.good]) / s for k, s in ((1, 0.72), (2, 0.96), (3, 0.99))
        )
        gain.append(np.std(flux) / best)
        if mag > 9.0:
            pull.append(np.std(flux, ddof=1) / np.median(error))
        share.append(np.median(curve.psf_chi2[curve.good]))
    assert len(gain) > 200
    assert np.median(gain) < 0.97
    assert np.median(pull) == pytest.approx(1.0, abs=0.07)
    assert 0.6 < np.median(share) < 1.1


def test_the_same_bytes_on_any_number_of_workers(finished: Path, workspace: Workspace) -> None:
    root = workspace("raw")
    run(root, executor="process", workers=2)
    assert product_bytes(root) == product_bytes(finished)


def test_psf_comes_and_goes_with_the_setting(finished: Path, workspace: Workspace) -> None:
    root = workspace("finished")
    assert run(root).worked == 0
    ask(root, psf=False)
    summary = run(root)
    assert "prf" not in done(summary)
    assert "psf_flux" not in {field.name for field in cuvee.open(root).light_curves().schema.field("lc").type}
    assert run(root).worked == 0
    ask(root, psf=True)
    run(root)
    assert product_bytes(root) == product_bytes(finished)


def test_a_bad_frame_of_the_reference_set_is_replaced_and_comes_back(finished: Path, workspace: Workspace) -> None:
    root = workspace("finished")
    path = raw_files(root)[FRAMES // 2]
    whole = path.read_bytes()
    faults.truncate(path)
    summary = run(root)
    assert len(summary.bad) == 1
    assert done(summary)["prf"] == 1
    path.write_bytes(whole)
    run(root, renew_reference=True)
    assert product_bytes(root) == product_bytes(finished)


def test_without_stars_to_learn_from_there_are_apertures(workspace: Workspace) -> None:
    root = workspace("raw")
    catalog = root / "BASE" / "CAT" / "catalog.csv"
    lines = catalog.read_text().splitlines()
    faint = [line for line in lines[1:] if float(line.split(",")[-1]) > 15.0]
    catalog.write_text("\n".join([lines[0], *faint]) + "\n")
    summary = run(root)
    assert ("prf", "no-work") in summary.counts
    assert all(
        words.startswith("prf: ") and "There are apertures, but no PSF fluxes." in words
        for words in cuvee.open(root).diagnostics()["errors"].to_pylist()
    )
    table = cuvee.open(root).light_curves(columns=["id", "best", "lc"])
    assert table.num_rows > 100
    assert "psf" not in table["best"].to_pylist()
    # The column is there, so that all light curves of a survey are alike, and the flags say that nothing is in it.
    points = table["lc"].combine_chunks()
    for name in ("psf_flux", "psf_flux_err", "psf_chi2"):
        assert np.isnan(points.field(name).flatten().to_numpy()).all()
    assert (points.field("flag").flatten().to_numpy() & NO_PSF != 0).all()
    assert run(root).worked == 0


def test_two_stars_at_one_place_say_which_is_not_measured(workspace: Workspace) -> None:
    root = workspace("raw")
    catalog = root / "BASE" / "CAT" / "catalog.csv"
    lines = catalog.read_text().splitlines()
    table = read_columns(root / "truth" / "stars.parquet")
    inside = table["on_pixels"] & (table["mag"] > 11) & (table["mag"] < 12)
    chosen = int(table["id"][np.flatnonzero(inside)[0]])
    line = next(line for line in lines if line.startswith(f"{chosen},"))
    words = line.split(",")
    twin = ",".join(["999999", *words[1:-1], f"{float(words[-1]) + 1.5:.4f}"])
    catalog.write_text("\n".join([*lines, twin]) + "\n")
    run(root)
    survey = cuvee.open(root)
    lost, kept = survey.light_curve(999999), survey.light_curve(chosen)
    assert np.isnan(lost.psf_flux).all()
    assert ((lost.flag & NO_PSF) > 0).all()
    assert np.isfinite(kept.psf_flux).all()
    assert lost.observations[0]["best"] != "psf"


def test_the_prf_fits_and_says_so(finished: Path) -> None:
    model = read_star_model(next((finished / "BASE" / "prf").glob("*.npz")))
    assert abs(model.numbers["width_mismatch"]) < 0.005
    assert model.numbers["n_teacher"] > 50
    assert model.prf.order in (0, 1, 2)


def test_a_survey_that_drifts_is_followed(tmp_path: Path) -> None:
    root = tmp_path / "drift"
    params = SimulationParams(effects=frozenset(), jitter=0.03, drift=1.2)
    simulate(root, frames=FRAMES, stars=STARS, size=SIZE, seed=6, params=params)
    ask(root, psf=True)
    run(root)
    survey = cuvee.open(root)
    stars = read_columns(root / "truth" / "stars.parquet")
    shift = np.concatenate([read_block(path).meta["shift"] for path in root.glob("RED/**/*.arrow")])
    assert np.abs(shift).max() > 0.3
    assert len(np.unique(shift, axis=0)) > 2
    inside = np.all([(stars[name] > ORIGIN + 8) & (stars[name] < ORIGIN + SIZE - 9) for name in ("col", "row")], axis=0)
    steady = inside & (stars["kind"] == CONSTANT) & (stars["mag"] > 8.0) & (stars["mag"] < 14.0)
    scatter, followed = [], 0
    for star in stars["id"][steady].tolist():
        curve = survey.light_curve(int(star))
        flux, error = (curve.points[name].astype(float) for name in ("psf_flux", "psf_flux_err"))
        good = np.isfinite(flux)
        assert (curve.points["flag"][~good] & NO_PSF).all()
        followed += good.all()
        scatter.append(flux[good].std(ddof=1) / np.median(error[good]))
    assert len(scatter) > 100
    assert followed > 0.9 * len(scatter)
    assert np.median(scatter) < 1.1
    # What a plan for other places gave can be redone by hand, too.
    star = int(stars["id"][steady][0])
    curve = survey.light_curve(star)
    for k in (0, len(curve.time) - 1):
        (seen,) = explain_star(survey, star, float(curve.time[k]))["observations"]
        assert seen["point"]["psf"]["flux"]["agrees"]
