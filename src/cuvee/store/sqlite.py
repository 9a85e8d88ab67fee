"""What of the ledger is SQLite's own: opening the file for the one writer and for readers, bringing its tables up to date, upserts."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.dialects.sqlite import insert

from cuvee.errors import StoreError
from cuvee.store.schema import REVISIONS

__all__ = ["bring_up_to_date", "database_path", "put_rows", "reading_engine", "transaction", "writing_engine"]

_BUSY_SECONDS = 30.0
_SIDE_FILES = 1 << 16
"""Bytes that SQLite takes beside a database before it writes anything."""


def database_path(where: str | Path) -> Path:
    """Return the file that a path or a URL ``sqlite:///FILE`` names.

    Parameters
    ----------
    where : str or Path
        The path or URL.

    Returns
    -------
    Path

    Raises
    ------
    StoreError
        If it is a URL of another database.
    """
    if isinstance(where, str) and "://" in where:
        url = sa.make_url(where)
        if url.get_backend_name() != "sqlite" or not url.database:
            raise StoreError(
                f"The ledger {url.render_as_string()} cannot be used; this cuvee keeps it in an SQLite file."
            )
        where = url.database
    return Path(where)


def writing_engine(path: Path) -> sa.Engine:
    """Return an engine for the one writer; the file is made when it is first used.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    sqlalchemy.Engine
    """
    return _engine(path, writes=True)


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

    return engine


def reading_engine(path: Path) -> sa.Engine:
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


@contextmanager
def transaction(engine: sa.Engine, name: str) -> Iterator[sa.Connection]:
    """Yield a connection in one transaction.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The database.
    name : str
        What messages call it.

    Raises
    ------
    StoreError
        If the database cannot be used.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        raise _unusable(name, error.orig) from error
    except sqlite3.Error as error:  # from preparing the connection
        raise _unusable(name, error) from error


def bring_up_to_date(engine: sa.Engine, name: str, read_only: bool) -> None:
    """See that the tables are those of this version of cuvee; make or change them where they are older.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The database.
    name : str
        What messages call it.
    read_only : bool
        Whether to refuse an older one instead.

    Raises
    ------
    StoreError
        If it is no ledger, or a newer cuvee wrote it.
    """
    with transaction(engine, name) as connection:
        names = set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
        version = None
        if "alembic_version" in names:
            version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if version == REVISIONS[-1]:
        return
    if names and version is None:
        raise StoreError(f"{name} is a database, but not a cuvee ledger; move it away, then run again.")
    if version is not None and version not in REVISIONS:
        raise StoreError(f"The ledger {name} was written by a newer cuvee; update cuvee, or run the newer one.")
    if read_only:
        raise StoreError(f"The ledger {name} is not up to date; bring it up to date with: cuvee run")
    _migrate(engine, name)


def _migrate(engine: sa.Engine, name: str) -> None:
    # Alembic takes longer to import than a ledger that is up to date takes to open.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    _log_ahead(engine)
    with transaction(engine, name) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _log_ahead(engine: sa.Engine) -> None:
    """Let readers read while somebody writes: WAL mode, which the file keeps."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


@cache
def _defaults(table: sa.Table) -> dict[str, Any]:
    return {column.name: getattr(column.default, "arg", None) for column in table.columns}


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


def put_rows(connection: sa.Connection, table: sa.Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to a table, in place of those with the same key.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a transaction.
    table : sqlalchemy.Table
        One of `cuvee.store.schema.TABLES`.
    rows : iterable of mapping
        Columns and values.

    Raises
    ------
    KeyError
        If a row has a column that the table lacks, or lacks one of its key.
    """
    defaults = _defaults(table)
    keys = {column.name for column in table.primary_key.columns}
    statement, processors = _upsert(table)
    # Stars come by the ten thousand: SQLAlchemy's own way with a row takes as long as SQLite's.
    values = []
    seen = None
    for row in rows:
        if (names := row.keys()) != seen:  # rows by the thousand are mostly alike
            if unknown := names - defaults.keys():
                raise KeyError(f"The table {table.name} has no column {', '.join(sorted(unknown))}.")
            if missing := keys - names:
                raise KeyError(f"A row of the table {table.name} lacks {', '.join(sorted(missing))}.")
            seen = names
        full = {**defaults, **row}
        values.append(
            tuple(full[name] if process is None else process(full[name]) for name, process in processors.items())
        )
    if values:
        connection.exec_driver_sql(statement, values)
