"""Tables of stars: the folders of the TESS Input Catalog and its candidate list, as files and as something to search."""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from cuvee.errors import ConfigError
from cuvee.testing.archive.columns import STARS
from cuvee.testing.archive.content import file_content, text_content
from cuvee.testing.archive.query import separation
from cuvee.testing.archive.reply import Reply

__all__ = ["StarTables"]

_BY_LOWER = {name.lower(): name for name in STARS}
_HEADER = re.compile(r"\[(\w+)\]")


class StarTables:
    """A folder of tables of stars.

    Parameters
    ----------
    folder : Path
        CSV files, plain or gzip, in any subfolders: with their column names in the first line, in a ``header.csv`` beside them, or, with 125 columns
        and no names, those of the TESS Input Catalog. What the archive keeps beside them and is not there, ``header.csv`` and ``md5sum.txt``, is made.

    Raises
    ------
    ConfigError
        If there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(
                f"There is no folder {folder}; name one that holds tables of stars, or leave --catalogs out."
            )
        self.folder = folder
        self._sums: dict[tuple[Path, int, int], str] = {}

    @property
    def tables(self) -> list[Path]:
        """The files with stars."""
        found = (path for path in self.folder.rglob("*") if path.name.endswith((".csv", ".csv.gz")) and path.is_file())
        return sorted(path for path in found if not path.name.endswith("header.csv"))

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """All stars; tables without a column ``ID`` are left out."""
        return [row for path in self.tables for row in _read(path)]

    def around(self, ra: float, dec: float, radius: float) -> list[dict[str, Any]]:
        """Return the stars within a radius (deg), nearest first, with their distance (arcsec)."""
        found = []
        for row in self.rows:
            if row["ra"] is None or row["dec"] is None or abs(row["dec"] - dec) > radius:
                continue
            far = separation(ra, dec, row["ra"], row["dec"])
            if far <= radius:
                found.append(row | {"distance": far * 3600, "objID1": str(row["ID"])})
        return sorted(found, key=lambda row: row["distance"])

    def serve(self, relative: str, wrong: set[str]) -> Reply | None:
        """Return a file of the folder, made where it is not there; ``wrong`` are names whose sum is to be wrong."""
        path = (self.folder / relative).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            return None
        tables = [table for table in self.tables if table.parent.resolve() == path.parent]
        if path.name == "md5sum.txt" and tables and (wrong or not path.is_file()):
            lines = [f"{self._sum(table, table.name in wrong)} *{table.name.removesuffix('.gz')}\n" for table in tables]
            return Reply(text_content("".join(lines)), "text/plain", name=path.name)
        if path.is_file():
            return Reply(
                file_content(path), "text/csv" if path.suffix == ".csv" else "application/octet-stream", name=path.name
            )
        if path.name == "header.csv" and tables and (names := _names(tables[0])):
            words = {"int": "Integer", "float": "Double"}
            line = ",".join(f"[{name}]:{words.get(STARS.get(name, 'string'), 'String')}" for name in names)
            return Reply(text_content(line + "\n"), "text/csv", name=path.name)
        return None

    def _sum(self, table: Path, wrong: bool) -> str:
        # Of the table itself, whether it is compressed or not; the archive does the same.
        facts = table.stat()
        key = (table, facts.st_size, facts.st_mtime_ns)
        if key not in self._sums:
            digest = hashlib.md5(usedforsecurity=False)
            with _open(table) as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
            self._sums[key] = digest.hexdigest()
        found = self._sums[key]
        return found[::-1] if wrong else found


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="")
    return path.open(encoding="utf-8", errors="replace", newline="")


def _names(path: Path) -> list[str]:
    """Return the names of a table's columns, in the archive's spelling; none where nobody says them."""
    for beside in (
        path.with_name("header.csv"),
        path.with_name(path.name.removesuffix(".gz").removesuffix(".csv") + "_header.csv"),
    ):
        if beside.is_file():
            names = _HEADER.findall(beside.read_text(encoding="utf-8", errors="replace").partition("\n")[0])
            return [_BY_LOWER.get(name.lower(), name) for name in names]
    with _text(path) as stream:
        first = next(csv.reader(stream), [])
    if "id" in [name.lower() for name in first]:
        return [_BY_LOWER.get(name.lower(), name) for name in first]
    return list(STARS) if len(first) == len(STARS) else []


def _read(path: Path) -> Iterator[dict[str, Any]]:
    names = _names(path)
    if "ID" not in names:
        return
    with _text(path) as stream:
        for cells in csv.reader(stream):
            if len(cells) != len(names) or cells[names.index("ID")].lower() == "id":
                continue
            row: dict[str, Any] = dict.fromkeys(STARS)
            row |= {name: _value(name, cell) for name, cell in zip(names, cells, strict=True) if name in STARS}
            yield row


def _value(name: str, cell: str) -> Any:
    if cell == "":
        return None
    try:
        return {"int": int, "float": float}.get(STARS[name], str)(cell)
    except ValueError:
        return None
