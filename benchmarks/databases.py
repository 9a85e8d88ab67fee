"""A ledger's database: a million rows of the star table in bulk, and the rows that planning reads, on each database there is.

``python -m benchmarks.databases [--json FILE] [--rows N]``

SQLite writes into a temporary folder. PostgreSQL and MariaDB are those that ``CUVEE_TEST_POSTGRES_URL`` and ``CUVEE_TEST_MYSQL_URL`` name,
or those on 127.0.0.1, or servers of our own, as for the tests; where there is none, its rows say "not measured". Times are those of
`cuvee.store.star_tables.load_stars`: table, primary key, rows, index by HEALPix cell, committed. First the answer: what lies in the
table must be what was loaded. The peer is the same driver's ``executemany`` of an INSERT.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import _pytest.outcomes
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from tests.store.servers import Servers

from cuvee.catalog.stars import healpix_index
from cuvee.store.ledger import Ledger
from cuvee.store.star_rows import StarRows
from cuvee.store.star_tables import load_stars, star_table

WANTED = {"sqlite": 200_000, "postgresql": 150_000, "mysql": 80_000}
"""Rows a second."""
WANTED_UNITS = 2.0
"""Time in which SQLite returns 10^5 units, over that of its bare driver and a loop."""
UNIT_COLUMNS = ("stage", "data_id", "recipe", "outcome", "message", "reason", "seconds", "memory", "counts")
TURNS = 3
KINDS = {"id": "i", "ra": "f", "decl": "f", "pmra": "f", "pmdec": "f", "tmag": "f", "teff": "f", "healpix": "i"}
N_UNIT = 100_000
N_PEER = 50_000


def make_rows(n: int) -> dict[str, NDArray[Any]]:
    """Return stars over the whole sky, in the order of the sky, as the catalogue store has them: ids come in no order."""
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0.0, 360.0, n), np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, n)))
    cells = healpix_index(ra, dec)
    order = np.argsort(cells)
    teff = np.where(rng.random(n) < 0.2, np.nan, rng.uniform(3000.0, 8000.0, n))
    return {
        "id": rng.permutation(n) + 100_000_000, "ra": ra[order], "decl": dec[order], "pmra": rng.normal(0.0, 10.0, n),
        "pmdec": rng.normal(0.0, 10.0, n), "tmag": rng.uniform(5.0, 16.0, n), "teff": teff, "healpix": cells[order],
    }  # fmt: skip


@contextmanager
def place_of(kind: str, servers: Servers) -> Iterator[str | Path]:
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / "cuvee.db"
    else:
        with servers.place(kind) as url:
            yield url


def check(ledger: Ledger, rows: dict[str, NDArray[Any]]) -> None:
    """See that the table holds what was loaded."""
    table = star_table("ctl", KINDS)
    with ledger.database.transaction() as connection:
        found = connection.execute(sa.select(*table.c).order_by(table.c.id).limit(20_000)).all()
        count = connection.scalar(sa.select(sa.func.count()).select_from(table))
    assert count == len(rows["id"])
    order = np.argsort(rows["id"])[:20_000]
    for values, column in zip(zip(*found, strict=True), rows.values(), strict=True):
        wanted = [None if value != value else value for value in column[order].tolist()]
        assert list(values) == wanted


def best(work: Callable[[], object]) -> float:
    """Return the shortest time of a few turns (s)."""
    spent = []
    for _ in range(TURNS):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return min(spent)


def read_plainly(path: Path) -> None:
    """Read the units with SQLite's own driver, and their counts from JSON."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(f"SELECT {', '.join(UNIT_COLUMNS)} FROM units ORDER BY stage, data_id").fetchall()
    assert [json.loads(row[-1])["stars"] for row in found] == list(range(N_UNIT))


def measure(kind: str, servers: Servers, rows: dict[str, NDArray[Any]]) -> dict[str, Any]:
    n = len(rows["id"])
    seconds = []
    numbers: dict[str, Any] = {}
    for turn in range(TURNS):
        with place_of(kind, servers) as place, Ledger.open(place) as ledger:
            start = time.perf_counter()
            assert load_stars(ledger.database, "ctl", [StarRows(KINDS, [rows])], (-90.0, 90.0)) == n
            seconds.append(time.perf_counter() - start)
            if turn:
                continue
            check(ledger, rows)
            units = [
                {
                    "stage": "extract",
                    "data_id": f"tess/s0008/3-4/ffi/ffi/b{k:06d}",
                    "recipe": "0" * 32,
                    "counts": {"stars": k},
                }
                for k in range(N_UNIT)
            ]
            start = time.perf_counter()
            ledger.put_units(units)
            numbers["put_units_s"] = time.perf_counter() - start
            numbers["read_units_s"] = best(partial(ledger.columns, "units", UNIT_COLUMNS))
            if isinstance(place, Path):
                numbers["sqlite3_read_units_s"] = best(partial(read_plainly, place))
            numbers["peer_rows_s"] = peer(ledger, rows)
    numbers["rows_s"] = n / min(seconds)
    return numbers


def peer(ledger: Ledger, rows: dict[str, NDArray[Any]]) -> float:
    """Return rows a second as SQLAlchemy inserts them in one transaction."""
    table = star_table("plain", KINDS)
    columns = [[None if value != value else value for value in column[:N_PEER].tolist()] for column in rows.values()]
    dicts = [dict(zip(rows, values, strict=True)) for values in zip(*columns, strict=True)]
    start = time.perf_counter()
    with ledger.database.transaction() as connection:
        table.create(connection)
        connection.execute(sa.insert(table), dicts)
    return N_PEER / (time.perf_counter() - start)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time bulk loads into each database.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    args = parser.parse_args(argv)
    rows = make_rows(args.rows)
    found: dict[str, Any] = {"rows": args.rows, "python": platform.python_version(), "load": os.getloadavg()[0]}
    servers = Servers()
    good = True
    print(f"{'':12s} {'rows/s':>10s} {'wanted':>10s} {'INSERT':>10s} {'put 1e5':>9s} {'read 1e5':>9s}")
    try:
        for kind, wanted in WANTED.items():
            try:
                found[kind] = one = measure(kind, servers, rows)
            except _pytest.outcomes.Skipped as reason:
                found[kind] = {"not_measured": str(reason)}
                print(f"{kind:12s} not measured: {reason}")
                continue
            good &= one["rows_s"] >= wanted
            print(
                f"{kind:12s} {one['rows_s']:10.0f} {wanted:10d} {one['peer_rows_s']:10.0f} {one['put_units_s']:7.2f} s {one['read_units_s']:7.2f} s"
            )
        units = found["sqlite"]
        ratio = units["read_units_s"] / units["sqlite3_read_units_s"]
        print(f"reading 10^5 units, SQLite: {ratio:.2f} times the bare driver")
        good &= ratio <= WANTED_UNITS
    finally:
        servers.close()
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
