"""A ledger in MySQL or MariaDB: one database a survey."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from cuvee.errors import ConfigError, CuveeError, StoreError
from cuvee.store.databases import Columns, NoLedger, driver_values
from cuvee.store.servers import CONNECT_SECONDS, ServerDatabase, shown

__all__ = ["MysqlDatabase"]

_LOST = (0, 1020, 1040, 1053, 1158, 1159, 1160, 1161, 1205, 1213, 1317, 1927, 2002, 2003, 2006, 2013, 2055)
"""Codes of errors that pass: connections cut or killed, shutdowns, deadlocks, locks, too many connections."""
_CHUNK = 1 << 14
_NO_DATABASE, _NO_PASSWORD = 1049, 1045
_NO_LOCAL_FILES = (1148, 2068, 3948, 4166)
"""Codes of servers that take no files from their clients, as MySQL does unless told otherwise."""
_LOCK = "concat('cuvee ', left(database(), 50))"
_NO_RIGHTS = (1044, 1142, 1227, 1370)


class MysqlDatabase(ServerDatabase):
    """One database of a MySQL or MariaDB server, by PyMySQL."""

    def __init__(self, engine: sa.Engine, name: str, read_only: bool, kind: str) -> None:
        super().__init__(engine, name, read_only)
        self.kind = kind

    other_place = 'name a database of its own, as in [database] url = "mysql://USER@HOST/SURVEY"'

    @classmethod
    def open(cls, url: sa.URL, read_only: bool) -> Self:
        """Connect; see `cuvee.store.addresses.open_database`."""
        try:
            import pymysql
        except ImportError as error:
            raise ConfigError(
                "A ledger in MySQL or MariaDB needs PyMySQL; install it with: pip install 'cuvee[mysql]'"
            ) from error
        name = shown(url.set(drivername=url.get_backend_name(), query={}))
        if not url.database:
            raise ConfigError(f"The URL {name} names no database; write it as in mysql://USER@HOST/SURVEY.")
        given: dict[str, Any] = {
            "host": url.host or "localhost",
            "port": url.port or 3306,
            "user": url.username,
            "password": url.password or os.environ.get("MYSQL_PWD", ""),
            "connect_timeout": CONNECT_SECONDS,
            "charset": "utf8mb4",
            "local_infile": True,
            "init_command": "SET SESSION sql_mode = 'STRICT_ALL_TABLES'",
        }
        if "unix_socket" in url.query:
            given["unix_socket"] = url.query["unix_socket"]
        if (options := Path.home() / ".my.cnf").is_file():
            given["read_default_file"] = str(options)
        database = url.database

        def connect() -> Any:
            connection = pymysql.connect(**given)
            try:
                try:
                    connection.select_db(database)
                except pymysql.err.OperationalError as error:
                    if error.args[0] != _NO_DATABASE or read_only:
                        raise
                    connection.cursor().execute(
                        f"CREATE DATABASE IF NOT EXISTS {_quoted(database)} CHARACTER SET utf8mb4"
                    )
                    connection.select_db(database)
                if read_only:
                    connection.cursor().execute("SET SESSION TRANSACTION READ ONLY")
            except BaseException:
                connection.close()
                raise
            return connection

        try:
            probe = connect()
        except (pymysql.err.MySQLError, OSError) as error:
            raise _refused(name, error) from error
        flavour = "mariadb" if "MariaDB" in probe.get_server_info() else "mysql"
        probe.close()
        engine = sa.create_engine(f"{flavour}+pymysql://", creator=connect)
        found = cls(engine, name, read_only, "MariaDB" if flavour == "mariadb" else "MySQL")
        found.driver_error = pymysql.err.MySQLError
        return found.reach()

    def too_old(self, version: tuple[int | str, ...]) -> str:
        """Return the oldest version of the server that will do, where this one is older."""
        oldest = (10, 5) if self.kind == "MariaDB" else (8, 0, 17)  # collations in which a blank at the end counts
        return ".".join(map(str, oldest)) if tuple(map(int, version[:3])) < oldest else ""

    def is_lost(self, error: BaseException) -> bool:
        """Tell whether the driver's error says that doing all of a transaction again may help."""
        return bool(error.args) and error.args[0] in _LOST

    def tables(self, connection: sa.Connection) -> set[str]:
        """Return the names of the tables that are there, ours or not."""
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_type = 'BASE TABLE'"
        return set(connection.exec_driver_sql(query).scalars())

    @contextmanager
    def alone(self, connection: sa.Connection) -> Iterator[None]:
        """Keep others from making tables meanwhile; the database is there since the first connection."""
        connection.exec_driver_sql(f"SELECT get_lock({_LOCK}, 60)")
        try:
            yield
        finally:
            connection.exec_driver_sql(f"SELECT release_lock({_LOCK})")

    def upsert(self, table: sa.Table) -> tuple[str, dict[str, Callable[[Any], Any] | None]]:
        """Return the statement that puts a row, and how to turn each of its values, in order, into what the driver takes."""
        return _upsert(table)

    def load(self, connection: sa.Connection, table: sa.Table, columns: Columns) -> None:
        """Add many rows by LOAD DATA LOCAL INFILE, of a file that is there only meanwhile; in the order of the key it is quickest."""
        from cuvee.store.csv_blocks import csv_blocks

        names = table.columns.keys()
        gaps = [name for name in names if _has_gaps(columns[name])]
        marks = ", ".join(f"@c{gaps.index(name)}" if name in gaps else _quoted(name) for name in names)
        values = ", ".join(f"{_quoted(name)} = NULLIF(@c{k}, '')" for k, name in enumerate(gaps))
        with tempfile.NamedTemporaryFile(prefix="cuvee-", suffix=".csv") as file:
            for block in csv_blocks([columns[name] for name in names]):
                file.write(block)
            file.flush()
            statement = (
                f"LOAD DATA LOCAL INFILE %s INTO TABLE {_quoted(table.name)} CHARACTER SET utf8mb4 FIELDS TERMINATED BY ','"
                f" OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' LINES TERMINATED BY '\\n' ({marks}){f' SET {values}' if values else ''}"
            )
            try:
                connection.exec_driver_sql(statement, (file.name,))
            except sa.exc.DBAPIError as error:
                if error.orig is None or error.orig.args[0] not in _NO_LOCAL_FILES:
                    raise
                _insert(connection, table, columns)
            warning = connection.exec_driver_sql("SHOW WARNINGS LIMIT 1").first()
        # What would be an error of other statements, LOAD DATA LOCAL makes a warning and goes on.
        if warning:
            raise StoreError(f"Rows for the table {table.name} of {self.name} cannot be loaded: {warning[2]}.")


