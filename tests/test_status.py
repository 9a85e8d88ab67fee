"""The state of a workspace, read beside a writer and without any right to write."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.run.workspaces import House, edit, raw_files, run

import cuvee
from cuvee.simulate import faults
from cuvee.status import workspace_status
from cuvee.store.ledger import Ledger
from cuvee.store.lock import lock_holder, workspace_lock


def test_a_finished_workspace(house: House) -> None:
    report = workspace_status(cuvee.open(house.finished()))
    assert report["stages"] == {
        "catalog": {"done": 1}, "reference": {"done": 1}, "targets": {"done": 1}, "prf": {"no-work": 1}, "extract": {"done": 4},
        "tracks": {"done": 1},
        "collect": {"done": 2}, "summary": {"done": 1}, "publish": {"done": 1},
    }  # fmt: skip
    assert (report["files"], report["gone"], report["running"]) == (300, 0, 0)
    assert report["bad_files"] == []
    assert report["troubled_units"] == []
    assert report["runs"][-1]["finished"]
    assert report["light_curves"] == cuvee.open(house.place).light_curves(columns=["id"]).num_rows


def test_bad_and_deleted_files_are_counted(house: House) -> None:
    root = house.finished()
    frames = raw_files(root)
    edit(frames[20], faults.truncate)
    frames[0].unlink()
    run(root)
    report = workspace_status(cuvee.open(root))
    assert (report["files"], report["gone"]) == (298, 1)
    assert [bad["path"] for bad in report["bad_files"]] == [str(frames[20])]
    assert report["bad_files"][0]["reason"] == "truncated"


def test_units_that_wait_are_listed_with_the_reason(house: House) -> None:
    root = house.untouched()
    for path in raw_files(root)[3:]:
        path.unlink()
    for path in raw_files(root):
        edit(path, faults.strip_wcs)
    run(root)
    (unit,) = workspace_status(cuvee.open(root))["troubled_units"]
    assert (unit["stage"], unit["outcome"]) == ("targets", "blocked")
    assert "has a WCS" in unit["message"]


def test_a_workspace_without_runs(house: House) -> None:
    report = workspace_status(cuvee.open(house.untouched()))
    assert report["runs"] == []
    assert report["stages"] == {}


def test_the_holder_of_the_lock_is_known_while_it_holds_it(tmp_path: Path) -> None:
    lock = tmp_path / ".cuvee.lock"
    assert lock_holder(lock) == 0
    code = (
        "import sys, time; from pathlib import Path; from cuvee.store.lock import workspace_lock\n"
        "with workspace_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    assert lock_holder(lock) == other.pid
    other.kill()
    other.communicate()
    assert lock_holder(lock) == 0


def test_status_while_a_run_is_going_on(house: House) -> None:
    root = house.untouched()
    code = "import sys; from pathlib import Path; from tests.run.workspaces import run; run(Path(sys.argv[1]))"
    driver = subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.DEVNULL)
    seen = set()
    counts = []
    deadline = time.monotonic() + 60
    try:
        while driver.poll() is None and time.monotonic() < deadline:
            report = workspace_status(cuvee.open(root))
            seen.add(report["running"])
            counts.append(sum(sum(units.values()) for units in report["stages"].values()))
            time.sleep(0.01)
    finally:
        driver.wait()
    assert driver.returncode == 0
    assert driver.pid in seen
    assert counts == sorted(counts)  # whatever is seen is a state of the ledger between two batches
    assert workspace_status(cuvee.open(root))["running"] == 0


@pytest.mark.parametrize("outcome", ["failed", "retry", "bad-data"])
def test_troubled_units(house: House, outcome: str) -> None:
    root = house.finished()
    with Ledger.open(root / "cuvee.db") as ledger, workspace_lock(root / ".cuvee.lock"):
        ledger.put_units([{"stage": "collect", "data_id": "x", "outcome": outcome, "message": "no."}])
    (unit,) = workspace_status(cuvee.open(root))["troubled_units"]
    assert unit == {"stage": "collect", "unit": "x", "outcome": outcome, "message": "no."}
