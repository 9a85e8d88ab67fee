"""A small finished workspace, made once, and as many copies of it as tests want."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cuvee.pipeline import PIPELINE
from cuvee.run.start import RunOptions, RunSummary, run_workspace
from cuvee.simulate.tess import simulate
from cuvee.store.atomic import content_hash

FRAMES, STARS, SIZE = 300, 120, 160
"""Four blocks and two patches."""


class Listener:
    """Takes the news of a run and keeps them."""

    def __init__(self) -> None:
        self.stretches: dict[str, int] = {}
        self.said: list[str] = []

    def begin(self, label: str, total: int) -> None:
        self.stretches[label] = total

    def advance(self, steps: int = 1) -> None:
        pass

    def end(self) -> None:
        pass

    def say(self, message: str) -> None:
        self.said.append(message)


def run(root: Path, listener: Listener | None = None, executor: str = "serial", **options: Any) -> RunSummary:
    return run_workspace(root, PIPELINE, RunOptions(executor=executor, **options), listener or Listener())


def done(summary: RunSummary) -> dict[str, int]:
    """Return the number of units done, stage by stage."""
    return {stage: n for (stage, outcome), n in summary.counts.items() if outcome == "done"}


def product_bytes(root: Path) -> dict[str, str]:
    """Return the hash of every product in LC and RED; receipts and pictures are none."""
    files = [path for folder in ("LC", "RED") for path in sorted((root / folder).rglob("*")) if path.is_file()]
    names = {str(path.relative_to(root)): path for path in files if path.suffix != ".png"}
    return {name: content_hash(path) for name, path in names.items() if "receipts" not in name}


def times(root: Path) -> dict[str, int]:
    """Return when each product in BASE, LC and RED was written (ns)."""
    files = [path for folder in ("BASE", "LC", "RED") for path in (root / folder).rglob("*") if path.is_file()]
    names = {str(path.relative_to(root)): path.stat().st_mtime_ns for path in files if path.suffix != ".png"}
    return {name: when for name, when in names.items() if "receipts" not in name}


def remade(before: dict[str, int], root: Path) -> set[str]:
    """Return the names of files that were written, changed or deleted since."""
    after = times(root)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def raw_files(root: Path) -> list[Path]:
    return sorted((root / "RAW").glob("*_ffic.fits"))


def own(path: Path) -> Path:
    """Give a raw file bytes of its own, that it does not share with the other copies of the workspace."""
    copy = path.with_name(f".{path.name}.own")
    shutil.copy2(path, copy)
    copy.replace(path)
    return path


def edit(path: Path, change: Callable[[Path], object]) -> None:
    """Change a raw file, so that the other copies of the workspace keep theirs."""
    change(own(path))


class House:
    """Makes copies of a finished workspace, always at the same place, with the same raw files as far as the system sees.

    Parameters
    ----------
    folder : Path
        Where to work.
    """

    def __init__(self, folder: Path) -> None:
        self.place = folder / "survey"
        self.master = folder / "master"
        simulate(self.place, frames=FRAMES, stars=STARS, size=SIZE, seed=1)
        self.bare = set(self._files(self.place))
        run(self.place)
        self._copy(self.place, self.master, lambda _: True)

    @staticmethod
    def _files(root: Path) -> list[str]:
        return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]

    def _copy(self, source: Path, target: Path, wanted: Callable[[str], bool]) -> None:
        shutil.rmtree(target, ignore_errors=True)
        for name in self._files(source):
            if wanted(name):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                if name.startswith(("RAW/", "BASE/CAT/catalog")):
                    os.link(source / name, target / name)
                else:
                    shutil.copy2(source / name, target / name)

    def finished(self) -> Path:
        """Return the workspace as it is after its first run."""
        self._copy(self.master, self.place, lambda _: True)
        return self.place

    def untouched(self) -> Path:
        """Return the workspace as it is before its first run."""
        self._copy(self.master, self.place, lambda name: name in self.bare)
        return self.place

    def restore(self, path: Path) -> None:
        """Give a raw file its bytes back, as a user does who downloads it again: it is a new file to the system."""
        path.unlink(missing_ok=True)
        shutil.copy(self.master / "RAW" / path.name, path)
