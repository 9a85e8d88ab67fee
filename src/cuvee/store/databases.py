"""What the ledger asks of a database, whichever it is; what is one database's own is in `sqlite`, `postgresql` and `mysql`."""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cuvee.errors import CuveeError, StoreError
from cuvee.store.schema import REVISIONS, JsonText

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "POSTGRES_SCHEMA",
    "VIEWS",
    "Columns",
    "Database",
    "Lost",
    "NoLedger",
    "driver_values",
]

VIEWS = sa.Table("cuvee_views", sa.MetaData(), sa.Column("name", sa.String(64), primary_key=True))
"""Which views are ours."""

POSTGRES_SCHEMA = "cuvee"
"""Where the tables go in PostgreSQL unless the URL says ``?schema=``; not ``public``, which others use, too."""

Columns = Mapping[str, "NDArray[Any]"]
"""Columns of equal length by name."""


class Lost(Exception):
    """The connection broke, or the server asks to come again; what was under way has not been kept, or has been as a whole."""


class NoLedger(StoreError):
    """There is no ledger to be read."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no ledger {name} yet; make one with: cuvee run")


class Database(ABC):
    """A place for one ledger, opened.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Connects to it.
    name : str
        What messages call it; never with a password.
    read_only : bool
        Whether it is never written.
    """

    kind: str
    """What the software is called."""
    driver_error: type[Exception]
    """What the driver raises."""

    def __init__(self, engine: sa.Engine, name: str, read_only: bool) -> None:
        self.engine = engine
        self.name = name
        self.read_only = read_only

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Yield a connection in one transaction.

        Raises
        ------
        Lost
            If doing all of it again may help.
        StoreError
            If the database cannot be used.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            if error.connection_invalidated or (error.orig is not None and self.is_lost(error.orig)):
                raise Lost(self.name) from error
            raise self.unusable(error.orig) from error
        except self.driver_error as error:  # not by way of SQLAlchemy
            if self.is_lost(error):
                raise Lost(self.name) from error
            raise self.unusable(error) from error

    @abstractmethod
    def is_lost(self, error: BaseException) -> bool:
        """Tell whether the driver's error says that doing all of a transaction again may help."""

    @abstractmethod
    def unusable(self, error: BaseException | None) -> CuveeError:
        """Return what the user is told of the driver's error."""

    @abstractmethod
    def tables(self, connection: sa.Connection) -> set[str]:
        """Return the names of the tables that are there, ours or not."""

    @abstractmethod
    def make(self) -> None:
        """Make the tables where there are none."""

    @abstractmethod
    def upsert(self, table: sa.Table) -> tuple[str, dict[str, Callable[[Any], Any] | None]]:
        """Return the statement that puts a row, and how to turn each of its values, in order, into what the driver takes."""

    @abstractmethod
    def load(self, connection: sa.Connection, table: sa.Table, columns: Columns) -> None:
        """Add many rows by the quickest way there is.

        Parameters
        ----------
        connection : sqlalchemy.Connection
            In a transaction.
        table : sqlalchemy.Table
            Takes them.
        columns : mapping of str to ndarray
            One-dimensional, of equal length: integers, floats (NaN: no value) or texts (None: no value); every column of the table.
        """

    other_place: str = "name another in [database] url"
    """What to do about a database that is somebody else's."""

    def view(self, name: str) -> str:
        """Return how the database calls a view that users know by this name."""
        return name

    def described(self) -> str:
        """Return what kind of database it is, and its version."""
        with self.engine.connect() as connection:
            version = connection.dialect.server_version_info or ()
        return f"{self.kind} {'.'.join(map(str, version))}"

    def close(self) -> None:
        """Let go of it."""
        self.engine.dispose()

    # -- the version of the tables -------------------------------------------------------------------------------

    def version(self) -> str | None:
        """Return the version of the ledger that is there, None where there is none.

        Raises
        ------
        StoreError
            If there is something else, or a newer cuvee wrote it.
        """
        with self.transaction() as connection:
            names = self.tables(connection)
            version = None
            if "alembic_version" in names:
                version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        if self.being_made(names, version):
            return None
        if names and (version is None or not re.fullmatch(r"\d{4}", version)):
            raise self.foreign()
        if version is not None and version not in REVISIONS:
            raise StoreError(
                f"The ledger {self.name} was written by a newer cuvee; update cuvee, or run the newer one."
            )
        return version

    def being_made(self, names: set[str], version: str | None) -> bool:  # noqa: ARG002 - in a transaction, nobody sees it
        """Tell whether these are tables that somebody makes just now, or was kept from making to the end."""
        return False

    def foreign(self) -> CuveeError:
        """Return what is said of a database that holds something else."""
        return StoreError(f"{self.name} is a database, but not a cuvee ledger; move it away, then run again.")

    def bring_up_to_date(self) -> None:
        """See that the tables are those of this version of cuvee; make or change them where they are older.

        Raises
        ------
        StoreError
            If it is no ledger, or a newer cuvee wrote it, or it is older and may not be written.
        """
        version = self.version()
        if version == REVISIONS[-1]:
            return
        if self.read_only:
            raise StoreError(f"The ledger {self.name} is not up to date; bring it up to date with: cuvee run")
        if version is None:
            self.make()
        else:
            self.migrate()

    def drop_views(self) -> list[str]:
        """Drop the views that `cuvee.store.views.make_views` has made; return their names."""
        with self.transaction() as connection:
            if not sa.inspect(connection).has_table(VIEWS.name):
                return []
            names = sorted(connection.scalars(sa.select(VIEWS.c.name)))
            for name in names:
                quoted = connection.dialect.identifier_preparer.quote(name)
                connection.exec_driver_sql(f"DROP VIEW IF EXISTS {quoted}")
            connection.execute(sa.delete(VIEWS))
            return names

    def migrate(self) -> None:
        """Change the tables of an older version of cuvee."""
        self.drop_views()  # most databases change no table that a view looks at
        with self.transaction() as connection:
            self.upgrade(connection)

    def upgrade(self, connection: sa.Connection) -> None:
        """Do the migrations that have not been done, in a transaction."""
        # Alembic takes longer to import than a ledger that is up to date takes to open.
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    # -- values --------------------------------------------------------------------------------------------------

    def rows(self, table: sa.Table, rows: Iterable[Mapping[str, Any]]) -> tuple[str, list[tuple[Any, ...]]]:
        """Return the statement that puts rows in place of those with the same key, and its values.

        Parameters
        ----------
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
        statement, processors = self.upsert(table)
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
        return statement, values


@cache
def _defaults(table: sa.Table) -> dict[str, Any]:
    return {column.name: getattr(column.default, "arg", None) for column in table.columns}


def driver_values(table: sa.Table, finite: bool) -> dict[str, Callable[[Any], Any] | None]:
    """Return how a server's driver wants the values of a table, by column.

    Parameters
    ----------
    table : sqlalchemy.Table
        The table.
    finite : bool
        Whether the database has no infinite numbers, so that they are NULL, too.
    """
    ways: dict[str, Callable[[Any], Any] | None] = {}
    for column in table.columns:
        if isinstance(column.type, JsonText):
            ways[column.name] = json.dumps
        elif isinstance(column.type, sa.Double):
            # SQLite makes NULL of NaN on its own.
            ways[column.name] = _finite if finite else _number
        else:
            ways[column.name] = None
    return ways


def _number(value: float | None) -> float | None:
    return None if value is None or value != value else value


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
