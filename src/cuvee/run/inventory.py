"""Which raw files there are, what their headers say, and which of them cannot be used.

A file that is unchanged on disk (size, mtime, inode) is never opened again: the ledger knows it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cuvee.errors import BadData, ConfigError
from cuvee.model.keys import DataId
from cuvee.model.records import FileInfo
from cuvee.run.clocks import contradictions
from cuvee.run.executors import Crew, SerialExecutor
from cuvee.run.facts import BadFile, FileFacts, facts_of, stat_files
from cuvee.run.garbage import collector_running

__all__ = ["Inventory", "scan_files", "take_inventory"]

_CHUNK = 64
"""Files that one scanning task opens."""

_LOOK_AGAIN = ("clock", "duplicate", "unreadable", "short-exposure", "bad-proposal", "no-timeline", "too-long")
"""Reasons that may pass without the file changing: other files come or are repaired, permissions or a disk are mended, or the
configuration asks for something else."""


@dataclass(slots=True)
class Inventory:
    """All raw files of a workspace.

    Parameters
    ----------
    good : dict of str to FileFacts
        By path.
    bad : dict of str to BadFile
        By path.
    gone : dict of str to FileFacts
        Files that were measured and then deleted from disk, by path: what was made from them stays.
    spoilt : dict of str to FileFacts
        What was known, by path, of files that are bad now.
    fresh : list of FileFacts
        Files that the ledger does not know in this state.
    dropped : list of str
        Paths in the ledger that are no part of the survey any more.
    changes : int
        Counted up with each change of what is known of a file after the inventory was taken.
    """

    good: dict[str, FileFacts] = field(default_factory=dict)
    bad: dict[str, BadFile] = field(default_factory=dict)
    gone: dict[str, FileFacts] = field(default_factory=dict)
    spoilt: dict[str, FileFacts] = field(default_factory=dict)
    fresh: list[FileFacts] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    changes: int = 0

    def groups(self) -> dict[DataId, list[str]]:
        """Return the paths of good and gone files by segment, detector and kind; groups with bad files only are empty."""
        groups: dict[DataId, list[str]] = {}
        for known in (self.good, self.gone):
            for path, facts in known.items():
                groups.setdefault(facts.data_id.group, []).append(path)
        for facts in self.spoilt.values():
            groups.setdefault(facts.data_id.group, [])
        return groups

    def facts(self, path: str) -> FileFacts | None:
        """Return what is known of a good or gone file."""
        return self.good.get(path) or self.gone.get(path)


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

    Raises
    ------
    ConfigError
        If the instrument cannot read a file for want of a package.
    """
    results: list[FileFacts | BadFile] = []
    for path in paths:
        state = stat_files([path]).get(path, (0, 0, 0))
        if os.path.exists(path) and not os.path.isfile(path):  # to open a pipe is to wait for ever
            results.append(
                BadFile(path, state, "unreadable", f"{path} cannot be read: it is no file but a pipe or a device.")
            )
            continue
        try:
            results.append(facts_of(scan(path), state))
        except BadData as error:
            results.append(BadFile(path, state, error.reason, error.message))
        except ConfigError:
            raise
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror or error}; mend that, or leave it out."
            results.append(BadFile(path, state, "unreadable", message))
        except Exception as error:  # whatever a file makes a reader do, the others are read
            message = f"{path} cannot be read: its reader failed with {type(error).__name__}: {error}."
            results.append(BadFile(path, state, "unreadable", message))
    return results


