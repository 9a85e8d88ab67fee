"""What is remembered of one raw file, and how the ledger keeps it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from cuvee.catalog import footprint_pixels
from cuvee.model.keys import DataId, block_of, text_hash
from cuvee.model.records import FileInfo, Footprint, Geometry, Moments, Readout
from cuvee.model.time import julian_year
from cuvee.run.stage import Product

__all__ = [
    "FILE_COLUMNS",
    "BadFile",
    "FileFacts",
    "FileState",
    "Stat",
    "bad_file_from_row",
    "bad_file_to_row",
    "facts_from_columns",
    "facts_of",
    "facts_to_row",
    "footprint_facts",
    "footprint_from",
    "footprint_of",
    "footprint_product",
    "frame_row",
    "learnt_row",
    "stat_files",
]

Stat = tuple[int, int, int]
"""Size, mtime (ns) and inode: as long as they stay, a file counts as unchanged."""

FileState = Literal["", "gone", "bad"]
"""At hand; deleted by the user after it was measured; in quarantine now."""

FOOTPRINT_MARGIN = 0.2
"""Degrees around the pixels in which catalogue stars may still matter (contaminants, proper motion)."""


_OF_SEVERAL = ("ffi", "events")
"""Kinds of files of which a series has several: each is a part of its own."""


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


class FileFacts(NamedTuple):
    """What the ledger remembers of one raw file that is or was good.

    Parameters
    ----------
    path : str
        The file.
    data_id : DataId
        The frame, or the series that the file is.
    stat : Stat
        The file's state on disk.
    header : FileInfo or str
        The headers' facts, or the JSON that the ledger keeps them in: few are needed, so they are read when they are asked for.
        For files of one frame without the WCS text; for stamps without the moments: both are read again where they are needed.
    content : str
        Content hash; empty while nobody has read the pixels in this state.
    had : str
        Content hash in the state before the present one, or under another path; a touched or moved file whose content
        is the same is done.
    has_wcs : bool
        Whether the file has a celestial WCS.
    cells : tuple of int
        Catalogue partitions that meet a stamp's footprint.
    footprint : str
        Content hash of a stamp's footprint.
    n_frame : int
        Number of frames.
    first, last : int
        First and last cadence number.
    state : {"", "gone", "bad"}
        Whether it can be read now.
    """

    path: str
    data_id: DataId
    stat: Stat
    header: FileInfo | str
    content: str = ""
    had: str = ""
    has_wcs: bool = False
    cells: tuple[int, ...] = ()
    footprint: str = ""
    n_frame: int = 1
    first: int = 0
    last: int = 0
    state: FileState = ""

    @property
    def info(self) -> FileInfo:
        """The headers' facts."""
        return _info_from(self.header) if isinstance(self.header, str) else self.header

    @property
    def is_frame(self) -> bool:
        """Whether the file is one frame of a series of files."""
        return self.data_id.kind == "ffi"

    @property
    def is_photons(self) -> bool:
        """Whether the file is one of those of a photon counter's exposure."""
        return self.data_id.kind == "events"

    @property
    def series_id(self) -> DataId:
        """The series that the file belongs to."""
        return self.data_id._replace(part="") if self.is_frame else self.data_id

    @property
    def identity(self) -> tuple[DataId, int]:
        """What no two files of a survey may both be: a cadence of a series, or a whole series."""
        return self.series_id, self.first if self.is_frame else -1

    def product(self, kind: str) -> Product:
        """Return the file as a product of kind ``frame``, ``member`` or ``stamp``."""
        meta: dict[str, Any] = {"facts": self}
        if kind == "frame":
            meta["block"] = block_of(self.first)
        return Product(kind, self.data_id, self.content, self.path, meta)

    def footprint_product(self) -> Product:
        """Return the footprint of a stamp; what it is on the sky is worked out when somebody asks (`footprint_facts`)."""
        content = self.footprint or _footprint_hash(footprint_of(self.info))  # an older ledger has none
        return Product("footprint", self.data_id, content, "", {"of": self, "cells": self.cells})


def facts_of(info: FileInfo, state: Stat) -> FileFacts:
    """Return what is to be remembered of a file.

    Parameters
    ----------
    info : FileInfo
        From the instrument's ``scan``.
    state : Stat
        The file's state on disk, from before it was opened.
    """
    cadence = info.moments.cadence
    n_frame = int(cadence.size)
    first, last = (int(cadence.min()), int(cadence.max())) if n_frame else (0, 0)
    frame = info.kind == "ffi"
    part = info.name if info.kind in _OF_SEVERAL else ""
    data_id = DataId(info.instrument, info.segment, info.detector, info.kind, info.series, part)
    cells: tuple[int, ...] = ()
    content = ""
    has_wcs = bool(info.wcs)
    if frame:
        info = replace(info, wcs="")
    else:
        if has_wcs:
            footprint = footprint_product(data_id, footprint_of(info))
            cells, content = tuple(sorted(footprint.meta["cells"])), footprint.content
        mid = info.moments.mid[np.isfinite(info.moments.mid)]
        middle = np.array([mid.mean() if mid.size else np.nan])
        nan = np.array([np.nan])
        info = replace(info, moments=Moments(np.array([first]), middle, middle, nan, np.zeros(1, np.int32)))
    return FileFacts(
        info.path, data_id, state, info, "", "", has_wcs, cells, content, n_frame, first, last
    )  # fmt: skip


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


