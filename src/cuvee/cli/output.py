"""Text for people: sentences, plurals and plain tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["count", "table", "tell"]


def tell(text: str) -> None:
    """Print text for the user; a reader that has gone away, as `head` does, is no error.

    Parameters
    ----------
    text : str
        One or more lines.
    """
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Whatever is still buffered, and Python's own flush at the end, must find an open door.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def count(n: int, noun: str) -> str:
    """Return a number with its noun, plural where it must be."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out columns; the first is flush left, the others flush right.

    Parameters
    ----------
    head : sequence of str
        Names of the columns.
    rows : sequence of sequence of str
        Cells, as many a row as there are columns.
    """
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    cells = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in cells)
