"""Many transfers side by side: threads that fetch, and one that settles what has come, be it with the ledger or with a catalogue."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from cuvee.acquire.outcome import Reporter, byte_text
from cuvee.acquire.transfer import Fetched
from cuvee.acquire.wire import Interrupted, Wire
from cuvee.errors import StoreError

__all__ = ["Meter", "SideBySide"]

_LOOK = 0.2
"""Seconds between two looks at how many bytes have come."""
_LAST_WORDS = 2.0
"""Seconds that are given to threads to end when all is to stop; one that waits for the network is not waited for."""

T = TypeVar("T")


class SideBySide(Generic[T]):
    """Threads that fetch, and the one that made this, which settles.

    Parameters
    ----------
    wire : Wire
        Its ``stop`` is set where something goes wrong that concerns all.
    fetch : callable
        Fetches one thing; called in any thread.
    settle : callable
        Is given what has come, at most `ahead` things at a time, in the thread that works.
    ahead : int
        Things that wait to be settled before those who fetch wait, too.
    """

    def __init__(
        self,
        wire: Wire,
        fetch: Callable[[T], Fetched],
        settle: Callable[[Sequence[tuple[T, Fetched]]], object],
        ahead: int,
    ) -> None:
        self._wire, self._fetch, self._settle, self._ahead = wire, fetch, settle, ahead
        self._results: queue.Queue[tuple[T, Fetched] | BaseException | None] = queue.Queue(ahead)
        self._lock = threading.Lock()

    def work(self, todo: Sequence[T], threads: int, look: Callable[[], object]) -> None:
        """Fetch things; those that have come are settled in any case.

        Parameters
        ----------
        todo : sequence
            What to fetch.
        threads : int
            Things in work at the same time.
        look : callable
            Called now and then.

        Raises
        ------
        StoreError
            If the disk cannot be written.
        """
        waiting = iter(todo)
        n = min(threads, len(todo))
        for _ in range(n):
            threading.Thread(target=self._serve, args=(waiting,), daemon=True).start()
        error: BaseException | None = None
        try:
            while n:
                n, fault = self._take(n)
                error = error or fault
                look()
        except BaseException as stopped:
            error = stopped
            raise
        finally:
            if error is not None:
                self._wire.stop.set()
            give_up = time.monotonic() + _LAST_WORDS
            while n and time.monotonic() < give_up:
                n, _ = self._take(n)
        if error is not None:
            raise error

    def _serve(self, waiting: Iterator[T]) -> None:
        try:
            while not self._wire.stop.is_set():
                with self._lock:
                    try:
                        thing = next(waiting)
                    except StopIteration:
                        break
                self._results.put((thing, self._fetch(thing)))
        except Interrupted:
            pass
        except BaseException as error:
            self._wire.stop.set()  # a disk that is full is full for all
            self._results.put(error)
        finally:
            self._results.put(None)

    def _take(self, n: int) -> tuple[int, BaseException | None]:
        """Settle what has come since, and return how many threads are still at work, and what stopped one."""
        batch: list[tuple[T, Fetched]] = []
        error: BaseException | None = None
        try:
            item = self._results.get(timeout=_LOOK)
            while True:
                if item is None:
                    n -= 1
                elif isinstance(item, BaseException):
                    error = error or _as_store_error(item)
                else:
                    batch.append(item)
                if len(batch) == self._ahead:
                    break
                item = self._results.get_nowait()
        except queue.Empty:
            pass
        if batch:
            self._settle(batch)
        return n, error


def _as_store_error(error: BaseException) -> BaseException:
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        return StoreError(
            f"Cannot write{where}: {error.strerror or error}; free some space or mend the permissions, then run again:"
            " what has come is kept."
        )
    return error


class Meter:
    """Tells how much has come: bytes where there is an idea of how many there will be, else things.

    Parameters
    ----------
    reporter : Reporter
        Takes the news.
    what : str
        For example ``3 files``.
    n, n_byte : int
        Things, and their bytes in all; 0 where nobody knows.
    guessed : bool
        Whether the bytes are a guess.
    """

    def __init__(self, reporter: Reporter, what: str, n: int, n_byte: int, guessed: bool = False) -> None:
        self._reporter, self._shown = reporter, 0
        unit, self._step = ("MB", 10**6) if n_byte > 50 * 10**6 else ("kB", 10**3)
        self._by_bytes = n_byte > 0
        about = "about " if guessed else ""
        self._label = f"Fetching {what} ({about}{byte_text(n_byte)}), {unit}" if n_byte else f"Fetching {what}"
        self._total = -(-n_byte // self._step) if n_byte else n
        reporter.begin(self._label, self._total)
        self._interrupted = False

    def interrupted(self) -> None:
        """Say that somebody else had the reporter meanwhile."""
        self._interrupted = True

    def show(self, n_byte: int, n: int) -> None:
        """Tell the reporter how many bytes, and how many things, have come in all."""
        # What came twice, or was more than guessed, is no more than all.
        done = min(n_byte // self._step if self._by_bytes else n, self._total)
        if done <= self._shown:
            return
        if self._interrupted:
            self._reporter.begin(self._label, self._total)
            self._reporter.advance(self._shown)
            self._interrupted = False
        self._reporter.advance(done - self._shown)
        self._shown = done