def _insert(connection: sa.Connection, table: sa.Table, columns: Columns) -> None:
    """Add rows by INSERT, several times slower."""
    names = table.columns.keys()
    statement = f"INSERT INTO {_quoted(table.name)} ({', '.join(map(_quoted, names))}) VALUES ({', '.join(['%s'] * len(names))})"
    for first in range(0, len(columns[names[0]]), _CHUNK):
        some = [
            [None if value != value else value for value in columns[name][first : first + _CHUNK].tolist()]
            for name in names
        ]
        connection.exec_driver_sql(statement, list(zip(*some, strict=True)))


def _refused(name: str, error: BaseException) -> CuveeError:
    code, words = (error.args[0], str(error.args[-1])) if error.args else (0, str(error))
    if code == _NO_DATABASE:
        return NoLedger(name)
    if code in _NO_RIGHTS:
        return ConfigError(
            f"The user of {name} may not use or make that database ({words}); ask whoever runs the server for it, "
            "or mend [database] url."
        )
    if code == _NO_PASSWORD:
        return ConfigError(
            f"The server of {name} refuses the user ({words}); mend [database] url, or the password in ~/.my.cnf."
        )
    return StoreError(f"No MySQL server can be reached for {name} ({words}); start it, or mend [database] url.")


@cache
def _upsert(table: sa.Table) -> tuple[str, dict[str, Callable[[Any], Any] | None]]:
    names = [column.name for column in table.columns]
    keys = [column.name for column in table.primary_key.columns]
    new = {name: f"VALUES({_quoted(name)})" for name in names if name not in keys}
    if table.name == "quarantine":  # the run that first saw the file in this state stays
        compared = ("size", "mtime_ns", "inode", "reason")
        same = " AND ".join(["still", *(f"{_quoted(name)} = VALUES({_quoted(name)})" for name in compared)])
        # First, because MySQL would compare with what it has already replaced.
        new = {"run_id": f"IF({same}, run_id, VALUES(run_id))", **{k: v for k, v in new.items() if k != "run_id"}}
    new = new or {keys[0]: _quoted(keys[0])}
    said = ", ".join(f"{_quoted(name)} = {value}" for name, value in new.items())
    statement = (
        f"INSERT INTO {_quoted(table.name)} ({', '.join(map(_quoted, names))}) VALUES ({', '.join(['%s'] * len(names))})"
        f" ON DUPLICATE KEY UPDATE {said}"
    )
    return statement, driver_values(table, finite=True)


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _has_gaps(values: Any) -> bool:
    """Tell whether some values are none: then the server must be told what to make of nothing, which takes it time."""
    return values.dtype.kind not in "iuf" or (values.dtype.kind == "f" and bool((values != values).any()))
