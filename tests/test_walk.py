"""The guide's walk of one frame and one star: a run does call these functions, and no earlier step comes after a later one begins."""

from __future__ import annotations

import importlib
import re
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from cuvee.cli import main
from cuvee.simulate.tess import simulate

GUIDE = (Path(__file__).resolve().parents[1] / "docs" / "GUIDE.md").read_text(encoding="utf-8")
WALK = GUIDE.partition("## A walk: one frame, one star")[2].partition("\n**And back.**")[0]


def code_of(name: str) -> CodeType | None:
    """Return the code of a function or class, None for what cannot be traced: kernels, modules, tables."""
    parts = name.split(".")
    thing: Any = importlib.import_module("cuvee")
    for k, part in enumerate(parts[1:], 2):
        try:
            thing = importlib.import_module(".".join(parts[:k]))
        except ModuleNotFoundError:
            thing = getattr(thing, part)
    if hasattr(thing, "py_func"):
        return None
    thing = vars(thing)["__init__"] if isinstance(thing, type) else getattr(thing, "__wrapped__", thing)
    return getattr(thing, "__code__", None)


def test_a_run_takes_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(tmp_path / "sim", frames=20, stars=30, size=96, seed=3)
    steps = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^\*\*|\Z)", WALK, re.MULTILINE | re.DOTALL)
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    named = {name: int(number) for number, text in reversed(steps) for name in re.findall(r"`(cuvee(?:\.\w+)+)`", text)}
    codes = {code: name for name in named if name != "cuvee.toml" and (code := code_of(name)) is not None}
    assert len(codes) > 30
    order: list[str] = []

    def watch(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and (name := codes.get(frame.f_code)) is not None and name not in order:
            order.append(name)

    monkeypatch.setattr(sys, "argv", ["cuvee", "run", "-w", str(tmp_path / "sim"), "--executor", "serial", "--quiet"])
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        with pytest.raises(SystemExit) as end:
            main()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert end.value.code == 0
    assert sorted(set(codes.values()) - set(order)) == []
    # What is done once at the beginning, to place the star, to measure, and to collect comes in this order.
    milestones = ("run_workspace", "take_inventory", "scan_ffi", "read_stars", "build", "select_targets", "extract", "write_block", "collect", "write_patch")  # fmt: skip
    met = [name.rpartition(".")[2] for name in order]
    assert [name for name in met if name in milestones] == list(milestones)
