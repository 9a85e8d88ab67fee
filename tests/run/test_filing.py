"""Photon lists are filed under their targets by links; the files stay where they were."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.events.survey_of_photons import run_quietly

import cuvee
from cuvee.config import write_workspace
from cuvee.database import reset
from cuvee.run.filing import SET_ASIDE
from cuvee.simulate.cos import simulate_cos

FIRST = "lsim01aaq"


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    simulate_cos(tmp_path / "w", events=2000, exposures=2, seconds=100.0)
    assert not run_quietly(tmp_path / "w").troubled
    return tmp_path / "w"


def links(root: Path) -> dict[str, Path]:
    return {str(one.relative_to(root / "TARGETS")): one for one in (root / "TARGETS").rglob("*") if one.is_symlink()}


def configure(root: Path, setting: str) -> None:
    config = root / "cuvee.toml"
    config.write_text(config.read_text().replace("[events]", f"[events]\n{setting}"))


def test_every_raw_file_is_found_under_its_target(survey: Path) -> None:
    raw = sorted((survey / "RAW").iterdir())
    assert len(raw) == 6
    found = links(survey)
    assert sorted(found) == [f"SIMULATED-1/{path.name}" for path in raw]
    assert all(found[f"SIMULATED-1/{path.name}"].samefile(path) for path in raw)
    before = {name: link.lstat() for name, link in found.items()}
    assert not run_quietly(survey).troubled
    assert {name: link.lstat() for name, link in links(survey).items()} == before
    # A workspace can be moved with all that lies in it.
    moved = survey.rename(survey.with_name("moved"))
    assert all(link.resolve(strict=True).parent == moved / "RAW" for link in links(moved).values())


def test_names_of_the_user_and_files_that_come_and_go(survey: Path) -> None:
    note = survey / "TARGETS" / "SIMULATED-1" / "note.txt"
    note.write_text("mine")
    configure(survey, 'names = { "SIMULATED-1" = "V* BP Tau" }')
    (survey / "RAW" / f"{FIRST}_corrtag_b.fits").unlink()
    assert not run_quietly(survey).troubled
    found = links(survey)
    assert len(found) == 5
    assert all(name.startswith("V-BP-Tau/") for name in found)
    assert f"V-BP-Tau/{FIRST}_corrtag_b.fits" not in found
    assert note.read_text() == "mine"


def test_what_cannot_be_used_is_filed_by_its_reason(survey: Path) -> None:
    path = survey / "RAW" / f"{FIRST}_corrtag_a.fits"
    whole = path.read_bytes()
    path.write_bytes(whole[:30_000])
    run_quietly(survey)
    found = links(survey)
    assert found[f"{SET_ASIDE}/truncated/{path.name}"].samefile(path)
    assert f"SIMULATED-1/{path.name}" not in found
    path.write_bytes(whole)
    run_quietly(survey)
    assert f"SIMULATED-1/{path.name}" in links(survey)
    assert not (survey / "TARGETS" / SET_ASIDE).exists()


def test_a_reset_takes_the_links_and_leaves_the_files(survey: Path) -> None:
    mine = survey / "TARGETS" / "mine.txt"
    mine.write_text("mine")
    raw = {path: path.read_bytes() for path in (survey / "RAW").iterdir()}
    reset(cuvee.open(survey), database=False, files=True)
    assert {path: path.read_bytes() for path in (survey / "RAW").iterdir()} == raw
    assert list((survey / "TARGETS").rglob("*")) == [mine]


def test_links_are_no_further_files(tmp_path: Path) -> None:
    """Data that are all that lies in the workspace; one name in two folders."""
    simulate_cos(tmp_path / "made", events=2000, exposures=1, seconds=100.0)
    root = tmp_path / "w"
    write_workspace(root, "cos", ["."], [], photons=True)
    shutil.copytree(tmp_path / "made" / "RAW", root / "RAW", dirs_exist_ok=True)
    run_quietly(root)
    first = run_quietly(root)
    assert first.n_files == 3
    shutil.copytree(root / "RAW", root / "copy")
    run_quietly(root)
    again = run_quietly(root)
    assert again.n_files + len(again.bad) == 6
    assert len(links(root)) == 6
    assert len({os.path.realpath(link) for link in links(root).values()}) == 6


def test_a_copy_that_followed_the_links_is_used_as_it_is(survey: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(survey, copy)
    assert not run_quietly(copy).troubled
    assert not links(copy)
    assert len(list((copy / "TARGETS").rglob("*.fits"))) == 6


def test_nothing_is_filed_where_links_cannot_be_made(survey: Path) -> None:
    shutil.rmtree(survey / "TARGETS")
    (survey / "TARGETS").write_text("a file")
    assert not run_quietly(survey).troubled
    assert (survey / "TARGETS").read_text() == "a file"
