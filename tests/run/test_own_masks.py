"""Masks of the stars' own and halos as a run makes them: on request, the same bytes on any number of workers, and what flux then holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray
from tests.photometry.test_halo import SIZE, saturated_star, transit
from tests.run.stamps import make_workspace
from tests.run.workspaces import done, product_bytes, run

import cuvee
from cuvee.errors import ConfigError
from cuvee.export import export
from cuvee.metrics import point_to_point_scatter
from cuvee.model.flags import NO_HALO, NO_MASK
from cuvee.provenance import explain_star, format_explanation
from cuvee.report import write_report
from cuvee.simulate.tess import simulate
from cuvee.store.numbers import read_columns
from cuvee.survey import LightCurve

STAR = 1000


def ask(root: Path, *settings: str) -> None:
    path = root / "cuvee.toml"
    for setting in settings:
        section, _, line = setting.partition(" ")
        path.write_text(path.read_text().replace(f"[{section}]", f"[{section}]\n{line}", 1))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("masks") / "finished"
    simulate(root, frames=48, stars=400, size=256, seed=6)
    ask(root, "extract k2p2 = true", "extract psf = false")
    summary = run(root)
    assert not summary.troubled
    assert done(summary)["neighbours"] == 1
    return root


def test_every_star_of_full_frames_has_a_mask_flux_or_a_reason(finished: Path) -> None:
    survey = cuvee.open(finished)
    table = survey.light_curves(columns=["id", "best", "crowding"]).to_pylist()
    chosen = {row["best"] for row in table}
    assert "mask" in chosen
    assert len(chosen) > 1
    measured = 0
    for row in table:
        curve = survey.light_curve(row["id"])
        lost = np.isnan(curve.mask_flux)
        # Of the simulated frames none has a pixel without a value, and all have a background.
        np.testing.assert_array_equal(lost, curve.flag & NO_MASK > 0)
        measured += not lost.any()
        if row["best"] == "mask":
            np.testing.assert_array_equal(curve.flux, curve.mask_flux)
            assert 0.0 < row["crowding"] <= 1.0
    assert measured > 0.6 * len(table)


def test_the_masks_of_lone_stars_hold_their_light(finished: Path) -> None:
    truth = [star for star in pq.read_table(finished / "truth" / "stars.parquet").to_pylist() if star["on_pixels"]]
    col, row, flux = (np.array([star[name] for star in truth]) for name in ("col", "row", "flux"))
    survey = cuvee.open(finished)
    measured = set(survey.light_curves(columns=["id"])["id"].to_pylist())
    ratio = []
    for k, star in enumerate(truth):
        near = np.hypot(col - col[k], row - row[k]) < 8.0
        if flux[k] > 200.0 and flux[near].sum() < 1.02 * flux[k] and star["id"] in measured:
            curve = survey.light_curve(star["id"])
            if np.isfinite(curve.mask_flux[curve.good]).any():
                ratio.append(np.median(curve.mask_flux[curve.good]) / flux[k])
    assert len(ratio) > 10
    assert np.median(ratio) == pytest.approx(1.0, abs=0.03)


def test_the_report_compares_the_methods(finished: Path) -> None:
    page = write_report(cuvee.open(finished)).read_text()
    assert "Apertures and masks" in page
    stars = read_columns(next((finished / "LC" / "tess" / "summary").glob("*.parquet")))
    best, seen = stars["best"], stars["n_good"] > 0
    share = 100.0 * np.mean(best[seen] == "mask")
    assert f"own mask for {share:.0f}" in page or f"own mask for {share:.1f}" in page
    assert f"{int((stars['mask_size'][seen] == 0).sum())} stars have no own mask" in page


def test_exports_carry_the_columns(finished: Path, tmp_path: Path) -> None:
    survey = cuvee.open(finished)
    star = survey.light_curves(columns=["id"])["id"][0].as_py()
    curve = survey.light_curve(star)
    assert export(survey, [star], "ecsv", tmp_path / "out") == 1
    (path,) = (tmp_path / "out").iterdir()
    table = Table.read(path, format="ascii.ecsv")
    np.testing.assert_allclose(np.asarray(table["mask_flux"]), curve.mask_flux, rtol=1e-6)
    assert "own pixel mask" in table["mask_flux"].description


def test_it_is_asked_for_and_taken_back(finished: Path, tmp_path: Path) -> None:
    root = tmp_path / "w"
    shutil.copytree(finished, root, symlinks=True)
    assert run(root).worked == 0
    path = root / "cuvee.toml"
    path.write_text(path.read_text().replace("k2p2 = true", "k2p2 = false"))
    run(root)
    assert (
        "mask_flux"
        not in cuvee.open(root).light_curve(cuvee.open(root).light_curves(columns=["id"])["id"][0].as_py()).points
    )


def test_any_number_of_workers_gives_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    root = tmp_path / "w"
    shutil.copytree(finished, root, symlinks=True)
    for name in ("LC", "RED", "BASE/reference-frames", "BASE/CAT/partitions"):
        shutil.rmtree(root / name)
    (root / "cuvee.db").unlink()
    assert not run(root, executor="process", workers=2).troubled
    assert product_bytes(root) == product_bytes(finished)


def saturated(root: Path, flux: float, light: NDArray[np.float64], *settings: str) -> LightCurve:
    """Reduce a stamp of a star that spills its charge."""
    make_workspace(root, 1, light.size, (SIZE, SIZE), "[extract]\nk2p2 = true\nhalo = true\n[collect]\n")
    ask(root, *settings)
    (path,) = (root / "RAW").iterdir()
    images, _ = saturated_star(1, light, flux)
    with fits.open(path, mode="update") as file:
        file["PIXELS"].data["FLUX"][:] = images + 50.0
    table = root / "stars.csv"
    magnitude = 20.44 - 2.5 * np.log10(flux)
    head, row = table.read_text().split()
    table.write_text(f"{head}\n{row.rpartition(',')[0]},{magnitude:.3f}\n")
    summary = run(root)
    assert not summary.bad
    assert not summary.troubled
    return cuvee.open(root).light_curve(STAR)


@pytest.mark.parametrize(("flux", "best"), [(3e6, "mask"), (8e6, "halo")])
def test_a_star_that_spills_is_measured_where_its_light_is(tmp_path: Path, flux: float, best: str) -> None:
    """Where all charge stays in the stamp the mask that follows it is best, where it runs out of it the halo."""
    light = transit()
    root = tmp_path / "w"
    curve = saturated(root, flux, light)
    assert curve.observations[0]["best"] == best
    inside = light < 1.0

    def noise(values: NDArray[np.float32]) -> float:
        level = values.astype(np.float64) / np.median(values)
        depth = level[~inside].mean() - level[inside].mean()
        return float(point_to_point_scatter(level[None])[0]) / max(float(depth), 1e-6)

    fluxes = {
        name: noise(curve.points[f"{name}_flux"]) for name in ("aperture1", "aperture2", "aperture3", "mask", "halo")
    }
    assert min(fluxes, key=lambda name: fluxes[name]) == best
    assert fluxes[best] < 0.2 * min(fluxes[f"aperture{k}"] for k in (1, 2, 3))
    words = format_explanation(explain_star(cuvee.open(root), STAR, float(curve.time[7])))
    assert "spills charge" in words
    assert ("THE SUM of the halo" in words) == (best == "halo")
    assert ("THE SUM over mask" in words) == (best == "mask")
    assert "BUT" not in words


def test_halo_and_mask_for_all(tmp_path: Path) -> None:
    curve = saturated(tmp_path / "halo", 8e6, np.ones(60), 'collect aperture = "halo"')
    np.testing.assert_array_equal(curve.flux, curve.halo_flux)
    assert not (curve.flag & NO_HALO).any()
    faint = make_workspace(tmp_path / "faint", 1, 20, config='[extract]\nhalo = true\n[collect]\naperture = "halo"\n')
    assert not run(faint).troubled
    curve = cuvee.open(faint).light_curve(STAR)
    assert np.isnan(curve.flux).all()
    assert (curve.flag & NO_HALO).all()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('[extract]\nk2p2 = true\nmask = "pipeline"\n', "k2p2 = true cannot stand beside mask = 'pipeline'"),
        ('[extract]\nhalo = true\nmask = "pipeline"\n', "halo = true cannot stand beside"),
        ('[collect]\naperture = "mask"\n', "set \\[extract\\] k2p2 = true"),
        ('[collect]\naperture = "halo"\n', "set \\[extract\\] halo = true"),
        ('[extract]\npsf = false\n[collect]\naperture = "psf"\n', "set \\[extract\\] psf = true"),
        ('[collect]\naperture = "aperture4"\n', "add to \\[extract\\] radii"),
    ],
)
def test_a_wish_that_cannot_be_is_named(tmp_path: Path, config: str, words: str) -> None:
    root = make_workspace(tmp_path / "w", 1, config=config)
    with pytest.raises(ConfigError, match=words):
        run(root)
