"""A survey put back to its beginning: what was made goes, what came from outside stays, and a run makes everything again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.database.test_database import KINDS
from tests.events.conftest import made
from tests.events.survey_of_photons import run_quietly
from tests.run.test_databases import keep_ledger_in, small_survey
from tests.run.workspaces import run
from tests.store.servers import Servers
from typer.testing import CliRunner

import cuvee
from cuvee.cli.app import app
from cuvee.database import check_ledger, copy_ledger, plan_reset, reset
from cuvee.database.reset import MADE
from cuvee.errors import ConfigError, CuveeError
from cuvee.store.lock import workspace_lock
from cuvee.store.own_ledger import open_ledger
from cuvee.store.schema import TABLES
from cuvee.survey import Survey

KEPT = sorted(set(TABLES) - {*MADE, "survey"})  # whose it is, is written down by the first who writes


def products(root: Path) -> dict[str, bytes]:
    folders = [root / "LC", root / "RED"]
    found = [
        path for folder in folders for path in folder.rglob("*") if path.is_file() and "receipts" not in path.parts
    ]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def raw_and_base(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for name in ("RAW", "BASE", "cuvee.toml")
        for path in [root / name, *(root / name).rglob("*")]
        if path.is_file()
    }


def kept_rows(survey: Survey) -> dict[str, list[dict[str, Any]]]:
    with open_ledger(survey.paths, read_only=True) as ledger:
        return {name: ledger.rows(name) for name in KEPT}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photons, one file in quarantine."""
    folder = made(tmp_path_factory.mktemp("reset") / "w")
    (folder / "RAW" / "lsim01acq_corrtag_a.fits").write_text("<html>")
    run_quietly(folder)
    return folder


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "w"
    shutil.copytree(finished, folder, symlinks=True)
    run_quietly(folder)
    return folder


@pytest.fixture(params=KINDS)
def anywhere(request: pytest.FixtureRequest, root: Path, servers: Servers) -> Iterator[Survey]:
    survey = cuvee.open(root)
    if request.param == "sqlite":
        yield survey
        return
    with servers.place(request.param) as place:
        copy_ledger(str(survey.paths.ledger), place)
        keep_ledger_in(root, place)
        survey.paths.ledger_file.unlink()
        yield cuvee.open(root)


def test_the_ledger_is_emptied_of_what_was_made_and_a_run_takes_it_from_the_receipts(anywhere: Survey) -> None:
    files, kept = products(anywhere.path), kept_rows(anywhere)
    assert kept["quarantine"]
    done = reset(anywhere, database=True, files=False)
    assert done.files == {}
    assert done.rows["exposures"] == 3
    with open_ledger(anywhere.paths, read_only=True) as ledger:
        assert {name: ledger.count(name) for name in MADE} == dict.fromkeys(MADE, 0)
    assert kept_rows(anywhere) == kept
    assert products(anywhere.path) == files
    assert run_quietly(anywhere.path).worked == 0
    assert not check_ledger(anywhere).differences


def test_files_go_and_a_run_makes_them_again(anywhere: Survey) -> None:
    root = anywhere.path
    files, others, kept = products(root), raw_and_base(root), kept_rows(anywhere)
    mine = [root / "LC" / "notes.txt", root / "RED" / "lsim01" / "mine.npz", root / "report" / "letter.html"]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    done = reset(anywhere, database=False, files=True)
    assert set(done.left) == set(mine)
    assert set(products(root)) == {"LC/notes.txt", "RED/lsim01/mine.npz"}
    assert not list((root / "RED").rglob("*.json"))
    assert kept_rows(anywhere) == kept
    assert raw_and_base(root) == others
    assert not any(reset(anywhere, database=False, files=True).files.values())
    assert run_quietly(root).worked > 0
    assert {name: data for name, data in products(root).items() if (root / name) not in mine} == files
    assert not check_ledger(anywhere).differences


