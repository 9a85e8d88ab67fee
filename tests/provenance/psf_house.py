"""A small workspace with PSF fluxes, in which a few pixels and a star are not as they should be."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from astropy.io import fits
from tests.run.workspaces import raw_files, run

import cuvee
from cuvee.simulate.tess import simulate
from cuvee.survey import Survey

Facts = dict[str, Any]

SIZE, FRAMES = 200, 12
ORIGIN = (2048 - SIZE) // 2
"""First column and row of the simulated pixels."""

HOLE, CORE, RAY = 3, 4, 5
"""Frames of which a pixel at the rim of a star is missing, its core, and in which a pixel is hit by a particle."""

TWIN = 1
"""Id of a star that only the catalogue has, in the place of another."""


@dataclass(frozen=True)
class PsfHouse:
    """A finished workspace, and the stars that something was done to."""

    root: Path
    holed: int
    hit: int
    doubled: int

    @property
    def survey(self) -> Survey:
        return cuvee.open(self.root)


def spoil(path: Path, star: Facts, step: tuple[int, int], change: Callable[[float], float]) -> None:
    x, y = (round(star[axis]) - ORIGIN + away for axis, away in zip(("col", "row"), step, strict=True))
    with fits.open(path, mode="update") as file:
        file[1].data[y, x] = change(float(file[1].data[y, x]))


def make_psf_house(root: Path) -> PsfHouse:
    """Simulate, spoil and reduce a workspace."""
    simulate(root, frames=FRAMES, stars=500, size=SIZE, seed=4)
    path = root / "cuvee.toml"
    path.write_text(path.read_text().replace("[extract]", "[extract]\npsf = true", 1))
    truth = pq.read_table(root / "truth" / "stars.parquet").to_pylist()
    inner = [
        star
        for star in truth
        if star["on_pixels"] and max(abs(star["col"] - 1023.5), abs(star["row"] - 1023.5)) < SIZE / 2 - 20
    ]

    def lonely(star: Facts) -> bool:
        near = [other for other in truth if max(abs(other["col"] - star["col"]), abs(other["row"] - star["row"])) < 8.0]
        return bool(sum(other["flux"] for other in near) < 1.05 * star["flux"])

    alone = [star for star in inner if lonely(star)]
    chosen: list[Facts] = []
    for mag in (11.0, 13.0, 12.0):
        chosen.append(min((s for s in alone if s not in chosen), key=lambda star: abs(float(star["mag"]) - mag)))
    holed, hit, doubled = chosen
    files = raw_files(root)
    spoil(files[HOLE], holed, (2, 2), lambda _: np.nan)
    for step in itertools.product((-1, 0, 1), (-1, 0, 1)):
        spoil(files[CORE], holed, step, lambda _: np.nan)
    spoil(files[RAY], hit, (1, 1), lambda value: value + 25.0)
    with (root / "BASE" / "CAT" / "catalog.csv").open("a") as table:
        table.write(f"{TWIN},{doubled['ra']:.9f},{doubled['dec']:.9f},0.0,0.0,{doubled['mag'] + 2.0:.4f}\n")
    assert not run(root).bad
    return PsfHouse(root, holed["id"], hit["id"], doubled["id"])
