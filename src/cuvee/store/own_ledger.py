"""The ledger of a workspace, wherever its configuration says that it is, and of no other workspace."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from cuvee.errors import ConfigError, StoreError
from cuvee.store.atomic import atomic_path
from cuvee.store.ledger import Ledger
from cuvee.store.paths import Paths

__all__ = ["has_ledger", "open_ledger"]


def has_ledger(paths: Paths) -> bool:
    """Tell whether a workspace has a ledger yet.

    Parameters
    ----------
    paths : Paths
        Of the workspace.

    Raises
    ------
    ConfigError, StoreError
        If the configured server cannot be asked.
    """
    return Ledger.exists(paths.ledger)


def open_ledger(paths: Paths, *, read_only: bool = False) -> Ledger:
    """Open the ledger of a workspace.

    A file in the workspace is its own. A database that the configuration names might be in use by another workspace, which
    would be ruined: it is marked with a name that the workspace keeps in a file, and refused elsewhere.

    Parameters
    ----------
    paths : Paths
        Of the workspace.
    read_only : bool
        Never write.

    Raises
    ------
    ConfigError
        If it is the ledger of another survey, or the URL cannot be used.
    StoreError
        If it cannot be opened; see `cuvee.store.ledger.Ledger.open`.
    """
    ledger = Ledger.open(paths.ledger, read_only=read_only)
    if not paths.database:
        return ledger
    try:
        _check_owner(ledger, paths)
    except BaseException:
        ledger.close()
        raise
    return ledger


def _check_owner(ledger: Ledger, paths: Paths) -> None:
    mine, here = _name(paths.identity), str(paths.root.resolve())
    owner = next(iter(ledger.rows("survey")), None)
    if owner is None:
        if not ledger.database.read_only:
            ledger.put("survey", [{"id": 1, "name": mine or _give_name(paths.identity), "root": here}])
        return
    there = Path(owner["root"])
    if owner["name"] != mine:
        raise ConfigError(
            f"{ledger.database.name} holds the ledger of another survey, {there}; {ledger.database.other_place}."
        )
    if owner["root"] != here and there.is_dir() and _name(there / paths.identity.name) == mine:
        if not _same_folder(there, paths.root):
            raise ConfigError(
                f"{paths.root} is a copy of the survey {there}, whose ledger {ledger.database.name} is; "
                f"give it one of its own: remove {paths.identity}, and {ledger.database.other_place}."
            )
    elif owner["root"] != here and not ledger.database.read_only:
        ledger.put("survey", [{**owner, "root": here}])


def _same_folder(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _name(path: Path) -> str:
    try:
        return str(json.loads(path.read_text())["survey"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is damaged; bring it back from a copy, or remove it.") from error


def _give_name(path: Path) -> str:
    name = uuid.uuid4().hex
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"survey": name}) + "\n")
    return name
