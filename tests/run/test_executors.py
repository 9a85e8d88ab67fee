"""Work goes on when a worker dies, and every item comes back exactly once."""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path

import pytest

from cuvee.errors import TransientError
from cuvee.run.executors import SerialExecutor, map_unordered, open_executor


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


def die_always(x: int) -> int:
    if x == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.mark.parametrize("make", [SerialExecutor, functools.partial(open_executor, "process", 2)])
def test_every_item_comes_back_with_its_result_or_its_error(make: functools.partial[SerialExecutor]) -> None:
    results = dict(map_unordered(make, 2, double, range(40)))
    assert isinstance(results.pop(13), ValueError)
    assert results == {x: 2 * x for x in range(40) if x != 13}


def test_a_killed_worker_costs_only_the_units_in_flight(tmp_path: Path) -> None:
    make = functools.partial(open_executor, "process", 2)
    results = list(map_unordered(make, 2, functools.partial(die_once, tmp_path), range(12)))
    assert sorted(item for item, _ in results) == list(range(12))
    assert all(item == result for item, result in results)


def test_a_unit_that_always_kills_its_worker_is_given_up() -> None:
    make = functools.partial(open_executor, "process", 2)
    results = dict(map_unordered(make, 2, die_always, [1]))
    assert isinstance(results[1], TransientError)
