"""Progress: a bar on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["TerminalReporter", "duration", "pace"]

_LINE_EVERY = 10.0
"""Seconds between plain lines where there is no terminal."""


_UNITS = (("s", 1.0), ("min", 60.0), ("h", 3600.0))


def pace(steps: float, seconds: float) -> str:
    """Say how fast it goes, in the unit of time in which the number is easy to read.

    Parameters
    ----------
    steps : float
        What was done.
    seconds : float
        In which time.

    Returns
    -------
    str
        For example ``12/s``; empty before it can be known.
    """
    if steps <= 0 or seconds < 0.5:
        return ""
    rate = steps / seconds
    unit, length = next((one for one in _UNITS if rate * one[1] >= 2.0), _UNITS[-1])
    return f"{rate * length:.0f}/{unit}"


def duration(seconds: float) -> str:
    """Say how long something takes, for example ``8.4 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 120.0:
        return f"{seconds:.1f} s" if seconds < 10.0 else f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 7200.0 else f"{seconds / 3600.0:.1f} h"


class _Pace(ProgressColumn):
    """The pace of a bar."""

    def render(self, task: Task) -> Text:
        return Text(f"{pace(task.completed, task.elapsed or 0.0):>7}", style="progress.data.speed")


class TerminalReporter:
    """Shows the news of a run on standard error.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False)
        self._bars = self.console.is_terminal and not quiet
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._label = ""
        self._done = self._total = 0
        self._start = self._last = 0.0

    def __enter__(self) -> TerminalReporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def begin(self, label: str, total: int) -> None:
        """Start a stretch of ``total`` steps."""
        self.end()
        self._label, self._done, self._total = label, 0, total
        self._start = self._last = time.monotonic()
        if self._bars:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                _Pace(),
                TimeRemainingColumn(),
                TextColumn("left"),
                console=self.console,
                expand=True,
            )
            self._progress.start()
            self._task = self._progress.add_task(label, total=total or None)

    def advance(self, steps: int = 1) -> None:
        """Tell that steps are finished."""
        self._done += steps
        if self._progress is not None:
            self._progress.advance(self._task, steps)
        elif self._done and not self.quiet and time.monotonic() - self._last > _LINE_EVERY:
            self._last = time.monotonic()
            seconds = self._last - self._start
            left = seconds * (self._total - self._done) / self._done
            self._line(
                f"{self._label}: {self._done} of {self._total}, {pace(self._done, seconds)}, about {duration(left)} left"
            )

    def end(self) -> None:
        """Finish the stretch."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        elif self._label and not self.quiet and self._done:
            self._line(f"{self._label}: {self._done} done in {duration(time.monotonic() - self._start)}")
        self._label = ""

    def say(self, message: str) -> None:
        """Tell one sentence."""
        if not self.quiet:
            self._line(message)

    def _line(self, text: str) -> None:
        if self._progress is not None:
            self._progress.console.print(text, markup=False, soft_wrap=True)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