def take_inventory(
    paths: Sequence[str],
    scan: Callable[[str], FileInfo],
    known: Mapping[str, FileFacts],
    quarantined: Mapping[str, BadFile],
    crew: Crew,
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
    crew : Crew
        Opens many files at a time; a few are opened here.
    progress : callable
        ``progress(done, total)``.

    Returns
    -------
    Inventory

    Raises
    ------
    ConfigError
        If the instrument cannot read a file for want of a package.
    """
    states = stat_files(paths)
    inventory = Inventory()
    todo = []
    for path, state in states.items():
        old, facts = quarantined.get(path), known.get(path)
        if old is not None and old.stat == state and old.reason not in _LOOK_AGAIN:
            inventory.bad[path] = old
        elif facts is not None and facts.stat == state and facts.state != "bad":
            inventory.good[path] = facts
            if facts.state:
                inventory.good[path] = facts._replace(state="")
                inventory.fresh.append(inventory.good[path])
        else:
            todo.append(path)
    missing = {path: facts for path, facts in known.items() if path not in states}
    moved = {facts.identity: facts for facts in missing.values() if facts.state != "bad"}
    done = 0
    if len(todo) <= 4 * _CHUNK:
        crew = Crew(SerialExecutor, 1)
    chunks = [todo[k : k + _CHUNK] for k in range(0, len(todo), _CHUNK)]
    with collector_running():
        for batch in crew.map_batches(_Scan(scan), chunks):
            for chunk, results in batch:
                if isinstance(results, BaseException):
                    raise results
                for path, result in zip(chunk, results, strict=True):
                    if isinstance(result, BadFile):
                        inventory.bad[path] = result
                        continue
                    before = known.get(path) or moved.get(result.identity)
                    result = result._replace(had=(before.content or before.had) if before is not None else "")
                    inventory.good[path] = result
                    inventory.fresh.append(result)
                done += len(chunk)
                progress(done, len(todo))
    _drop_contradictions(inventory)
    _drop_duplicates(inventory)
    _say_what_is_missing(inventory, known, missing)
    return inventory


@dataclass(frozen=True, slots=True)
class _Scan:
    scan: Callable[[str], FileInfo]

    def __call__(self, paths: Sequence[str]) -> list[FileFacts | BadFile]:
        return scan_files(self.scan, paths)


def _drop_contradictions(inventory: Inventory) -> None:
    """Set new frames aside whose time and cadence number do not fit together, before one takes the place of another."""
    fresh = {facts.path for facts in inventory.fresh if facts.is_frame}
    if not fresh:
        return
    series: dict[DataId, list[FileFacts]] = {}
    for facts in inventory.good.values():
        if facts.is_frame:
            series.setdefault(facts.series_id, []).append(facts)
    for frames in series.values():
        for path, message in contradictions(frames, fresh).items():
            inventory.bad[path] = BadFile(path, inventory.good.pop(path).stat, "clock", message)
    inventory.fresh = [facts for facts in inventory.fresh if facts.path not in inventory.bad]


def _drop_duplicates(inventory: Inventory) -> None:
    """Keep one file a frame: of the newest data release, then the one in use, then the first by path. Judged anew each run."""
    first: dict[tuple[DataId, int], FileFacts] = {}
    more: dict[tuple[DataId, int], list[FileFacts]] = {}
    for facts in inventory.good.values():
        if first.setdefault(facts.identity, facts) is not facts:
            more.setdefault(facts.identity, [first[facts.identity]]).append(facts)
    for same in more.values():
        winner, *losers = sorted(same, key=lambda f: (-f.info.data_release, not (f.content or f.had), f.path))
        what = f"cadence {winner.first}" if winner.is_frame else f"series {winner.data_id.series}"
        where = f"{winner.data_id.segment} {winner.data_id.detector}"
        for facts in losers:
            path = facts.path
            message = f"{path} is a duplicate: {winner.path} has {what} of {where} too."
            inventory.bad[path] = BadFile(path, facts.stat, "duplicate", message)
            del inventory.good[path]


def _say_what_is_missing(
    inventory: Inventory, known: Mapping[str, FileFacts], missing: Mapping[str, FileFacts]
) -> None:
    """Tell files that were deleted from those that are bad now, and from those that the survey does not name any more."""
    for path, bad in inventory.bad.items():
        if path in known and bad.reason != "duplicate":
            inventory.spoilt[path] = known[path]._replace(state="bad")
            if known[path].state != "bad":
                inventory.fresh.append(inventory.spoilt[path])
    present = {facts.identity for facts in inventory.good.values()} if missing else set()
    for path, facts in missing.items():
        if facts.state == "bad" or facts.identity in present or os.path.exists(path):
            inventory.dropped.append(path)
            continue
        inventory.gone[path] = facts._replace(state="gone")
        if facts.state != "gone":
            inventory.fresh.append(inventory.gone[path])
