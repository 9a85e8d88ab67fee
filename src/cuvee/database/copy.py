"""A survey's ledger moved from one database to another, and proved equal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cuvee.errors import ConfigError, StoreError
from cuvee.store.ledger import Ledger
from cuvee.store.schema import TABLES
from cuvee.store.transfer import table_digest, transfer

__all__ = ["Copied", "copy_ledger"]


class Copied(NamedTuple):
    """What was copied of one table.

    Parameters
    ----------
    table : str
        Its name.
    rows : int
        How many.
    digest : str
        Of all values, in the order of the key; the same in both.
    """

    table: str
    rows: int
    digest: str


def copy_ledger(source: str, target: str, progress: Callable[[int, int], object] = lambda _, __: None) -> list[Copied]:
    """Copy a ledger into an empty database, in one transaction, and compare.

    Parameters
    ----------
    source, target : str
        SQLite files or URLs.
    progress : callable
        Told how many more rows have been written, and how many there are in all.

    Returns
    -------
    list of Copied
        One a table.

    Raises
    ------
    ConfigError
        If they are the same, or the target holds a ledger with something in it, or a URL cannot be used.
    StoreError
        If one of them cannot be used, or what has been written is not what was read.
    """
    if source == target:
        raise ConfigError("The ledger is to be copied onto itself; name another database as the second URL.")
    with Ledger.open(_place(source), read_only=True) as old:
        fresh = not Ledger.exists(_place(target))
        if not fresh:
            with Ledger.open(_place(target), read_only=True) as there:
                full = [name for name in TABLES if there.count(name)]
                if full:
                    raise ConfigError(
                        f"{there.database.name} holds a ledger already ({', '.join(full)}); name an empty place as the second URL."
                    )
        with Ledger.open(_place(target)) as new:
            total = sum(map(old.count, TABLES))
            transfer(old.database, new.database, lambda n: progress(n, total))
            copied = []
            for name in TABLES:
                before, after = table_digest(old.database, name), table_digest(new.database, name)
                if before != after:
                    raise StoreError(
                        f"The table {name} in {new.database.name} is not what it is in {old.database.name} ({after[0]} and {before[0]} rows); "
                        "see that no run is going on, empty the second one, then copy again."
                    )
                copied.append(Copied(name, *after))
            return copied


def _place(where: str) -> str | Path:
    return where if "://" in where else Path(where)
