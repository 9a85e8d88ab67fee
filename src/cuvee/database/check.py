"""The ledger made anew from the receipts beside the one that is there: whether they agree, and where not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from cuvee.run.receipts import Receipt, read_receipt
from cuvee.run.rows import product_row, unit_row, write_stars
from cuvee.store.ledger import Ledger
from cuvee.store.own_ledger import open_ledger
from cuvee.store.paths import Paths
from cuvee.store.schema import TABLES
from cuvee.survey import Survey

__all__ = ["Check", "check_ledger"]

_WITHOUT_RECEIPT = ("blocked", "retry")
"""Outcomes of units that have not been begun."""
_KNOWN = {
    "units": ("recipe", "outcome", "message", "reason", "counts"),
    "products": ("content", "path", "size", "stage", "unit", "recipe"),
    "targets": ("healpix", "series", "row_number", "ra", "decl", "col", "row", "mag"),
    "light_curves": (
        "healpix",
        "series",
        "path",
        "best",
        "n_point",
        "n_good",
        "scatter",
        "cdpp_1h",
        "mean_flux",
        "variance",
        "flag",
    ),
    "exposures": (
        "target",
        "composite",
        "ra",
        "decl",
        "grating",
        "cenwave",
        "aperture",
        "proposal",
        "n_exposure",
        "mjd",
        "seconds",
        "events",
        "total",
        "mean",
        "constant",
        "period",
        "calibrated",
        "path",
    ),
}
"""What receipts and products tell, by table."""


class Check(NamedTuple):
    """How the ledger compares with what the receipts say.

    Parameters
    ----------
    place : str
        Where the ledger is.
    receipts : int
        Receipts read.
    rows : dict of str to int
        Rows of each table that were compared.
    differences : list of (str, str, str)
        Table, key, and what is wrong in words.
    """

    place: str
    receipts: int
    rows: dict[str, int]
    differences: list[tuple[str, str, str]]


def check_ledger(survey: Survey) -> Check:
    """Make the tables that receipts can tell of anew, in a file that is thrown away, and compare; nothing is changed.

    Parameters
    ----------
    survey : Survey
        The workspace.

    Returns
    -------
    Check

    Raises
    ------
    ConfigError, StoreError
        If the ledger cannot be opened.
    """
    paths = survey.paths
    with open_ledger(paths, read_only=True) as ledger, TemporaryDirectory() as folder:
        receipts = _receipts(paths)
        differences: list[tuple[str, str, str]] = []
        with Ledger.open(Path(folder) / "again.db") as again:
            _rebuild(again, paths, receipts, differences)
            rows = {}
            for table, columns in _KNOWN.items():
                here, told = _keyed(ledger, table, columns), _keyed(again, table, columns)
                if table == "units":
                    here = {key: row for key, row in here.items() if row["outcome"] not in _WITHOUT_RECEIPT}
                    told = {key: row for key, row in told.items() if key in here or _is_settled(ledger, key)}
                rows[table] = len(told)
                differences += _differences(table, here, told)
        differences += _contents(ledger, receipts)
        return Check(ledger.database.name, len(receipts), rows, differences)


def _receipts(paths: Paths) -> list[Receipt]:
    root = paths.root / paths.red / "receipts"
    found = (read_receipt(path) for path in sorted(root.rglob("*.json")))
    return [receipt for receipt in found if receipt is not None]


def _is_settled(ledger: Ledger, key: tuple[Any, ...]) -> bool:
    """Tell whether the ledger has not set a unit aside that has the receipt of an earlier time."""
    rows = ledger.rows("units", stage=key[0], data_id=key[1])
    return not rows or rows[0]["outcome"] not in _WITHOUT_RECEIPT


def _rebuild(again: Ledger, paths: Paths, receipts: list[Receipt], differences: list[tuple[str, str, str]]) -> None:
    again.put_units(unit_row(receipt, 0) for receipt in receipts)
    again.put_products(product_row(product, receipt) for receipt in receipts for product in receipt.products)
    for receipt in receipts:
        for product in receipt.products:
            if not product.path or product.meta.get("evicted"):
                continue
            path = paths.root / product.path
            if not path.is_file():
                differences.append(
                    ("products", f"{product.kind} {product.data_id}", f"its file {product.path} is missing")
                )
            elif path.stat().st_size != product.meta.get("size"):
                differences.append(
                    ("products", f"{product.kind} {product.data_id}", f"its file {product.path} has another size")
                )
            else:
                write_stars(again, paths, product)


def _keyed(ledger: Ledger, table: str, columns: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
    keys = [column.name for column in TABLES[table].primary_key.columns]
    found = ledger.columns(table, (*keys, *columns))
    return {row[: len(keys)]: dict(zip(columns, row[len(keys) :], strict=True)) for row in zip(*found, strict=True)}


def _differences(
    table: str, here: Mapping[tuple[Any, ...], Mapping[str, Any]], told: Mapping[tuple[Any, ...], Mapping[str, Any]]
) -> list[tuple[str, str, str]]:
    found = []
    for key in sorted(here.keys() | told.keys()):
        name = " ".join(map(str, key))
        if key not in told:
            found.append((table, name, "in the ledger, but no receipt tells of it"))
        elif key not in here:
            found.append((table, name, "not in the ledger, but a receipt tells of it"))
        else:
            other = [column for column in told[key] if here[key][column] != told[key][column]]
            if other:
                words = ", ".join(f"{column} is {here[key][column]!r}, not {told[key][column]!r}" for column in other)
                found.append((table, name, words))
    return found


def _contents(ledger: Ledger, receipts: list[Receipt]) -> list[tuple[str, str, str]]:
    """Compare what receipts have read of raw files with what the ledger knows of them, where the files are the same as then."""
    columns = ledger.columns("files", ("path", "size", "mtime_ns", "inode", "content"))
    known = {path: (tuple(stat), content) for path, *stat, content in zip(*columns, strict=True)}
    found = {}
    for receipt in receipts:
        for path, (stat, content) in receipt.contents.items():
            here = known.get(path)
            if here is not None and here[0] == tuple(stat) and here[1] not in ("", content):
                found[path] = ("files", path, f"content is {here[1]!r}, not {content!r}")
    return [found[path] for path in sorted(found)]
