"""All raw files of a workspace, looked at side by side."""

from __future__ import annotations

import fnmatch
import functools
import os
import time
from collections.abc import Collection, Iterable
from itertools import chain
from pathlib import Path

from cuvee.acquire.api import paths_of
from cuvee.acquire.journal import HAVE
from cuvee.acquire.names import identify
from cuvee.acquire.strips import SUMS, strip_of
from cuvee.config import load
from cuvee.errors import ConfigError
from cuvee.instruments.registry import find_files, instrument
from cuvee.run.executors import Crew, cores, open_executor
from cuvee.run.facts import Stat
from cuvee.run.options import Reporter
from cuvee.store.own_ledger import has_ledger, open_ledger
from cuvee.verify.examine import Examine, Examined
from cuvee.verify.judge import Report, judge

__all__ = ["verify"]

_TOGETHER = 64
"""Files that a worker looks at together; of those that are read to their end, fewer."""
_FITS = (".fits", ".fits.gz", ".fits.fz", ".fit")
_OURS = (".partial", ".wrong", ".part")
"""Endings of what an acquisition has not finished with, or put aside."""


def verify(
    root: Path, reporter: Reporter, full: bool = False, listed: Collection[str] = (), workers: int = 0
) -> Report:
    """Look at every raw file of a workspace.

    Parameters
    ----------
    root : Path
        The workspace.
    reporter : Reporter
        Takes the news.
    full : bool
        Read all bytes: sums, hashes, blank images.
    listed : collection of str
        Names of files that should be there, from `cuvee.verify.read_list`.
    workers : int
        Worker processes; 0: as the configuration says.

    Returns
    -------
    Report
        Paths in it are absolute; names of listed files that are missing are just names.

    Raises
    ------
    ConfigError
        If it is no workspace, or its data cannot be found.
    """
    start = time.monotonic()
    config = load(root)
    root = root.resolve()
    device = instrument(config.workspace.instrument)
    expected, measured = _known(root)
    paths, foreign = _sorted_out(_raw_files(root, config.data.files, bool(expected or listed)), device.patterns)
    workers = workers or config.run.workers or cores()
    engine = config.run.executor if len(paths) > _TOGETHER else "serial"
    chunks = [paths[k : k + _TOGETHER] for k in range(0, len(paths), _TOGETHER)]
    if full:
        chunks = [[path] for path in paths]
    # Those that a run measured are read a second time, as runs read them.
    again = [chunk for chunk in chunks if full and chunk[0] in measured]
    rest = [chunk for chunk in chunks if not full or chunk[0] not in measured]
    found: list[Examined] = []
    reporter.begin("Reading files" if full else "Reading headers", len(paths))
    with Crew(functools.partial(open_executor, engine, workers), workers) as crew:
        for batch in chain(crew.map_batches(Examine(full), rest), crew.map_batches(Examine(full, device), again)):
            for chunk, results in batch:
                if isinstance(results, BaseException):
                    results = [
                        Examined(path, reason="unreadable", message=f"{path} cannot be read: {results}")
                        for path in chunk
                    ]
                found += results
                reporter.advance(len(chunk))
    reporter.end()
    report = judge(sorted(found, key=lambda one: one.path), expected, listed, foreign, measured)
    report.seconds = time.monotonic() - start
    return report


def _raw_files(root: Path, sources: Iterable[str], wanted: bool) -> list[str]:
    """Return the raw files; that there are none is a mistake unless any are wanted."""
    found: set[str] = set()
    trouble = None
    for source in dict.fromkeys([*sources, *(["RAW"] if (root / "RAW").is_dir() else [])]):
        try:
            found.update(find_files([source], ("*",), root))
        except ConfigError as error:
            trouble = trouble or error
    if trouble is not None and not found and not wanted:
        raise trouble
    return sorted(found)


def _sorted_out(paths: Iterable[str], patterns: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the files to look at, and those that nobody knows."""
    known, foreign = [], []
    for path in paths:
        name = os.path.basename(path)
        if name.startswith(".") or name.endswith(_OURS) or name == SUMS or strip_of(name):
            continue
        named = identify(name)
        if named is not None or (name.endswith(_FITS) and any(fnmatch.fnmatch(name, pattern) for pattern in patterns)):
            known.append(path)
        elif not any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            foreign.append(path)
    return known, foreign


def _known(root: Path) -> tuple[dict[str, str], dict[str, tuple[Stat, str]]]:
    """Return what acquisitions wanted, by absolute path, with the hashes of what came; and what runs measured, with its state and content."""
    paths = paths_of(root)
    if not has_ledger(paths):
        return {}, {}
    with open_ledger(paths, read_only=True) as opened:
        rows = opened.rows("downloads")
        files = opened.columns("files", ("path", "size", "mtime_ns", "inode", "content"))
    wanted = {str(root / row["path"]): str(row["hash"]) if row["state"] == HAVE else "" for row in rows}
    return wanted, {path: (tuple(stat), content) for path, *stat, content in zip(*files, strict=True) if content}
