"""The tables of a ledger: rows in, rows out, whatever database holds them.

That is an SQLite file, or a database of a server. The driver of a run is its only writer and writes in batches, one transaction
each; readers need no lock and see the last finished batch. It can be rebuilt from the receipts.

What is written is first put together, then done in one transaction: where the connection to a server breaks, all of it is done
again, which gives the same rows whether or not the first time was kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import sqlalchemy as sa

from cuvee.errors import StoreError
from cuvee.store.addresses import open_database
from cuvee.store.databases import Database, Lost, NoLedger
from cuvee.store.schema import TABLES, JsonText

__all__ = ["Tables"]

Row = Mapping[str, Any]
Work = Callable[[sa.Connection], object]
T = TypeVar("T")

_WRITER_WAITS, _READER_WAITS = 300.0, 10.0
"""How long a server may be away (s): as long as a restart takes where nobody sits and waits."""
_LONGEST_PAUSE = 5.0


class Tables:
    """The tables of one workspace's ledger; made by `open`.

    Rows go in and come out as mappings from column to value (`cuvee.store.schema`); columns that a row leaves out
    take their defaults. All methods raise `cuvee.errors.StoreError` where the database cannot be used.

    Parameters
    ----------
    database : Database
        One that has the tables.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.say: Callable[[str], object] = lambda _: None
        """Told when a server must be waited for."""
        self._batch: list[Work] | None = None

    @classmethod
    def open(cls, where: str | Path, *, read_only: bool = False) -> Self:
        """Open the ledger, bringing it up to date or making it where that is needed.

        Parameters
        ----------
        where : str or Path
            The file, or a URL (`cuvee.store.addresses.open_database`).
        read_only : bool
            Never write; works while somebody else writes, and in a folder that cannot be written.

        Returns
        -------
        Tables

        Raises
        ------
        ConfigError
            If the URL cannot be used as it is.
        StoreError
            If it is no ledger, or a newer cuvee wrote it, or the file or the server cannot be used.
        """
        database = open_database(where, read_only)
        try:
            database.bring_up_to_date()
        except Lost as error:
            database.close()
            raise StoreError(f"{database.name} went away while it was opened; run again.") from error
        except BaseException:
            database.close()
            raise
        return cls(database)

    @staticmethod
    def exists(where: str | Path) -> bool:
        """Tell whether there is a ledger, without making one.

        Parameters
        ----------
        where : str or Path
            The file, or a URL.

        Raises
        ------
        ConfigError, StoreError
            If the server cannot be asked.
        """
        if isinstance(where, Path):
            return where.is_file()
        try:
            database = open_database(where, read_only=True)
        except NoLedger:
            return False
        try:
            return database.version() is not None
        finally:
            database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file, or of the server."""
        self.database.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Put everything that is written inside into one transaction: all of it is kept, or nothing.

        It is written at the end; what is read inside is as it was before.
        """
        batch: list[Work] = []
        self._batch = batch
        try:
            yield
        finally:
            self._batch = None
        self._write(*batch)

    # -- rows of any table ---------------------------------------------------------------------------------------

    def columns(
        self,
        table: str,
        names: Sequence[str],
        as_text: Collection[str] = (),
        within: tuple[str, str] | None = None,
        **equal: Any,
    ) -> list[Sequence[Any]]:
        """Return columns of a table in the order of its key; of 10^5 rows in half the time that `rows` takes.

        Parameters
        ----------
        table : str
            A key of `cuvee.store.schema.TABLES`.
        names : sequence of str
            The columns.
        as_text : collection of str, optional
            Columns to be left as the JSON that they are kept in.
        within : (str, str), optional
            Only data ids from the first text on and before the second. Where the values of the key's other columns are given, too,
            SQLite reads no other rows.
        **equal
            Values that columns must have, or collections of them; all rows by default.

        Returns
        -------
        list of sequences
            One a column, all of the same length.
        """
        source = TABLES[table]
        coded = [name for name in names if isinstance(source.c[name].type, JsonText)]
        chosen = [sa.type_coerce(source.c[n], sa.Text).label(n) if n in coded else source.c[n] for n in names]
        query = sa.select(*chosen).order_by(*source.primary_key.columns)
        for name, value in equal.items():
            query = query.where(source.c[name] == value if isinstance(value, str | int) else source.c[name].in_(value))
        if within is not None:
            query = query.where(source.c.data_id >= within[0], source.c.data_id < within[1])
        rows = self._do(lambda connection: connection.execute(query).all())
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        for i, name in enumerate(names):
            if name in coded and name not in as_text:
                # One call for the whole column: a call for each of 10^5 short texts takes several times as long.
                columns[i] = json.loads(f"[{','.join(columns[i])}]")
        return columns

    def values(self, table: str, name: str) -> list[str]:
        """Return the different texts in a column, in their order; quick where an index begins with the column."""
        column = TABLES[table].c[name]

        def read(connection: sa.Connection) -> list[str]:
            found: list[str] = []
            # From one to the next: SQLite would look at all rows for DISTINCT.
            while (
                text := connection.scalar(sa.select(sa.func.min(column)).where(column > (found or [""])[-1]))
            ) is not None:
                found.append(str(text))
            return found

        return self._do(read)

    def rows(self, table: str, **equal: Any) -> list[dict[str, Any]]:
        """Return rows of a table in the order of its key.

        Parameters
        ----------
        table : str
            A key of `cuvee.store.schema.TABLES`.
        **equal
            Values that columns must have; all rows by default.

        Returns
        -------
        list of dict
        """
        names = [column.name for column in TABLES[table].columns]
        return [dict(zip(names, row, strict=True)) for row in zip(*self.columns(table, names, **equal), strict=True)]

    def put(self, table: str, rows: Iterable[Row]) -> None:
        """Add rows, in place of those with the same key; one transaction.

        Parameters
        ----------
        table : str
            A key of `cuvee.store.schema.TABLES`.
        rows : iterable of mapping
            Columns and values.

        Raises
        ------
        KeyError
            If a row has a column that the table lacks, or lacks one of its key.
        """
        self._write(self._putting(table, rows))

    def update(self, table: str, rows: Iterable[Row]) -> None:
        """Change columns of rows that are there, and leave their other columns; one transaction.

        Parameters
        ----------
        table : str
            A key of `cuvee.store.schema.TABLES`.
        rows : iterable of mapping
            The key, and the new values; the same columns in each.
        """
        rows = list(rows)
        if not rows:
            return
        source = TABLES[table]
        keys = [column.name for column in source.primary_key.columns]
        query = sa.update(source).where(*(source.c[name] == sa.bindparam(f"key_{name}") for name in keys))
        query = query.values({name: sa.bindparam(f"new_{name}") for name in rows[0] if name not in keys})
        values = [{f"{'key' if name in keys else 'new'}_{name}": row[name] for name in row} for row in rows]
        self._write(lambda connection: connection.execute(query, values))

    def drop(self, table: str, keys: Iterable[Sequence[Any]]) -> None:
        """Delete rows by their key; one transaction.

        Parameters
        ----------
        table : str
            A key of `cuvee.store.schema.TABLES`.
        keys : iterable of sequences
            Values of the key's columns, in the order of the schema.
        """
        columns = list(TABLES[table].primary_key.columns)
        names = [f"key_{column.name}" for column in columns]
        values = [dict(zip(names, key, strict=True)) for key in keys]
        query = sa.delete(TABLES[table]).where(
            *(column == sa.bindparam(name) for column, name in zip(columns, names, strict=True))
        )
        if values:
            self._write(lambda connection: connection.execute(query, values))

    def replace(self, table: str, rows: Iterable[Row], **equal: Any) -> None:
        """Make ``rows`` all that a table holds with the given values; one transaction.

        Parameters
        ----------
        table : str
            A key of `cuvee.store.schema.TABLES`.
        rows : iterable of mapping
            Columns and values.
        **equal
            Values of the columns that say which rows are replaced.
        """
        source = TABLES[table]
        query = sa.delete(source).where(*(source.c[name] == value for name, value in equal.items()))
        self._write(lambda connection: connection.execute(query), self._putting(table, rows))

    # -- the database underneath ---------------------------------------------------------------------------------

    def _putting(self, table: str, rows: Iterable[Row]) -> Work:
        """Return what puts rows, which are looked at here and now."""
        statement, values = self.database.rows(TABLES[table], rows)
        return lambda connection: connection.exec_driver_sql(statement, values) if values else None

    def _write(self, *works: Work) -> None:
        """Do things in one transaction: that of the batch, at its end, or one of their own."""
        if self._batch is not None:
            self._batch += works
        elif works:
            self._do(lambda connection: [work(connection) for work in works])

    def _do(self, work: Callable[[sa.Connection], T]) -> T:
        """Do one transaction, again and again while the server is away."""
        start, pause = time.monotonic(), 0.0
        while True:
            try:
                with self.database.transaction() as connection:
                    return work(connection)
            except Lost as error:
                waits = _READER_WAITS if self.database.read_only else _WRITER_WAITS
                if time.monotonic() - start > waits:
                    raise StoreError(
                        f"The database {self.database.name} does not answer any more; see that its server runs, then run again: "
                        "nothing that was finished is lost."
                    ) from error
                if pause == 0.1:
                    self.say(f"The database {self.database.name} does not answer; trying again for {waits:.0f} s.")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE) or 0.1
