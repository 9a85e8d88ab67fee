"""cuvee catalog, as a user meets it: taken in, searched, listed by detector, and reduced from."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from tests.cli.conftest import Cuvee
from tests.run.workspaces import SIZE, House, product_bytes, raw_files

import cuvee as package


@pytest.fixture
def table(house: House) -> Path:
    return house.master / "BASE" / "CAT" / "catalog.csv"


def test_taken_in_listed_and_searched(cuvee: Cuvee, house: House, table: Path) -> None:
    root = house.finished()
    assert "has no stored catalogue" in cuvee("catalog", "-w", root).out
    answer = cuvee("catalog", "import", table, "-w", root, "--name", "sim", "-q")
    n_row = len(table.read_text().splitlines()) - 1
    assert (answer.code, answer.err) == (0, "")
    assert f"catalog.csv: {n_row:,} stars taken in (no md5 to compare with)" in answer.out
    assert "name it in cuvee.toml" in answer.out
    assert "there already" in cuvee("catalog", "import", table, "-w", root, "--name", "sim", "-q").out
    (listed,) = json.loads(cuvee("catalog", "-w", root, "--json").out)
    assert (listed["name"], listed["rows"]) == ("sim", n_row)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    first = rows[0]
    place = f"{first['ra']} {first['dec']}"
    found = json.loads(cuvee("catalog", "search", place, "--radius", 0.001, "-w", root, "--json").out)
    assert str(found[0]["ID"]) == first["ID"]
    assert found[0]["distance"] < 0.01
    assert first["ID"] in cuvee("catalog", "search", place, "--radius", 0.001, "-w", root).out
    out = root / "near.csv"
    assert cuvee("catalog", "search", place, "--radius", 60, "--columns", "all", "-w", root, "-o", out).code == 0
    assert len(out.read_text().splitlines()) == n_row + 1


def test_sums_beside_the_file_are_compared(cuvee: Cuvee, house: House, tmp_path: Path, table: Path) -> None:
    root = house.finished()
    copy = tmp_path / "stars.csv"
    copy.write_bytes(table.read_bytes())
    (tmp_path / "md5sum.txt").write_text(f"{hashlib.md5(table.read_bytes()).hexdigest()} *stars.csv\n")
    assert "its md5 is right" in cuvee("catalog", "import", copy, "-w", root, "-q").out
    copy.write_bytes(table.read_bytes().replace(b"1", b"2", 1))
    answer = cuvee("catalog", "import", copy, "-w", root, "--name", "other", "-q")
    assert answer.code == 2
    assert "is damaged: its md5 is" in answer.err
    assert len(json.loads(cuvee("catalog", "-w", root, "--json").out)) == 1


def test_a_run_from_a_stored_catalogue_makes_the_same_light_curves(cuvee: Cuvee, house: House, table: Path) -> None:
    root = house.untouched()
    assert cuvee("catalog", "import", table, "-w", root, "--name", "sim", "-q").code == 0
    settings = (root / "cuvee.toml").read_text()
    assert 'files = ["BASE/CAT/catalog.csv"]' in settings
    (root / "cuvee.toml").write_text(settings.replace('files = ["BASE/CAT/catalog.csv"]', 'files = ["sim"]'))
    assert cuvee("run", "-w", root, "-q", "--executor", "serial").code == 0
    same = {name: data for name, data in product_bytes(root).items() if name.startswith("LC/")}
    assert same
    assert same == {name: data for name, data in product_bytes(house.master).items() if name.startswith("LC/")}
    star = package.open(root).light_curves(columns=["id"])["id"][0].as_py()
    assert "BASE/catalogs/sim" in cuvee("explain", star, "-w", root, "--json").out


def test_tables_of_detectors_say_where_each_star_is(cuvee: Cuvee, house: House, table: Path) -> None:
    root = house.finished()
    assert cuvee("catalog", "import", table, "-w", root, "--name", "sim", "-q").code == 0
    answer = cuvee("catalog", "targets", "-w", root, "-q")
    assert answer.code == 0
    (path,) = sorted((root / "BASE" / "chips").glob("CTLchip*_*_*.parquet"))[:1]
    found = pq.read_table(path)
    (placed,) = sorted(root.glob("RED/s*/*-ffi/targets.parquet"))
    assert sorted(found["ID"].to_pylist()) == sorted(pq.read_table(placed)["id"].to_pylist())
    np.testing.assert_allclose(found["x"].to_numpy() - found["col"].to_numpy(), 44.0)
    np.testing.assert_array_equal(found["y"].to_numpy(), found["row"].to_numpy())
    # As astropy has it, from 0, in frames that are the middle of the science pixels, which begin behind 44 columns. Frames differ by the jitter.
    header = fits.getheader(raw_files(root)[150], 1)
    x, y = WCS(header, fix=False).all_world2pix(found["ra"].to_numpy(), found["dec"].to_numpy(), 0)
    first = (2048 - SIZE) // 2
    assert abs(np.median(found["x"].to_numpy() - x) - first - 44) < 0.1
    assert abs(np.median(found["y"].to_numpy() - y) - first) < 0.1
    rows = {int(row["ID"]): row for row in csv.DictReader(table.read_text().splitlines())}
    for row in found.to_pylist():
        assert row["Tmag"] == float(rows[row["ID"]]["Tmag"])
        assert row["ra"] == float(rows[row["ID"]]["ra"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["import", "nowhere.csv"], "There is no catalogue nowhere.csv"),
        (["search", "30"], "is no place on the sky"),
        (["search", "30 40"], "has no stored catalogue"),
        (["targets", "--sector", "3-1"], "A sector is a number from 1, or two as in 1-3, not '3-1'"),
        (["targets", "--ccd", "1"], "--ccd needs --camera"),
    ],
)
def test_mistakes_are_told_in_a_sentence(cuvee: Cuvee, house: House, words: list[str], sentence: str) -> None:
    answer = cuvee("catalog", *words, "-w", house.finished())
    assert answer.code == 2
    assert sentence in answer.err
    assert len(answer.err.strip().splitlines()) == 1


def test_no_workspace_is_said(cuvee: Cuvee, tmp_path: Path) -> None:
    answer = cuvee("catalog", "-w", tmp_path)
    assert answer.code == 2
    assert "cuvee init" in answer.err
