"""What is asked of a run, and what it tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from cuvee.model.keys import DataId
from cuvee.run.disk.need import Room
from cuvee.run.facts import BadFile
from cuvee.run.receipts import Receipt

__all__ = ["Reporter", "RunOptions", "RunSummary"]


class Reporter(Protocol):
    """Takes the news of a run; a terminal shows them, a test collects them."""

    def begin(self, label: str, total: int) -> None:
        """Start a stretch of ``total`` steps."""

    def advance(self, steps: int = 1) -> None:
        """Tell that steps are finished."""

    def end(self) -> None:
        """Finish the stretch."""

    def say(self, message: str) -> None:
        """Tell one sentence."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the user asked of one run.

    Parameters
    ----------
    segment, detector : str
        Do only this segment, only detectors whose name starts so; empty for all.
    stars : tuple of int
        Make only the light curves of these stars' patches (`cuvee.run.chosen`); empty for all.
    until : str
        Stop after this stage; empty for all.
    renew_reference : bool
        Choose the reference frames anew.
    workers : int
        Worker processes; 0 takes the configuration's.
    executor : str
        ``serial`` or ``process``; empty takes the configuration's.
    dry_run : bool
        Only say what would be done first.
    command : str
        What was typed, for the record.
    """

    segment: str = ""
    detector: str = ""
    stars: tuple[int, ...] = ()
    until: str = ""
    renew_reference: bool = False
    workers: int = 0
    executor: str = ""
    dry_run: bool = False
    command: str = ""

    def asks_for(self, group: DataId) -> bool:
        """Tell whether a detector is of the segment and detector asked for."""
        return self.segment in ("", group.segment) and group.detector.startswith(self.detector)

    def no_files(self, groups: Iterable[DataId]) -> str:
        """Say that there are no files of what is asked for, and of which detectors there are some."""
        where = " ".join(part for part in (self.segment, self.detector) if part)
        there = ", ".join(sorted({f"{group.segment} {group.detector}" for group in groups})) or "none"
        return f"There are no files of {where} among those that [data] names; there are {there}."


@dataclass(slots=True)
class RunSummary:
    """What a run did.

    Parameters
    ----------
    counts : dict of (stage, outcome) to int
        Units; ``dropped`` are those that nothing calls for any more.
    bad : dict of str to BadFile
        Raw files that cannot be used, those of earlier runs among them.
    troubled : list of Receipt
        Units that are neither done nor without work.
    n_files, n_gone : int
        Raw files that are good; that were measured and then deleted.
    worked : int
        Units that this run did or dropped.
    room : Room, optional
        Disk that was needed before the work, or would be; None where there was nothing to do.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    bad: dict[str, BadFile] = field(default_factory=dict)
    troubled: list[Receipt] = field(default_factory=list)
    n_files: int = 0
    n_gone: int = 0
    worked: int = 0
    room: Room | None = None