def test_a_survey_of_images_comes_back_too(tmp_path: Path) -> None:
    root = small_survey(tmp_path / "survey")
    assert not run(root).troubled
    files, others = products(root), raw_and_base(root)
    done = reset(cuvee.open(root), database=True, files=True)
    assert done.left == []
    assert products(root) == {}
    assert raw_and_base(root) == others
    assert not run(root).troubled
    assert products(root) == files


def test_nothing_outside_the_workspaces_folders_is_touched(root: Path, tmp_path: Path) -> None:
    survey = cuvee.open(root)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.parquet").write_text("precious")
    (root / "LC" / "link").symlink_to(outside)
    (root / "REDTEMP").mkdir(exist_ok=True)
    (root / "REDTEMP" / "link.fits").symlink_to(outside / "precious.parquet")
    with open_ledger(survey.paths) as ledger:
        row = ledger.rows("products")[0]
        for path in (
            str(outside / "precious.parquet"),
            "RAW/lsim01aaq_x1d.fits",
            "LC/link/precious.parquet",
            "LC/../cuvee.toml",
        ):
            ledger.put_products([{**row, "data_id": f"cos/x/y/z/{path[:9]}", "path": path}])
    before = raw_and_base(root)
    reset(survey, database=True, files=True)
    assert (outside / "precious.parquet").read_text() == "precious"
    assert raw_and_base(root) == before
    assert not (root / "REDTEMP" / "link.fits").is_symlink()


def test_a_folder_that_lies_elsewhere_is_reset_as_well(root: Path, tmp_path: Path) -> None:
    (root / "RED").rename(tmp_path / "scratch")
    (root / "RED").symlink_to(tmp_path / "scratch")
    reset(cuvee.open(root), database=False, files=True)
    assert not [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]
    assert run_quietly(root).worked > 0


_KILLED = """
import os, signal, sys
from pathlib import Path
import cuvee
from cuvee.database import reset
left = int(sys.argv[2])
unlink = Path.unlink
def watched(self, missing_ok=False):
    global left
    if "LC" in self.parts or "RED" in self.parts:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    unlink(self, missing_ok)
Path.unlink = watched
reset(cuvee.open(sys.argv[1]), database=True, files=True)
"""


@pytest.mark.parametrize("after", [0, 3, 12, 16])
@pytest.mark.parametrize("then", ["run", "reset"])
def test_a_reset_that_is_killed_leaves_nothing_that_misleads(root: Path, after: int, then: str) -> None:
    files = products(root)
    code = subprocess.run(
        [sys.executable, "-c", _KILLED, str(root), str(after)], env=os.environ, check=False
    ).returncode
    assert code == -signal.SIGKILL
    if then == "reset":
        reset(cuvee.open(root), database=True, files=True)
        assert products(root) == {}
    run_quietly(root)
    assert products(root) == files
    assert not check_ledger(cuvee.open(root)).differences


def test_it_asks_and_says_what_it_will_do(root: Path) -> None:
    files = products(root)
    command = CliRunner()
    where = ["reset", "--files", "-w", str(root)]
    n = sum(name.startswith("LC/") for name in files)
    no = command.invoke(app, where, input="n\n")
    assert no.exit_code == 0
    assert f"Will delete {n} files" in no.output
    assert "Nothing was reset." in no.output
    silent = command.invoke(app, where, input="")
    assert isinstance(silent.exception, ConfigError)
    assert "--yes" in str(silent.exception)
    with pytest.raises(ConfigError, match="--database, --files, or both"):
        command.invoke(app, ["reset", "-w", str(root)], catch_exceptions=False)
    assert products(root) == files
    yes = command.invoke(app, [*where, "--yes"])
    assert yes.exit_code == 0
    assert products(root) == {}
    assert "There is nothing to reset." in command.invoke(app, where).output


def test_it_waits_for_nobody(root: Path) -> None:
    survey = cuvee.open(root)
    with workspace_lock(survey.paths.lock), pytest.raises(CuveeError, match=r"is working in .*; wait for it"):
        reset(survey, database=True, files=True)
    assert any(plan_reset(survey, database=True, files=True).files.values())
