"""What each command prints and leaves behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.cli.conftest import Cuvee
from tests.run.workspaces import House, product_bytes
from tests.run.workspaces import run as run_again

import cuvee as package
from cuvee.cli.output import count, table

COMMANDS = ("init", "run", "status", "show", "explain", "export", "report", "simulate", "demo", "database")


@pytest.fixture
def star(house: House) -> int:
    curves = package.open(house.master).light_curves(columns=["id", "mag"]).to_pylist()
    return int(min(curves, key=lambda row: row["mag"])["id"])


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_and_shows_an_example(cuvee: Cuvee, command: str) -> None:
    answer = cuvee(command, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert f"Example: cuvee {command}" in answer.out
    assert answer.out == cuvee(command, "-h").out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_help_lists_every_command_in_a_whole_sentence(cuvee: Cuvee) -> None:
    answer = cuvee("--help")
    assert cuvee().out == answer.out
    assert cuvee().code == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command} +[A-Z].*[^.]\.$", answer.out, re.MULTILINE), command


def test_the_version(cuvee: Cuvee) -> None:
    assert cuvee("--version").out == f"cuvee {package.__version__}\n"


def test_init_makes_a_workspace_that_run_understands(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    root = house.finished()
    new = tmp_path / "my survey"
    answer = cuvee("init", new, "--data", root / "RAW", "--catalog", root / "BASE" / "CAT" / "catalog.csv")
    assert answer.code == 0
    assert f"cuvee run -w '{new}'" in answer.out
    assert cuvee("run", "-w", new, "--dry-run", "-q").out.startswith("To do now: catalog 1, reference 1")
    again = cuvee("init", new)
    assert (again.code, again.out) == (2, "")


def test_run_says_what_it_did_and_what_may_come_next(
    cuvee: Cuvee, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(house.untouched())
    answer = cuvee("run", "--executor", "serial")
    assert answer.code == 0
    first, second, third = answer.out.splitlines()
    assert first == "Done: catalog 1, reference 1, targets 1, extract 4, tracks 1, collect 2, summary 1, publish 1."
    assert second == "Look: cuvee status, cuvee show ID"
    assert third == "Report: report/index.html"
    assert Path("report/index.html").read_text().rstrip().endswith("</html>")
    # Without a terminal news are plain lines, without control characters.
    assert re.search(r"^extract s0008 3-4 ffi: 4 done in \d+\.\d s$", answer.err, re.MULTILINE)
    assert "\x1b" not in answer.err
    assert "\r" not in answer.err
    assert product_bytes(house.place) == product_bytes(house.master)
    idle = cuvee("run")
    assert (idle.code, idle.err) == (0, "")
    assert idle.out == "Nothing to do: 300 files and 13 units are as they should be.\n"


def test_run_for_machines(cuvee: Cuvee, house: House) -> None:
    answer = cuvee("run", "-w", house.finished(), "--json")
    assert (answer.code, answer.err) == (0, "")
    report = json.loads(answer.out)
    assert report["files"] == {"good": 300, "bad": 0, "gone": 0}
    assert report["stages"]["extract"] == {"have": 4}
    assert report["worked"] == 0


def test_status(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    root = house.finished()
    answer = cuvee("status", "-w", root)
    lines = answer.out.splitlines()
    assert re.fullmatch(r"\d+ light curves from 300 good files; last run finished \S+\.", lines[0])
    assert lines[2].split() == ["stage", "done", "no-work", "seconds"]
    assert [line.split()[:2] for line in lines[3:] if "prf" not in line] == [
        ["catalog", "1"], ["reference", "1"], ["targets", "1"], ["extract", "4"], ["tracks", "1"], ["collect", "2"],
        ["summary", "1"], ["publish", "1"],
    ]  # fmt: skip
    # So few stars teach no PRF.
    assert [line.split()[:2] for line in lines[3:] if "prf" in line] == [["prf", "1"]]
    assert len({len(line) for line in lines[2:]}) == 1
    report = json.loads(cuvee("status", "-w", root, "--json").out)
    assert report["stages"]["extract"] == {"done": 4}
    assert report["files"] == 300
    cuvee("init", tmp_path / "new")
    assert "Nothing has been run yet" in cuvee("status", "-w", tmp_path / "new").out


def test_show_draws_a_star(cuvee: Cuvee, house: House, star: int, tmp_path: Path) -> None:
    root = house.finished()
    picture = tmp_path / "star.png"
    answer = cuvee("show", star, "-w", root, "--period", "1.7", "-o", picture)
    assert (answer.code, answer.err) == (0, "")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert re.fullmatch(rf"{picture}: star {star}, \d+ of 300 points are good\.\n", answer.out)
    place = package.open(root).light_curve(star)
    assert cuvee("show", f"{place.ra} {place.dec}", "-w", root, "-o", picture).out == answer.out


@pytest.mark.parametrize(
    ("who", "words"),
    [("999999999", "no light curve of star 999999999"), ("10 20", "No star within"), ("Vega", "'Vega' is neither")],
)
def test_show_and_explain_of_nobody(cuvee: Cuvee, house: House, who: str, words: str) -> None:
    for command in ("show", "explain"):
        answer = cuvee(command, who, "-w", house.finished())
        assert (answer.code, answer.out) == (2, "")
        assert words in answer.err


def test_explain_at_a_time(cuvee: Cuvee, house: House, star: int) -> None:
    root = house.finished()
    curve = package.open(root).light_curve(star)
    text = cuvee("explain", star, "-w", root, "--time", curve.time[100] + 2457000.0).out
    assert cuvee("explain", star, "-w", root, "--time", curve.time[100]).out == text
    assert f"cadence {curve.cadence[100]}" in text
    assert f"flux {curve.flux[100]:.3f}" in text
    answer = cuvee("explain", star, "-w", root, "--time", "1.0")
    assert answer.code == 2
    assert "no point within half a day" in answer.err


@pytest.mark.parametrize(("form", "suffix"), [("fits", ".fits"), ("csv", ".csv")])
def test_export(cuvee: Cuvee, house: House, star: int, tmp_path: Path, form: str, suffix: str) -> None:
    root = house.finished()
    answer = cuvee("export", star, "-w", root, "--format", form, "-o", tmp_path / "out")
    assert (answer.code, answer.out) == (0, f"Wrote 1 file into {tmp_path / 'out'}\n")
    (file,) = (tmp_path / "out").iterdir()
    assert file.suffix == suffix
    assert str(star) in file.name
    wrong = cuvee("export", star, "-w", root, "--format", "xls", "-o", tmp_path / "out")
    assert (wrong.code, wrong.out) == (2, "")
    assert "xls" in wrong.err


def test_simulate_makes_what_run_reduces(cuvee: Cuvee, tmp_path: Path) -> None:
    root = tmp_path / "sim"
    answer = cuvee("simulate", "tess", root, "--frames", "3", "--stars", "9", "--size", "64")
    assert answer.code == 0
    assert f"Next: cuvee run -w {root}" in answer.out
    assert run_again(root, dry_run=True).n_files == 3
    again = cuvee("simulate", "tess", root, "--frames", "3")
    assert (again.code, again.out) == (2, "")


def test_simulate_stis_makes_what_run_reduces_and_show_draws(cuvee: Cuvee, tmp_path: Path) -> None:
    root, picture = tmp_path / "sim", tmp_path / "exposure.png"
    answer = cuvee("simulate", "stis", root, "--events", "2000", "--exposures", "1", "--grating", "g140l")
    assert answer.code == 0
    assert f"Next: cuvee run -w {root}" in answer.out
    assert cuvee("run", "-w", root, "--executor", "serial").code == 0
    assert cuvee("show", "simulated-1", "-w", root, "--output", picture).code == 0
    assert picture.stat().st_size > 10_000


def test_counts_and_tables() -> None:
    assert [count(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert table(["stage", "done"], [["a", "1"], ["b", "100"]]) == "stage  done\na         1\nb       100"
