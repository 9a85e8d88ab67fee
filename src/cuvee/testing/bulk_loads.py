"""What every database must do with rows by the hundred thousand; part of `cuvee.testing.databases.DatabaseContract`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from cuvee.errors import CuveeError
from cuvee.store.databases import Database
from cuvee.store.ledger import Ledger
from cuvee.store.schema import TABLES

__all__ = ["BulkLoadContract", "raising"]


class raising:  # noqa: N801 - reads as a word
    """See that an error is raised, and what it says; pytest is not asked of those who only use cuvee.

    Parameters
    ----------
    kind : type
        Of the error.
    words : str
        Part of its message.
    """

    def __init__(self, kind: type[BaseException], words: str = "") -> None:
        self._kind, self._words = kind, words

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        assert isinstance(error, self._kind), f"no {self._kind.__name__} was raised, but {error!r}"
        assert self._words in str(error)
        return True


class BulkLoadContract:
    """Tests of bulk loads; needs a fixture ``place``."""

    def test_bulk_loads_are_what_was_loaded(self, place: Path | str) -> None:
        """Numbers to the last bit, NaN and None as NULL, any letter; and all of it is gone where the load is not finished."""
        with Ledger.open(place) as ledger:
            for with_text in (False, True):
                _check_load(ledger.database, with_text)


def _check_load(database: Database, with_text: bool) -> None:
    rng = np.random.default_rng(2)
    n = 70_000
    columns: dict[str, Any] = {
        "id": rng.permutation(n).astype(np.int64) + 2**60,
        "ra": rng.uniform(0, 360, n),
        "teff": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n) * 10.0 ** rng.integers(-200, 200, n)),
        "healpix": -rng.integers(0, 2**62, n),
    }
    fields = [sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False), sa.Column("ra", sa.Double)]
    fields += [sa.Column("teff", sa.Double), sa.Column("healpix", sa.BigInteger)]
    if with_text:
        words = ["a,b", 'say "x"', "back\\slash", "two\nlines", "é😀", "NULL", "\\N", None]
        columns["name"] = np.array([words[k % len(words)] for k in range(n)], object)
        fields.append(sa.Column("name", TABLES["runs"].c.command.type))
    table = sa.Table(f"stars_{with_text}", sa.MetaData(), *fields)
    with database.transaction() as connection:
        table.create(connection)
    with raising(ZeroDivisionError), database.transaction() as connection:
        database.load(connection, table, columns)
        raise ZeroDivisionError
    with database.transaction() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0
        database.load(connection, table, columns)
    with database.transaction() as connection:
        found = connection.execute(sa.select(table).order_by(table.c.id)).all()
    order = np.argsort(columns["id"])
    ids, ra, teff, healpix, *names = zip(*found, strict=True)
    assert ids == tuple(columns["id"][order].tolist())
    assert ra == tuple(columns["ra"][order].tolist())
    assert healpix == tuple(columns["healpix"][order].tolist())
    assert teff == tuple(None if math.isnan(value) else value for value in columns["teff"][order].tolist())
    assert names == ([tuple(columns["name"][order].tolist())] if with_text else [])
    with raising(CuveeError), database.transaction() as connection:
        database.load(connection, table, {name: column[:1] for name, column in columns.items()})
    with database.transaction() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == n
