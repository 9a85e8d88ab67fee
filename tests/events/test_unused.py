"""What was not used is said, and what was not seen has no number."""

from __future__ import annotations

import html
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.cli.conftest import Cuvee
from tests.cli.conftest import cuvee as cuvee_said
from tests.events.survey_of_photons import Silent, run_quietly

import cuvee
from cuvee.config import write_workspace
from cuvee.events.gti import mean_times
from cuvee.pipeline import PIPELINE
from cuvee.provenance import explain_target, format_target
from cuvee.report import write_report
from cuvee.run import start
from cuvee.run.start import RunOptions, RunSummary, run_workspace

__all__ = ["cuvee_said"]  # a fixture

FIRST, SECOND = "lsim01aaq", "lsim01abq"


class Said(Silent):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, message: str) -> None:
        self.messages.append(message)


def run(workspace: Path, setting: str = "") -> tuple[RunSummary, list[str]]:
    config = workspace / "cuvee.toml"
    config.write_text(config.read_text().replace("[events]", f"[events]\n{setting}"))
    said = Said()
    return run_workspace(workspace, PIPELINE, RunOptions(executor="serial"), said), said.messages


def page(workspace: Path) -> str:
    """Return the words of its report."""
    return " ".join(html.unescape(write_report(cuvee.open(workspace)).read_text()).split())


@pytest.fixture
def small(photons: cuvee.survey.Survey, tmp_path: Path) -> Path:
    """Raw files of two short exposures, not yet run."""
    folder = tmp_path / "w"
    write_workspace(folder, "cos", ["RAW"], [], photons=True)
    for path in (photons.path / "RAW").iterdir():
        shutil.copy(path, folder / "RAW")
    return folder


def test_a_band_of_which_nothing_was_seen_has_no_flux(small: Path) -> None:
    run(small, "bands = { far = [3000.0, 4000.0], c2 = [1330.0, 1340.0] }")
    points = cuvee.open(small).light_curve("SIMULATED-1").only(FIRST)
    assert np.isnan(points["far_flux"]).all()
    assert np.isnan(points["far_flux_err"]).all()
    assert np.isfinite(points["c2_flux"]).all()


def test_where_nothing_of_what_is_wanted_was_seen_it_is_said(small: Path) -> None:
    summary, said = run(small, "band = [5000.0, 6000.0]")
    assert not summary.troubled
    assert summary.counts["bin", "no-work"] == 2
    for name in (FIRST, SECOND):
        assert any(
            one.startswith(f"{name} has light") and "none that counts from 5000 to 6000 A" in one for one in said
        )
    assert f"{FIRST} has light from" in page(small)


def test_of_many_such_exposures_some_are_named_and_the_others_counted(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "TOLD", 1)
    _, said = run(small, "band = [5000.0, 6000.0]")
    assert sum("has light from" in one for one in said) == 1
    assert "Nothing was made of 2 more exposures or composites." in said


def test_an_exposure_by_day_is_named_where_only_nights_count(small: Path) -> None:
    for path in (small / "RAW").glob(f"{FIRST}_corrtag_*.fits"):
        with fits.open(path, mode="update") as file:
            file["TIMELINE"].data["SUN_ALT"] = 20.0
    for path in (small / "RAW").glob(f"{SECOND}_corrtag_*.fits"):
        with fits.open(path, mode="update") as file:
            file["TIMELINE"].data["SUN_ALT"] = -20.0
    _, said = run(small, 'airglow = "night"')
    assert f'{FIRST} was taken by day, and [events] airglow is "night".' in said
    assert any(one.startswith("A composite needs two exposures") and FIRST in one for one in said)
    assert f"{FIRST} was taken by day" in page(small)


def test_a_missing_segment_is_reported(small: Path) -> None:
    (small / "RAW" / f"{SECOND}_corrtag_b.fits").unlink()
    run(small)
    assert "1 exposure without one of the detector's segments" in page(small)
    assert f"composites with such an exposure ({SECOND})" in page(small)
    words = format_target(explain_target(cuvee.open(small), "SIMULATED-1"))
    assert words.count("a segment of the detector is missing or set aside") == 1


def test_a_spectrum_that_is_not_used_is_not_called_absent(small: Path) -> None:
    with fits.open(small / "RAW" / f"{FIRST}_x1d.fits", mode="update") as file:
        file["SCI"].data["EXPTIME"] *= 1.2
    run(small)
    assert "1 exposure without an extracted spectrum (x1d) of the same exposure time" in page(small)
    words = format_target(explain_target(cuvee.open(small), "SIMULATED-1"))
    assert words.count("its extracted spectrum took another time, or lacks its segments, and is not used") == 1


def test_the_time_of_a_bin_is_that_of_its_light(small: Path) -> None:
    run(small, "step = 3000.0")  # an exposure of 400 s
    long = cuvee.open(small).light_curve("SIMULATED-1").only(FIRST)["time"]
    run_quietly(small)
    config = small / "cuvee.toml"
    config.write_text(config.read_text().replace("step = 3000.0", "step = 1.0"))
    run_quietly(small)
    points = cuvee.open(small).light_curve("SIMULATED-1").only(FIRST)
    mean = np.average(points["time"], weights=points["exposure"])
    assert long.size == 1
    assert abs(long[0] - mean) * 86400.0 < 0.01


def test_mean_times_are_those_of_a_slow_reference() -> None:
    gti = np.array([[0.5, 3.25], [3.5, 3.75], [9.0, 21.0], [30.0, 31.0]])
    edges = np.asarray(0.5 + 2.0 * np.arange(17), np.float64)
    fine = np.linspace(0.0, 40.0, 4_000_001)
    fine = 0.5 * (fine[1:] + fine[:-1])
    good = ((fine[:, None] > gti[:, 0]) & (fine[:, None] < gti[:, 1])).any(axis=1)
    found = mean_times(gti, edges)
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = fine[good & (fine > low) & (fine < high)]
        assert found[k] == pytest.approx(inside.mean() if inside.size else 0.5 * (low + high), abs=2e-5)


@pytest.mark.parametrize("width", ["0.001", "1e-12"])
def test_too_many_cells_by_wavelength_are_refused(small: Path, width: str) -> None:
    summary, _ = run(small, f"resolve = {width}")
    assert {one.reason for one in summary.bad.values()} == {"too-long"}
    assert f"more than 10,000 cells of [events] resolve = {width}" in next(iter(summary.bad.values())).message


def test_a_target_with_a_slash_has_its_picture_here(
    cuvee_said: Cuvee, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(small, 'names = { "SIMULATED-1" = "A/B" }')
    monkeypatch.chdir(tmp_path)
    assert cuvee_said("show", "A/B", "--exposure", FIRST, "-w", small).code == 0
    assert cuvee_said("show", "A/B", "--composite", "-w", small).code == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {f"A-B-{FIRST}.png", "A-B-COS-FUV-G130M-1291-PSA.png"}


def test_an_option_that_would_do_nothing_is_refused(cuvee_said: Cuvee, tmp_path: Path) -> None:
    answer = cuvee_said("simulate", "cos", tmp_path / "a", "--grating", "G130M")
    assert answer.code == 2
    assert "--grating is an option of stis" in answer.err
    assert not (tmp_path / "a").exists()
