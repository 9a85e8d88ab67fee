"""Who may read and write what a run leaves, told by the file system itself."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

import pytest
from tests.events.survey_of_photons import Silent

import cuvee
from cuvee.config import load, write_workspace
from cuvee.errors import ConfigError
from cuvee.pipeline import PIPELINE
from cuvee.report import write_report
from cuvee.run.start import RunOptions, run_workspace
from cuvee.simulate.cos import simulate_cos


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    simulate_cos(tmp_path / "made", events=2000, exposures=2, seconds=100.0)
    write_workspace(tmp_path / "w", "cos", [str(tmp_path / "made" / "RAW")], [], photons=True)
    return tmp_path / "w"


def ask_for(workspace: Path, setting: str) -> None:
    path = workspace / "cuvee.toml"
    path.write_text(path.read_text().replace("[files]", f"[files]\n{setting}"))


def made(workspace: Path) -> list[Path]:
    return [path for name in ("LC", "RED", "report") for path in (workspace / name).rglob("*")] + [
        *workspace.glob("cuvee.db*")
    ]


def modes(paths: list[Path]) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) & 0o777 for path in paths}


@pytest.mark.parametrize(
    ("mode", "files", "folders"), [("0640", 0o640, 0o750), ("664", 0o664, 0o775), ("0600", 0o600, 0o700)]
)
def test_files_have_the_mode_that_is_asked_for(workspace: Path, mode: str, files: int, folders: int) -> None:
    ask_for(workspace, f'mode = "{mode}"')
    before = os.umask(0o022)
    os.umask(before)
    assert not run_workspace(workspace, PIPELINE, RunOptions(executor="process", workers=2), Silent()).troubled
    write_report(cuvee.open(workspace))
    found = made(workspace)
    assert modes([path for path in found if path.is_file()]) == {files}
    made_here = [path for path in found if path.is_dir()]
    assert len(made_here) > 5
    assert modes(made_here) == {folders}
    assert os.umask(before) == before  # the user's own is as it was


def test_files_have_the_group_that_is_asked_for(workspace: Path) -> None:
    others = [
        one
        for one in {*os.getgroups(), *([one.gr_gid for one in grp.getgrall()] if os.geteuid() == 0 else [])}
        if one != os.getegid()
    ]
    if not others:
        pytest.skip("whoever runs this is in one group only")
    group = grp.getgrgid(min(others))
    ask_for(workspace, f'group = "{group.gr_name}"')
    assert not run_workspace(workspace, PIPELINE, RunOptions(executor="serial"), Silent()).troubled
    write_report(cuvee.open(workspace))
    assert {path.stat().st_gid for path in made(workspace)} == {group.gr_gid}


def test_a_group_or_a_mode_that_there_is_not_is_one_sentence(workspace: Path) -> None:
    path = workspace / "cuvee.toml"
    before = path.read_text()
    ask_for(workspace, 'group = "nobody-has-this"')
    with pytest.raises(ConfigError, match="this machine has no group 'nobody-has-this'"):
        run_workspace(workspace, PIPELINE, RunOptions(executor="serial"), Silent())
    for mode in ("0777", "0440", "rw-r--r--", "8"):
        path.write_text(before.replace("[files]", f'[files]\nmode = "{mode}"'))
        with pytest.raises(ConfigError, match=r"\[files\] mode"):
            load(workspace)
