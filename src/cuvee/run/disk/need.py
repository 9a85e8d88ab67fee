"""What the work to come needs on disk, and what is free there."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cuvee.config import Config
from cuvee.store.paths import Paths

__all__ = ["BASE", "BLOCKS", "LC", "LEDGER", "RED", "Need", "Room", "room_for"]

BLOCKS, RED, LC, BASE, LEDGER = "flux blocks", "red", "lc", "base", "ledger"

Need = Mapping[str, float]
"""Bytes by place, one of those above: flux blocks lie in RED, but need not stay there."""


@dataclass(frozen=True, slots=True)
class Room:
    """What the work to come needs, beyond what it replaces, and what is free.

    Parameters
    ----------
    needs : mapping of str to int
        Bytes by folder.
    free : mapping of str to int
        Bytes that are free on the file system of each folder.
    disks : mapping of str to int
        Which file system each folder lies on; folders of one share what is free.
    frugal : int
        Bytes in all with ``[keep] flux_blocks = false``.
    """

    needs: Mapping[str, int]
    free: Mapping[str, int]
    disks: Mapping[str, int]
    frugal: int

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(self.needs.values())

    @property
    def sentence(self) -> str:
        """What is needed and what is free, in words."""
        told = [name for name, size in self.needs.items() if size >= 0.02 * self.total]
        parts = [f"{_bytes(self.needs[name])} in {name}" for name in told]
        what = (
            " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if self.total else "no more than it replaces"
        )
        if len(set(self.disks.values())) == 1:
            return f"Needs about {what}; {_bytes(next(iter(self.free.values())))} are free."
        return f"Needs about {what}; free are {', '.join(f'{_bytes(self.free[name])} for {name}' for name in told)}."

    def lacking(self, share: float) -> str:
        """Return what to do where a file system has less than a share of what is needed on it; empty where none has.

        Parameters
        ----------
        share : float
            Of the bytes that are needed.
        """
        for disk in set(self.disks.values()):
            names = [name for name, where in self.disks.items() if where == disk]
            need, free = sum(self.needs[name] for name in names), self.free[names[0]]
            if free >= share * need:
                continue
            named = " and ".join(name for name in names if self.needs[name] >= 0.02 * need)
            help_ = "free space, or move red or lc in [workspace] to a larger disk"
            if self.frugal < 0.8 * self.total:
                help_ += f", or set [keep] flux_blocks = false, which needs about {_bytes(self.frugal)} in all"
            return f"about {_bytes(need)} are needed in {named}, but only {_bytes(free)} are free; {help_}."
        return ""


def _bytes(n: float) -> str:
    """Return a number of bytes in words, to two digits below ten."""
    units = ["kB", "MB", "GB", "TB"]
    k = next((k for k in range(3) if n < 999.5 * 1000 ** (k + 1)), 3)
    n /= 1000 ** (k + 1)
    return f"{n:.1f} {units[k]}" if n < 9.95 else f"{n:.0f} {units[k]}"


def room_for(needs: Sequence[Need], config: Config, paths: Paths) -> Room:
    """Add up what detectors need, and look what is free.

    Parameters
    ----------
    needs : sequence of mapping
        From `cuvee.run.disk.forecast.Forecast`, one a detector.
    config : Config
        Says whether flux blocks are kept.
    paths : Paths
        Where things go.
    """
    total = dict.fromkeys((BLOCKS, RED, LC, BASE, LEDGER), 0.0)
    for need in needs:
        for place, size in need.items():
            total[place] += size
    most = max((need.get(BLOCKS, 0.0) for need in needs), default=0.0)  # without keeping, one detector's at a time
    kept = total.pop(BLOCKS)
    others = sum(total.values())
    total[RED] += kept if config.keep.flux_blocks else most
    folders = {RED: paths.red, LC: paths.lc, BASE: paths.base, LEDGER: ""}
    named: Counter[str] = Counter()  # two places may be one folder
    free, disks = {}, {}
    for place, folder in folders.items():
        name = folder or "the ledger"
        there = paths.root / folder
        while not there.exists():
            there = there.parent
        named[name] += max(0, round(total[place]))
        free[name], disks[name] = shutil.disk_usage(there).free, there.stat().st_dev
    return Room(named, free, disks, max(0, round(others + most)))
