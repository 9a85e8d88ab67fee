"""The ledger: what exists, what became of each unit of work, and what is wrong with which file.

One SQLite file in WAL mode. The driver of a run is its only writer and writes in batches, one transaction each; readers
need no lock and see the last finished batch. It can be rebuilt from the receipts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from cuvee.errors import StoreError
from cuvee.store.schema import TABLES
from cuvee.store.sqlite import (
    bring_up_to_date,
    database_path,
    put_rows,
    reading_engine,
    transaction,
    writing_engine,
)

__all__ = ["Ledger"]

Row = Mapping[str, Any]


class Ledger:
    """The ledger of one workspace; made by `open`.

    Rows go in and come out as mappings from column to value (`cuvee.store.schema`); columns that a row leaves out
    take their defaults. All methods raise `cuvee.errors.StoreError` where the database cannot be used.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        A database that has the tables.
    name : str
        What messages call it.
    """

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._batch: sa.Connection | None = None

    @classmethod
    def open(cls, where: str | Path, *, read_only: bool = False) -> Ledger:
        """Open the ledger, bringing it up to date or making it where that is needed.

        Parameters
        ----------
        where : str or Path
            The file, or a URL ``sqlite:///FILE``.
        read_only : bool
            Never write; works while somebody else writes, and in a folder that cannot be written.

        Returns
        -------
        Ledger

        Raises
        ------
        StoreError
            If it is no ledger, or a newer cuvee wrote it, or the file cannot be used.
        """
        path = database_path(where)
        if read_only:
            if not path.is_file():
                raise StoreError(f"There is no ledger {path} yet; make one with: cuvee run")
            engine = reading_engine(path)
        else:
            engine = writing_engine(path)
        try:
            bring_up_to_date(engine, str(path), read_only)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Put everything that is written inside into one transaction: all of it is kept, or nothing."""
        with transaction(self._engine, self._name) as connection:
            self._batch = connection
            try:
                yield
            finally:
                self._batch = None

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
        coded = [name for name in names if isinstance(source.c[name].type, sa.JSON)]
        chosen = [sa.type_coerce(source.c[n], sa.Text).label(n) if n in coded else source.c[n] for n in names]
        query = sa.select(*chosen).order_by(*source.primary_key.columns)
        for name, value in equal.items():
            query = query.where(source.c[name] == value if isinstance(value, str | int) else source.c[name].in_(value))
        if within is not None:
            query = query.where(source.c.data_id >= within[0], source.c.data_id < within[1])
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        for i, name in enumerate(names):
            if name in coded and name not in as_text:
                # One call for the whole column: a call for each of 10^5 short texts takes several times as long.
                columns[i] = json.loads(f"[{','.join(columns[i])}]")
        return columns

    def values(self, table: str, name: str) -> list[str]:
        """Return the different texts in a column, in their order; quick where an index begins with the column."""
        column = TABLES[table].c[name]
        found: list[str] = []
        with self._transaction() as connection:
            # From one to the next: SQLite would look at all rows for DISTINCT.
            while (
                text := connection.scalar(sa.select(sa.func.min(column)).where(column > (found or [""])[-1]))
            ) is not None:
                found.append(str(text))
        return found

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
        with self._transaction() as connection:
            put_rows(connection, TABLES[table], rows)

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
        with self._transaction() as connection:
            connection.execute(query, values)

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
            with self._transaction() as connection:
                connection.execute(query, values)

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
        with self._transaction() as connection:
            connection.execute(sa.delete(source).where(*(source.c[name] == value for name, value in equal.items())))
            put_rows(connection, source, rows)

    # -- what the engine asks and tells --------------------------------------------------------------------------

    def files(self) -> dict[str, dict[str, Any]]:
        """Return the raw files by path."""
        return {row["path"]: row for row in self.rows("files")}

    def drop_files(self, paths: Iterable[str]) -> None:
        """Forget raw files, and their frames."""
        paths = list(paths)
        self.drop("files", [(path,) for path in paths])
        self.drop("frames", [(path,) for path in paths])

    def units(self, stage: str = "") -> list[dict[str, Any]]:
        """Return what became of the units, of one stage or of all."""
        return self.rows("units", stage=stage) if stage else self.rows("units")

    def put_units(self, rows: Iterable[Row]) -> None:
        """Write down what became of units."""
        self.put("units", rows)

    def count(self, table: str) -> int:
        """Return the number of rows of a table."""
        with self._transaction() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(TABLES[table])) or 0)

    def products(self, kind: str = "") -> list[dict[str, Any]]:
        """Return what exists, of one kind or all."""
        return self.rows("products", kind=kind) if kind else self.rows("products")

    def put_products(self, rows: Iterable[Row]) -> None:
        """Write down what exists."""
        self.put("products", rows)

    def drop_products(self, keys: Iterable[tuple[str, str]]) -> None:
        """Forget products and their lineage, by kind and data id."""
        keys = list(keys)
        self.drop("products", keys)
        self.drop_lineage(keys)

    def drop_lineage(self, keys: Iterable[tuple[str, str]]) -> None:
        """Forget what products were made from, by kind and data id."""
        lineage = TABLES["lineage"]
        query = sa.delete(lineage).where(
            lineage.c.kind == sa.bindparam("key_kind"), lineage.c.data_id == sa.bindparam("key_data_id")
        )
        values = [{"key_kind": kind, "key_data_id": data_id} for kind, data_id in keys]
        if values:
            with self._transaction() as connection:
                connection.execute(query, values)

    def lineage(self, kind: str, data_id: str) -> list[dict[str, Any]]:
        """Return what a product was made from."""
        return self.rows("lineage", kind=kind, data_id=data_id)

    def quarantined(self) -> list[dict[str, Any]]:
        """Return the files that cannot be used."""
        return self.rows("quarantine", still=True)

    def put_quarantine(self, rows: Iterable[Row]) -> None:
        """Add files to the quarantine; ``run_id`` stays that of the run which first saw the file in this state."""
        with self._transaction() as connection:
            put_rows(connection, TABLES["quarantine"], rows)

    def replace_quarantine(self, rows: Iterable[Row]) -> None:
        """Make these all the files in quarantine; others have been mended or are gone, and are kept as such."""
        with self._transaction() as connection:
            rows = list(rows)
            paths = {row["path"] for row in rows}
            table = TABLES["quarantine"]
            before = connection.scalars(sa.select(table.c.path).where(table.c.still))
            _clear_quarantine(connection, [path for path in before if path not in paths])
            put_rows(connection, TABLES["quarantine"], rows)

    def start_run(self, version: str, config: Mapping[str, Any], command: str) -> int:
        """Open a run and return its number.

        Parameters
        ----------
        version : str
            cuvee's.
        config : mapping
            The effective configuration.
        command : str
            What was typed.
        """
        runs = TABLES["runs"]
        with self._transaction() as connection:
            number = int(connection.scalar(sa.select(sa.func.coalesce(sa.func.max(runs.c.id), 0))) or 0) + 1
            row = {"id": number, "started": _now(), "version": version, "config": dict(config), "command": command}
            put_rows(connection, runs, [row])
        return number

    def finish_run(self, number: int) -> None:
        """Close a run; one that was killed stays open for ever."""
        runs = TABLES["runs"]
        with self._transaction() as connection:
            connection.execute(sa.update(runs).where(runs.c.id == number).values(finished=_now()))

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs, oldest first."""
        return self.rows("runs")

    def last_run(self) -> dict[str, Any] | None:
        """Return the latest run, None before the first."""
        runs = TABLES["runs"]
        with self._transaction() as connection:
            row = connection.execute(sa.select(runs).order_by(runs.c.id.desc()).limit(1)).mappings().first()
        return None if row is None else dict(row)

    def targets(self, id: int) -> list[dict[str, Any]]:  # noqa: A002 - the column's name
        """Return where a star is measured."""
        return self.rows("targets", id=id)

    def light_curves(self, id: int) -> list[dict[str, Any]]:  # noqa: A002 - the column's name
        """Return where a star's light curves are."""
        return self.rows("light_curves", id=id)

    # -- the database underneath ---------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        if self._batch is not None:
            yield self._batch
            return
        with transaction(self._engine, self._name) as connection:
            yield connection


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _clear_quarantine(connection: sa.Connection, paths: Sequence[str]) -> None:
    table = TABLES["quarantine"]
    query = sa.update(table).where(table.c.path == sa.bindparam("key_path")).values(still=False)
    if paths:
        connection.execute(query, [{"key_path": path} for path in paths])
