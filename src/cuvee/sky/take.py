"""Take catalogue files in, one after the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cuvee.errors import ConfigError
from cuvee.run.options import Reporter
from cuvee.store.sky_columns import column_types
from cuvee.store.sky_import import import_table, md5_list
from cuvee.store.sky_store import TIC, Source, is_stored, read_catalog

__all__ = ["MD5_NAME", "Taken", "take_in"]

MD5_NAME = "md5sum.txt"
"""What MAST calls the list of sums beside its bulk files."""

_NAMES = (
    (re.compile(r"^tic_dec", re.IGNORECASE), TIC),
    (re.compile(r"ctl", re.IGNORECASE), "ctl"),
    (re.compile(r"gaia", re.IGNORECASE), "gaia"),
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one file.

    Parameters
    ----------
    path, folder : Path
        The file, and the catalogue.
    source : Source
        Its rows.
    new : bool
        Whether they were not there before.
    proven : bool
        Whether there was a sum that the file's bytes had to have.
    """

    path: Path
    folder: Path
    source: Source
    new: bool
    proven: bool


def take_in(
    files: Sequence[Path], home: Path, reporter: Reporter, name: str = "", sums: Path | None = None
) -> list[Taken]:
    """Take files into a stored catalogue; all their columns are kept.

    Parameters
    ----------
    files : sequence of Path
        Tables, ``header.csv`` beside those that have no header line.
    home : Path
        Where catalogues are kept.
    reporter : Reporter
        Takes the news.
    name : str
        What the catalogue is called; empty: ``tic``, ``ctl`` or ``gaia`` by the file's name, else the file's name.
    sums : Path, optional
        List of md5 sums; by default ``md5sum.txt`` beside a file, if there is one.

    Returns
    -------
    list of Taken
        One a file. A file that is there already is not written again.

    Raises
    ------
    ConfigError
        If a file is no table or damaged; those before it are there.
    StoreError
        If the store cannot be written.
    """
    for path in files:  # before hours of work, what can be known of all
        column_types(path)
    taken = []
    for path in files:
        called = name or _name_of(path)
        folder = home / called
        before = read_catalog(folder).sources if is_stored(folder) else ()
        beside = sums if sums is not None else path.parent / MD5_NAME
        known = md5_list(beside) if sums is not None or beside.is_file() else {}
        md5 = known.get(path.name.removesuffix(".gz"), "")
        if sums is not None and not md5:
            raise ConfigError(
                f"{sums} has no sum of {path.name}; name the list that belongs to it, or leave --md5 out."
            )
        source = _watched(path, folder, called, md5, reporter)
        taken.append(Taken(path, folder, source, source not in before, bool(md5)))
    return taken


def _watched(path: Path, folder: Path, name: str, md5: str, reporter: Reporter) -> Source:
    done = 0

    def progress(read: int, _: int) -> None:
        nonlocal done
        steps = _steps(read)
        reporter.advance(steps - done)
        done = steps

    reporter.begin(f"Taking in {path.name} (MB)", _steps(path.stat().st_size))
    try:
        return import_table(path, folder, name, md5, progress)
    finally:
        reporter.end()


def _steps(size: int) -> int:
    return -(-size // 10**6)


def _name_of(path: Path) -> str:
    for pattern, name in _NAMES:
        if pattern.search(path.name):
            return name
    return re.sub(r"[^A-Za-z0-9_.-]", "_", path.name.split(".")[0])
