"""Receipts: what a unit made and what it read, written after its products; the ledger can be rebuilt from them.

A worker hands back a `Slip`, which is tiny however much it read, and the driver reads the receipt from disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cuvee.errors import StoreError
from cuvee.model.keys import DataId
from cuvee.run.facts import BadFile, Stat
from cuvee.run.stage import NOTHING, Product
from cuvee.store.atomic import atomic_path

__all__ = ["Outcome", "Receipt", "Slip", "read_receipt", "write_receipt"]

Outcome = Literal["have", "done", "no-work", "bad-data", "failed", "blocked", "retry"]


class Receipt(NamedTuple):
    """What became of one unit.

    Parameters
    ----------
    stage : str
        Name of the stage.
    data_id : DataId
        What the unit was about.
    recipe : str
        Identity of the products, from what was really read.
    outcome : Outcome
        What became of it.
    message, reason : str
        Why, where it was not done.
    products : tuple of Product
        What was written; paths relative to the workspace.
    contents : mapping of str to (Stat, str)
        State on disk and content hash of each raw file read.
    bad : tuple of BadFile
        Raw files found unusable.
    seconds : float
        Wall time.
    memory : float
        Peak memory of the worker so far (MiB).
    counts : mapping of str to int
        Numbers of stars, frames ...
    """

    stage: str
    data_id: DataId
    recipe: str
    outcome: Outcome
    message: str = ""
    reason: str = ""
    products: tuple[Product, ...] = ()
    contents: Mapping[str, tuple[Stat, str]] = NOTHING
    bad: tuple[BadFile, ...] = ()
    seconds: float = 0.0
    memory: float = 0.0
    counts: Mapping[str, int] = NOTHING


@dataclass(frozen=True, slots=True)
class Slip:
    """What a worker hands back.

    Parameters
    ----------
    path : str
        The receipt.
    outcome : str
        What became of the unit this time; ``have`` where the receipt is that of an earlier time, confirmed.
    """

    path: str
    outcome: Outcome


def write_receipt(path: Path, receipt: Receipt) -> None:
    """Write a receipt atomically; the last act of a unit.

    Parameters
    ----------
    path : Path
        Where it goes.
    receipt : Receipt
        What to write.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    products = [[p.kind, str(p.data_id), p.content, p.path, dict(p.meta)] for p in receipt.products]
    kept: dict[str, Any] = {
        "stage": receipt.stage,
        "data_id": str(receipt.data_id),
        "recipe": receipt.recipe,
        "outcome": receipt.outcome,
        "message": receipt.message,
        "reason": receipt.reason,
        "products": products,
        "contents": {name: [*state, content] for name, (state, content) in receipt.contents.items()},
        "bad": [[bad.path, *bad.stat, bad.reason, bad.message] for bad in receipt.bad],
        "seconds": round(receipt.seconds, 3),
        "memory": round(receipt.memory, 1),
        "counts": dict(receipt.counts),
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(kept, separators=(",", ":")))


def read_receipt(path: Path) -> Receipt | None:
    """Read a receipt.

    Parameters
    ----------
    path : Path
        Where it should be.

    Returns
    -------
    Receipt or None
        None where there is none, or where it is damaged: then the unit is simply done again.

    Raises
    ------
    StoreError
        If it is there but may not be read.
    """
    try:
        kept = json.loads(path.read_text())
        products = tuple(
            Product(kind, DataId.parse(data_id), content, name, meta)
            for kind, data_id, content, name, meta in kept["products"]
        )
        contents = {
            name: ((size, mtime, inode), content) for name, (size, mtime, inode, content) in kept["contents"].items()
        }
        bad = tuple(
            BadFile(name, (size, mtime, inode), reason, message)
            for name, size, mtime, inode, reason, message in kept["bad"]
        )
        return Receipt(
            kept["stage"],
            DataId.parse(kept["data_id"]),
            kept["recipe"],
            kept["outcome"],
            kept["message"],
            kept["reason"],
            products,
            contents,
            bad,
            kept["seconds"],
            kept["memory"],
            kept["counts"],
        )
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}; mend the permissions.") from error
    except (OSError, ValueError, KeyError, TypeError):
        return None
