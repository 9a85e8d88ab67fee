"""`cuvee database` as users meet it, and every other command with a ledger that cannot be reached."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import Cuvee
from tests.run.test_databases import keep_ledger_in, small_survey
from tests.run.workspaces import product_bytes
from tests.store.servers import Servers


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_survey(tmp_path_factory.mktemp("bare") / "survey")


@pytest.fixture
def root(bare: Path, tmp_path: Path) -> Path:
    shutil.copytree(bare, tmp_path / "survey")
    return tmp_path / "survey"


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_the_whole_way_on_a_server(cuvee: Cuvee, root: Path, servers: Servers, kind: str, tmp_path: Path) -> None:
    with servers.place(kind) as place:
        keep_ledger_in(root, place)
        assert "no ledger yet" in cuvee("database", "-w", root).out
        assert cuvee("status", "-w", root).code == 0
        assert cuvee("run", "-w", root, "-q", "--executor", "serial").code == 0
        assert not list(root.glob("cuvee*.db"))
        said = cuvee("database", "-w", root).out
        assert ("PostgreSQL" if kind == "postgresql" else "MariaDB") in said
        facts = json.loads(cuvee("database", "-w", root, "--json").out)
        assert facts["there"]
        assert facts["tables"]["files"] == 140
        star = next(iter(json.loads(cuvee("database", "check", "-w", root, "--json").out)["rows"].items()))
        assert star[0] == "units"
        assert cuvee("database", "load", "tic", "-w", root, "--dec", "-90", "90").out.startswith("Loaded ")
        assert "todolist" in cuvee("database", "views", "-w", root).out
        assert "They agree." in cuvee("database", "check", "-w", root).out
        copied = json.loads(cuvee("database", "copy", place, tmp_path / "copy.db", "-q", "--json").out)
        assert {row["table"]: row["rows"] for row in copied}["files"] == 140
        # A run of a survey whose ledger is on a server is done again in an empty folder.
        again = cuvee("run", "-w", tmp_path / "again", "--reproduce", root, "--executor", "serial", "-q")
        assert again.code == 0, again.err
        assert product_bytes(tmp_path / "again") == product_bytes(root)
        assert (tmp_path / "again" / "cuvee.db").is_file()
        assert place not in (tmp_path / "again" / "cuvee.toml").read_text()


def test_a_server_that_is_not_there_is_said_by_every_command(cuvee: Cuvee, root: Path) -> None:
    keep_ledger_in(root, "postgresql://me:geheim@127.0.0.1:1/astro?schema=mine")
    before = sorted(path.name for path in root.iterdir())
    commands = (("run", "-q"), ("status",), ("show", "1"), ("explain", "1"), ("report",), ("database",))
    for words in (*commands, ("database", "check"), ("database", "views"), ("database", "load", "tic")):
        answer = cuvee(*words, "-w", root)
        if words[0] in ("show", "explain"):
            assert answer.code in (2, 3)  # there are no light curves either
            continue
        expected = 2 if words[-1] == "tic" else 3  # no catalogue has been read: that is found first
        assert (answer.code, answer.out) == (expected, ""), words
        assert answer.err.count("\n") == 1
        assert "geheim" not in answer.err
        if expected == 3:
            assert "No PostgreSQL server can be reached for postgresql://me@127.0.0.1:1/astro?schema=mine" in answer.err
    assert set(before) | {".cuvee.lock"} >= {path.name for path in root.iterdir()}


def test_mistakes_are_one_sentence(cuvee: Cuvee, root: Path) -> None:
    mistakes = (
        (("database", "-w", root / "none"), "There is no folder"),
        (("database", "laod", "ctl"), "laod"),
        (("database", "load", "gaia", "-w", root), "not one of 'ctl', 'tic'"),
        (("database", "load", "tic", "-w", root, "--dec", "5", "-5"), "no range of declinations"),
        (("database", "-w", root, "load", "tic"), "as in: cuvee database load -w"),
        (("database", "copy", "oracle://a@b/c", root / "x.db"), "'oracle' is not supported"),
        (("database", "copy", root / "x.db"), "URL2"),
    )
    for words, sentence in mistakes:
        answer = cuvee(*words)
        assert (answer.code, answer.out) == (2, ""), words
        assert sentence in answer.err
        assert answer.err.count("\n") == 1


@pytest.mark.parametrize("command", ["load", "views", "copy", "check"])
def test_help_has_an_example(cuvee: Cuvee, command: str) -> None:
    answer = cuvee("database", command, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert f"Example: cuvee database {command}" in answer.out
