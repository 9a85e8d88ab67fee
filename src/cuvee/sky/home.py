"""Which stored catalogues a workspace has."""

from __future__ import annotations

import re
from pathlib import Path

from cuvee.config import CONFIG_NAME, load
from cuvee.errors import ConfigError
from cuvee.store.atomic import atomic_path
from cuvee.store.paths import Paths
from cuvee.store.sky_store import StoredCatalog, find_stored, is_stored, read_catalog

__all__ = ["catalogs_of", "find_catalog", "home_of", "name_catalog"]


def home_of(root: Path) -> Path:
    """Return the folder in which a workspace keeps its stored catalogues.

    Raises
    ------
    ConfigError
        If it is no workspace.
    """
    space = load(root).workspace
    return Paths.of_project(root, space.base, space.red, space.lc, space.project).catalogs


def catalogs_of(root: Path) -> dict[Path, StoredCatalog]:
    """Return the stored catalogues of a workspace: its own, and those that its configuration names.

    Parameters
    ----------
    root : Path
        The workspace.

    Returns
    -------
    dict of Path to StoredCatalog
        By folder.

    Raises
    ------
    ConfigError
        If it is no workspace.
    StoreError
        If the index of one is damaged.
    """
    home = home_of(root)
    own = [folder for folder in sorted(home.glob("*")) if is_stored(folder)] if home.is_dir() else []
    named = [where for source in load(root).catalog.files if (where := find_stored(source, root, home))]
    return {folder: read_catalog(folder) for folder in dict.fromkeys([*own, *named])}


def find_catalog(root: Path, name: str) -> Path:
    """Find a stored catalogue.

    Parameters
    ----------
    root : Path
        The workspace.
    name : str
        Its name or its folder; empty where there is only one.

    Raises
    ------
    ConfigError
        If there is none, or there are several and none is named.
    """
    if name and is_stored(Path(name)):
        return Path(name)
    found = {catalog.name: folder for folder, catalog in catalogs_of(root).items()}
    if not found:
        raise ConfigError(f"{root} has no stored catalogue; make one with: cuvee catalog import FILE.")
    if not name and len(found) > 1:
        raise ConfigError(f"There are several catalogues ({', '.join(sorted(found))}); choose one with --name.")
    if name and name not in found:
        raise ConfigError(f"There is no catalogue {name!r}; there is {', '.join(sorted(found))}.")
    return found[name] if name else next(iter(found.values()))


def name_catalog(root: Path, source: str) -> bool:
    """Name a catalogue in a configuration that names none.

    Parameters
    ----------
    root : Path
        The workspace.
    source : str
        What ``[catalog] files`` shall name.

    Returns
    -------
    bool
        Whether it is named now. Where a catalogue is named already, or the line is not as cuvee wrote it, nothing is touched.
    """
    if load(root).catalog.files:
        return source in load(root).catalog.files
    path = root / CONFIG_NAME
    text, n = re.subn(
        r"(^\[catalog\]\n(?:#.*\n)*files = )\[\]$",
        lambda match: f'{match[1]}["{source}"]',
        path.read_text(encoding="utf-8"),
        count=1,
        flags=re.MULTILINE,
    )
    if n and '"' not in source and "\\" not in source:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return source in load(root).catalog.files
