"""Which raw files there are, what their headers say, and which of them cannot be used.

A file that is unchanged on disk (size, mtime, inode) is never opened again: the ledger knows it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cuvee.catalog import footprint_pixels
from cuvee.errors import BadData
from cuvee.model.keys import DataId, block_of, text_hash
from cuvee.model.records import FileInfo, Footprint, Geometry, Moments, Readout
from cuvee.model.time import julian_year
from cuvee.run.executors import SerialExecutor, map_unordered
from cuvee.run.stage import Product

__all__ = [
    "BadFile",
    "FileFacts",
    "Inventory",
    "Stat",
    "facts_from_row",
    "facts_to_row",
    "footprint_product",
    "frame_row",
    "scan_files",
    "stat_files",
    "take_inventory",
]

Stat = tuple[int, int, int]
"""Size, mtime (ns) and inode: as long as they stay, a file counts as unchanged."""

FOOTPRINT_MARGIN = 0.2
"""Degrees around the pixels in which catalogue stars may still matter (contaminants, proper motion)."""

_CHUNK = 64
"""Files that one scanning task opens."""


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that cannot be used.

    Parameters
    ----------
    path : str
        The file.
    stat : Stat
        Its state on disk when it was found bad.
    reason, message : str
        See `cuvee.errors.BadData`.
    """

    path: str
    stat: Stat
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the ledger remembers of one good raw file.

    Parameters
    ----------
    info : FileInfo
        The headers' facts. For files of one frame without the WCS text; for stamps without the moments: both are
        read again where they are needed.
    stat : Stat
        The file's state on disk.
    content : str
        Content hash; empty while nobody has read the pixels in this state.
    had : str
        Content hash in the state before the present one; a touched file whose content is the same is done.
    has_wcs : bool
        Whether the file has a celestial WCS.
    cells : tuple of int
        Catalogue partitions that meet a stamp's footprint.
    n_frame : int
        Number of frames.
    first, last : int
        First and last cadence number.
    """

    info: FileInfo
    stat: Stat
    content: str = ""
    had: str = ""
    has_wcs: bool = False
    cells: tuple[int, ...] = ()
    n_frame: int = 1
    first: int = 0
    last: int = 0

    @property
    def is_frame(self) -> bool:
        """Whether the file is one frame of a series of files."""
        return self.info.kind == "ffi"

    @property
    def data_id(self) -> DataId:
        """The frame, or the series that the file is."""
        i = self.info
        part = i.name if self.is_frame else ""
        return DataId(i.instrument, i.segment, i.detector, i.kind, i.series, part)

    @property
    def series_id(self) -> DataId:
        """The series that the file belongs to."""
        i = self.info
        return DataId(i.instrument, i.segment, i.detector, i.kind, i.series)

    def product(self, kind: str) -> Product:
        """Return the file as a product of kind ``frame``, ``member`` or ``stamp``."""
        meta: dict[str, Any] = {"facts": self}
        if kind == "frame":
            meta["block"] = block_of(self.first)
        return Product(kind, self.data_id, self.content, self.info.path, meta)


@dataclass(slots=True)
class Inventory:
    """All raw files of a workspace.

    Parameters
    ----------
    good : dict of str to FileFacts
        By path.
    bad : dict of str to BadFile
        By path.
    fresh : list of FileFacts
        Good files that the ledger does not know in this state.
    gone : list of str
        Paths in the ledger that are not among the files any more.
    """

    good: dict[str, FileFacts] = field(default_factory=dict)
    bad: dict[str, BadFile] = field(default_factory=dict)
    fresh: list[FileFacts] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


def stat_files(paths: Iterable[str]) -> dict[str, Stat]:
    """Return the state on disk of each file that is there."""
    states = {}
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            continue
        states[path] = (found.st_size, found.st_mtime_ns, found.st_ino)
    return states


def footprint_product(info: FileInfo, cells: Sequence[int] = ()) -> Product:
    """Return the footprint of a series as a product: only facts, no file.

    Parameters
    ----------
    info : FileInfo
        The series' file, or its frame with the best WCS.
    cells : sequence of int, optional
        Catalogue partitions that meet it; computed where not given.
    """
    mid = info.moments.mid
    mid = mid[np.isfinite(mid)]
    epoch = julian_year(float(mid.mean())) if mid.size else 2000.0
    footprint = Footprint(info.series, info.geometry, info.wcs, round(float(epoch), 3))
    cells = tuple(cells) or tuple(footprint_pixels([footprint], FOOTPRINT_MARGIN))
    facts = {**asdict(footprint), "time_ra": info.time_ra, "time_dec": info.time_dec}
    data_id = DataId(info.instrument, info.segment, info.detector, info.kind, info.series)
    content = text_hash(repr(sorted(facts.items())))
    return Product("footprint", data_id, content, "", {"facts": facts, "cells": frozenset(cells)})


def scan_files(scan: Callable[[str], FileInfo], paths: Sequence[str]) -> list[FileFacts | BadFile]:
    """Open the headers of files.

    Parameters
    ----------
    scan : callable
        The instrument's.
    paths : sequence of str
        The files.

    Returns
    -------
    list of FileFacts or BadFile
        In the order of ``paths``.
    """
    results: list[FileFacts | BadFile] = []
    for path in paths:
        state = stat_files([path]).get(path)
        if state is None:
            results.append(BadFile(path, (0, 0, 0), "unreadable", f"{path} vanished while it was being read."))
            continue
        try:
            info = scan(path)
        except BadData as error:
            results.append(BadFile(path, state, error.reason, error.message))
            continue
        except OSError as error:
            results.append(BadFile(path, state, "unreadable", f"{path} cannot be read: {error.strerror}."))
            continue
        results.append(_facts(info, state))
    return results


def _facts(info: FileInfo, state: Stat) -> FileFacts:
    cadence = info.moments.cadence
    cells: tuple[int, ...] = ()
    n_frame = int(cadence.size)
    has_wcs = bool(info.wcs)
    first, last = (int(cadence.min()), int(cadence.max())) if n_frame else (0, 0)
    if info.kind == "ffi":
        info = _replace(info, wcs="")
    else:
        if has_wcs:
            cells = tuple(sorted(footprint_product(info).meta["cells"]))
        mid = info.moments.mid[np.isfinite(info.moments.mid)]
        middle = np.array([mid.mean() if mid.size else np.nan])
        nan = np.array([np.nan])
        info = _replace(info, moments=Moments(np.array([first]), middle, middle, nan, np.zeros(1, np.int32)))
    return FileFacts(info, state, "", "", has_wcs, cells, n_frame, first, last)


def _replace(info: FileInfo, **changes: Any) -> FileInfo:
    return FileInfo(**{name: changes.get(name, getattr(info, name)) for name in FileInfo.__slots__})


def take_inventory(
    paths: Sequence[str],
    scan: Callable[[str], FileInfo],
    known: Mapping[str, FileFacts],
    quarantined: Mapping[str, BadFile],
    make: Callable[[], Executor],
    workers: int,
    progress: Callable[[int, int], None],
) -> Inventory:
    """Find out what there is, opening only files that are new or have changed.

    Parameters
    ----------
    paths : sequence of str
        The raw files.
    scan : callable
        The instrument's.
    known, quarantined : mapping
        What the ledger remembers, by path.
    make : callable
        Makes the executor that opens many files at a time.
    workers : int
        Its size.
    progress : callable
        ``progress(done, total)``.

    Returns
    -------
    Inventory
    """
    states = stat_files(paths)
    inventory = Inventory(gone=[path for path in known if path not in states])
    todo = []
    for path, state in states.items():
        old_bad = quarantined.get(path)
        if old_bad is not None and old_bad.stat == state and old_bad.reason != "duplicate":
            inventory.bad[path] = old_bad
        elif path in known and known[path].stat == state:
            inventory.good[path] = known[path]
        else:
            todo.append(path)
    done = 0
    if len(todo) <= 4 * _CHUNK:
        make, workers = SerialExecutor, 1
    chunks = [todo[k : k + _CHUNK] for k in range(0, len(todo), _CHUNK)]
    for chunk, results in map_unordered(make, workers, _Scan(scan), chunks):
        if isinstance(results, BaseException):
            raise results
        for path, result in zip(chunk, results, strict=True):
            if isinstance(result, BadFile):
                inventory.bad[path] = result
                continue
            if path in known:
                old = known[path]
                values = {name: getattr(result, name) for name in FileFacts.__slots__}
                result = FileFacts(**{**values, "had": old.content or old.had})
            inventory.good[path] = result
            inventory.fresh.append(result)
        done += len(chunk)
        progress(done, len(todo))
    _drop_duplicates(inventory)
    return inventory


@dataclass(frozen=True, slots=True)
class _Scan:
    scan: Callable[[str], FileInfo]

    def __call__(self, paths: Sequence[str]) -> list[FileFacts | BadFile]:
        return scan_files(self.scan, paths)


def _drop_duplicates(inventory: Inventory) -> None:
    """Keep one file a frame: of the newest data release, then the first by path. Judged anew each run."""
    best: dict[tuple[DataId, int], FileFacts] = {}
    losers = []
    for facts in sorted(inventory.good.values(), key=lambda f: (-f.info.data_release, f.info.path)):
        key = (facts.series_id, facts.first if facts.is_frame else -1)
        if key in best:
            losers.append((facts, best[key]))
        else:
            best[key] = facts
    for facts, winner in losers:
        path = facts.info.path
        what = f"cadence {facts.first}" if facts.is_frame else f"series {facts.info.series}"
        message = (
            f"{path} is a duplicate: {winner.info.path} has {what} of {facts.info.segment} {facts.info.detector} too."
        )
        inventory.bad[path] = BadFile(path, facts.stat, "duplicate", message)
        del inventory.good[path]


def facts_to_row(facts: FileFacts) -> dict[str, Any]:
    """Return file facts as the ledger's table ``files`` keeps them."""
    info = facts.info
    rest = {name: getattr(info, name) for name in FileInfo.__slots__ if name not in ("moments", "geometry", "readout")}
    moments = [float(getattr(info.moments, name)[0]) for name in Moments.__slots__]
    return {
        "path": info.path,
        "size": facts.stat[0],
        "mtime_ns": facts.stat[1],
        "inode": facts.stat[2],
        "content": facts.content,
        "instrument": info.instrument,
        "segment": info.segment,
        "detector": info.detector,
        "kind": info.kind,
        "series": info.series,
        "name": info.name,
        "n_frame": facts.n_frame,
        "first_cadence": facts.first,
        "last_cadence": facts.last,
        "info": {
            "rest": rest,
            "moments": moments,
            "geometry": asdict(info.geometry),
            "readout": asdict(info.readout),
            "had": facts.had,
            "has_wcs": facts.has_wcs,
            "cells": list(facts.cells),
        },
    }


