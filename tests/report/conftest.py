"""A small simulated survey with damaged files, reduced once for all tests of the report."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import cuvee
from cuvee.config import write_workspace
from cuvee.pipeline import PIPELINE
from cuvee.run.start import RunOptions, run_workspace
from cuvee.simulate import faults
from cuvee.simulate.tess import simulate
from cuvee.survey import Survey

SERIAL = RunOptions(executor="serial", command="run <b>&'\"")


class Silent:
    """Takes the news of a run and keeps them to itself."""

    def begin(self, label: str, total: int) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def end(self) -> None: ...

    def say(self, message: str) -> None: ...


def reduce(folder: Path) -> Survey:
    run_workspace(folder, PIPELINE, SERIAL, Silent())
    opened: Survey = cuvee.open(folder)
    return opened


@pytest.fixture
def new_survey(tmp_path: Path) -> Callable[[Sequence[Path], Path], Survey]:
    """Reduces data with a catalogue in a new workspace."""

    def made(data: Sequence[Path], catalog: Path) -> Survey:
        write_workspace(tmp_path / "w", "tess", [str(path) for path in data], [str(catalog)])
        return reduce(tmp_path / "w")

    return made


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """24 frames of 40 stars; the 6th is cut short, the 12th is an HTML page, the 18th has no WCS."""
    folder = tmp_path_factory.mktemp("report") / "w"
    simulate(folder, frames=24, stars=40, size=96, seed=5)
    raw = sorted((folder / "RAW").glob("*_ffic.fits"))
    faults.truncate(raw[5])
    faults.replace_by_html(raw[11])
    faults.strip_wcs(raw[17])
    return reduce(folder)


@pytest.fixture(scope="session")
def bad_names(survey: Survey) -> tuple[str, str]:
    raw = sorted((survey.path / "RAW").glob("*_ffic.fits"))
    return raw[5].name, raw[11].name


@pytest.fixture
def other(survey: Survey, tmp_path: Path) -> Survey:
    """A copy of the survey that a test may spoil; its raw files stay where they are."""
    folder = tmp_path / "w"
    shutil.copytree(survey.path, folder, ignore=shutil.ignore_patterns("RAW", "report"))
    opened: Survey = cuvee.open(folder)
    return opened
