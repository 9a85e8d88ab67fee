"""A small survey of photons for the tests of what comes out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import cuvee
from cuvee.pipeline import PIPELINE
from cuvee.run.start import RunOptions, RunSummary, run_workspace
from cuvee.simulate.cos import simulate_cos
from cuvee.survey import Survey


class _Silent:
    def begin(self, label: str, total: int) -> None: ...
    def advance(self, steps: int = 1) -> None: ...
    def end(self) -> None: ...
    def say(self, message: str) -> None: ...


def run_quietly(folder: Path) -> RunSummary:
    return run_workspace(folder, PIPELINE, RunOptions(executor="serial"), _Silent())


def made(folder: Path) -> Path:
    simulate_cos(folder, events=20_000, exposures=2, seconds=400.0)
    return folder


@pytest.fixture(scope="session")
def photons(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """A finished survey of two exposures, which nobody may change."""
    folder = made(tmp_path_factory.mktemp("photons") / "w")
    assert not run_quietly(folder).troubled
    return cuvee.open(folder)
