"""Every mistake is one line on standard error that says what, where, and what to do; the exit code says whose it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Answer, Cuvee
from tests.run.workspaces import House, edit, own, raw_files

from cuvee.simulate import faults
from cuvee.store.lock import workspace_lock


def one_line(answer: Answer, code: int, *words: object) -> None:
    """Check that an answer is one line of complaint, with these words, and nothing else."""
    assert answer.code == code, answer
    assert answer.out == ""
    lines = [
        line for line in answer.err.splitlines() if not re.search(r" (s|min|h)$", line)
    ]  # but for news of progress
    assert len(lines) == 1, answer.err
    assert lines[0].startswith("cuvee: ")
    for word in words:
        assert str(word) in lines[0]


def configure(root: Path, old: str, new: str) -> None:
    path = root / "cuvee.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# -- what is typed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rnu"], ["'rnu'", "Did you mean 'run'", "cuvee --help"]),
        (["run", "--wokers", "3"], ["--wokers", "--workers", "cuvee run --help"]),
        (["run", "--sector", "eight"], ["--sector", "integer", "cuvee run --help"]),
        (["run", "--camera", "5"], ["--camera", "4"]),
        (["run", "extra"], ["extra", "cuvee run --help"]),
        (["show"], ["star", "cuvee show --help"]),
        (["init"], ["workspace", "cuvee init --help"]),
        (["simulate", "hubble", "x"], ["hubble", "tess"]),
        (["simulate", "stis", "x", "--grating", "E230H"], ["'E230H'", "E140M"]),
        (["init", "x", "--instrument", "tes"], ["'tes'", "did you mean 'tess'"]),
    ],
)
def test_a_slip_of_the_fingers(
    cuvee: Cuvee, words: list[str], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one_line(cuvee(*words), 2, *expected)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--ccd", "4"], ["--ccd", "--camera"]),
        (["--renew", "all"], ["--renew", "reference"]),
        (["--executor", "dask"], ["--executor", "process", "serial"]),
        (["--until", "extrakt"], ["extrakt", "extract"]),
        (["--sector", "9"], ["s0009", "s0008 3-4"]),
        (["--star", "HD 1"], ["--star", "'HD'", "--star 25155310"]),
        (["--star", "9" * 30], ["--star", "9" * 30]),
        (["--star", "1,2", "--star", "2"], ["Stars 1, 2 are not in the catalogue (catalog.csv)"]),
        (["--star", "1", "--reproduce", "other"], ["--reproduce", "--star"]),
        (["--sector", "8", "--camera", "1"], ["s0008 1-", "s0008 3-4"]),
    ],
)
def test_options_of_run_that_do_not_fit(cuvee: Cuvee, house: House, words: list[str], expected: list[str]) -> None:
    one_line(cuvee("run", "-w", house.finished(), *words), 2, *expected)


# -- the workspace ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "status", "show 1", "explain 1", "export"])
def test_the_wrong_folder(cuvee: Cuvee, tmp_path: Path, command: str) -> None:
    verb, *words = command.split()
    one_line(cuvee(verb, *words, "-w", tmp_path / "nowhere"), 2, tmp_path / "nowhere", "cuvee init")
    one_line(cuvee(verb, *words, "-w", tmp_path), 2, tmp_path, "cuvee.toml", "cuvee init")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["is empty", "[workspace]"]),
        ("[workspace\n", ["not valid TOML", "line 1"]),
        ('[workspace]\ninstrument = "tess"\n[extract]\nradi = [1.0]\n', ["'radi'", "[extract]", "'radii'"]),
        ('[workspace]\ninstrument = "tess"\n[extrakt]\n', ["[extrakt]", "'extract'"]),
        ('[workspace]\ninstrument = "tess"\n[extract]\nradii = [3.0, 2.0]\n', ["[extract]", "ascend"]),
        ('[workspace]\ninstrument = "tess"\n[extract]\nannulus = [9.0, 6.0]\n', ["[extract]", "annulus"]),
        ('[workspace]\ninstrument = "tess"\n[run]\nworkers = "many"\n', ["[run]", "workers", "'many'"]),
        ('[workspace]\ninstrument = "tees"\n', ["'tees'", "'tess'"]),
        ('[workspace]\ninstrument = "tess"\n[data]\nfiles = ["RAW"]\n', ["[catalog]", "files"]),
    ],
)
def test_a_configuration_that_cannot_be_used(cuvee: Cuvee, tmp_path: Path, text: str, expected: list[str]) -> None:
    (tmp_path / "cuvee.toml").write_text(text)
    (tmp_path / "RAW").mkdir()
    one_line(cuvee("run", "-w", tmp_path), 2, *expected)
    assert not (tmp_path / "cuvee.db").exists()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('["RAW"]', '["RAWW"]', ["RAWW", "does not exist"]),
        ('["RAW"]', '["RAW/*_tp.fits"]', ["RAW/*_tp.fits", "matches nothing"]),
        ('["RAW"]', '["LC"]', ["LC", "holds no file"]),
        ("catalog.csv", "catalogue.csv", ["catalogue.csv", "does not exist"]),
        ("[extract]", '[extract]\nmask = "mask.npy"', ["[extract] mask", "mask.npy"]),
        ("[extract]", '[extract]\nmask = "cuvee.toml"', ["[extract] mask", "cuvee.toml"]),
        ("[collect]", '[collect]\naperture = "aperture4"', ["[collect] aperture", "aperture4", "radii"]),
    ],
)
def test_sources_that_are_not_there(cuvee: Cuvee, house: House, old: str, new: str, expected: list[str]) -> None:
    root = house.untouched()
    (root / "LC").mkdir(exist_ok=True)
    configure(root, old, new)
    one_line(cuvee("run", "-w", root, "--executor", "serial", "-q"), 2, *expected)


def test_a_second_run_is_told_who_is_first(cuvee: Cuvee, house: House) -> None:
    root = house.finished()
    with workspace_lock(root / ".cuvee.lock"):
        one_line(cuvee("run", "-w", root), 2, f"process {os.getpid()}", root)
        status = cuvee("status", "-w", root)
        assert (status.code, status.err) == (0, "")
        assert f"a run is going on (process {os.getpid()})" in status.out


def test_a_workspace_that_cannot_be_written(house: House) -> None:
    root = house.finished()
    command = [sys.executable, "-c", "from cuvee.cli import main; main()"]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("the superuser may write everywhere, and setpriv is not here to take that right away")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]

    def call(*words: object) -> Answer:
        done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, check=False)
        return Answer(done.returncode, done.stdout, done.stderr)

    before = call("status", "-w", root).out
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    (root / "cuvee.db").chmod(0o444)
    (root / ".cuvee.lock").chmod(0o444)
    for folder in folders:
        folder.chmod(0o555)
    try:
        one_line(call("run", "-w", root), 3, root, "Permission denied")
        status = call("status", "-w", root)
        assert (status.code, status.out, status.err) == (0, before, "")
        dry = call("run", "-w", root, "--dry-run")
        assert (dry.code, dry.out) == (0, "Nothing to do.\n")
    finally:
        for folder in folders:
            folder.chmod(0o755)


# -- catalogues ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ID,ra,Tmag\n1,128.0,9.0\n", ["dec"]),
        ("ID,ra,dec,Tmag\n1,128.0,-46.0,9.0\n2,428.0,-46.0,9.0\n", ["row 2", "428"]),
        ("ID,ra,dec,Tmag\n1,128.0,-96.0,9.0\n", ["row 1", "-96"]),
        ("ID,ra,dec,Tmag\n1,128.0,-46.0,9.0\n2,128.1,-46.0,bright\n", ["row 2", "bright"]),
        ("ID,ra,dec,Tmag\n7,128.0,-46.0,9.0\n8,128.2,-46.0,9.0\n7,128.1,-46.0,9.0\n", ["row 3", "7"]),
        ("", ["catalog.csv"]),
        ("<!DOCTYPE html><html></html>\n", ["catalog.csv"]),
    ],
)
def test_a_catalogue_that_cannot_be_right(cuvee: Cuvee, house: House, text: str, expected: list[str]) -> None:
    root = house.untouched()
    table = own(root / "BASE" / "CAT" / "catalog.csv")
    table.write_text(text)
    one_line(cuvee("run", "-w", root, "--executor", "serial"), 2, table, *expected)
    assert not list(root.glob("RED/*/*/fluxes"))


def test_a_catalogue_of_another_part_of_the_sky(cuvee: Cuvee, house: House) -> None:
    """No mistake that can be told from a survey with an empty detector; but nothing has come out, and that is said."""
    root = house.untouched()
    own(root / "BASE" / "CAT" / "catalog.csv").write_text("ID,ra,dec,Tmag\n1,10.0,10.0,9.0\n")
    for _ in range(2):
        answer = cuvee("run", "-w", root, "--executor", "serial", "-q")
        assert answer.code == 1
        assert "no star of the catalogue (catalog.csv) is near s0008 3-4; is it the right catalogue?" in answer.out
    assert "no star of the catalogue (catalog.csv) is near" in cuvee("status", "-w", root).out


def test_two_tables_of_one_name(cuvee: Cuvee, house: House) -> None:
    root = house.untouched()
    other = root / "BASE" / "CAT" / "more" / "catalog.csv"
    other.parent.mkdir()
    shutil.copy(root / "BASE" / "CAT" / "catalog.csv", other)
    configure(root, '"BASE/CAT/catalog.csv"', '"BASE/CAT/catalog.csv", "BASE/CAT/more/catalog.csv"')
    one_line(cuvee("run", "-w", root), 2, other, "same name")


def test_a_file_name_that_is_no_text(cuvee: Cuvee, house: House) -> None:
    root = house.untouched()
    try:
        shutil.copy(raw_files(root)[0], root / "RAW" / os.fsdecode(b"tess\xff_ffic.fits"))
    except OSError:
        pytest.skip("this file system takes no such names")
    one_line(cuvee("run", "-w", root), 2, "tess\\udcff_ffic.fits", "UTF-8")


# -- bad frames, interrupted pipes, bugs --------------------------------------------------------------------------


def test_bad_frames_are_listed_each_time_until_they_are_mended(cuvee: Cuvee, house: House) -> None:
    root = house.finished()
    frames = raw_files(root)
    edit(frames[20], faults.truncate)
    edit(frames[30], faults.replace_by_html)
    for first_line in ("Done: ", "Nothing to do: 298 files"):
        answer = cuvee("run", "-w", root, "--executor", "serial", "-q")
        assert (answer.code, answer.err) == (1, "")
        assert answer.out.startswith(first_line)
        assert "2 of 300 files cannot be used; repair or remove, then run again:" in answer.out
        assert f"truncated   {frames[20]}" in answer.out
        assert f"not-fits    {frames[30]}" in answer.out
    assert str(frames[20]) in cuvee("status", "-w", root).out
    for frame in (frames[20], frames[30]):
        house.restore(frame)
    assert cuvee("run", "-w", root, "--executor", "serial", "-q").code == 0
    assert "cannot be used" not in cuvee("status", "-w", root).out


def test_a_reader_that_goes_away_is_no_error(house: House) -> None:
    command = f"{sys.executable} -c 'from cuvee.cli import main; main()' status --json -w {house.finished()}"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("{\n0\n", "")


def test_a_bug_is_one_line_and_a_report(cuvee: Cuvee, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("cuvee.status.workspace_status", broken)
    answer = cuvee("status", "-w", house.finished())
    assert answer.code == 3
    report = Path(answer.err.split()[-1].rstrip("."))
    assert "ZeroDivisionError" in report.read_text()
    report.unlink()
    assert answer.err.startswith("cuvee: unexpected ZeroDivisionError: division by zero; please report it with ")
