"""A ledger in PostgreSQL: one schema a survey, so that one database holds as many as a group has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Self

import sqlalchemy as sa

from cuvee.errors import ConfigError, CuveeError
from cuvee.store.databases import POSTGRES_SCHEMA, Columns, driver_values
from cuvee.store.servers import CONNECT_SECONDS, ServerDatabase, shown

__all__ = ["PostgresDatabase"]

_MAKING = 0x63757665
"""The lock that is held while tables are made."""
_LOST = ("08", "40", "57P", "55P03", "53300")
"""Beginnings of the codes of errors that pass: connections, deadlocks, shutdowns, locks, too many connections."""
_REFUSED = ("28", "3D", "42501")


class PostgresDatabase(ServerDatabase):
    """One schema of a PostgreSQL database, by psycopg 3."""

    kind = "PostgreSQL"
    other_place = 'name a schema of its own, as in [database] url = "postgresql://USER@HOST/DATABASE?schema=SURVEY"'

    @classmethod
    def open(cls, url: sa.URL, read_only: bool) -> Self:
        """Connect; see `cuvee.store.addresses.open_database`."""
        try:
            import psycopg
        except ImportError as error:
            raise ConfigError(
                "A ledger in PostgreSQL needs psycopg; install it with: pip install 'cuvee[postgres]'"
            ) from error
        logging.getLogger("psycopg").setLevel(logging.ERROR)  # connections that break are ours to speak of
        query = dict(url.query)
        schema = query.pop("schema", None) or POSTGRES_SCHEMA
        if not isinstance(schema, str) or "\0" in schema:
            raise ConfigError("The URL of the database names several schemas; write ?schema=SURVEY once.")
        url = url.set(drivername="postgresql+psycopg", query=query)
        name = shown(url.set(drivername="postgresql", query={"schema": schema}))
        try:
            engine = sa.create_engine(
                url, connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": f"cuvee {schema}"}
            )
        except (sa.exc.ArgumentError, ValueError, TypeError):
            raise ConfigError(f"The URL of the database {name} has parameters that psycopg does not know.") from None

        @sa.event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: object) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('search_path', quote_ident(%s), false)", (schema,))
                if read_only:
                    cursor.execute("SET default_transaction_read_only = on")
            connection.commit()

        found = cls(engine, name, read_only)
        found._schema = schema
        found.driver_error = psycopg.Error
        return found.reach()

    _schema: str

    def refused(self, error: BaseException) -> CuveeError | None:
        """Return what is said where the server lets nobody in, None where it cannot be reached at all."""
        import psycopg

        text = str(error)
        if isinstance(error, psycopg.ProgrammingError):  # a parameter that libpq does not know
            return ConfigError(f"The URL of the database {self.name} is wrong: {text.strip()}.")
        if "FATAL:" not in text or any(words in text for words in ("starting up", "shutting down", "too many")):
            return None
        words = text.strip().splitlines()[-1].rpartition("FATAL:")[2].strip()
        return ConfigError(
            f"PostgreSQL refuses {self.name}: {words}; mend [database] url, or the password in ~/.pgpass."
        )

    def too_old(self, version: tuple[int | str, ...]) -> str:
        """Return the oldest version of the server that will do, where this one is older."""
        return "12" if int(version[0]) < 12 else ""  # from which on it writes doubles to the last bit

    def is_lost(self, error: BaseException) -> bool:
        """Tell whether the driver's error says that doing all of a transaction again may help."""
        import psycopg

        state = getattr(error, "sqlstate", None)
        if state is None:  # the network
            return isinstance(error, psycopg.OperationalError)
        return str(state).startswith(_LOST)

    def unusable(self, error: BaseException | None) -> CuveeError:
        """Return what the user is told of the driver's error."""
        state = str(getattr(error, "sqlstate", ""))
        if state == "42501":
            return ConfigError(
                f"The user of {self.name} may not do this ({str(error).splitlines()[0]}); ask whoever runs the server for: "
                f"CREATE SCHEMA {self._schema} AUTHORIZATION {self.engine.url.username or 'USER'}"
            )
        return super().unusable(error)

    def tables(self, connection: sa.Connection) -> set[str]:
        """Return the names of the tables that are there, ours or not."""
        query = "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = %s"
        return set(connection.exec_driver_sql(query, (self._schema,)).scalars())

    @contextmanager
    def alone(self, connection: sa.Connection) -> Iterator[None]:
        """Keep others from making tables until the transaction ends; make the schema, where it is missing."""
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
        there = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s"
        if connection.exec_driver_sql(there, (self._schema,)).scalar() is None:
            connection.execute(sa.schema.CreateSchema(self._schema))
        yield

    def view(self, name: str) -> str:
        """Return how the database calls a view: as it reads names that are not quoted."""
        return name.lower()

    def upsert(self, table: sa.Table) -> tuple[str, dict[str, Callable[[Any], Any] | None]]:
        """Return the statement that puts a row, and how to turn each of its values, in order, into what the driver takes."""
        return _upsert(table)

    def load(self, connection: sa.Connection, table: sa.Table, columns: Columns) -> None:
        """Add many rows by COPY: binary where all are numbers, which is quicker, else as text."""
        arrays = [columns[column.name] for column in table.columns]
        numbers = all(array.dtype.kind in "iuf" for array in arrays)
        if numbers:
            from cuvee.store.pgcopy import copy_blocks as blocks
        else:
            from cuvee.store.csv_blocks import csv_blocks as blocks
        form = "binary" if numbers else "csv"
        driver: Any = connection.connection.driver_connection
        with (
            driver.cursor() as cursor,
            cursor.copy(f'COPY "{table.name}" ({_list(table.columns.keys())}) FROM STDIN (FORMAT {form})') as copy,
        ):
            for block in blocks(arrays):
                copy.write(block)


@cache
def _upsert(table: sa.Table) -> tuple[str, dict[str, Callable[[Any], Any] | None]]:
    names = [column.name for column in table.columns]
    keys = [column.name for column in table.primary_key.columns]
    new = {name: f'excluded."{name}"' for name in names if name not in keys}
    if table.name == "quarantine":  # the run that first saw the file in this state stays
        same = " AND ".join(
            [
                "quarantine.still",
                *(f'quarantine."{n}" = excluded."{n}"' for n in ("size", "mtime_ns", "inode", "reason")),
            ]
        )
        new["run_id"] = f"CASE WHEN {same} THEN quarantine.run_id ELSE excluded.run_id END"
    said = ", ".join(f'"{name}" = {value}' for name, value in new.items())
    statement = (
        f'INSERT INTO "{table.name}" ({_list(names)}) VALUES ({", ".join(["%s"] * len(names))})'
        f" ON CONFLICT ({_list(keys)}) DO {f'UPDATE SET {said}' if said else 'NOTHING'}"
    )
    return statement, driver_values(table, finite=False)


def _list(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
