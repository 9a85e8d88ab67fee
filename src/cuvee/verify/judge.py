"""From files, one by one, to a verdict on all: what the list, the ledger and the other files of the sector say of each."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cuvee.acquire.names import identify
from cuvee.run.facts import Stat
from cuvee.verify.examine import Examined

__all__ = ["Report", "judge"]

PROVEN, SHARE = 3, 0.9
"""Sums that do not hold mean damage where at least so many files of the sector and kind have sums, and this share of them holds: the mission
writes sound ones then. Elsewhere whoever shrank or edited the files may just have left old cards in place."""


@dataclass(slots=True)
class Report:
    """What was found.

    Parameters
    ----------
    n_file, n_byte : int
        Files that were looked at, and their bytes.
    full : bool
        Whether their bytes were read.
    broken : list of Examined
        By path, each with its reason.
    missing : list of str
        Paths or names of files that should be there.
    foreign : list of str
        Paths of files that are of no mission that cuvee knows, or not in the list.
    doubted : list of str
        Paths of files whose sums do not hold where that proves nothing.
    replaced : list of str
        Paths of sound files that are not those that a run measured, and are newer: the next run measures them.
    n_sum : int
        Files whose sums all hold.
    repaired, unrepaired : list of str
        After a repair: paths of files that are whole now; what is still wrong, in words.
    seconds : float
        How long it took.
    """

    n_file: int = 0
    n_byte: int = 0
    full: bool = False
    broken: list[Examined] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    doubted: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    n_sum: int = 0
    repaired: list[str] = field(default_factory=list)
    unrepaired: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether nothing is missing or broken."""
        return not self.broken and not self.missing


def judge(
    found: Sequence[Examined],
    expected: Mapping[str, str],
    listed: Collection[str],
    foreign: Sequence[str] = (),
    measured: Mapping[str, tuple[Stat, str]] | None = None,
) -> Report:
    """Judge all files together.

    Parameters
    ----------
    found : sequence of Examined
        The files that there are.
    expected : mapping of str to str
        Hashes by path of files that should be there, empty where the hash is not known.
    listed : collection of str
        Names of files that should be there by a list from outside; empty where there is none.
    foreign : sequence of str
        Paths of files that nobody knows.
    measured : mapping of str to (Stat, str)
        State on disk and content hash, by path, of files that a run measured.

    Returns
    -------
    Report
    """
    sound: dict[tuple[str, int, str], list[Examined]] = defaultdict(list)
    for one in found:
        if one.n_sum and not one.reason:
            sound[_family(one.path)].append(one)
    proven = {
        family
        for family, files in sound.items()
        if len(files) >= PROVEN and sum(not one.n_off for one in files) >= SHARE * len(files)
    }
    report = Report(len(found), sum(one.size for one in found), any(one.hash for one in found))
    for one in found:
        verdict = one
        before = expected.get(one.path, "")
        was, content = (measured or {}).get(one.path, (None, "")) if one.content else (None, "")
        if not one.reason and one.hash and before and one.hash != before:
            what = "has other bytes than when it came, and the same structure; fetch it again, or say cuvee run if it was meant to change"
            verdict = replace(one, reason="changed", message=f"{one.path} {what}.")
        elif not one.reason and _stat(one) == was and one.content != content:
            what = "is not what a run measured, though its size and time are the same"
            hint = "fetch it again, or touch it if it was meant to change, so that cuvee run measures it anew"
            verdict = replace(one, reason="changed", message=f"{one.path} {what}; {hint}.")
        elif not one.reason and one.n_off and _family(one.path) in proven:
            what = "is damaged: its sums do not hold, as those of the other files of its kind do; fetch it again"
            verdict = replace(one, reason="checksum", message=f"{one.path} {what}.")
        elif not one.reason and one.n_off:
            report.doubted.append(one.path)
        if verdict.reason:
            report.broken.append(verdict)
        else:
            if was is not None and one.content != content:
                report.replaced.append(one.path)
            report.n_sum += bool(one.n_sum and not one.n_off)
    there = {one.path for one in found}
    names = {os.path.basename(path) for path in there}
    report.missing = sorted(
        {path for path in expected if path not in there} | {name for name in listed if name not in names}
    )
    kinds = {_family(name) for name in listed}
    report.foreign = sorted(
        [
            *foreign,
            *(path for path in there if listed and _family(path) in kinds and os.path.basename(path) not in listed),
        ]
    )
    return report


def _stat(one: Examined) -> Stat:
    return one.size, one.mtime_ns, one.inode


def _family(path: str) -> tuple[str, int, str]:
    named = identify(os.path.basename(path))
    return (named.mission, named.first, named.kind) if named is not None else ("", 0, os.path.dirname(path))
