"""What is said of a target of photons, and of one bin, must be what is in the raw files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.events.conftest import made
from tests.events.survey_of_photons import run_quietly

import cuvee
from cuvee.errors import ConfigError
from cuvee.provenance import explain_composites, explain_target, format_target
from cuvee.store.atomic import content_hash
from cuvee.survey import Survey

FIRST = "lsim01aaq"


@pytest.fixture(scope="module")
def photons(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    folder = made(tmp_path_factory.mktemp("explained") / "w")
    run_quietly(folder)
    return cuvee.open(folder)


def test_files_events_and_reasons_are_those_of_the_raw_files(photons: Survey) -> None:
    facts = explain_target(photons, "SIMULATED-1")
    json.dumps(facts, allow_nan=False)
    seen = facts["observations"][0]
    raw = photons.path / "RAW"
    assert {(Path(one["path"]).name, one["content"], one["state"]) for one in seen["files"]} == {
        (name, content_hash(raw / name), "unchanged")
        for name in (f"{FIRST}_corrtag_a.fits", f"{FIRST}_corrtag_b.fits", f"{FIRST}_x1d.fits")
    }
    n = 0
    for letter in "ab":
        with fits.open(raw / f"{FIRST}_corrtag_{letter}.fits") as file:
            n += len(file["EVENTS"].data)
    words = format_target(facts)
    assert f"{n} events in FUVA and FUVB" in words
    assert f"{seen['facts']['reasons']['airglow']:>9}  left out: it lies in a line" in words
    assert max(len(line) for line in words.splitlines()) <= 120
    assert facts["runs"][0]["id"] == 1


def test_a_bin_is_counted_anew_and_follows_from_its_parts(photons: Survey) -> None:
    points = photons.light_curve("SIMULATED-1").only(FIRST)
    k = 77
    (seen,) = explain_target(photons, "SIMULATED-1", float(points["time"][k]))["observations"]
    point = seen["point"]
    assert (point["agree"], point["trouble"], point["values"]["cadence"]) == (True, "", k)
    for name in ("gross", "net", "flux"):
        assert point["values"][name] == pytest.approx(float(points[name][k]), rel=1e-6)
    assert sum(part["events"] for part in point["parts"]) == points["gross"][k]
    for part in point["parts"]:
        with fits.open(photons.path / "RAW" / f"{FIRST}_corrtag_{part['name'][-1].lower()}.fits") as file:
            time = file["EVENTS"].data["TIME"].astype(float)
        assert part["events"] <= np.count_nonzero((time >= 0.031 + 2.0 * k) & (time < 0.033 + 2.0 * (k + 1)))
        assert part["net"] == pytest.approx(part["weights"] / part["exposure"] - part["background_rate"])
        assert part["flux"] == pytest.approx(part["energy"] / part["exposure"] - part["background_flux"])
    assert sum(part["flux"] for part in point["parts"]) == pytest.approx(points["flux"][k], rel=1e-5)
    assert sum(part["background"] for part in point["parts"]) == pytest.approx(points["background"][k], rel=1e-5)


def test_what_cannot_be_done_again_is_said(photons: Survey, tmp_path: Path) -> None:
    root = tmp_path / "w"
    shutil.copytree(photons.path, root)
    run_quietly(root)
    survey = cuvee.open(root)
    time = float(survey.light_curve("SIMULATED-1").only(FIRST)["time"][5])
    config = root / "cuvee.toml"
    text = config.read_text()
    config.write_text(text.replace("[events]", '[events]\nairglow = "keep"'))
    assert "NOT what is stored" in format_target(explain_target(cuvee.open(root), "SIMULATED-1", time))
    config.write_text(text)
    (root / "RAW" / f"{FIRST}_corrtag_a.fits").unlink()
    words = format_target(explain_target(survey, "SIMULATED-1", time))
    assert f"The sums cannot be done again: {FIRST}_corrtag_a.fits is gone" in words.replace("\n     ", "")
    with pytest.raises(ConfigError, match="has no point within half a day"):
        explain_target(survey, "SIMULATED-1", 3.0)


def test_a_bin_of_a_composite_is_counted_anew_within_its_wavelengths(photons: Survey) -> None:
    ((facts, points),) = photons.composites("SIMULATED-1")
    k = int(np.flatnonzero(points["dataset"] == 2)[33])
    found = explain_composites(photons, "SIMULATED-1", float(points["time"][k]))
    json.dumps(found, allow_nan=False)
    (seen,) = found["observations"]
    assert seen["point"]["exposure"] == facts["members"][1]
    assert (seen["point"]["agree"], seen["point"]["trouble"]) == (True, "")
    assert sum(part["events"] for part in seen["point"]["parts"]) == points["gross"][k]
    words = format_target(found)
    assert "2 exposures" in words
    assert f"BIN {k} of exposure {facts['members'][1]}, at" in words
    assert max(len(line) for line in words.splitlines()) <= 120
    assert "point" not in explain_composites(photons, "SIMULATED-1")["observations"][0]
    with pytest.raises(ConfigError, match="has a bin within half a day"):
        explain_composites(photons, "SIMULATED-1", 3.0)
