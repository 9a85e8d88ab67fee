"""Tables of catalogue stars in the database of a ledger, for those who want to ask them in SQL.

They hold what a user loads, with an index by HEALPix cell; nothing of cuvee reads them. The views over them, with the names of other
pipelines, are in `cuvee.store.views`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from numpy.typing import NDArray

from cuvee.catalog.stars import healpix_index
from cuvee.errors import ConfigError
from cuvee.model.records import Stars
from cuvee.store.catalog_columns import TIC_COLUMNS, Column, find_columns
from cuvee.store.catalog_formats import open_table
from cuvee.store.databases import Columns, Database
from cuvee.store.schema import long_text

__all__ = [
    "STAR_COLUMNS",
    "STAR_TABLES",
    "load_stars",
    "loaded_ranges",
    "read_star_table",
    "star_counts",
    "star_table",
    "stars_as_columns",
]

STAR_TABLES = ("ctl", "tic")
"""Tables that can be loaded."""

STAR_COLUMNS = {"id": "ID", "ra": "ra", "decl": "dec", "pmra": "pmRA", "pmdec": "pmDEC", "tmag": "Tmag", "teff": "Teff"}
"""The columns of every such table but ``healpix``, and what the TIC calls them; positions in deg, motions in mas/yr, K."""


def star_table(name: str, columns: Columns) -> sa.Table:
    """Describe a table of stars.

    Parameters
    ----------
    name : str
        One of `STAR_TABLES`.
    columns : mapping of str to ndarray
        What it holds.
    """
    kinds: dict[str, sa.types.TypeEngine[Any]] = {"i": sa.BigInteger(), "f": sa.Double(), "O": long_text()}
    fields = [
        sa.Column(
            column,
            # An INTEGER key is SQLite's own number of a row, and needs no index.
            sa.BigInteger().with_variant(sa.Integer(), "sqlite") if column == "id" else kinds[values.dtype.kind],
            primary_key=column == "id",
            autoincrement=False,
            nullable=column not in ("id", "healpix"),
        )
        for column, values in columns.items()
    ]
    return sa.Table(name, sa.MetaData(), *fields)


def read_star_table(path: Path, more: Sequence[str] = (), band: str = "tess") -> dict[str, NDArray[Any]]:
    """Read a table of stars, as people have them, into the columns of a table in SQL.

    Parameters
    ----------
    path : Path
        Whatever `cuvee.store.catalog_formats.open_table` opens.
    more : sequence of str
        Names of further columns of the file.
    band : str
        Which magnitude.

    Returns
    -------
    dict of str to ndarray
        Those of `STAR_COLUMNS` (NaN where the file lacks one), ``healpix``, and the others under their names in small letters.
        Rows without an id, and duplicates and artefacts of the TIC, are left out.

    Raises
    ------
    ConfigError
        If the file is no such table, or lacks a column.
    """
    table = open_table(path)
    found = dict(find_columns(table, band))
    names = [name.casefold() for name in table.names or TIC_COLUMNS]
    if "teff" in names:
        found["teff"] = names.index("teff")
    for name in more:
        if name.casefold() not in names:
            known = ", ".join(table.names or TIC_COLUMNS)
            raise ConfigError(f"{path} has no column {name}; its columns are: {known}.")
    extra = {name: names.index(name.casefold()) for name in more if name.casefold() not in (*STAR_COLUMNS, "dec")}
    kinds = {
        index: pa.int64() if role == "id" else pa.string() if role == "disposition" else pa.float64()
        for role, index in found.items()
    }
    # What is no number stays text.
    loaded = table.load({**{index: pa.float64() for index in extra.values()}, **kinds})
    cells = {role: Column(table, index, loaded[index]) for role, index in found.items()}
    ids, keep = cells["id"].integers()
    if "disposition" in cells:
        words = pc.utf8_upper(cells["disposition"].words())
        keep &= ~np.asarray(
            pc.fill_null(pc.is_in(words, value_set=pa.array(["DUPLICATE", "ARTIFACT"])), False).to_numpy(), np.bool_
        )
    none = np.full(ids.size, np.nan)
    columns: dict[str, NDArray[Any]] = {"id": ids}
    for name, role, unit in (
        ("ra", "ra", "deg"),
        ("decl", "dec", "deg"),
        ("pmra", "pmra", "mas / yr"),
        ("pmdec", "pmdec", "mas / yr"),
    ):
        columns[name] = cells[role].scaled(unit) if role in cells else none
    columns["tmag"] = cells["mag"].floats()
    columns["teff"] = cells["teff"].floats() if "teff" in cells else none
    for name, index in extra.items():
        columns[name.lower()] = _values(loaded[index])
    columns = {name: values[keep] for name, values in columns.items()}
    for name, low, high in (("ra", 0.0, 360.0), ("decl", -90.0, 90.0)):
        if not np.all((columns[name] >= low) & (columns[name] <= high)):
            raise ConfigError(f"{path} has a position that is missing or off the sphere; mend or remove that row.")
    columns["healpix"] = healpix_index(columns["ra"] % 360.0, columns["decl"])
    return columns


def _values(values: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_integer(values.type) and values.null_count == 0:
        return np.asarray(values.to_numpy(), np.int64)
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return np.asarray(pc.fill_null(values.cast(pa.float64()), np.nan).to_numpy(), np.float64)
    return np.array(values.cast(pa.string()).to_pylist(), object)


def stars_as_columns(stars: Stars) -> dict[str, NDArray[Any]]:
    """Return stars of the catalogue store as the columns of a table in SQL.

    Parameters
    ----------
    stars : Stars
        From `cuvee.store.catalogs.read_partitions`.
    """
    return {
        "id": stars.id,
        "ra": stars.ra,
        "decl": stars.dec,
        "pmra": stars.pmra,
        "pmdec": stars.pmdec,
        "tmag": stars.mag,
        "teff": np.full(len(stars), np.nan),
        "healpix": stars.healpix,
    }


_RANGES = sa.Table(
    "cuvee_star_tables",
    sa.MetaData(),
    sa.Column("name", sa.String(16), primary_key=True),
    sa.Column("low", sa.Double, primary_key=True, autoincrement=False),
    sa.Column("high", sa.Double, primary_key=True, autoincrement=False),
)
"""Which declinations have been loaded."""


def loaded_ranges(connection: sa.Connection, name: str) -> list[tuple[float, float]]:
    """Return which declinations (deg) of a table have been loaded.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a transaction.
    name : str
        One of `STAR_TABLES`.
    """
    if not sa.inspect(connection).has_table(_RANGES.name):
        return []
    query = sa.select(_RANGES.c.low, _RANGES.c.high).where(_RANGES.c.name == name)
    return sorted((float(low), float(high)) for low, high in connection.execute(query))


def load_stars(database: Database, name: str, columns: Columns, within: tuple[float, float]) -> int:
    """Put stars of a range of declinations into a table, in place of those of that range that are there.

    Parameters
    ----------
    database : Database
        Takes them.
    name : str
        One of `STAR_TABLES`.
    columns : mapping of str to ndarray
        From `read_star_table` or `stars_as_columns`.
    within : (float, float)
        From the first declination on and before the second (deg).

    Returns
    -------
    int
        Stars loaded.

    Raises
    ------
    ConfigError
        If a star occurs twice, or the table that is there has other columns.
    StoreError
        If the database cannot be used.
    """
    low, high = within
    rows = np.flatnonzero((columns["decl"] >= low) & ((columns["decl"] < high) | (high >= 90.0)))
    rows = rows[np.argsort(columns["id"][rows], kind="stable")]  # in the order of the key they go in quickest
    part: Mapping[str, NDArray[Any]] = {key: values[rows] for key, values in columns.items()}
    again = np.flatnonzero(part["id"][1:] == part["id"][:-1])
    if again.size:
        raise ConfigError(
            f"The star {part['id'][again[0]]} occurs twice in what is to be loaded into {name}; remove one of its rows."
        )
    table = star_table(name, part)
    with database.transaction() as connection:
        there = sa.inspect(connection).has_table(name)
    if there:
        with database.transaction() as connection:
            before = [column["name"] for column in sa.inspect(connection).get_columns(name)]
        if before != list(part):
            raise ConfigError(
                f"The table {name} of {database.name} has other columns ({', '.join(before)}); load the same ones, or drop it first."
            )
    with database.transaction() as connection:
        if there:
            inside = table.c.decl >= low
            if high < 90.0:
                inside &= table.c.decl < high
            connection.execute(sa.delete(table).where(inside))
        else:
            table.create(connection)
        if rows.size:
            database.load(connection, table, part)
        _RANGES.create(connection, checkfirst=True)
        same = (_RANGES.c.name == name) & (_RANGES.c.low >= low) & (_RANGES.c.high <= high)
        connection.execute(sa.delete(_RANGES).where(same))
        connection.execute(sa.insert(_RANGES).values(name=name, low=low, high=high))
        if not there:
            sa.Index(f"{name}_by_healpix", table.c.healpix).create(connection)
    return int(rows.size)


def star_counts(database: Database) -> dict[str, int]:
    """Return the number of stars in each table that has been loaded.

    Parameters
    ----------
    database : Database
        Of a ledger.
    """
    with database.transaction() as connection:
        there = [name for name in STAR_TABLES if sa.inspect(connection).has_table(name)]
        return {
            name: int(connection.scalar(sa.select(sa.func.count()).select_from(sa.table(name))) or 0) for name in there
        }
