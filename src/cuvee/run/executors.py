"""The one seam to an engine: `concurrent.futures.Executor`, serial or in processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from cuvee.errors import TransientError

__all__ = ["SerialExecutor", "cores", "map_unordered", "open_executor"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_IN_FLIGHT = 3
"""Units submitted a worker: one that runs, the next ones ready."""

_DEATHS = 3
"""A unit whose worker dies this often is given up."""


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


def open_executor(name: str, workers: int) -> Executor:
    """Return an executor.

    Parameters
    ----------
    name : str
        ``serial`` or ``process``.
    workers : int
        Number of worker processes; each computes with one thread.
    """
    if name == "serial" or workers == 1:
        return SerialExecutor()
    # Compiled kernels and BLAS read these when they are first imported, which is after the worker has started.
    for variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)


def map_unordered(
    make: Callable[[], Executor], workers: int, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result | BaseException]]:
    """Apply ``function`` to items as workers get free; yield each item with its result, or its exception.

    A worker that dies takes only the units in flight with it: they are tried again in a fresh pool, and a unit
    whose worker died `_DEATHS` times is yielded with a `TransientError`.

    Parameters
    ----------
    make : callable
        Makes a new executor.
    workers : int
        How many units run at a time.
    function : callable
        Must be importable where the executor runs in other processes.
    items : iterable
        The work; taken as it is needed, so it may be long.
    """
    todo = iter(items)
    again: list[tuple[Item, int]] = []
    executor = make()
    running: dict[Future[Result], tuple[Item, int]] = {}
    exhausted = False
    try:
        while True:
            while len(running) < _IN_FLIGHT * workers and not (exhausted and not again):
                if again:
                    item, deaths = again.pop()
                else:
                    try:
                        item, deaths = next(todo), 0
                    except StopIteration:
                        exhausted = True
                        break
                try:
                    running[executor.submit(function, item)] = (item, deaths)
                except BrokenProcessPool:
                    again.append((item, deaths))
                    break
            if not running and exhausted and not again:
                return
            broken = False
            done = wait(running, return_when=FIRST_COMPLETED).done if running else set()
            for future in done:
                item, deaths = running.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    broken = True
                    if deaths + 1 < _DEATHS:
                        again.append((item, deaths + 1))
                    else:
                        yield item, TransientError("Its worker process died three times; is the memory too small?")
                elif error is not None:
                    yield item, error
                else:
                    yield item, future.result()
            if broken or not done:
                again += list(running.values())
                running.clear()
                executor.shutdown(wait=False, cancel_futures=True)
                executor = make()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
