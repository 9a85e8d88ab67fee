"""Which instruments there are, and which files a survey has."""

from __future__ import annotations

import difflib
import errno
import glob
import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from cuvee.errors import ConfigError
from cuvee.model.instrument import Instrument

__all__ = ["find_files", "instrument", "instrument_names"]

GROUP = "cuvee.instruments"


@cache
def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def instrument_names() -> list[str]:
    """Return the names of all installed instruments, sorted."""
    return sorted(_plugins())


@cache
def instrument(name: str) -> Instrument:
    """Return an instrument by its name; its module is imported only now.

    Parameters
    ----------
    name : str
        As in ``[workspace] instrument``.

    Raises
    ------
    ConfigError
        If there is none of that name, or its plug-in cannot be loaded.
    """
    point = _plugins().get(name)
    if point is None:
        names = instrument_names()
        near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'? Installed" if near else "installed"
        raise ConfigError(f"There is no instrument '{name}'; {hint}: {', '.join(names)}.")
    try:
        found = point.load()
    except Exception as error:  # a plug-in of somebody else's may fail in any way
        raise ConfigError(
            f"The instrument '{name}' ({point.value}) cannot be loaded: {error}; mend its package."
        ) from error
    if not isinstance(found, Instrument):
        raise ConfigError(f"The instrument '{name}' ({point.value}) is not an Instrument record; mend its package.")
    return found


def _walk(folder: str, pattern: re.Pattern[str], seen: set[str]) -> Iterator[str]:
    # Links to folders are followed once, so circles end; hidden entries and whatever is no regular file are passed over.
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    below: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                is_folder = entry.is_dir()
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                continue  # a link to itself
            if is_folder:
                below.append(entry.path)
            elif pattern.match(entry.name) and entry.is_file():
                yield entry.path
    for path in below:
        yield from _walk(path, pattern, seen)


def find_files(sources: Sequence[str], patterns: Sequence[str], root: Path) -> list[str]:
    """Find the files that a configuration names.

    Parameters
    ----------
    sources : sequence of str
        Folders (walked, files taken by ``patterns``), globs (``**`` allowed), or files (taken whatever their name is);
        relative to ``root``, ``~`` allowed.
    patterns : sequence of str
        File-name patterns of the instrument, for `fnmatch`.
    root : Path
        The workspace.

    Returns
    -------
    list of str
        Paths, sorted, each once.

    Raises
    ------
    ConfigError
        If a source is missing, unreadable, or matches nothing.
    """
    found: set[str] = set()
    wanted = re.compile("|".join(map(translate, patterns)))
    for source in sources:
        where = os.path.normpath(os.path.join(root, os.path.expanduser(source)))
        is_glob = not os.path.exists(where) and glob.has_magic(where)
        places = glob.glob(where, recursive=True) if is_glob else [where]
        if not is_glob and not os.path.exists(where):
            raise ConfigError(f"The data source '{source}' does not exist ({where}); correct it in the configuration.")
        before = len(found)
        taken = 0
        for place in places:
            if not os.path.isdir(place):
                found.add(place)
                taken += 1
                continue
            try:
                files = list(_walk(place, wanted, set()))
            except OSError as error:
                raise ConfigError(
                    f"The data source '{source}' cannot be read: {error.strerror} ({error.filename})."
                ) from error
            found.update(files)
            taken += len(files)
        if taken == 0 and len(found) == before:
            what = "matches nothing" if is_glob else f"holds no file named like {', '.join(patterns)}"
            raise ConfigError(f"The data source '{source}' {what} ({where}); correct it in the configuration.")
    return sorted(found)
