"""Catalogue tables that are added, taken out, or become empty of our field."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from tests.run.workspaces import House, product_bytes, run


def split_catalog(root: Path) -> None:
    """Give every second star a table of its own."""
    table = root / "BASE" / "CAT" / "catalog.csv"
    head, *rows = table.read_text().splitlines()
    for name, part in (("even", rows[::2]), ("odd", rows[1::2])):
        table.with_name(f"{name}.csv").write_text("\n".join([head, *part]) + "\n")


def name_tables(root: Path, *names: str) -> None:
    path = root / "cuvee.toml"
    lines = path.read_text().splitlines()
    at = lines.index("[catalog]")
    at += next(k for k, line in enumerate(lines[at:]) if line.startswith("files"))
    lines[at] = f"files = {[f'BASE/CAT/{name}.csv' for name in names]}".replace("'", '"')
    path.write_text("\n".join(lines) + "\n")


def stars_of(root: Path) -> set[int]:
    files = (root / "LC").rglob("s*-*.parquet")
    return {star for path in files if "dataset" in path.parts for star in pq.read_table(path)["id"].to_pylist()}


def test_a_table_that_is_taken_out_takes_its_stars_along(house: House) -> None:
    root = house.untouched()
    split_catalog(root)
    name_tables(root, "even")
    run(root)
    alone = product_bytes(root)
    few = stars_of(root)
    name_tables(root, "even", "odd")
    run(root)
    every = stars_of(root)
    assert few < every
    name_tables(root, "even")
    assert not run(root).troubled
    assert stars_of(root) == few
    # Neighbours count as contaminants: the other table must not be read at all any more.
    assert product_bytes(root) == alone
    assert run(root).worked == 0
    partitions = [path.name for path in (root / "BASE" / "CAT" / "partitions").rglob("*.parquet")]
    assert set(partitions) == {"even.csv.parquet"}
