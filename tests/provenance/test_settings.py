"""Where a parameter was set is where it was set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.provenance.test_sum import explained, frames, stars_of
from tests.run.workspaces import run

import cuvee
from cuvee import __version__
from cuvee.provenance import explain_star, format_explanation
from cuvee.provenance.settings import key_lines

TOML = """\
# [extract] radii = [9.0]
workspace = { instrument = "tess", base = "B" }
collect.aperture = "aperture1"

[extract]
# background = "mesh"
radii = [
  1.0,
  # mask = "pipeline"
  2.0,
]
"mesh_size" = 32

[targets]
mag_limit = 12.0  # radii = 3
"""


def test_the_line_on_which_a_key_begins() -> None:
    assert key_lines(TOML) == {
        ("workspace", "instrument"): 2,
        ("workspace", "base"): 2,
        ("collect", "aperture"): 3,
        ("extract", "radii"): 7,
        ("extract", "mesh_size"): 12,
        ("targets", "mag_limit"): 15,
    }
    lines = TOML.splitlines()
    for (_, key), line in key_lines(TOML).items():
        assert key in lines[line - 1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = frames(tmp_path / "w", "extract radii = [1.5, 2.5]")
    run(root, command="run -w w --workers 1 --executor=serial")
    return root


def settings(root: Path) -> dict[str, dict[str, Any]]:
    survey = cuvee.open(root)
    (done,) = explain_star(survey, stars_of(survey)[0])["runs"]
    return {f"{row['section']}.{row['key']}": row for row in done["settings"]}


def test_a_line_an_option_or_a_default(root: Path) -> None:
    found = settings(root)
    text = (root / "cuvee.toml").read_text().splitlines()
    radii = found["extract.radii"]
    assert radii["value"] == [1.5, 2.5]
    assert text[radii["line"] - 1] == "radii = [1.5, 2.5]"
    assert radii["set"] == f"cuvee.toml line {radii['line']}"
    assert found["extract.annulus"]["set"] == "default"
    assert found["run.workers"]["set"] == "overridden on the command line: --workers 1"
    assert found["run.executor"]["set"] == "overridden on the command line: --executor=serial"


def test_what_the_file_says_now_is_not_what_it_said_then(root: Path) -> None:
    path = root / "cuvee.toml"
    path.write_text(path.read_text().replace("radii = [1.5, 2.5]\n", 'background = "annulus"\n'))
    found = settings(root)
    assert found["extract.radii"]["value"] == [1.5, 2.5]
    assert found["extract.radii"]["set"] == "as of run 1; cuvee.toml does not set it now (default [1.5, 2.5, 3.5])"
    assert found["extract.background"]["value"] == "mesh"
    line = found["extract.background"]["line"]
    assert found["extract.background"]["set"] == f"as of run 1; cuvee.toml line {line} now says annulus"
    # The sum is that of the run, not of the file.
    survey = cuvee.open(root)
    facts = explained(survey, stars_of(survey)[0], 3)
    assert facts["observations"][0]["point"]["background"]["kind"] == "mesh"
    assert len(facts["observations"][0]["point"]["apertures"]) == 2
    assert "as of run 1" in format_explanation(facts)


def test_every_parameter_and_version_is_in_the_text(root: Path) -> None:
    survey = cuvee.open(root)
    facts = explained(survey, stars_of(survey)[0], 3)
    text = format_explanation(facts)
    # Where the ledger is changes no result, and its address may hold a password.
    told = set(type(survey.config).model_fields) - {"database"}
    assert {row["section"] for row in facts["runs"][0]["settings"]} == told
    for row in facts["runs"][0]["settings"]:
        assert f"[{row['section']}] {row['key']} = " in text
    names = ("python", "numpy", "scipy", "numba", "astropy", "pyerfa", "cdshealpix", "pyarrow")
    assert set(names) <= set(facts["runs"][0]["software"])
    assert facts["runs"][0]["version"] == __version__
    flat = " ".join(text.split())
    for name in names:
        assert f"{name} {facts['runs'][0]['software'][name]}" in flat


def test_every_input_has_its_hash_and_its_place(root: Path) -> None:
    survey = cuvee.open(root)
    facts = explained(survey, stars_of(survey)[0], 3)
    kinds = set()
    for step in facts["observations"][0]["chain"]:
        for source in step["inputs"]:
            kinds.add(source["input_kind"])
            assert len(source["content"]) == 32
            assert source["input_kind"] == "footprint" or (survey.path / source["path"]).is_file()
    made = {"candidates", "fluxes", "partition", "reference", "targets", "tracks"}
    assert kinds == made | {"footprint", "frame", "member", "table"}
    text = format_explanation(facts)
    assert "... and 16 more of these (--json lists all)" in text
