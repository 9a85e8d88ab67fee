"""Bad files among good ones, met as a user meets them: with ``cuvee run``, then ``cuvee status`` and ``cuvee show``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.cli.conftest import Cuvee, cuvee
from tests.events.conftest import made

from cuvee import open as open_survey
from cuvee.config import write_workspace
from cuvee.model import flags

__all__ = ["cuvee"]

FIRST, OTHER = "lsim01aaq", "lsim01abq"
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("bad") / "w") / "RAW"


@pytest.fixture
def workspace(raw: Path, tmp_path: Path) -> Path:
    write_workspace(tmp_path / "w", "cos", ["RAW"], [], photons=True)
    shutil.copytree(raw, tmp_path / "w" / "RAW", dirs_exist_ok=True)
    return tmp_path / "w"


def run(cuvee: Cuvee, workspace: Path) -> tuple[int, str]:
    answer = cuvee("run", "-w", workspace, "-q", "--executor", "serial")
    assert answer.err == ""
    return answer.code, answer.out


def edit(path: Path, change: Callable[[fits.HDUList], None]) -> None:
    with fits.open(path) as file:
        change(file)
        file.writeto(path, overwrite=True)


def _events(change: Callable[[fits.BinTableHDU], None]) -> Damage:
    return lambda path: edit(path, lambda file: change(file["EVENTS"]))


def _empty(path: Path) -> None:
    def cut(file: fits.HDUList) -> None:
        file["EVENTS"] = fits.BinTableHDU(file["EVENTS"].data[:0], file["EVENTS"].header, name="EVENTS")

    edit(path, cut)


def _times(change: Callable[[np.ndarray], None]) -> Damage:
    return _events(lambda table: change(table.data["TIME"]))


def _elsewhere(file: fits.HDUList) -> None:
    file["GTI"].data["START"], file["GTI"].data["STOP"] = 1e6, 2e6


def _accum(file: fits.HDUList) -> None:
    file[0].header["OBSMODE"] = "ACCUM"
    del file["EVENTS"]


SET_ASIDE: dict[str, tuple[Damage, str]] = {
    "empty table": (_empty, "holds no events"),
    "no good times": (lambda path: edit(path, lambda file: file.pop("GTI")), "good time"),
    "good times elsewhere": (lambda path: edit(path, _elsewhere), "good time"),
    "unsorted": (_times(lambda time: np.copyto(time, time[::-1].copy())), "run backwards"),
    "not a number": (_times(lambda time: time.fill(np.nan)), "none of its times is a number"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:50_000]), "cut short"),
    "web page": (lambda path: path.write_text("<html><body>404 Not Found</body></html>"), "FITS"),
    "no bytes": (lambda path: path.write_bytes(b""), "empty"),
    "ACCUM": (lambda path: edit(path, _accum), "time-tag"),
}


@pytest.mark.parametrize("name", SET_ASIDE)
@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
def test_a_bad_list_is_named_kept_and_taken_in_again_when_it_is_mended(
    cuvee: Cuvee, workspace: Path, raw: Path, name: str
) -> None:
    damage, words = SET_ASIDE[name]
    path = workspace / "RAW" / f"{FIRST}_corrtag_a.fits"
    damage(path)
    kept = path.read_bytes()
    code, out = run(cuvee, workspace)
    assert code == 1
    said = [line for line in out.splitlines() if path.name in line]
    assert len(said) == 1
    assert words in said[0]
    assert path.name in cuvee("status", "-w", workspace).out
    assert path.read_bytes() == kept
    # The other segment is used, with a flag; so is the other exposure, without.
    curve = open_survey(workspace).light_curve("SIMULATED-1")
    assert {flag & flags.PART_MISSING for flag in curve.only(FIRST)["flag"]} == {flags.PART_MISSING}
    assert {flag & flags.PART_MISSING for flag in curve.only(OTHER)["flag"]} == {0}
    assert cuvee("show", "SIMULATED-1", "--exposure", FIRST, "-w", workspace, "-o", workspace / "a.png").code == 0
    shutil.copy(raw / path.name, path)
    assert run(cuvee, workspace)[0] == 0
    assert {flag & flags.PART_MISSING for flag in open_survey(workspace).light_curve("SIMULATED-1").flag} == {0}


def test_segment_b_without_a_is_used(cuvee: Cuvee, workspace: Path) -> None:
    (workspace / "RAW" / f"{FIRST}_corrtag_a.fits").unlink()
    assert run(cuvee, workspace)[0] == 0
    survey = open_survey(workspace)
    assert survey.exposure(FIRST)[0]["segments"] == ["FUVB"]
    points = survey.light_curve("SIMULATED-1").only(FIRST)
    assert {flag & flags.PART_MISSING for flag in points["flag"]} == {flags.PART_MISSING}
    assert np.isfinite(points["flux"]).all()
    assert list(survey.composites()[0][0]["limits"]) == ["FUVB"]  # what both have


def test_good_time_is_what_both_segments_call_so(cuvee: Cuvee, workspace: Path) -> None:
    def shorter(file: fits.HDUList) -> None:
        file["GTI"].data["START"], file["GTI"].data["STOP"] = 50.0, 300.0

    edit(workspace / "RAW" / f"{FIRST}_corrtag_b.fits", shorter)
    assert run(cuvee, workspace)[0] == 0
    survey = open_survey(workspace)
    points, (facts, _) = survey.light_curve("SIMULATED-1").only(FIRST), survey.exposure(FIRST)
    assert points["exposure"].sum() == pytest.approx(250.0, abs=0.01)
    with (
        fits.open(workspace / "RAW" / f"{FIRST}_corrtag_a.fits") as a,
        fits.open(workspace / "RAW" / f"{FIRST}_corrtag_b.fits") as b,
    ):
        times = np.concatenate([file["EVENTS"].data["TIME"].astype(np.float64) for file in (a, b)])
    # An event may lie a tick outside.
    assert facts["reasons"]["gti"] == np.count_nonzero((times < 50.0 - 0.02) | (times > 300.0 + 0.02))


def test_some_times_that_are_no_numbers_are_counted_and_left_out(cuvee: Cuvee, workspace: Path) -> None:
    run(cuvee, workspace)
    before, _ = open_survey(workspace).exposure(FIRST)
    path = workspace / "RAW" / f"{FIRST}_corrtag_a.fits"
    edit(path, lambda file: np.copyto(file["EVENTS"].data["TIME"][10:17], np.nan))
    assert run(cuvee, workspace)[0] == 0
    facts, _ = open_survey(workspace).exposure(FIRST)
    assert facts["events"] == before["events"]
    assert facts["reasons"]["time"] == before["reasons"]["time"] + 7


def test_events_without_a_wavelength_are_placed_by_their_column(cuvee: Cuvee, workspace: Path) -> None:
    run(cuvee, workspace)
    before = open_survey(workspace).light_curve("SIMULATED-1").only(FIRST)
    path = workspace / "RAW" / f"{FIRST}_corrtag_a.fits"
    edit(path, lambda file: file["EVENTS"].data["WAVELENGTH"].fill(0.0))
    assert run(cuvee, workspace)[0] == 0
    after = open_survey(workspace).light_curve("SIMULATED-1").only(FIRST)
    for name in ("gross", "flux", "background"):
        np.testing.assert_array_equal(after[name], before[name])


def test_a_column_without_a_wavelength_counts_for_nothing_and_is_said(cuvee: Cuvee, workspace: Path) -> None:
    run(cuvee, workspace)
    before, arrays = open_survey(workspace).exposure(FIRST)
    path = workspace / "RAW" / f"{FIRST}_x1d.fits"

    def blank(file: fits.HDUList) -> None:
        for name in ("WAVELENGTH", "FLUX", "NET"):
            file["SCI"].data[name][:, 6000:6500] = 0.0

    edit(path, blank)
    assert run(cuvee, workspace)[0] == 0
    facts, after = open_survey(workspace).exposure(FIRST)
    gone = sum(int(arrays[f"{name}.spectrum"][6000:6500].sum()) for name in before["segments"])
    assert gone > 0
    assert facts["statistics"]["total"] == before["statistics"]["total"] - gone
    assert not any(after[f"{name}.spectrum"][6000:6500].any() for name in facts["segments"])
    assert facts["reasons"]["wavelength"] >= before["reasons"]["wavelength"] + gone


def test_the_spectrum_of_another_exposure_is_not_used(cuvee: Cuvee, workspace: Path) -> None:
    # Under the right name, but of another length.
    edit(workspace / "RAW" / f"{FIRST}_x1d.fits", lambda file: file["SCI"].data["EXPTIME"].fill(1234.0))
    run(cuvee, workspace)
    curve = open_survey(workspace).light_curve("SIMULATED-1")
    assert np.isnan(curve.only(FIRST)["flux"]).all()
    assert np.isfinite(curve.only(FIRST)["net"]).all()
    assert np.isfinite(curve.only(OTHER)["flux"]).all()


def test_a_grating_that_nobody_knows_is_a_configuration_of_its_own(cuvee: Cuvee, workspace: Path) -> None:
    for path in (workspace / "RAW").glob(f"{FIRST}_*.fits"):
        fits.setval(path, "OPT_ELEM", value="G999X")
    assert run(cuvee, workspace)[0] == 0
    survey = open_survey(workspace)
    assert survey.exposure(FIRST)[0]["setting"][2] == "G999X"
    assert np.isfinite(
        survey.light_curve("SIMULATED-1").only(FIRST)["flux"]
    ).all()  # its spectrum says how bright it is
    assert survey.composites() == []
