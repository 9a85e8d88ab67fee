"""All rows of a ledger from one database to another, and a digest that tells whether two tables are the same."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import sqlalchemy as sa
import xxhash

from cuvee.errors import StoreError
from cuvee.store.databases import Database, Lost
from cuvee.store.schema import TABLES

__all__ = ["table_digest", "transfer"]

_CHUNK = 5000


def transfer(source: Database, target: Database, progress: Callable[[int], object]) -> None:
    """Copy all rows, in one transaction, as they are at one moment.

    Parameters
    ----------
    source, target : Database
        Of ledgers of this version.
    progress : callable
        Told how many rows have been written.

    Raises
    ------
    StoreError
        If one of them cannot be used; nothing has been written then.
    """
    with _through(source) as reader, _through(target) as writer:
        for table in TABLES.values():
            found = _rows(reader, table)
            names = [column.name for column in table.columns]
            while some := list(islice(found, _CHUNK)):
                statement, values = target.rows(table, [dict(zip(names, row, strict=True)) for row in some])
                writer.exec_driver_sql(statement, values)
                progress(len(some))


def table_digest(database: Database, name: str) -> tuple[int, str]:
    """Return the number of a table's rows, and a hash of all values in the order of the key, the same in every database.

    Parameters
    ----------
    database : Database
        Of a ledger.
    name : str
        A key of `cuvee.store.schema.TABLES`.

    Raises
    ------
    StoreError
        If it cannot be read.
    """
    digest, n = xxhash.xxh3_128(), 0
    with _through(database) as connection:
        for row in _rows(connection, TABLES[name]):
            digest.update(b"\n".join(map(_bytes, row)) + b"\r")
            n += 1
    return n, digest.hexdigest()


def _bytes(value: Any) -> bytes:
    if isinstance(value, float):
        return b"f" + struct.pack("<d", value)
    return repr(value).encode()


def _rows(connection: sa.Connection, table: sa.Table) -> Iterator[Any]:
    query = sa.select(table).order_by(*table.primary_key.columns)
    yield from connection.execution_options(yield_per=_CHUNK).execute(query)


@contextmanager
def _through(database: Database) -> Iterator[sa.Connection]:
    try:
        with database.transaction() as connection:
            yield connection
    except Lost as error:
        raise StoreError(f"{database.name} went away; nothing has been written: try again.") from error
