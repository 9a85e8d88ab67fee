"""A small survey with one broken frame, and lightkurve, quietly."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.run.workspaces import raw_files, run

import cuvee
from cuvee.simulate.tess import simulate
from cuvee.survey import Survey

FRAMES, STARS, SIZE = 20, 60, 96
BROKEN = 7
"""Which of the frames is cut short."""


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """A finished workspace whose raw files nobody may change."""
    root = tmp_path_factory.mktemp("pixels") / "survey"
    simulate(root, frames=FRAMES, stars=STARS, size=SIZE, seed=5)
    os.truncate(raw_files(root)[BROKEN], 20_000)
    run(root)
    return cuvee.open(root)


@pytest.fixture(scope="session")
def star(survey: Survey) -> int:
    """The brightest star that has all its pixels."""
    rows = survey.light_curves(columns=["id", "mag", "col", "row"]).to_pylist()
    geometry = origin(survey)
    inside = [r for r in rows if all(12 < r[k] - geometry[k] < SIZE - 12 for k in ("col", "row"))]
    return int(min(inside, key=lambda r: r["mag"])["id"])


def origin(survey: Survey) -> dict[str, int]:
    """Return column and row of the frames' first pixel on the detector."""
    series = str(survey.light_curves(columns=["series"])["series"][0].as_py())
    _, row, col, _ = series.split("-")
    return {"col": int(col[1:]), "row": int(row[1:])}


Reader = Callable[..., Any]


@pytest.fixture
def lightkurve_read() -> Iterator[Reader]:
    """Read target pixel files with lightkurve, which leaves them open; skip where it is not installed."""
    opened: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of optional packages of its own
        lightkurve = pytest.importorskip("lightkurve", reason="lightkurve is not installed (group test)")

    def read(path: Path, **how: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of units outside the standard
            opened.append(lightkurve.read(path, **how))
        return opened[-1]

    yield read
    for tpf in opened:
        tpf.hdu.close()
