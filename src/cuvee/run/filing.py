"""Raw photon lists filed under their targets: a tree of links, for the files themselves stay where they are."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from cuvee.run.inventory import Inventory

__all__ = ["SET_ASIDE", "file_under_targets"]

SET_ASIDE = "_set-aside"
"""Where files that cannot be used are filed, by reason; no target is called so."""


def file_under_targets(folder: Path, inventory: Inventory, names: Mapping[str, str]) -> None:
    """Make a tree of links to raw files: ``GJ-436/ld9m10ujq_x1d.fits``, and ``_set-aside/no-events/...`` for those that cannot be used.

    What is right already is left alone, links that nothing stands for any more are taken away, and what is no link is not touched.

    Parameters
    ----------
    folder : Path
        Root of the tree; made if there is a file.
    inventory : Inventory
        The files, and what they say that their targets are.
    names : mapping of str to str
        What targets are called, by what the files call them.

    Raises
    ------
    OSError
        If links cannot be made there.
    """
    targets = {path: facts.info.facts.get("target", "unknown") for path, facts in inventory.good.items()}
    shelves = {path: _word(names.get(target, target)) for path, target in targets.items()}
    shelves |= {path: f"{SET_ASIDE}/{bad.reason}" for path, bad in inventory.bad.items()}
    wanted: dict[Path, str] = {}
    for path in sorted(shelves):
        link = folder / shelves[path] / Path(path).name
        if link in wanted:  # one name in two folders
            link = link.with_name(f"{hashlib.sha256(path.encode()).hexdigest()[:8]}-{link.name}")
        within = folder.parent in Path(path).parents
        wanted[link] = os.path.relpath(path, link.parent) if within else path
    for here, _, found in os.walk(folder, topdown=False):
        for link in (Path(here, name) for name in found):
            if not link.is_symlink():
                continue
            if link in wanted and os.readlink(link) == wanted[link]:
                del wanted[link]
            else:
                link.unlink()
        with suppress(OSError):  # not empty
            Path(here).rmdir()
    for link, to in wanted.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # a file of somebody, or a link that was copied as one
            link.symlink_to(to)


def _word(target: str) -> str:
    """Return a target's name as a folder's: ``V* BP Tau`` becomes ``V-BP-Tau``."""
    return re.sub(r"[^A-Za-z0-9+.]+", "-", target).strip("-.") or "unknown"
