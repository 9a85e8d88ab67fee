"""Waves that are known to be whole are not planned again, and whatever their plan depends on breaks the seal."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.run.workspaces import House, edit, product_bytes, raw_files, run

from cuvee.run.perform import Task, perform
from cuvee.run.plan import make_plan
from cuvee.run.stage import Stage
from cuvee.simulate import faults
from cuvee.store.ledger import Ledger
from cuvee.store.paths import Paths


def seals(root: Path) -> dict[str, str]:
    with Ledger.open(Paths(root).ledger, read_only=True) as ledger:
        return {row["data_id"]: row["seal"] for row in ledger.rows("waves")}


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that are planned, in their order."""
    names: list[str] = []

    def noted(stock: object, stage: Stage, *rest: object) -> object:
        names.append(stage.name)
        return make_plan(stock, stage, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("cuvee.run.driver.make_plan", noted)
    return names


def test_an_idle_rerun_plans_no_unit_of_a_whole_wave_and_counts_them_all(house: House, planned: list[str]) -> None:
    root = house.finished()
    assert len(seals(root)) == 1
    summary = run(root)
    assert planned == ["catalog", "publish"]
    counts = dict(summary.counts)
    with Ledger.open(Paths(root).ledger) as ledger:
        ledger.drop("waves", [(name,) for name in seals(root)])
    slow = run(root)
    assert "extract" in planned
    assert dict(slow.counts) == counts
    assert (summary.worked, summary.troubled, summary.bad) == (slow.worked, slow.troubled, slow.bad) == (0, [], {})
    assert len(seals(root)) == 1


def _delete(pattern: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        next(path for path in sorted(root.glob(pattern)) if path.is_file()).unlink()

    return change


def _spoil(pattern: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = next(path for path in sorted(root.glob(pattern)) if path.is_file())
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        state = path.stat()
        path.write_bytes(bytes(data))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))

    return change


def _set(old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / "cuvee.toml").read_text()
        assert old in text
        (root / "cuvee.toml").write_text(text.replace(old, new))

    return change


CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "a raw file touched": (lambda root: os.utime(raw_files(root)[7]), True),
    "a raw file changed": (lambda root: edit(raw_files(root)[7], faults.truncate), False),
    "a raw file gone": (lambda root: raw_files(root)[7].unlink(), True),
    "a flux block deleted": (_delete("RED/*/*/fluxes/*"), True),
    "a flux block spoilt": (_spoil("RED/*/*/fluxes/*"), True),
    "light curves deleted": (_delete("LC/tess/dataset/Norder=5/*/*/*.parquet"), True),
    "light curves spoilt": (_spoil("LC/tess/dataset/Norder=5/*/*/*.parquet"), True),
    "targets deleted": (_delete("RED/*/*/targets.parquet"), True),
    "a reference image deleted": (_delete("BASE/reference-frames/*.reference"), True),
    "a reference set deleted": (_delete("BASE/reference-frames/*.json"), True),
    "another annulus": (_set("# annulus = [6.0, 9.0]", "annulus = [6.0, 10.0]"), True),
    "a brighter limit": (_set("# mag_limit = 16.0", "mag_limit = 14.0"), False),
    "blocks not kept": (_set("# flux_blocks = true", "flux_blocks = false"), False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_the_plan_depends_on_breaks_the_seal(house: House, planned: list[str], name: str) -> None:
    change, same = CHANGES[name]
    root = house.finished()
    before = product_bytes(root)
    change(root)
    run(root)
    if name != "a reference set deleted":  # the same frames are chosen again, so nothing depends on it
        assert "extract" in planned, "it was taken for whole"
    after = product_bytes(root)
    assert (after == before) is same
    # As a run without any seal leaves it.
    with Ledger.open(Paths(root).ledger) as ledger:
        ledger.drop("waves", [(key,) for key in seals(root)])
    assert run(root).worked == 0
    assert product_bytes(root) == after


def test_a_wave_with_a_failure_is_not_sealed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    root = house.untouched()

    def broken(task: Task) -> object:
        if task.unit.stage.name == "collect":
            raise RuntimeError("broken on purpose")
        return perform(task)

    monkeypatch.setattr("cuvee.run.driver.perform", broken)
    assert run(root).troubled
    assert seals(root) == {}
    monkeypatch.undo()
    assert not run(root).troubled
    assert len(seals(root)) == 1


def test_a_seal_is_taken_away_before_work_begins(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    root = house.finished()
    _delete("RED/*/*/fluxes/*")(root)
    seen: list[dict[str, str]] = []

    def noted(task: Task) -> object:
        seen.append(seals(root))
        return perform(task)

    monkeypatch.setattr("cuvee.run.driver.perform", noted)
    run(root)
    assert seen
    assert all(found == {} for found in seen)
    assert len(seals(root)) == 1
