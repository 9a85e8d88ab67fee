"""The reference set of a series: chosen once, written down, then an input like any other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cuvee.model.records import FileInfo
from cuvee.run.inventory import FileFacts
from cuvee.store.atomic import atomic_path

__all__ = ["REFERENCE_FRAMES", "choose_members", "middle_member", "reference_set"]

REFERENCE_FRAMES = 32
"""At most this many frames make a reference image; more would only add a few per cent of signal to noise."""


def choose_members(frames: Sequence[FileFacts]) -> list[str]:
    """Choose the frames that make the reference of a series.

    Frames of quality 0 with a WCS and a time, nearest the middle of the segment; where there is none, flagged
    frames with a WCS.

    Parameters
    ----------
    frames : sequence of FileFacts
        All good frames of the series.

    Returns
    -------
    list of str
        Their names in cadence order; empty where no frame has a WCS.
    """
    placed = [f for f in frames if f.has_wcs and np.isfinite(_mid(f.info))]
    clean = [f for f in placed if _quality(f.info) == 0] or placed
    if not clean:
        return []
    middle = float(np.median([f.first for f in frames]))
    clean.sort(key=lambda f: (abs(f.first - middle), f.first))
    return [f.info.name for f in sorted(clean[:REFERENCE_FRAMES], key=lambda f: f.first)]


def middle_member(members: Sequence[FileFacts]) -> FileFacts:
    """Return the member in the middle of the set; its WCS places the stars."""
    return members[len(members) // 2]


def reference_set(path: Path, frames: Mapping[str, FileFacts], renew: bool) -> list[FileFacts]:
    """Return the reference set of a series: the recorded one while all its members are good, else a new one.

    Parameters
    ----------
    path : Path
        The record.
    frames : mapping of str to FileFacts
        All good frames of the series by name.
    renew : bool
        Choose anew in any case.

    Returns
    -------
    list of FileFacts
        In cadence order; empty where no frame has a WCS.

    Raises
    ------
    StoreError
        If the record cannot be written.
    """
    names: list[str] = []
    if not renew:
        try:
            names = list(json.loads(path.read_text())["members"])
        except (OSError, ValueError, KeyError, TypeError):
            names = []
    if not names or any(name not in frames for name in names):
        chosen = choose_members(list(frames.values()))
        if not chosen:
            return []
        if chosen != names:
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps({"members": chosen}, indent=1) + "\n")
        names = chosen
    return [frames[name] for name in names]


def _mid(info: FileInfo) -> float:
    return float(info.moments.mid[0])


def _quality(info: FileInfo) -> int:
    return int(info.moments.quality[0])
