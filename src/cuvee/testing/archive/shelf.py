"""What lies in the archive's folder, found by name and by the archive's own path."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from cuvee.errors import ConfigError
from cuvee.testing.archive.names import FileName, read_name

__all__ = ["Shelf"]


class Shelf:
    """The files of a folder, in whatever subfolders they are.

    Parameters
    ----------
    folder : Path
        What is served; looked through once. Of files with one name the first counts; hidden ones, and those that are being written, are left out.

    Raises
    ------
    ConfigError
        If there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(f"There is no folder {folder}; name one that holds the files to serve.")
        self.folder = folder
        self.paths: dict[str, Path] = {}
        self.names: dict[str, FileName] = {}
        for path in _files(folder):
            if path.name not in self.paths:
                self.paths[path.name] = path
                self.names[path.name] = read_name(path.name)
        self.by_key = {named.key: named for named in self.names.values() if named.key}
        self.keys = sorted(self.by_key)

    def named(self, *kinds: str, mission: str = "TESS") -> list[FileName]:
        """Return the files of these kinds, by name."""
        return [n for n in self.names.values() if n.mission == mission and n.kind in kinds]

    def below(self, prefix: str) -> list[str]:
        """Return the archive's paths that begin with ``prefix``, in order."""
        start = bisect_left(self.keys, prefix)
        stop = bisect_left(self.keys, prefix + "\U0010ffff")
        return self.keys[start:stop]


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and not name.endswith(".partial"):
                yield Path(root, name)
