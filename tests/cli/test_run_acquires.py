"""cuvee run, where cuvee.toml says what it wants of an archive."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from tests.acquire.files import HASTY
from tests.cli.conftest import Cuvee
from tests.run.workspaces import House, raw_files

from cuvee.acquire import configured
from cuvee.testing.archive import LoopbackArchive


def want(root: Path, url: str) -> None:
    path = root / "cuvee.toml"
    line = f'\n[acquire]\nsector = 8\ncamera = 3\nccd = 4\narchive = "{url}"\n'
    path.write_text(path.read_text().replace("\n[acquire]\n", line))


def test_one_command_from_an_empty_folder(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    root = house.untouched()
    files = tmp_path / "archive"
    files.mkdir()
    for path in raw_files(root):
        path.rename(files / path.name)
    with LoopbackArchive(files) as archive:
        want(root, archive.url)
        answer = cuvee("run", "-w", root, "--executor", "serial", "--until", "targets")
        assert (answer.code, "are not here" in answer.out) == (0, False)
        assert "To do now" in cuvee("run", "-w", root, "--dry-run", "-q").out
    verified = cuvee("verify", "--full", "-w", root, "-q")
    assert (verified.code, "All files are there and whole." in verified.out) == (0, True)
    assert cuvee("run", "-w", root, "-q", "--executor", "serial", "--until", "targets").code == 0


def test_a_run_goes_on_with_what_is_there_and_says_so(
    cuvee: Cuvee, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "acquire_configured", partial(configured.acquire_configured, patience=HASTY))
    root = house.finished()
    want(root, "http://127.0.0.1:9")
    answer = cuvee("run", "-w", root, "-q", "--executor", "serial")
    assert answer.code == 1
    assert "Nothing was fetched, and the run went on with what is there" in answer.out
    assert "127.0.0.1:9" in answer.out


def test_verify_names_what_is_wrong_by_its_place_in_the_workspace(cuvee: Cuvee, house: House) -> None:
    root = house.finished()
    path = raw_files(root)[3]
    path.unlink()
    path.write_bytes(b"<html>no</html>")
    answer = cuvee("verify", "-w", root, "-q")
    assert answer.code == 1
    assert f"not-fits: RAW/{path.name} is not a FITS file but an HTML page" in answer.out
    assert "cuvee verify --repair" in answer.out
    assert cuvee("verify", "-w", root, "--list", root / "nowhere").code == 2
