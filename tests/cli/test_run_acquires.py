"""cuvee run, where cuvee.toml says what it wants of an archive."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

import pytest
from tests.acquire.files import HASTY
from tests.cli.conftest import Cuvee
from tests.run.workspaces import House, raw_files
from tests.sky.bulk import write_strips

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


def test_one_command_and_nothing_but_a_configuration(cuvee: Cuvee, house: House, tmp_path: Path) -> None:
    root = house.untouched()
    with (root / "BASE" / "CAT" / "catalog.csv").open() as table:
        stars = [*csv.DictReader(table)]
    write_strips(tmp_path / "catalogs", [*stars, {"ID": 7, "ra": 300.0, "dec": -45.0, "Tmag": 9.0}])
    (root / "RAW").rename(tmp_path / "archive")
    place = root.parent / "new"
    assert "cuvee catalog fetch tic" in cuvee("init", place).out
    config = place / "cuvee.toml"
    with LoopbackArchive(tmp_path / "archive", catalogs=tmp_path / "catalogs") as archive:
        want(place, archive.url)
        config.write_text(config.read_text().replace("files = []", 'files = ["tic"]'))
        run = ("run", "-w", place, "--executor", "serial", "--until", "targets", "-q")
        answer = cuvee(*run)
        assert (answer.code, answer.err) == (0, "")
        assert "TIC" not in answer.out
        archive.clear()
        assert "Nothing to do" in cuvee(*run).out
        assert archive.requests == []
    assert "Nothing to do" in cuvee(*run).out
    index = place / "BASE" / "catalogs" / "tic" / "catalog.json"
    known = json.loads(index.read_text())
    assert [one["file"][:15] for one in known["sources"]] == ["tic_dec46_00S__", "tic_dec48_00S__"]
    index.write_text(json.dumps({**known, "sources": known["sources"][1:]}))  # as if only that one had been imported
    answer = cuvee(*run)
    assert answer.code == 1
    assert "1 strip of the TIC did not come (http://127" in answer.out
    config.write_text(config.read_text().replace("sector = 8\n", ""))
    answer = cuvee(*run)
    assert answer.code == 0
    assert "The stored TIC lacks 1 strip on which images lie (tic_dec46_00S__44_00S)" in answer.out
    assert f"cuvee catalog fetch tic -w {place}" in answer.out


def test_without_images_and_network_the_network_is_told(
    cuvee: Cuvee, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "acquire_configured", partial(configured.acquire_configured, patience=HASTY))
    cuvee("init", tmp_path / "new")
    want(tmp_path / "new", "http://127.0.0.1:9")
    config = tmp_path / "new" / "cuvee.toml"
    config.write_text(config.read_text().replace("files = []", 'files = ["tic"]'))
    answer = cuvee("run", "-w", tmp_path / "new", "-q")
    assert answer.code == 2
    assert "127.0.0.1:9" in answer.err


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
