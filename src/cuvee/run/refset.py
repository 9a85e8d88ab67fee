"""The reference set of a series: chosen once, written down, then an input like any other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cuvee.model.keys import DataId
from cuvee.model.records import FileInfo
from cuvee.run.facts import FileFacts, Stat, footprint_of, footprint_product
from cuvee.run.stage import Product
from cuvee.store.atomic import atomic_path

__all__ = ["REFERENCE_FRAMES", "ReferenceSet", "choose_members", "middle_member", "reference_set"]

REFERENCE_FRAMES = 32
"""At most this many frames make a reference image; more would only add a few per cent of signal to noise."""

_ASTRAY = 1.0 / 60.0
"""Degrees that a member's WCS may lie off the others'. What moves the stars within a segment is less by far."""


@dataclass(frozen=True, slots=True)
class ReferenceSet:
    """The frames that make the reference of a series, as they are written down.

    Parameters
    ----------
    members : tuple of str
        Names of the frames, in cadence order.
    stat : tuple of int
        State on disk of the member that places the stars (`middle_member`) when its WCS was read.
    footprint : mapping
        Where that WCS places the series (`cuvee.run.facts.footprint_of`).
    cells : tuple of int
        Catalogue partitions that meet it.
    """

    members: tuple[str, ...]
    stat: Stat = (0, 0, 0)
    footprint: Mapping[str, Any] = field(default_factory=dict)
    cells: tuple[int, ...] = ()

    def products(self, series: DataId, frames: Mapping[str, FileFacts]) -> list[Product]:
        """Return the members, which know the catalogue partitions that meet them, and the footprint as products."""
        members = [frames[name].product("member") for name in self.members if name in frames]
        members = [member._replace(meta={**member.meta, "cells": self.cells}) for member in members]
        return [*members, footprint_product(series, self.footprint, self.cells)]


def choose_members(frames: Sequence[FileFacts]) -> tuple[str, ...]:
    """Choose the frames that make the reference of a series.

    Frames of quality 0 with a WCS and a time, nearest the middle of the segment; where there is none, flagged
    frames with a WCS.

    Parameters
    ----------
    frames : sequence of FileFacts
        All frames of the series; those that are gone from disk are not chosen.

    Returns
    -------
    tuple of str
        Their names in cadence order; empty where no frame has a WCS.
    """
    moments = {f.path: f.info.moments for f in frames if f.has_wcs and not f.state}
    placed = [f for f in frames if f.path in moments and np.isfinite(moments[f.path].mid[0])]
    clean = [f for f in placed if moments[f.path].quality[0] == 0] or placed
    if not clean:
        return ()
    middle = float(np.median([f.first for f in frames]))
    clean.sort(key=lambda f: (abs(f.first - middle), f.first))
    return tuple(f.data_id.part for f in sorted(clean[:REFERENCE_FRAMES], key=lambda f: f.first))


def middle_member(members: Sequence[FileFacts]) -> FileFacts:
    """Return the member whose WCS places the stars: that nearest the middle of the set which points where most of them do.

    Parameters
    ----------
    members : sequence of FileFacts
        In cadence order. Where none has a WCS, the one in the middle is returned.
    """
    middle = len(members) // 2
    placed = [i for i, member in enumerate(members) if member.has_wcs]
    ra, dec = (np.deg2rad([getattr(members[i].info, name) for i in placed]) for name in ("time_ra", "time_dec"))
    sky = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    # One wrong WCS, or a few, do not move the median.
    off = np.abs(sky - np.median(sky, axis=1, keepdims=True)).max(axis=0, initial=0.0) if placed else ()
    right = [i for i, away in zip(placed, off, strict=True) if away < np.deg2rad(_ASTRAY)] or placed or [middle]
    return members[min(right, key=lambda i: abs(i - middle))]


def reference_set(
    path: Path, frames: Mapping[str, FileFacts], scan: Callable[[str], FileInfo], renew: bool, write: bool = True
) -> ReferenceSet | None:
    """Return the reference set of a series: the recorded one while none of its members has gone bad, else a new one.

    Parameters
    ----------
    path : Path
        The record.
    frames : mapping of str to FileFacts
        All frames of the series by name, good ones and those gone from disk.
    scan : callable
        The instrument's; called only if the member that places the stars is new or has changed.
    renew : bool
        Choose anew in any case.
    write : bool
        Whether to write the record down.

    Returns
    -------
    ReferenceSet or None
        None where no frame has a WCS.

    Raises
    ------
    BadData
        If the member that places the stars cannot be read.
    StoreError
        If the record cannot be written.
    """
    old = _read(path)
    members = old.members
    if renew or not members or any(name not in frames for name in members) or not _middle(members, frames).has_wcs:
        members = choose_members(list(frames.values()))
        if not members:
            return None
    middle = _middle(members, frames)
    known = old.members == members and (middle.state == "gone" or middle.stat == old.stat)
    if known and old.footprint:
        return old
    product = footprint_product(middle.series_id, footprint_of(scan(middle.path)))
    new = ReferenceSet(members, middle.stat, product.meta["facts"], tuple(sorted(product.meta["cells"])))
    if write:
        kept = {name: getattr(new, name) for name in ReferenceSet.__slots__}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(kept, indent=1) + "\n")
    return new


def _middle(members: Sequence[str], frames: Mapping[str, FileFacts]) -> FileFacts:
    return middle_member([frames[name] for name in members])


def _read(path: Path) -> ReferenceSet:
    try:
        kept = json.loads(path.read_text())
        size, mtime, inode = kept["stat"]
        stat = (int(size), int(mtime), int(inode))
        return ReferenceSet(tuple(kept["members"]), stat, dict(kept["footprint"]), tuple(kept["cells"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ReferenceSet(())
