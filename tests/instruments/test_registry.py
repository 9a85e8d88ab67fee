"""Finding instruments and files."""

import os
from pathlib import Path

import pytest

from cuvee.errors import ConfigError
from cuvee.instruments.registry import find_files, instrument, instrument_names


def test_the_shipped_instruments_are_there() -> None:
    assert {"tess", "kepler"} <= set(instrument_names())
    assert instrument("tess").zero_point == 20.44
    assert instrument("tess") is instrument("tess")


def test_unknown_instrument_names_the_nearest_and_all() -> None:
    with pytest.raises(ConfigError, match=r"'tes'; did you mean 'tess'\? Installed: .*kepler.*tess"):
        instrument("tes")
    with pytest.raises(ConfigError, match=r"installed: .*kepler"):
        instrument("zzzzzz")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "raw/b_ffic.fits",
        "raw/deep/er/a_ffic.fits.gz",
        "raw/notes.txt",
        "raw/.hidden/x_ffic.fits",
        "one.fits",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


PATTERNS = ("*_ffic.fits", "*_ffic.fits.gz")


def test_folders_globs_and_files_each_file_once_and_sorted(tree: Path) -> None:
    frames = [str(tree / "raw/b_ffic.fits"), str(tree / "raw/deep/er/a_ffic.fits.gz")]
    assert find_files(["raw"], PATTERNS, tree) == frames
    assert find_files(["raw", str(tree / "raw"), "raw/*.fits", "raw/**/*.gz", "./raw/../raw"], PATTERNS, tree) == frames
    # What is named outright is taken whatever it is called.
    assert find_files(["one.fits"], PATTERNS, tree) == [str(tree / "one.fits")]
    assert find_files(["raw/notes.txt"], PATTERNS, tree) == [str(tree / "raw/notes.txt")]
    assert find_files([], PATTERNS, tree) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "does not exist"),
        ("raw/*.nothing", "matches nothing"),
        ("empty", r"holds no file named like \*_ffic"),
    ],
)
def test_a_source_without_files_is_named(tree: Path, source: str, words: str) -> None:
    (tree / "empty").mkdir()
    with pytest.raises(ConfigError, match=f"'{source.replace('*', '.')}' {words}"):
        find_files(["raw", source], PATTERNS, tree)


def test_circles_of_links_end_and_pipes_are_passed_over(tree: Path) -> None:
    (tree / "raw/deep/circle").symlink_to(tree / "raw")
    os.mkfifo(tree / "raw/pipe_ffic.fits")
    assert len(find_files(["raw"], PATTERNS, tree)) == 2


def test_a_linked_folder_counts(tree: Path) -> None:
    (tree / "elsewhere").mkdir()
    (tree / "elsewhere/c_ffic.fits").write_text("x")
    (tree / "raw/linked").symlink_to(tree / "elsewhere")
    assert str(tree / "raw/linked/c_ffic.fits") in find_files(["raw"], PATTERNS, tree)
