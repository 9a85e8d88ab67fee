"""Work goes on when a worker dies, and every item comes back exactly once."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from cuvee.errors import TransientError
from cuvee.run.executors import Crew, SerialExecutor, open_executor

Item = TypeVar("Item")
Result = TypeVar("Result")
MAKERS: list[Callable[[], Executor]] = [SerialExecutor, functools.partial(open_executor, "process", 2)]


def results_of(
    make: Callable[[], Executor], function: Callable[[Item], Result], items: Iterable[Item], chunk: int = 1
) -> list[tuple[Item, Result | BaseException]]:
    with Crew(make, 2) as crew:
        return list(itertools.chain.from_iterable(crew.map_batches(function, items, chunk)))


def double(x: int) -> int:
    if x == 13:
        raise ValueError("thirteen")
    return 2 * x


def die_once(folder: Path, x: int) -> int:
    marker = folder / f"died-{x}"
    if x == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def die_at(wrong: int, x: int) -> int:
    if x == wrong:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("chunk", [1, 7])
def test_every_item_comes_back_with_its_result_or_its_error(make: Callable[[], Executor], chunk: int) -> None:
    results = dict(results_of(make, double, range(40), chunk))
    assert isinstance(results.pop(13), ValueError)
    assert results == {x: 2 * x for x in range(40) if x != 13}


@pytest.mark.parametrize("chunk", [1, 4])
def test_a_killed_worker_costs_only_the_items_in_flight(tmp_path: Path, chunk: int) -> None:
    results = results_of(MAKERS[1], functools.partial(die_once, tmp_path), range(12), chunk)
    assert sorted(item for item, _ in results) == list(range(12))
    assert all(item == result for item, result in results)


@pytest.mark.parametrize("chunk", [1, 4])
def test_an_item_that_always_kills_its_worker_is_given_up_and_no_other(chunk: int) -> None:
    results = dict(results_of(MAKERS[1], functools.partial(die_at, 5), range(12), chunk))
    assert isinstance(results.pop(5), TransientError)
    assert results == {x: x for x in range(12) if x != 5}


def test_workers_that_die_while_they_are_idle_are_replaced() -> None:
    with Crew(MAKERS[1], 2) as crew:
        for _ in range(3):
            assert len(list(itertools.chain.from_iterable(crew.map_batches(double, range(5))))) == 5
            for child in multiprocessing.active_children():
                child.kill()
                child.join()


def test_work_is_taken_as_it_is_needed() -> None:
    taken = 0

    def items() -> Iterable[int]:
        nonlocal taken
        for x in range(1000):
            taken += 1
            yield x

    with Crew(MAKERS[1], 2) as crew:
        next(crew.map_batches(double, items()))
    assert taken < 20


def test_workers_that_cannot_start_are_said_at_once(tmp_path: Path) -> None:
    """A script without the guard that spawned processes need is told so, instead of losing every unit to dead workers."""
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import functools, os\n"
        "from cuvee.errors import StoreError\n"
        "from cuvee.run.executors import Crew, open_executor\n"
        "try:\n"
        "    list(Crew(functools.partial(open_executor, 'process', 2), 2).map_batches(os.path.abspath, ['a'] * 1000))\n"
        "except StoreError as error:\n"
        "    print('told:', error.message)\n"
    )
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert "told: No worker process can be started here: run with --executor serial" in run.stdout


def test_workers_compute_with_one_thread_whatever_the_script_imports(tmp_path: Path) -> None:
    """A script's own imports come first in a worker; the threads of numpy, there by then, would never be fewer again."""
    script = tmp_path / "importer.py"
    script.write_text(
        "import functools, os\n"
        "import numpy as np\n"
        "from cuvee.run.executors import Crew, open_executor\n"
        "SEEN = os.environ.get('OPENBLAS_NUM_THREADS')\n"
        "def seen(x):\n"
        "    return SEEN\n"
        "if __name__ == '__main__':\n"
        "    with Crew(functools.partial(open_executor, 'process', 2), 2) as crew:\n"
        "        found = {result for batch in crew.map_batches(seen, range(4)) for _, result in batch}\n"
        "    print(found, SEEN, os.environ.get('OPENBLAS_NUM_THREADS'), os.environ.get('OMP_NUM_THREADS'))\n"
    )
    given = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    given["OPENBLAS_NUM_THREADS"] = "7"
    run = subprocess.run(
        [sys.executable, str(script)], env=given, capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.split() == ["{'1'}", "7", "7", "None"]


def announce_and_sleep(folder: Path, x: int) -> int:
    (folder / f"{os.getpid()}").touch()
    time.sleep(60)
    return x


DRIVER = """
import functools, signal, sys
from pathlib import Path
from test_executors import MAKERS, announce_and_sleep, results_of
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts in the background ignore it
    results_of(MAKERS[1], functools.partial(announce_and_sleep, Path(sys.argv[1])), range(9))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_driver(tmp_path: Path, how: signal.Signals) -> None:
    script, pids = tmp_path / "driver.py", tmp_path / "pids"
    script.write_text(DRIVER)
    pids.mkdir()
    folder = str(Path(__file__).parent)
    path = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
    driver = subprocess.Popen(
        [sys.executable, str(script), str(pids)], env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(list(pids.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = [int(path.name) for path in pids.iterdir()]
    assert len(workers) == 2
    driver.send_signal(how)
    driver.wait(30)
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def die_in_the_middle_of_a_message(folder: Path, x: int) -> int:
    marker = folder / f"died-{x}"
    if x == 3 and not marker.exists():
        marker.touch()
        frame = sys._getframe()
        while "result_queue" not in frame.f_locals:
            assert frame.f_back is not None
            frame = frame.f_back
        # The head of a message of a million bytes, and ten of them: what a kill in the middle of sending leaves.
        frame.f_locals["result_queue"]._writer._send(struct.pack("!i", 1_000_000) + b"0123456789")
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.mark.timeout(60)
def test_a_worker_killed_while_it_sends_does_not_stop_the_others(tmp_path: Path) -> None:
    results = results_of(MAKERS[1], functools.partial(die_in_the_middle_of_a_message, tmp_path), range(12))
    assert sorted(item for item, _ in results) == list(range(12))
    assert all(item == result for item, result in results)
