"""Simulated surveys of photons."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.events.survey_of_photons import run_quietly

import cuvee
from cuvee.config import write_workspace
from cuvee.simulate.cos import simulate_cos
from cuvee.simulate.photon_source import Flare, Source
from cuvee.survey import Survey


def made(folder: Path) -> Path:
    simulate_cos(folder, events=20_000, exposures=2, seconds=400.0)
    return folder


@pytest.fixture(scope="session")
def photons(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """A finished survey of two exposures, which nobody may change."""
    folder = made(tmp_path_factory.mktemp("photons") / "w")
    assert not run_quietly(folder).troubled
    return cuvee.open(folder)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated survey of a star with a period and a flare, which nobody may change."""
    folder = tmp_path_factory.mktemp("cos") / "w"
    light = Source(131.0, 0.3, Flare(1560.0, 4.0, 40.0))
    simulate_cos(folder, events=150_000, exposures=2, seconds=2600.0, source=light)
    return folder


@pytest.fixture
def copied(simulated: Path, tmp_path: Path) -> Path:
    """Its raw files, not yet run, in a workspace of their own."""
    folder = tmp_path / "w"
    write_workspace(folder, "cos", ["RAW"], [], photons=True)
    for path in (simulated / "RAW").iterdir():
        shutil.copy(path, folder / "RAW")
    return folder
