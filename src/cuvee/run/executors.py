"""The one seam to an engine: `concurrent.futures.Executor`, serial or in processes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import active_children, connection, get_context, parent_process
from types import TracebackType
from typing import TypeVar

from cuvee.errors import StoreError, TransientError

__all__ = ["Crew", "SerialExecutor", "cores", "open_executor"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_IN_FLIGHT = 3
"""Calls submitted a worker: one that runs, the next ones ready."""

_PATIENCE = 120.0
"""Seconds in which workers must have started."""

_DEATHS = 3
"""An item whose worker dies this often is given up."""

_WATCH = 2.0
"""Seconds without a result after which it is looked whether a worker has died unnoticed."""

_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What compiled kernels and BLAS read when they are first imported."""


class SerialExecutor(Executor):
    """Runs each call at once, in this process; for one worker, for tests and for debugging."""

    def submit(self, fn: Callable[..., Result], /, *args: object, **kwargs: object) -> Future[Result]:
        """Call ``fn`` now and return its finished future."""
        future: Future[Result] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what an interrupt means
    threading.Thread(target=_die_with_the_driver, daemon=True).start()


def _die_with_the_driver() -> None:
    # A worker holds both ends of the queue that it waits at, so it would never learn that nobody feeds it any more.
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def open_executor(name: str, workers: int) -> Executor:
    """Return an executor.

    Parameters
    ----------
    name : str
        ``serial`` or ``process``.
    workers : int
        Number of worker processes; each computes with one thread, and none outlives this process.
    """
    if name == "serial" or workers == 1:
        return SerialExecutor()
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that are started now compute with one thread each.

    They inherit it: a worker imports the user's script before it calls anything of ours, and with it, maybe, numpy, whose
    idle threads would then take the processors from the other workers.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Hold an interrupt back: a process that loses its parent while it is being started complains on the screen."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


def _apply(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result | Exception]:
    results: list[Result | Exception] = []
    for item in items:
        try:
            results.append(function(item))
        except Exception as error:
            results.append(error)
    return results


class Crew:
    """Workers that stay for a whole run; they are replaced when they die.

    Parameters
    ----------
    make : callable
        Makes a new executor; called when there is work, and again whenever workers have died.
    workers : int
        How many calls run at a time.
    """

    def __init__(self, make: Callable[[], Executor], workers: int) -> None:
        self._make = make
        self.workers = workers
        self.lost = False
        """Whether workers have died in the middle of their work."""
        self._strangers = set(active_children())
        self._executor: Executor | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers, whether they are in the middle of their work or idle.

        To ask them to leave is not enough: a worker that is killed meanwhile may hold the lock of the queue where the
        others would hear of it, and who waits for them waits for ever.
        """
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
        self._stop_workers()

    def _stop_workers(self) -> None:
        for child in active_children():
            if child not in self._strangers:
                child.terminate()

    def map_batches(
        self, function: Callable[[Item], Result], items: Iterable[Item], chunk: int = 1
    ) -> Generator[list[tuple[Item, Result | BaseException]], None, None]:
        """Apply ``function`` to items as workers get free; yield what has finished, items with their results or exceptions.

        A worker that dies takes only the items in flight with it. Each of those is tried again with nothing else
        running, so that one which kills its worker is told from its neighbours; after `_DEATHS` deaths it comes with a
        `TransientError`.

        Parameters
        ----------
        function : callable
            Must be importable where the executor runs in other processes.
        items : iterable
            The work; taken as it is needed, so it may be long.
        chunk : int
            Items that travel together; more than one where they are tiny.

        Raises
        ------
        StoreError
            If no worker process can be started.
        """
        todo = iter(items)
        suspects: list[tuple[Item, int]] = []
        running: dict[Future[list[Result | Exception]], tuple[list[Item], int]] = {}
        while True:
            while not suspects and len(running) < self._room and (some := list(islice(todo, chunk))):
                try:
                    running[self._submit(function, some)] = (some, 0)
                except BrokenProcessPool:
                    suspects += [(item, 0) for item in some]
            if suspects and not running:
                item, deaths = suspects.pop()
                try:
                    running[self._submit(function, [item])] = ([item], deaths)
                except BrokenProcessPool:  # a worker died while it had nothing to do
                    self.close()
                    running[self._submit(function, [item])] = ([item], deaths)
            if not running:
                return
            batch: list[tuple[Item, Result | BaseException]] = []
            broken = False
            done = wait(running, _WATCH, FIRST_COMPLETED).done
            if not done:
                self._notice_death()
            for future in done:
                some, deaths = running.pop(future)
                error = future.exception()
                if error is None:
                    batch += zip(some, future.result(), strict=True)
                elif isinstance(error, BrokenProcessPool):
                    broken = True
                    if deaths + 1 < _DEATHS:
                        suspects += [(item, deaths + 1) for item in some]
                    else:
                        batch.append((some[0], TransientError(_GIVEN_UP)))
                elif len(some) > 1:  # what came back could not be told apart
                    suspects += [(item, deaths) for item in some]
                else:
                    batch.append((some[0], error))
            if broken:
                self.lost = True
                suspects += [(item, deaths + 1) for some, deaths in running.values() for item in some]
                running.clear()
                self.close()
            if batch:
                yield batch

    def _notice_death(self) -> None:
        """Break an executor that waits for a dead worker.

        A worker that is killed while it sends a result leaves half a message in the pipe, for whose rest the executor
        waits for ever. With every writing end closed it meets the end of the pipe instead, and breaks as it should.
        """
        executor = self._executor
        if not isinstance(executor, ProcessPoolExecutor):
            return
        workers = list((executor._processes or {}).values())  # noqa: SLF001 - there is no public way to them
        if any(not worker.is_alive() for worker in workers):
            for worker in workers:
                worker.kill()
            executor._result_queue._writer.close()  # type: ignore[attr-defined]  # noqa: SLF001

    @property
    def _room(self) -> int:
        return 1 if self.workers == 1 else _IN_FLIGHT * self.workers

    def _submit(self, function: Callable[[Item], Result], items: list[Item]) -> Future[list[Result | Exception]]:
        if self._executor is None:
            self._executor = self._start()
        return self._executor.submit(_apply, function, items)

    def _start(self) -> Executor:
        for _ in range(_DEATHS):
            executor = self._make()
            try:
                # Every worker is there before there is work: an executor that loses one worker while it starts another
                # fails in one way or another, or never notices and waits for ever.
                with _interrupts_later(), _one_thread_each():
                    for future in [executor.submit(os.getpid) for _ in range(self.workers)]:
                        future.result(_PATIENCE)
            except (BrokenProcessPool, OSError, TimeoutError):
                executor.shutdown(wait=False, cancel_futures=True)
                self._stop_workers()
                continue
            return executor
        raise StoreError(
            "No worker process can be started here: run with --executor serial; in a script of your own, call cuvee "
            "below 'if __name__ == \"__main__\":'."
        )


_GIVEN_UP = f"its worker process died {_DEATHS} times, as for want of memory; try again with fewer --workers."
