"""Small finished surveys of each kind of file, into which faults can be brought, and what is to be seen of their light curves."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from astropy.io import fits
from tests.run import damages as d
from tests.run.stamps import make_workspace, position
from tests.run.workspaces import product_bytes

from cuvee.cli import main
from cuvee.simulate.params import PLAIN
from cuvee.simulate.tess import simulate
from cuvee.survey import open_survey

FRAMES, MEMBERS = 40, 32
"""The reference set is the middle 32 of 40 frames, so the second frame is none of it."""
OTHER, MIDDLE = 1, 20
"""A frame like any other, and the one whose WCS places the stars."""
STAMPS = 4

Point = tuple[Any, ...]


def call(*words: object) -> tuple[int, str, str]:
    """Call the command line in this process; return exit code, output and complaints.

    The report of the run is left out: it is no part of what is judged here, and would take nine tenths of the time.
    """
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["cuvee", *map(str, words)]
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch("cuvee.cli.reduce._draw", return_value=""),
        ):
            main()
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), err.getvalue()
    finally:
        sys.argv = before
    raise AssertionError("the command line always ends with an exit code")


def pack(path: Path) -> None:
    """Compress a frame tile by tile, without loss."""
    with fits.open(path) as units:
        images = [
            fits.CompImageHDU(unit.data, unit.header, compression_type="GZIP_2", quantize_level=0) for unit in units[1:]
        ]
        packed = fits.HDUList([fits.PrimaryHDU(header=units[0].header), *images])
        packed.writeto(path.with_name(f"{path.name}.fz"), checksum=True)
    path.unlink()


def squeeze(path: Path) -> None:
    """Compress a frame with gzip."""
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    path.unlink()


def make_frames(root: Path, packing: Callable[[Path], None] | None = None) -> None:
    simulate(root, frames=FRAMES, stars=40, size=64, seed=4, params=PLAIN)
    if packing is not None:
        for path in sorted((root / "RAW").iterdir()):
            packing(path)
    # The best aperture is chosen from all points; with one that is fixed, the points can be compared one by one.
    with (root / "cuvee.toml").open("a") as file:
        file.write("\n" if "[collect]" in (root / "cuvee.toml").read_text() else "\n[collect]\n")
    text = (root / "cuvee.toml").read_text()
    (root / "cuvee.toml").write_text(text.replace("[collect]\n", '[collect]\naperture = "aperture1"\n'))


def make_stamps(root: Path) -> None:
    make_workspace(root, STAMPS, config='[collect]\naperture = "aperture1"\n')
    for k, path in enumerate(sorted((root / "RAW").iterdir())):
        d.edit(d.name_target(*position(k)))(path)


def _copy(source: Path, target: Path) -> None:
    """Copy a workspace; raw files are linked, so that the ledger knows them again."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("RAW"))
    shutil.copytree(source / "RAW", target / "RAW", copy_function=os.link)


MAKERS: dict[str, Callable[[Path], None]] = {
    "frames": make_frames,
    "frames .gz": lambda root: make_frames(root, squeeze),
    "frames .fz": lambda root: make_frames(root, pack),
    "stamps": make_stamps,
}


class Survey:
    """A survey that can be broken and mended.

    Parameters
    ----------
    kind : str
        One of `MAKERS`.
    folder : Path
        Where to work.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self.root, self.bare, self.finished = folder / "survey", folder / "bare", folder / "finished"
        MAKERS[kind](self.root)
        _copy(self.root, self.bare)
        code, _, err = self.run()
        assert (code, err) == (0, ""), err
        _copy(self.root, self.finished)
        self.names = sorted(path.name for path in (self.root / "RAW").iterdir())
        self.bytes = product_bytes(self.root)
        self.points = points_of(self.root)
        self.places = places_of(self.root)
        # The frame that is a cadence, or the stamp that is a series.
        cadences = dict(zip(sorted({cadence for _, _, cadence in self.points}), self.names, strict=False))
        stamps = {name.removesuffix(".fits"): name for name in self.names}
        self.source = {key: stamps.get(key[1]) or cadences[key[2]] for key in self.points}

    def run(self) -> tuple[int, dict[str, Any], str]:
        code, out, err = call("run", "-w", self.root, "--executor", "serial", "--json")
        return code, json.loads(out) if out.startswith("{") else {}, err

    def begin(self, finished: bool) -> None:
        """Put the survey back to where it was before or after its first run."""
        shutil.rmtree(self.root)
        _copy(self.finished if finished else self.bare, self.root)

    def targets(self, where: str) -> list[Path]:
        """Return the files that a fault is about: ``other``, ``middle`` or ``all``."""
        raw = self.root / "RAW"
        if where == "all":
            return [raw / name for name in self.names]
        return [raw / self.names[MIDDLE if where == "middle" else OTHER]]

    def repair(self) -> None:
        """Bring the good files back, as a user does who downloads them again."""
        for path in list((self.root / "RAW").iterdir()):
            if path.is_dir():
                shutil.rmtree(path)
                continue
            good = self.bare / "RAW" / path.name
            if not good.exists():
                path.unlink()
            elif good.read_bytes() != path.read_bytes():
                path.unlink()
                shutil.copyfile(good, path)


def points_of(root: Path) -> dict[tuple[int, str, float], Point]:
    """Return every point of every light curve, bit by bit, by star, series and cadence."""
    found: dict[tuple[int, str, float], Point] = {}
    if not list(root.glob("LC/*/dataset/**/Npix=*/*.parquet")):
        return found
    for batch in open_survey(root).batches():
        for row in batch.to_pylist():
            curve = {name: np.asarray(values) for name, values in row["lc"].items()}
            for i, cadence in enumerate(curve["cadence"].tolist()):
                key = row["id"], row["series"], cadence
                while key in found:
                    key = *key[:2], key[2] + 0.5  # a cadence that is there twice
                found[key] = tuple(values[i].tobytes() for values in curve.values())
                found[key] += (int(curve["flag"][i]),)
    return found


def places_of(root: Path) -> list[float]:
    """Return columns and rows of all stars."""
    table = open_survey(root).light_curves(columns=["id", "col", "row"]).sort_by("id")
    return [*table["col"].to_pylist(), *table["row"].to_pylist()]
