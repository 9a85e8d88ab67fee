"""A survey put back to its beginning: what was made of it is taken away, from the ledger or from the disk; never what came from outside."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cuvee.errors import StoreError
from cuvee.run.receipts import read_receipt
from cuvee.store.atomic import TEMPORARY_SUFFIX
from cuvee.store.lock import workspace_lock
from cuvee.store.own_ledger import has_ledger, open_ledger
from cuvee.store.paths import Paths
from cuvee.survey import Survey

__all__ = ["MADE", "Reset", "plan_reset", "reset"]

MADE = ("waves", "lineage", "products", "units", "targets", "light_curves", "exposures")
"""Tables of what was made; raw files, quarantine, acquisitions, runs and loaded stars are in others."""

_REPORT = re.compile(r"(run-\d{4,}|index)\.html")


class Reset(NamedTuple):
    """What a reset takes away.

    Parameters
    ----------
    rows : dict of str to int
        Rows of each table that is emptied.
    files : dict of Path to list of Path
        Files that are deleted, by folder of the workspace.
    left : list of Path
        Files in these folders that cuvee has not made; they stay.
    """

    rows: dict[str, int]
    files: dict[Path, list[Path]]
    left: list[Path]


def plan_reset(survey: Survey, database: bool, files: bool) -> Reset:
    """Find what a reset would take away; nothing is changed.

    Parameters
    ----------
    survey : Survey
        The workspace.
    database : bool
        Whether tables of what was made are to be emptied.
    files : bool
        Whether the files of what was made are to be deleted.

    Raises
    ------
    ConfigError, StoreError
        If the ledger cannot be opened.
    """
    paths = survey.paths
    rows: dict[str, int] = {}
    known: set[str] = set()
    if has_ledger(paths):
        with open_ledger(paths, read_only=True) as ledger:
            if database:
                rows = {name: ledger.count(name) for name in MADE}
            if files:
                (found,) = ledger.columns("products", ("path",))
                known = {path for path in found if path}
    if not files:
        return Reset(rows, {}, [])
    receipts = paths.root / paths.red / "receipts"
    for path in sorted(receipts.rglob("*.json")):
        receipt = read_receipt(path)
        known |= {product.path for product in receipt.products if product.path} if receipt is not None else set()
    ours = {_place(paths.root / path) for path in known}
    gone: dict[Path, list[Path]] = {}
    left: list[Path] = []
    for folder in _folders(paths):
        gone[folder] = []
        for path in _files(folder):
            mine = folder == paths.temporary or path.name.endswith(TEMPORARY_SUFFIX) or _place(path) in ours
            mine = mine or (path.suffix == ".json" and receipts in path.parents)
            mine = mine or (folder == paths.filed and path.is_symlink())
            mine = mine or (folder == paths.report().parent and _REPORT.fullmatch(path.name) is not None)
            (gone[folder] if mine else left).append(path)
    return Reset(rows, gone, left)


def reset(survey: Survey, database: bool, files: bool) -> Reset:
    """Take away what was made; what a kill leaves of it, the next reset or run finds.

    Parameters
    ----------
    survey, database, files
        As for `plan_reset`.

    Returns
    -------
    Reset
        What was taken away.

    Raises
    ------
    ConfigError
        If somebody works in the workspace.
    StoreError
        If a file cannot be deleted, or the ledger not be written.
    """
    paths = survey.paths
    with workspace_lock(paths.lock, "run or reset"):
        plan = plan_reset(survey, database, files)
        # Files go first: whatever the ledger then still names is missing, and is seen to be. Among them receipts go last, for they
        # name the others.
        receipts = paths.root / paths.red / "receipts"
        for folder, found in plan.files.items():
            _delete(sorted(found, key=lambda path: receipts in path.parents))
            _drop_empty(folder)
        if plan.rows:
            with open_ledger(paths) as ledger, ledger.batch():
                for name in plan.rows:
                    ledger.replace(name, [])
        return plan


def _folders(paths: Paths) -> list[Path]:
    # What of the products lies in LC goes before their receipts in RED do.
    return [paths.root / paths.lc, paths.root / paths.red, paths.report().parent, paths.temporary, paths.filed]


def _place(path: Path) -> Path:
    """Return a file's place, whatever links lead to its folder; a link itself is not followed."""
    return path.parent.resolve() / path.name


def _files(folder: Path) -> Iterator[Path]:
    """Walk through the files of a folder, never through links out of it."""
    for here, _, names in os.walk(folder, followlinks=False):
        yield from (Path(here) / name for name in sorted(names))


def _delete(files: Iterable[Path]) -> None:
    for path in files:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"Cannot delete {path}: {error.strerror}; mend the permissions, then reset again."
            ) from error


def _drop_empty(folder: Path) -> None:
    for here, _, _ in os.walk(folder, topdown=False, followlinks=False):
        if Path(here) != folder:
            with suppress(OSError):  # not empty
                Path(here).rmdir()
