"""What becomes of a unit that cannot be done, and of the run around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.run.workspaces import House, Listener, done, product_bytes, remade, times

from cuvee.errors import AlgorithmError, BadData, NoWork, StoreError, TransientError
from cuvee.pipeline import PIPELINE
from cuvee.run import perform
from cuvee.run.stage import Stage
from cuvee.run.start import RunOptions, RunSummary, run_workspace
from cuvee.store.ledger import Ledger

Run = Callable[..., Any]


def with_stage(name: str, change: Callable[[Stage], Stage]) -> tuple[Stage, ...]:
    return tuple(change(stage) if stage.name == name else stage for stage in PIPELINE)


def go(root: Path, stages: Sequence[Stage]) -> RunSummary:
    return run_workspace(root, stages, RunOptions(executor="serial"), Listener())


def failing(name: str, error: BaseException, times_to_fail: int = 10**9, only: int | None = None) -> tuple[Stage, ...]:
    """Return the pipeline with one stage that fails: always, or some times, or at its n-th unit."""
    calls = 0

    def change(stage: Stage) -> Stage:
        def run(*arguments: Any, **words: Any) -> Any:
            nonlocal calls
            calls += 1
            if (only is None and calls <= times_to_fail) or calls == only:
                raise error
            return stage.run(*arguments, **words)

        return replace(stage, run=run)

    return with_stage(name, change)


def test_a_bug_in_one_unit_is_reported_and_the_others_are_done(house: House) -> None:
    root = house.untouched()
    summary = go(root, failing("extract", ZeroDivisionError("division by zero"), only=2))
    (receipt,) = summary.troubled
    assert (receipt.stage, receipt.outcome) == ("extract", "failed")
    assert done(summary)["extract"] == 3
    assert done(summary)["collect"] == 2
    report = Path(receipt.message.split()[-1].rstrip("."))
    assert report.parent == root / "REDTEMP" / "errors"
    assert receipt.message == f"unexpected ZeroDivisionError: division by zero; please report it with {report}."
    text = report.read_text()
    assert str(receipt.data_id) in text
    assert "Traceback" in text
    assert "ZeroDivisionError: division by zero" in text
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        assert [row["data_id"] for row in ledger.rows("units", outcome="failed")] == [str(receipt.data_id)]
    # Nobody knows why, so it is tried again each time.
    assert done(go(root, PIPELINE))["extract"] == 1
    assert product_bytes(root) == product_bytes(house.master)


def test_a_method_that_fails_on_sound_data_is_not_tried_again_until_something_changes(house: House) -> None:
    root = house.untouched()
    broken = failing("collect", AlgorithmError("no solution for 3 stars.", {"stars": 3}), only=1)
    summary = go(root, broken)
    (receipt,) = summary.troubled
    assert (receipt.stage, receipt.outcome, receipt.message) == ("collect", "failed", "no solution for 3 stars.")
    assert receipt.counts == {"stars": 3}
    for stages in (broken, PIPELINE):
        again = go(root, stages)
        assert (again.worked, [r.outcome for r in again.troubled]) == (0, ["failed"])
    (root / "cuvee.db").unlink()  # nor after the ledger was lost
    assert (go(root, PIPELINE).worked, len(go(root, PIPELINE).troubled)) == (0, 1)
    raised = with_stage("collect", lambda stage: replace(stage, version=stage.version + 1))
    assert done(go(root, raised))["collect"] == 2
    assert product_bytes(root) == product_bytes(house.master)


def test_what_may_pass_is_tried_again_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perform, "_PAUSES", (0.0, 0.0))
    root = house.untouched()
    assert not go(root, failing("summary", TransientError("the network is down."), times_to_fail=2)).troubled
    root = house.untouched()
    summary = go(root, failing("summary", TransientError("the network is down.")))
    assert [(r.stage, r.outcome, r.message) for r in summary.troubled] == [("summary", "retry", "the network is down.")]
    assert done(go(root, PIPELINE)) == {"summary": 1}


def test_a_unit_without_memory_is_tried_again_next_time(house: House) -> None:
    root = house.untouched()
    (receipt,) = go(root, failing("summary", MemoryError())).troubled
    assert receipt.outcome == "retry"
    assert "--workers" in receipt.message
    assert done(go(root, PIPELINE)) == {"summary": 1}


def test_a_unit_without_work_is_routine(house: House) -> None:
    root = house.untouched()
    stages = failing("extract", NoWork("no star belongs to this series."), only=1)
    summary = go(root, stages)
    assert not summary.troubled
    assert summary.counts["extract", "no-work"] == 1
    assert go(root, stages).worked == 0
    (root / "cuvee.db").unlink()
    assert go(root, stages).worked == 0


def test_bad_data_of_a_whole_unit_costs_that_unit(house: House) -> None:
    root = house.untouched()
    (receipt,) = go(root, failing("extract", BadData("nothing to be seen.", "header"), only=1)).troubled
    assert (receipt.outcome, receipt.reason) == ("bad-data", "header")


def test_targets_that_fail_stop_their_detector_and_lose_nothing_behind(house: House) -> None:
    root = house.finished()
    before = product_bytes(root)
    (root / "RED" / "s0008" / "3-4-ffi" / "targets.parquet").unlink()
    summary = go(root, failing("targets", RuntimeError("oh")))
    assert [(r.stage, r.outcome) for r in summary.troubled] == [("targets", "failed")]
    kept = {name: content for name, content in before.items() if "targets" not in name}
    assert product_bytes(root) == kept
    assert done(go(root, PIPELINE)) == {"targets": 1}
    assert product_bytes(root) == before


def test_a_raised_version_remakes_its_stage_and_stops_where_nothing_changes(house: House) -> None:
    root = house.finished()
    before = times(root)
    stages = with_stage("extract", lambda stage: replace(stage, version=stage.version + 1))
    assert done(go(root, stages)) == {"extract": 4}
    assert {Path(name).parent.name for name in remade(before, root)} == {"fluxes", "moving"}
    assert go(root, stages).worked == 0


def test_an_unusable_workspace_ends_the_run(house: House) -> None:
    root = house.untouched()
    with pytest.raises(StoreError, match="full"):
        go(root, failing("extract", StoreError("the disk is full."), only=2))
    assert not go(root, PIPELINE).troubled
    assert product_bytes(root) == product_bytes(house.master)
