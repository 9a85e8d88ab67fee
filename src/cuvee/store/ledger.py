"""The ledger: what exists, what became of each unit of work, and what is wrong with which file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from cuvee.store.schema import TABLES
from cuvee.store.tables import Tables

__all__ = ["Ledger"]

Row = Mapping[str, Any]


class Ledger(Tables):
    """The ledger of one workspace, as the engine asks it and tells it; made by `open`."""

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
        query = sa.select(sa.func.count()).select_from(TABLES[table])
        return int(self._do(lambda connection: connection.scalar(query)) or 0)

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
            self._write(lambda connection: connection.execute(query, values))

    def lineage(self, kind: str, data_id: str) -> list[dict[str, Any]]:
        """Return what a product was made from."""
        return self.rows("lineage", kind=kind, data_id=data_id)

    def quarantined(self) -> list[dict[str, Any]]:
        """Return the files that cannot be used."""
        return self.rows("quarantine", still=True)

    def put_quarantine(self, rows: Iterable[Row]) -> None:
        """Add files to the quarantine; ``run_id`` stays that of the run which first saw the file in this state."""
        self.put("quarantine", rows)

    def replace_quarantine(self, rows: Iterable[Row]) -> None:
        """Make these all the files in quarantine; others have been mended or are gone, and are kept as such."""
        rows = list(rows)
        paths = {row["path"] for row in rows}
        table = TABLES["quarantine"]
        mended = sa.update(table).where(table.c.path == sa.bindparam("key_path")).values(still=False)

        def clear(connection: sa.Connection) -> None:
            before = connection.scalars(sa.select(table.c.path).where(table.c.still)).all()
            if gone := [{"key_path": path} for path in before if path not in paths]:
                connection.execute(mended, gone)

        self._write(clear, self._putting("quarantine", rows))

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
        number = int(self._do(lambda connection: connection.scalar(sa.select(sa.func.max(runs.c.id)))) or 0) + 1
        row = {"id": number, "started": _now(), "version": version, "config": dict(config), "command": command}
        self.put("runs", [row])
        return number

    def finish_run(self, number: int) -> None:
        """Close a run; one that was killed stays open for ever."""
        runs = TABLES["runs"]
        query = sa.update(runs).where(runs.c.id == number).values(finished=_now())
        self._write(lambda connection: connection.execute(query))

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs, oldest first."""
        return self.rows("runs")

    def last_run(self) -> dict[str, Any] | None:
        """Return the latest run, None before the first."""
        runs = TABLES["runs"]
        query = sa.select(runs).order_by(runs.c.id.desc()).limit(1)
        row = self._do(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else dict(row)

    def targets(self, id: int) -> list[dict[str, Any]]:  # noqa: A002 - the column's name
        """Return where a star is measured."""
        return self.rows("targets", id=id)

    def light_curves(self, id: int) -> list[dict[str, Any]]:  # noqa: A002 - the column's name
        """Return where a star's light curves are."""
        return self.rows("light_curves", id=id)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
