"""Python's garbage collector, and when it had better not look."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collector_paused", "collector_running"]


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the collector of reference cycles from looking through records that have none.

    While 10^6 of them are made it would look through all of them again and again, which takes as long as making them.
    """
    with _collector(False):
        yield


@contextmanager
def collector_running() -> Iterator[None]:
    """Let it look again meanwhile: what reads files and draws on other packages may well leave cycles."""
    with _collector(True):
        yield


@contextmanager
def _collector(wanted: bool) -> Iterator[None]:
    before = gc.isenabled()
    (gc.enable if wanted else gc.disable)()
    try:
        yield
    finally:
        (gc.enable if before else gc.disable)()
