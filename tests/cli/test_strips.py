"""cuvee catalog fetch, as a user meets it."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acquire.files import make_workspace
from tests.cli.conftest import Cuvee
from tests.sky.bulk import some_stars, write_strips

from cuvee.config import load
from cuvee.testing.archive import Fault, LoopbackArchive

SOUTH, NORTH = "tic_dec68_00S__66_00S", "tic_dec66_00S__64_00S"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[LoopbackArchive]:
    (tmp_path / "shelf").mkdir()
    write_strips(tmp_path / "catalogs", some_stars((-67.0, -65.0), 30))
    with LoopbackArchive(tmp_path / "shelf", catalogs=tmp_path / "catalogs") as archive:
        yield archive


@pytest.fixture
def root(archive: LoopbackArchive, tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "my", archive)


def test_listed_fetched_and_named(cuvee: Cuvee, root: Path, archive: LoopbackArchive) -> None:
    fetch = ("catalog", "fetch", "tic", "-w", root, "--dec", -68, -64, "-q")
    listed = cuvee(*fetch, "--list")
    assert (listed.code, listed.err) == (0, "")
    assert "2 strips, 2 not here" in listed.out
    assert "kB" in listed.out
    assert not [one for one in archive.requests if one.method == "GET"]
    assert not list((root / "RAW").rglob("*"))
    answer = cuvee(*fetch)
    assert (answer.code, answer.err) == (0, "")
    assert f"{SOUTH}.csv.gz: 30 stars taken in (its md5 is right)" in answer.out
    assert "Fetched 2 strips of the TIC" in answer.out
    assert load(root).catalog.files == ("tic",)
    archive.clear()
    assert "Nothing to fetch: 2 strips there" in cuvee(*fetch).out
    assert "2 strips, 0 not here." in cuvee(*fetch, "--list").out
    assert archive.requests == []
    assert "tic " in cuvee("catalog", "-w", root).out


def test_files_that_are_kept_are_no_strangers_in_raw(cuvee: Cuvee, root: Path) -> None:
    assert cuvee("catalog", "fetch", "tic", "-w", root, "--dec", -67, -66.5, "--keep").code == 0
    assert (root / "RAW" / "tess" / "catalogs" / "tic_v82" / f"{SOUTH}.csv.gz").is_file()
    answer = cuvee("verify", "-w", root)
    assert SOUTH not in answer.out + answer.err


def test_a_wrong_sum_is_told_and_the_others_are_there(cuvee: Cuvee, root: Path, archive: LoopbackArchive) -> None:
    archive.faults = [Fault("md5", f"{SOUTH}*")]
    answer = cuvee("catalog", "fetch", "tic", "-w", root, "--dec", -68, -64, "-q")
    assert answer.code == 1
    assert "Fetched 1 strip of the TIC" in answer.out
    assert f"  {SOUTH}.csv.gz: {SOUTH}.csv.gz is damaged: its md5 is" in answer.out


def test_no_network_and_no_room_are_told_in_a_sentence(
    cuvee: Cuvee, root: Path, archive: LoopbackArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cuvee("catalog", "fetch", "tic", "-w", root, "--dec", -67, -67, "-q").code == 0
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 0))
        answer = cuvee("catalog", "fetch", "tic", "-w", root, "--dec", -68, -64, "-q")
    assert (answer.code, answer.out) == (3, "")
    assert "1 strips of the TIC" not in answer.err
    assert "nothing was fetched" in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    archive.close()
    answer = cuvee("catalog", "fetch", "tic", "-w", root, "--dec", -68, -64, "-q")
    assert answer.code == 3
    assert archive.url in answer.err
    assert f"Of 2 strips here: {SOUTH}; missing: {NORTH}." in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert cuvee("catalog", "fetch", "tic", "-w", root, "--dec", -67, -67, "-q").code == 0
    answer = cuvee("catalog", "fetch", "tic", "-w", root, "--dec", -68, -64, "--list")
    assert answer.code == 3
    assert "2 strips, 1 not here." in answer.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tic"], "There is no image in"),
        (["tic", "--list"], "name a range, as in --dec -68 -64"),
        (["tic", "--dec", -60, -70], "the southern one first, not -60 -70"),
        (["tic", "--dec", -100, 0], "from -90 to 90"),
        (["tic", "--dec", "nan", 0], "from -90 to 90"),
        (["tick", "--dec", 0, 1], "'tick'"),
        ([], "missing"),
    ],
)
def test_mistakes_are_told_in_a_sentence(cuvee: Cuvee, root: Path, words: list[object], sentence: str) -> None:
    answer = cuvee("catalog", "fetch", *words, "-w", root)
    assert answer.code == 2
    assert sentence in answer.err
    assert len(answer.err.strip().splitlines()) == 1


def test_no_workspace_is_said(cuvee: Cuvee, tmp_path: Path) -> None:
    answer = cuvee("catalog", "fetch", "tic", "--dec", 0, 1, "-w", tmp_path)
    assert answer.code == 2
    assert "cuvee init" in answer.err
