"""Which catalogue a file goes to, and which one is meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.run.workspaces import Listener

from cuvee.config import load, write_workspace
from cuvee.errors import ConfigError
from cuvee.sky import catalogs_of, find_catalog, take_in
from cuvee.sky.home import home_of, name_catalog

ROWS = "ID,ra,dec,Tmag\n1,10.0,20.0,9.0\n2,11.0,20.5,10.0\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "stars.csv").write_text(ROWS)
    write_workspace(tmp_path / "survey", "tess", ["RAW"], [str(tmp_path / "stars.csv")])
    return tmp_path / "survey"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("tic_dec02_00S__00_00N.csv", "tic"),
        ("exo_CTL_08.01xTIC_v8.1.csv", "ctl"),
        ("GaiaSource_000.csv", "gaia"),
        ("my stars.v2.csv", "my_stars"),
    ],
)
def test_a_file_goes_to_the_catalogue_that_it_is_of(root: Path, tmp_path: Path, file: str, name: str) -> None:
    (tmp_path / file).write_text(ROWS)
    (taken,) = take_in([tmp_path / file], home_of(root), Listener())
    assert (taken.folder, taken.new, taken.proven) == (root / "BASE" / "catalogs" / name, True, False)
    assert [one.name for one in catalogs_of(root).values()] == [name]
    assert find_catalog(root, "") == find_catalog(root, name) == taken.folder


def test_of_several_one_must_be_named(root: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        take_in([tmp_path / "stars.csv"], home_of(root), Listener(), name)
    with pytest.raises(ConfigError, match=r"several catalogues \(a, b\)"):
        find_catalog(root, "")
    with pytest.raises(ConfigError, match="no catalogue 'c'; there is a, b"):
        find_catalog(root, "c")
    assert find_catalog(root, "b").name == "b"


def test_a_list_without_the_file_is_the_wrong_one(root: Path, tmp_path: Path) -> None:
    (tmp_path / "sums.txt").write_text(f"{'0' * 32} *other.csv\n")
    with pytest.raises(ConfigError, match=r"has no sum of stars\.csv"):
        take_in([tmp_path / "stars.csv"], home_of(root), Listener(), sums=tmp_path / "sums.txt")


def test_nothing_is_taken_in_while_one_of_the_files_is_none(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no catalogue"):
        take_in([tmp_path / "stars.csv", tmp_path / "gone.csv"], home_of(root), Listener())
    assert not catalogs_of(root)


def test_a_configuration_without_a_catalogue_names_the_first_one(tmp_path: Path) -> None:
    write_workspace(tmp_path / "new", "tess", ["RAW"], [])
    assert name_catalog(tmp_path / "new", "tic")
    assert load(tmp_path / "new").catalog.files == ("tic",)
    assert not name_catalog(tmp_path / "new", "ctl")
    assert load(tmp_path / "new").catalog.files == ("tic",)
    path = tmp_path / "new" / "cuvee.toml"
    path.write_text(path.read_text().replace('files = ["tic"]', "files = [  ]"))
    before = path.read_text()
    assert not name_catalog(tmp_path / "new", "tic")  # somebody's own hand: left alone
    assert path.read_text() == before
