"""``cuvee acquire`` as users meet it: what it lists, fetches and says, and every mistake in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acquire.files import ffi_name, here, make_shelf, make_workspace
from tests.cli.conftest import Cuvee

from cuvee.acquire.wire import Patience
from cuvee.testing.archive import Fault, LoopbackArchive

NAMES = [ffi_name(k) for k in range(3)]


@pytest.fixture
def shelf(tmp_path: Path) -> dict[str, bytes]:
    return make_shelf(tmp_path / "shelf", NAMES, 32)


@pytest.fixture
def archive(shelf: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackArchive]:
    assert shelf
    monkeypatch.setattr(Patience, "pause", lambda *_: 0.01)  # as impatient as a test must be
    with LoopbackArchive(tmp_path / "shelf") as archive:
        yield archive


@pytest.fixture
def root(archive: LoopbackArchive, tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "my survey", archive)


def test_from_a_sector_to_its_files(cuvee: Cuvee, root: Path, shelf: dict[str, bytes], tmp_path: Path) -> None:
    words = ("acquire", "tess", "--sector", 1, "-w", root)
    listed = cuvee(*words, "--list")
    assert (listed.code, here(root)) == (0, {})
    assert all(name in listed.out for name in NAMES)
    assert not (root / "cuvee.db").exists()
    as_json = json.loads(cuvee(*words, "--list", "--json").out)
    assert [file["name"] for file in as_json["files"]] == NAMES

    first = cuvee(*words, "--record", tmp_path / "r.json")
    assert first.code == 0
    assert first.out.startswith("Fetched 3 files, ")
    assert here(root) == shelf
    assert cuvee(*words).out.startswith("Nothing to fetch: 3 of 3 files are there.")
    again = json.loads(cuvee("acquire", "--from", tmp_path / "r.json", "-w", root, "--json").out)
    assert (again["here"], again["fetched"], again["trouble"]) == (3, [], {})


def test_what_is_missing_is_named_and_the_exit_code_tells(cuvee: Cuvee, root: Path, archive: LoopbackArchive) -> None:
    archive.faults = [Fault("404", NAMES[1]), Fault("truncate", NAMES[2])]
    done = cuvee("acquire", "tess", "--sector", "1", "-w", root)
    assert done.code == 1
    assert f"1 file: the archive does not have\n  {NAMES[1]}: the archive answers with 404 Not Found" in done.out
    assert f"1 file: came, but not sound\n  {NAMES[2]}: " in done.out
    assert "(6 tries)" in done.out


def test_the_configuration_says_what_where_nothing_is_said(
    cuvee: Cuvee, archive: LoopbackArchive, tmp_path: Path, shelf: dict[str, bytes]
) -> None:
    root = make_workspace(tmp_path / "configured", archive, sector=1, camera=1, ccd=4)
    assert cuvee("acquire", "-w", root).code == 0
    assert here(root) == shelf
    assert cuvee("acquire", "tess", "-w", root).out.startswith("Nothing to fetch: 3 of 3")
    assert "no list of ffir files" in cuvee("acquire", "--product", "ffir", "-w", root).err


def test_without_a_network_it_goes_on_with_what_is_there(
    cuvee: Cuvee, root: Path, archive: LoopbackArchive, shelf: dict[str, bytes]
) -> None:
    words = ("acquire", "tess", "--sector", "1", "-w", root)
    assert cuvee(*words).code == 0
    archive.close()
    whole = cuvee(*words)
    assert whole.code == 0
    assert "cannot be reached" in whole.out
    assert ", 3 are here" in whole.out
    next((root / "RAW").rglob(NAMES[0])).unlink()
    part = cuvee(*words)
    assert part.code == 3
    assert f"1 file: not here\n  {NAMES[0]}\n" in part.out
    unknown = cuvee("acquire", "tess", "--sector", "2", "-w", root)
    assert (unknown.code, unknown.out) == (3, "")
    assert unknown.err.count("\n") == 1
    assert set(here(root)) == set(shelf) - {NAMES[0]}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tess"], "Say which: --sector 1"),
        ([], "Say which: --sector 1"),
        (["tess", "--sector", "999"], "no such sector, or it is not released yet"),
        (["tess", "--sector", "one"], "A sector is a number from 1"),
        (["tess", "--sector", "1", "--camera", "5"], "less than or equal to 4"),
        (["tess", "--sector", "1", "--ccd", "2"], "--ccd needs --camera"),
        (["tess", "--sector", "1", "--product", "ffi"], "no product 'ffi'"),
        (["tess", "--target", "somewhere"], "knows no star 'somewhere'"),
        (["tess", "--target", "5"], "has no lc file of 5"),
        (["tess", "--instrument", "cos"], "--instrument does not go with tess"),
        (["kepler", "--sector", "1"], "--sector does not go with kepler"),
        (["kepler", "--target", "5"], "has no tp file of 5"),
        (["hst", "--instrument", "acs", "--time-tag"], "cos or stis"),
        (["tess", "--where", "obs_idd=5"], "did you mean 'obs_id'"),
        (["chandra", "--sector", "1"], "chandra"),
        (["--from", "nowhere.json"], "The record nowhere.json cannot be read"),
        (["--from", "nowhere.json", "--sector", "1"], "leave out --sector"),
        (["tess", "--sectors", "1"], "--sectors"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(cuvee: Cuvee, root: Path, words: list[str], says: str) -> None:
    before = sorted(root.rglob("*"))
    answer = cuvee("acquire", *words, "-w", root)
    assert answer.code == 2
    assert answer.err.startswith("cuvee: ")
    assert answer.err.count("\n") == 1
    assert says in answer.err
    assert sorted(root.rglob("*")) == before


def test_in_a_folder_that_is_no_workspace(cuvee: Cuvee, tmp_path: Path) -> None:
    assert "cuvee init" in cuvee("acquire", "tess", "--sector", "1", "-w", tmp_path).err
    assert cuvee("acquire", "tess", "--sector", "1", "-w", tmp_path / "none").code == 2


def test_a_reader_that_goes_away_is_no_error(root: Path) -> None:
    script = "import sys; from cuvee.cli import main; sys.argv = ['cuvee', *sys.argv[1:]]; main()"
    words = [sys.executable, "-c", script, "acquire", "tess", "--sector", "1", "--list", "-w", str(root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
