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
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["TerminalReporter"]

_LINE_EVERY = 10.0
"""Seconds between plain lines where there is no terminal."""


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
                TextColumn("{task.description:<34}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._progress.start()
            self._task = self._progress.add_task(label, total=total or None)

    def advance(self, steps: int = 1) -> None:
        """Tell that steps are finished."""
        self._done += steps
        if self._progress is not None:
            self._progress.advance(self._task, steps)
        elif not self.quiet and time.monotonic() - self._last > _LINE_EVERY:
            self._last = time.monotonic()
            rate = self._done / max(self._last - self._start, 1e-9)
            left = (self._total - self._done) / rate if rate else 0.0
            self._line(f"{self._label}: {self._done} of {self._total}, about {left:.0f} s left")

    def end(self) -> None:
        """Finish the stretch."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        elif self._label and not self.quiet and self._done:
            self._line(f"{self._label}: {self._done} done in {time.monotonic() - self._start:.1f} s")
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
