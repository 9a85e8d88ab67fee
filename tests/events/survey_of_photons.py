"""A folder of photon lists, taken the whole way."""

from __future__ import annotations

from pathlib import Path

import cuvee
from cuvee.config import write_workspace
from cuvee.pipeline import PIPELINE
from cuvee.run.start import RunOptions, RunSummary, run_workspace
from cuvee.survey import Survey


class Silent:
    """Takes the news and says nothing."""

    def begin(self, label: str, total: int) -> None: ...
    def advance(self, steps: int = 1) -> None: ...
    def end(self) -> None: ...
    def say(self, message: str) -> None: ...


def run_quietly(workspace: Path) -> RunSummary:
    """Run the pipeline over a workspace."""
    return run_workspace(workspace, PIPELINE, RunOptions(executor="serial"), Silent())


def reduce(instrument: str, folder: Path, setting: str = "") -> RunSummary:
    """Run the pipeline over the files of a folder, in a workspace within it."""
    workspace = folder / "w"
    if not workspace.exists():
        write_workspace(workspace, instrument, [f"{folder}/*.*"], [], photons=True)
        config = workspace / "cuvee.toml"
        config.write_text(config.read_text().replace("[events]", f"[events]\n{setting}"))
    return run_quietly(workspace)


def survey_of(instrument: str, folder: Path, setting: str = "", run: bool = True) -> Survey:
    """Return the survey of a folder's files, none of which is bad where it is run now."""
    if run:
        summary = reduce(instrument, folder, setting)
        assert not summary.bad
        assert not summary.troubled
    return cuvee.open(folder / "w")


def bad_files(instrument: str, folder: Path) -> dict[str, tuple[str, str]]:
    """Return reason and message of the files that a run sets aside, by name."""
    summary = reduce(instrument, folder)
    return {Path(path).name: (one.reason, one.message) for path, one in summary.bad.items()}
