"""A ledger in an SQLite file: opening it for the one writer and for readers, its words for what is wrong, upserts."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.dialects.sqlite import insert

from cuvee.errors import StoreError
from cuvee.store.databases import Columns, Database, NoLedger

__all__ = ["SqliteDatabase"]

_BUSY_SECONDS = 30.0
_SIDE_FILES = 1 << 16
"""Bytes that SQLite takes beside a database before it writes anything."""
_CACHE_KIB = 1 << 16
"""Memory for pages of the file, for the one writer: bulk loads and indexes fill many at a time."""
_CHUNK = 1 << 16
"""Rows that are turned into Python's numbers at a time."""


class SqliteDatabase(Database):
    """One file, in WAL mode: readers need no lock and see the last finished batch."""

    kind = "SQLite"
    driver_error = sqlite3.Error

    @classmethod
    def open(cls, path: Path, read_only: bool) -> Self:
        """Open a file.

        Parameters
        ----------
        path : Path
            The file; made when it is first written.
        read_only : bool
            Never write; works while somebody else writes, and in a folder that cannot be written.

        Raises
        ------
        StoreError
            If it is to be read and is not there, or is no database.
        """
        if read_only:
            if not path.is_file():
                raise NoLedger(str(path))
            return cls(_reading_engine(path), str(path), read_only)
        return cls(_engine(path, writes=True), str(path), read_only)

    def is_lost(self, error: BaseException) -> bool:  # noqa: ARG002 - there is no connection to lose
        """Tell whether doing all of a transaction again may help: SQLite has waited already."""
        return False

    def unusable(self, error: BaseException | None) -> StoreError:
        """Return what the user is told of the driver's error."""
        return _unusable(self.name, error)

    def tables(self, connection: sa.Connection) -> set[str]:
        """Return the names of the tables that are there, ours or not."""
        return set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())

    def make(self) -> None:
        """Make the tables, and let readers read while somebody writes: WAL mode, which the file keeps."""
        self.migrate()

    def migrate(self) -> None:
        """Change the tables of an older version of cuvee."""
        connection = self.engine.raw_connection()
        try:
            _keep_a_log(connection.cursor())
        finally:
            connection.close()
        super().migrate()

    def upsert(self, table: sa.Table) -> tuple[str, dict[str, Callable[[Any], Any] | None]]:
        """Return the statement that puts a row, and how to turn each of its values, in order, into what the driver takes."""
        return _upsert(table)

    def load(self, connection: sa.Connection, table: sa.Table, columns: Columns) -> None:
        """Add many rows: one statement, prepared once, in the caller's transaction."""
        names = [column.name for column in table.columns]
        quoted = ", ".join(f'"{name}"' for name in names)
        marks = ", ".join("?" * len(names))
        statement = f'INSERT INTO "{table.name}" ({quoted}) VALUES ({marks})'
        driver = connection.connection.cursor()
        n_row = len(columns[names[0]])
        for first in range(0, n_row, _CHUNK):
            values = [columns[name][first : first + _CHUNK].tolist() for name in names]
            driver.executemany(statement, zip(*values, strict=True))  # type: ignore[arg-type] # NaN becomes NULL


def _keep_a_log(cursor: Any) -> None:
    """Turn on WAL mode, which the file keeps. Of two that do so at once SQLite refuses one without letting it wait."""
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _engine(address: str | Path, writes: bool) -> sa.Engine:
    def connect() -> sqlite3.Connection:
        # The pool lends a connection to one thread at a time.
        return sqlite3.connect(
            address, uri=not writes, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )

    engine = sa.create_engine(
        "sqlite://", creator=connect, poolclass=sa.pool.QueuePool, pool_reset_on_return="rollback"
    )

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # sqlite3 would begin transactions on its own, but not before a change of the schema.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    if writes:

        @sa.event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")

    return engine


def _reading_engine(path: Path) -> sa.Engine:
    """Return an engine that only reads; in a folder that cannot be written, SQLite must be told that nobody writes.

    Parameters
    ----------
    path : Path
        The file, which exists.

    Returns
    -------
    sqlalchemy.Engine

    Raises
    ------
    StoreError
        If it is no database.
    """
    name = quote(str(path.resolve()))
    mode = "mode=ro"
    try:
        probe = sqlite3.connect(f"file:{name}?{mode}", uri=True, timeout=_BUSY_SECONDS)
        try:
            probe.execute("SELECT count(*) FROM sqlite_master").fetchone()
        finally:
            probe.close()
    except sqlite3.OperationalError:
        mode = "immutable=1"
    except sqlite3.DatabaseError as error:
        raise _unusable(str(path), error) from error
    return _engine(f"file:{name}?{mode}", writes=False)


def _unusable(name: str, error: BaseException | None) -> StoreError:
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return StoreError(f"{name} is not a database, or damaged; move it away, and cuvee run makes it anew.")
    if "locked" in text:
        return StoreError(f"The ledger {name} is locked by another program; close that, then run again.")
    if "is full" in text or (
        "I/O error" in text and _is_full(Path(name).parent)
    ):  # where it cannot even make its side files
        return StoreError(f"The ledger {name} cannot be written: the disk is full; free some space, then run again.")
    return StoreError(f"The ledger {name} cannot be used: {text}; check the disk and the permissions, then run again.")


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _SIDE_FILES
    except OSError:
        return False


@cache
def _upsert(table: sa.Table) -> tuple[str, dict[str, Callable[[Any], Any] | None]]:
    """Return the statement that puts a row, and how to turn each of its values, in order, into what the driver takes."""
    query = insert(table)
    keys = [column.name for column in table.primary_key.columns]
    new: dict[str, Any] = {
        column.name: query.excluded[column.name] for column in table.columns if column.name not in keys
    }
    if table.name == "quarantine":  # the run that first saw the file in this state stays
        same: sa.ColumnElement[bool] = table.c.still
        for name in ("size", "mtime_ns", "inode", "reason"):
            same = same & (table.c[name] == query.excluded[name])
        new["run_id"] = sa.case((same, table.c.run_id), else_=query.excluded.run_id)
    dialect = sqlite_dialect()
    compiled = query.on_conflict_do_update(index_elements=keys, set_=new).compile(dialect=dialect)
    names = compiled.positiontup or ()
    return str(compiled), {name: table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names}