def frame_row(facts: FileFacts) -> dict[str, Any]:
    """Return a single frame as the ledger's table ``frames`` keeps it."""
    moments = facts.info.moments
    return {
        "file": facts.info.path,
        "segment": facts.info.segment,
        "detector": facts.info.detector,
        "kind": facts.info.kind,
        "cadence": facts.first,
        "start": float(moments.start[0]),
        "stop": float(moments.stop[0]),
        "quality": int(moments.quality[0]),
        "has_wcs": facts.has_wcs,
    }


def facts_from_row(row: Mapping[str, Any]) -> FileFacts:
    """Read what `facts_to_row` wrote."""
    kept = row["info"]
    cadence, start, stop, barycorr, quality = kept["moments"]
    moments = Moments(
        np.array([int(cadence)]),
        np.array([start]),
        np.array([stop]),
        np.array([barycorr]),
        np.array([int(quality)], np.int32),
    )
    readout: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in kept["readout"].items()
    }
    info = FileInfo(**kept["rest"], moments=moments, geometry=Geometry(**kept["geometry"]), readout=Readout(**readout))
    state = (row["size"], row["mtime_ns"], row["inode"])
    return FileFacts(
        info,
        state,
        row["content"],
        kept["had"],
        kept["has_wcs"],
        tuple(kept["cells"]),
        row["n_frame"],
        row["first_cadence"],
        row["last_cadence"],
    )
