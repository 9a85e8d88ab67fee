"""Clear away what a killed run has left half-written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cuvee.store.atomic import TEMPORARY_SUFFIX

__all__ = ["sweep"]


def sweep(folders: Iterable[Path]) -> int:
    """Delete the temporary files of `cuvee.store.atomic`; nobody reads them, they only take space.

    Parameters
    ----------
    folders : iterable of Path
        Where products are written; only the holder of the workspace's lock may call this.

    Returns
    -------
    int
        Number of files deleted.
    """
    n = 0
    for folder in folders:
        for here, _, names in os.walk(folder):
            for name in names:
                if name.startswith(".") and name.endswith(TEMPORARY_SUFFIX):
                    (Path(here) / name).unlink(missing_ok=True)
                    n += 1
    return n
