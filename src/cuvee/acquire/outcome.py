"""What came of an acquisition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cuvee.acquire.manifest import Manifest, Wanted

__all__ = ["Outcome", "Reporter", "Silent", "byte_text"]


class Reporter(Protocol):
    """Takes the news of an acquisition."""

    def begin(self, label: str, total: int) -> None:
        """Start a stretch of ``total`` steps."""

    def advance(self, steps: int = 1) -> None:
        """Tell that steps are finished."""

    def end(self) -> None:
        """Finish the stretch."""

    def say(self, message: str) -> None:
        """Tell one sentence."""


class Silent:
    """A reporter that keeps the news to itself."""

    def begin(self, label: str, total: int) -> None:
        """Start a stretch."""

    def advance(self, steps: int = 1) -> None:
        """Tell that steps are finished."""

    def end(self) -> None:
        """Finish the stretch."""

    def say(self, message: str) -> None:
        """Tell one sentence."""


@dataclass(slots=True)
class Outcome:
    """What came of an acquisition.

    Parameters
    ----------
    manifest : Manifest
        What was wanted.
    here : int
        Files that were there already.
    fetched : list of Wanted
        Files that came now.
    size, seconds : int, float
        Their bytes, and how long it took.
    trouble : dict of str to list
        Files that are not there, with the reason, by state: ``missing``, ``broken``, ``changed``, ``failed``, ``quarantined``, ``wanted``
        (nobody asked for them, because the archive cannot be reached).
    remarks : list of (Wanted, str)
        Files that are there, and about which there is something to say.
    offline : str
        Why the archive could not be asked; empty where it was.
    record : Path or None
        Where the record lies.
    """

    manifest: Manifest
    here: int = 0
    fetched: list[Wanted] = field(default_factory=list)
    size: int = 0
    seconds: float = 0.0
    trouble: dict[str, list[tuple[Wanted, str]]] = field(default_factory=dict)
    remarks: list[tuple[Wanted, str]] = field(default_factory=list)
    offline: str = ""
    record: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether all files are there."""
        return not self.trouble and not self.manifest.notes

    def troubled(self, *states: str) -> Sequence[tuple[Wanted, str]]:
        """Return the files that are not there, of some states or of all."""
        return [pair for state in states or self.trouble for pair in self.trouble.get(state, [])]


def byte_text(size: float) -> str:
    """Say a number of bytes, for example ``1.2 GB``."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= length:
            return f"{size / length:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"
