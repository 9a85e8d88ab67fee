"""What is remembered of one raw file, and how the ledger keeps it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from cuvee.catalog import footprint_pixels
from cuvee.model.keys import DataId, block_of, text_hash
from cuvee.model.records import FileInfo, Footprint, Geometry, Moments, Readout
from cuvee.model.time import julian_year
from cuvee.run.stage import Product

__all__ = [
    "BadFile",
    "FileFacts",
    "FileState",
    "Stat",
    "bad_file_from_row",
    "bad_file_to_row",
    "facts_from_row",
    "facts_to_row",
    "footprint_of",
    "footprint_product",
    "frame_row",
    "stat_files",
]

Stat = tuple[int, int, int]
"""Size, mtime (ns) and inode: as long as they stay, a file counts as unchanged."""

FileState = Literal["", "gone", "bad"]
"""At hand; deleted by the user after it was measured; in quarantine now."""

FOOTPRINT_MARGIN = 0.2
"""Degrees around the pixels in which catalogue stars may still matter (contaminants, proper motion)."""


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
    """What the ledger remembers of one raw file that is or was good.

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
        Content hash in the state before the present one, or under another path; a touched or moved file whose content
        is the same is done.
    has_wcs : bool
        Whether the file has a celestial WCS.
    cells : tuple of int
        Catalogue partitions that meet a stamp's footprint.
    n_frame : int
        Number of frames.
    first, last : int
        First and last cadence number.
    state : {"", "gone", "bad"}
        Whether it can be read now.
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
    state: FileState = ""

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

    @property
    def identity(self) -> tuple[DataId, int]:
        """What no two files of a survey may both be: a cadence of a series, or a whole series."""
        return self.series_id, self.first if self.is_frame else -1

    def product(self, kind: str) -> Product:
        """Return the file as a product of kind ``frame``, ``member`` or ``stamp``."""
        meta: dict[str, Any] = {"facts": self}
        if kind == "frame":
            meta["block"] = block_of(self.first)
        return Product(kind, self.data_id, self.content, self.info.path, meta)


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


def footprint_of(info: FileInfo) -> dict[str, Any]:
    """Return the facts that place a series on the sky, as JSON can hold them.

    Parameters
    ----------
    info : FileInfo
        The series' file, or its frame with the best WCS.
    """
    mid = info.moments.mid
    mid = mid[np.isfinite(mid)]
    epoch = julian_year(float(mid.mean())) if mid.size else 2000.0
    footprint = Footprint(info.series, info.geometry, info.wcs, round(float(epoch), 3))
    return {**asdict(footprint), "time_ra": info.time_ra, "time_dec": info.time_dec}


def footprint_product(series: DataId, facts: Mapping[str, Any], cells: Sequence[int] = ()) -> Product:
    """Return the footprint of a series as a product: only facts, no file.

    Parameters
    ----------
    series : DataId
        The series.
    facts : mapping
        From `footprint_of`.
    cells : sequence of int, optional
        Catalogue partitions that meet it; computed where not given.
    """
    if not cells:
        geometry = Geometry(**facts["geometry"])
        footprint = Footprint(facts["series"], geometry, facts["wcs"], facts["epoch"])
        cells = tuple(int(cell) for cell in footprint_pixels([footprint], FOOTPRINT_MARGIN))
    content = text_hash(repr(sorted(facts.items())))
    return Product("footprint", series, content, "", {"facts": facts, "cells": frozenset(cells)})


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
        "state": facts.state,
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
    return FileFacts(
        info,
        (row["size"], row["mtime_ns"], row["inode"]),
        row["content"],
        kept["had"],
        kept["has_wcs"],
        tuple(kept["cells"]),
        row["n_frame"],
        row["first_cadence"],
        row["last_cadence"],
        row["state"],
    )


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


def bad_file_to_row(bad: BadFile, run_id: int) -> dict[str, Any]:
    """Return a bad file as the ledger's table ``quarantine`` keeps it."""
    size, mtime_ns, inode = bad.stat
    return {
        "path": bad.path,
        "size": size,
        "mtime_ns": mtime_ns,
        "inode": inode,
        "reason": bad.reason,
        "message": bad.message,
        "run_id": run_id,
    }


def bad_file_from_row(row: Mapping[str, Any]) -> BadFile:
    """Read what `bad_file_to_row` wrote."""
    return BadFile(row["path"], (row["size"], row["mtime_ns"], row["inode"]), row["reason"], row["message"])