def footprint_from(facts: Mapping[str, Any]) -> Footprint:
    """Return the footprint that `footprint_of` has the facts of."""
    return Footprint(facts["series"], Geometry(**facts["geometry"]), facts["wcs"], facts["epoch"])


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
        cells = tuple(int(cell) for cell in footprint_pixels([footprint_from(facts)], FOOTPRINT_MARGIN))
    return Product("footprint", series, _footprint_hash(facts), "", {"facts": facts, "cells": cells})


def _footprint_hash(facts: Mapping[str, Any]) -> str:
    return text_hash(repr(sorted(facts.items())))


def footprint_facts(product: Product) -> Mapping[str, Any]:
    """Return the facts of a footprint product that place its series on the sky (`footprint_of`)."""
    of = product.meta.get("of")
    facts: Mapping[str, Any] = footprint_of(of.info) if isinstance(of, FileFacts) else product.meta["facts"]
    return facts


def facts_to_row(facts: FileFacts) -> dict[str, Any]:
    """Return file facts as the ledger's table ``files`` keeps them."""
    info = facts.info
    rest = {name: getattr(info, name) for name in FileInfo.__slots__ if name not in ("moments", "geometry", "readout")}
    rest["wcs"] = _without_blanks(info.wcs)
    rest["facts"] = dict(info.facts)
    moments = [float(getattr(info.moments, name)[0]) for name in Moments.__slots__]
    return {
        "path": facts.path,
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
        "had": facts.had,
        "has_wcs": facts.has_wcs,
        "cells": list(facts.cells),
        "footprint": facts.footprint,
        "info": {
            "rest": rest,
            "moments": moments,
            "geometry": asdict(info.geometry),
            "readout": asdict(info.readout),
        },
    }


def learnt_row(facts: FileFacts) -> dict[str, Any]:
    """Return what may change of a file without its headers being read again, with the key of the table ``files``."""
    return {"path": facts.path, "content": facts.content, "had": facts.had, "state": facts.state}


FILE_COLUMNS = (
    "path", "instrument", "segment", "detector", "kind", "series", "name", "size", "mtime_ns", "inode", "info", "content", "had",
    "has_wcs", "cells", "footprint", "n_frame", "first_cadence", "last_cadence", "state",
)  # fmt: skip
"""What `facts_from_columns` wants of the table ``files``."""


def facts_from_columns(columns: Iterable[Sequence[Any]]) -> dict[str, FileFacts]:
    """Read what `facts_to_row` wrote.

    Parameters
    ----------
    columns : iterable of sequences
        Those of `FILE_COLUMNS`; ``info`` as JSON.

    Returns
    -------
    dict of str to FileFacts
        By path.
    """
    return {
        path: FileFacts(
            path,
            DataId(instrument, segment, detector, kind, series, name if kind in _OF_SEVERAL else ""),
            (size, mtime, inode),
            info,
            content,
            had,
            has_wcs,
            tuple(cells),
            *rest,
        )
        for path, instrument, segment, detector, kind, series, name, size, mtime, inode, info, content, had, has_wcs, cells, *rest
        in zip(*columns, strict=True)
    }  # fmt: skip


def _info_from(text: str) -> FileInfo:
    kept = json.loads(text)
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
    rest = {**kept["rest"], "wcs": _with_blanks(kept["rest"]["wcs"])}
    return FileInfo(**rest, moments=moments, geometry=Geometry(**kept["geometry"]), readout=Readout(**readout))


_CARD = 80
"""Characters of a card of a FITS header."""


def _without_blanks(header: str) -> str:
    """Return one line a card: two thirds of a header are blanks, which would make the ledger's rows twice as long."""
    cards = [header[i : i + _CARD] for i in range(0, len(header), _CARD)]
    return "".join(f"{card.rstrip(' ')}\n" for card in cards) if len(header) % _CARD == 0 else header


def _with_blanks(lines: str) -> str:
    """Return the header that `_without_blanks` was given."""
    return "".join(line.ljust(_CARD) for line in lines.split("\n")[:-1]) if lines.endswith("\n") else lines


def frame_row(facts: FileFacts) -> dict[str, Any]:
    """Return a single frame as the ledger's table ``frames`` keeps it."""
    moments = facts.info.moments
    return {
        "file": facts.path,
        "segment": facts.data_id.segment,
        "detector": facts.data_id.detector,
        "kind": facts.data_id.kind,
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
