"""Workspaces that cannot be written, files that are none, two runs at once, clocks that are wrong."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.run.fault_surveys import Survey, call
from tests.run.workspaces import own, product_bytes

COMMAND = [sys.executable, "-c", "from cuvee.cli import main; main()"]
AS_OTHERS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""Takes from the superuser what lets it pass by all permissions."""


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return Survey("frames", Path(tmp_path_factory.mktemp("mischief")))


def cuvee(*words: object, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, *COMMAND, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def one_line(done: subprocess.CompletedProcess[str], code: int, *words: object) -> None:
    assert (done.returncode, done.stdout) == (code, ""), done
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("cuvee: ")
    for word in words:
        assert str(word) in done.stderr


def test_a_disk_that_is_mounted_read_only(survey: Survey) -> None:
    survey.begin(finished=True)
    survey.root.rename(kept := survey.root.with_name("kept"))
    survey.root.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(survey.root)], check=False).returncode:
        shutil.rmtree(survey.root)
        kept.rename(survey.root)
        pytest.skip("small disks cannot be mounted here (that takes the rights of the superuser)")
    try:
        shutil.copytree(kept, survey.root, dirs_exist_ok=True)
        assert survey.run()[0] == 0
        subprocess.run(["mount", "-o", "remount,ro", str(survey.root)], check=True)
        one_line(cuvee("run", "-w", survey.root), 3, survey.root, "Read-only file system")
        for verb in ("status", "run --dry-run"):
            done = cuvee(*verb.split(), "-w", survey.root)
            assert (done.returncode, done.stderr) == (0, ""), done
        subprocess.run(["mount", "-o", "remount,rw", str(survey.root)], check=True)
        assert survey.run()[1]["worked"] == 0
        assert product_bytes(survey.root) == survey.bytes
    finally:
        subprocess.run(["umount", str(survey.root)], check=True)
        shutil.rmtree(kept)


@pytest.mark.parametrize("place", ["", "RED", "LC", "BASE/CAT", "RED/receipts"])
def test_a_folder_that_must_not_be_written(survey: Survey, place: str) -> None:
    before = _as_others()
    survey.begin(finished=True)
    frame = own(survey.root / "RAW" / survey.names[1])
    frame.write_bytes(b"")  # so that there is something to do
    if place == "BASE/CAT":
        (survey.root / "BASE" / "CAT" / "catalog.csv").open("a").close()
        text = (survey.root / "BASE" / "CAT" / "catalog.csv").read_text()
        (survey.root / "BASE" / "CAT" / "catalog.csv").write_text(f"{text}\n")
    folders = [folder for folder in (survey.root / place).rglob("*") if folder.is_dir()]
    folders.append(survey.root / place)
    (survey.root / "cuvee.db").chmod(0o444 if not place else 0o644)
    (survey.root / ".cuvee.lock").chmod(0o444 if not place else 0o644)
    for folder in folders:
        folder.chmod(0o555)
    try:
        one_line(cuvee("run", "-w", survey.root, "-q", before=before), 3, survey.root, "Permission denied")
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert survey.run()[0] == 1
    survey.repair()
    assert survey.run()[0] == 0
    if place != "BASE/CAT":
        assert product_bytes(survey.root) == survey.bytes


def _as_others() -> tuple[str, ...]:
    if os.geteuid():
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("the superuser may write everywhere, and setpriv is not here to take that right away")
    return tuple(AS_OTHERS)


def test_a_frame_that_may_not_be_read_is_read_once_it_may(survey: Survey) -> None:
    before = _as_others()
    survey.begin(finished=False)
    frame = own(survey.root / "RAW" / survey.names[1])
    frame.chmod(0o000)
    for _ in range(2):
        done = cuvee("run", "-w", survey.root, "-q", "--executor", "serial", before=before)
        assert (done.returncode, done.stderr) == (1, ""), done
        assert f"unreadable  {frame} cannot be read: Permission denied; mend that" in done.stdout
    frame.chmod(0o644)
    assert survey.run()[0] == 0
    assert product_bytes(survey.root) == survey.bytes


def test_two_runs_at_once(survey: Survey) -> None:
    survey.begin(finished=False)
    command = [*COMMAND, "run", "-w", str(survey.root), "-q", "--executor", "serial"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [(*run.communicate(timeout=120), run.returncode) for run in runs]
    codes = sorted(code for *_, code in answers)
    assert codes[0] == 0
    assert set(codes) <= {0, 2}
    for _, err, code in answers:
        assert (err == "") if code == 0 else ("Another run" in err and err.count("\n") == 1), err
    assert survey.run()[1]["worked"] == 0
    assert product_bytes(survey.root) == survey.bytes


def test_a_clock_that_has_gone_back(survey: Survey) -> None:
    """Everything that was ever written is of the future."""
    survey.begin(finished=True)
    later = time.time_ns() + 10 * 365 * 86_400 * 10**9
    for path in survey.root.rglob("*"):
        if path.is_file():
            os.utime(own(path), ns=(later, later))
    with sqlite3.connect(survey.root / "cuvee.db") as ledger:
        ledger.execute("UPDATE runs SET started = '2099-01-01T00:00:00', finished = '2099-01-01T00:00:01'")
    ledger.close()
    code, answer, err = survey.run()
    assert (code, answer["worked"], err) == (0, 0, "")
    assert product_bytes(survey.root) == survey.bytes
    assert call("status", "-w", survey.root)[0] == 0
    frame = survey.root / "RAW" / survey.names[1]
    frame.write_bytes(b"")
    os.utime(frame, ns=(0, 0))  # and this one is of 1970
    assert [bad["reason"] for bad in survey.run()[1]["bad_files"]] == ["empty"]
    survey.repair()
    assert survey.run()[0] == 0
    assert product_bytes(survey.root) == survey.bytes


@pytest.mark.parametrize("named", ["RAW", "RAW/*_ffic.fits"], ids=["folder", "glob"])
def test_things_that_are_no_files(survey: Survey, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    survey.begin(finished=False)
    raw = survey.root / "RAW"
    (raw / "folder_ffic.fits").mkdir()
    os.mkfifo(raw / "pipe_ffic.fits")
    (raw / "circle").symlink_to(raw)
    (raw / "self_ffic.fits").symlink_to("self_ffic.fits")
    (raw / "nothing_ffic.fits").symlink_to("gone_ffic.fits")
    (raw / "device_ffic.fits").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as door:
        monkeypatch.chdir(raw)  # the name of a socket must be short
        door.bind("socket_ffic.fits")
    text = (survey.root / "cuvee.toml").read_text()
    assert '["RAW"]' in text
    (survey.root / "cuvee.toml").write_text(text.replace('["RAW"]', f'["{named}"]'))
    for _ in range(2):
        done = cuvee("run", "-w", survey.root, "-q", "--executor", "serial")
        assert done.stderr == ""
        assert done.returncode == (0 if named == "RAW" else 1), done.stdout
        assert done.stdout.count("it is no file but a pipe or a device.") == (0 if named == "RAW" else 3)
        assert product_bytes(survey.root) == survey.bytes


def test_a_workspace_with_an_awkward_name(tmp_path: Path) -> None:
    place = tmp_path / "my survey; 'ü' [1] %s {x}"
    place.mkdir()
    awkward = Survey("frames", place)
    plain = Survey("frames", tmp_path)
    assert awkward.bytes == plain.bytes
    assert awkward.run()[1]["worked"] == 0
