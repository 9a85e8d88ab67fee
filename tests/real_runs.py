"""Real files reduced: what the tests of them share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from astropy.timeseries import LombScargle
from numpy.typing import NDArray

import cuvee
from cuvee.config import write_workspace
from cuvee.pipeline import PIPELINE
from cuvee.run.start import RunOptions, RunSummary, run_workspace
from cuvee.survey import Survey

Reduce = Callable[..., tuple[Survey, RunSummary]]


class Silent:
    def begin(self, label: str, total: int) -> None: ...
    def advance(self, steps: int = 1) -> None: ...
    def end(self) -> None: ...
    def say(self, message: str) -> None: ...


def reducer(tmp_path_factory: pytest.TempPathFactory) -> Reduce:
    """Return what makes a workspace of files and a catalogue, or of rows of one, and runs it."""

    def run(
        data: list[str], catalog: str | list[str], extra: str = "", name: str = "tess"
    ) -> tuple[Survey, RunSummary]:
        folder = tmp_path_factory.mktemp("survey")
        if isinstance(catalog, list):
            table = folder / "stars.csv"
            table.write_text("\n".join(["ID,ra,dec,mag", *catalog]) + "\n")
            catalog = str(table)
        config = write_workspace(folder / "w", name, data, [catalog])
        for change in extra.splitlines():
            section, _, setting = change.partition(" ")
            config.write_text(config.read_text().replace(f"[{section}]", f"[{section}]\n{setting}"))
        summary = run_workspace(config.parent, PIPELINE, RunOptions(executor="serial"), Silent())
        return cuvee.open(config.parent), summary

    return run


def strongest_period(time: NDArray[np.float64], flux: NDArray[np.float64]) -> float:
    """Return the strongest Lomb-Scargle peak between 0.1 and 13 d, after 6-MAD clipping."""
    middle = np.median(flux)
    mad = np.median(np.abs(flux - middle))
    keep = np.abs(flux - middle) < 6 * mad
    frequency = np.linspace(1 / 13, 10, 100_000)
    power = LombScargle(time[keep], flux[keep]).power(frequency)
    return float(1 / frequency[np.argmax(power)])
