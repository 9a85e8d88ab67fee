"""Python's garbage collector, and when it had better not look."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collector_paused"]


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the collector of reference cycles from looking through records that have none.

    While 10^6 of them are made it would look through all of them again and again, which takes as long as making them.
    """
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()
