"""Tables of catalogue stars in the database of a ledger, for those who want to ask them in SQL.

They hold what a user loads, with an index by HEALPix cell; nothing of cuvee reads them. The views over them, with the names of other
pipelines, are in `cuvee.store.views`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from cuvee.errors import ConfigError
from cuvee.store.databases import Database
from cuvee.store.schema import long_text
from cuvee.store.star_rows import StarRows

__all__ = ["STAR_TABLES", "load_stars", "loaded_ranges", "star_counts", "star_table"]

STAR_TABLES = ("ctl", "tic")
"""Tables that can be loaded."""


def star_table(name: str, kinds: Mapping[str, str]) -> sa.Table:
    """Describe a table of stars.

    Parameters
    ----------
    name : str
        One of `STAR_TABLES`.
    kinds : mapping of str to str
        See `StarRows`.
    """
    types: dict[str, sa.types.TypeEngine[Any]] = {"i": sa.BigInteger(), "f": sa.Double(), "t": long_text()}
    fields = [
        sa.Column(
            column,
            # An INTEGER key is SQLite's own number of a row, and needs no index.
            sa.BigInteger().with_variant(sa.Integer(), "sqlite") if column == "id" else types[kind],
            primary_key=column == "id",
            autoincrement=False,
            nullable=column not in ("id", "healpix"),
        )
        for column, kind in kinds.items()
    ]
    return sa.Table(name, sa.MetaData(), *fields)


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


def load_stars(database: Database, name: str, sources: Sequence[StarRows], within: tuple[float, float]) -> int:
    """Put stars of a range of declinations into a table, in place of those of that range that are there; one transaction.

    Parameters
    ----------
    database : Database
        Takes them.
    name : str
        One of `STAR_TABLES`.
    sources : sequence of StarRows
        With the same columns.
    within : (float, float)
        From the first declination on and before the second (deg).

    Returns
    -------
    int
        Stars loaded.

    Raises
    ------
    ConfigError
        If the sources or the table that is there have other columns.
    StoreError
        If the database cannot be used, or a star occurs twice.
    """
    low, high = within
    kinds = dict(sources[0].kinds)
    if any(dict(source.kinds) != kinds for source in sources):
        raise ConfigError(f"What is to be loaded into {name} has not all the same columns; load the tables one by one.")
    table = star_table(name, kinds)
    with database.transaction() as connection:
        there = sa.inspect(connection).has_table(name)
        before = [column["name"] for column in sa.inspect(connection).get_columns(name)] if there else []
    if there and before != list(kinds):
        raise ConfigError(
            f"The table {name} of {database.name} has other columns ({', '.join(before)}); load the same ones, or drop it first."
        )
    n = 0
    with database.transaction() as connection:
        _RANGES.create(connection, checkfirst=True)
        if there:
            inside = table.c.decl >= low
            if high < 90.0:
                inside &= table.c.decl < high
            connection.execute(sa.delete(table).where(inside))
        else:
            table.create(connection)
        for source in sources:
            for part in source.parts:
                rows = np.flatnonzero((part["decl"] >= low) & ((part["decl"] < high) | (high >= 90.0)))
                if rows.size:
                    rows = rows[
                        np.argsort(part["id"][rows], kind="stable")
                    ]  # in the order of the key they go in quickest
                    database.load(connection, table, {key: values[rows] for key, values in part.items()})
                    n += rows.size
        same = (_RANGES.c.name == name) & (_RANGES.c.low >= low) & (_RANGES.c.high <= high)
        connection.execute(sa.delete(_RANGES).where(same))
        connection.execute(sa.insert(_RANGES).values(name=name, low=low, high=high))
        if not there:
            sa.Index(f"{name}_by_healpix", table.c.healpix).create(connection)
    return int(n)


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
