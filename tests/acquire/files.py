"""Files as an archive has them, made by astropy, and workspaces that fetch from an archive on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from cuvee.acquire.outcome import Outcome
from cuvee.acquire.wire import Patience
from cuvee.config import write_workspace
from cuvee.testing.archive import LoopbackArchive

HASTY = Patience(tries=4, first=0.01, longest=0.04, connect=5.0, stall=0.4, slowest=200_000.0, executing=0.5)
"""Patience for tests: each fault of a menu is met within a second or two."""


def ffi_name(k: int, sector: int = 1, camera: int = 1, ccd: int = 4) -> str:
    """The name of the k-th full-frame image of a detector."""
    return f"tess2018206{k // 3600:02d}{k // 60 % 60:02d}{k % 60:02d}-s{sector:04d}-{camera}-{ccd}-0120-s_ffic.fits"


def write_fits(path: Path, seed: int, side: int = 64, checksum: bool = True) -> bytes:
    """Write a file with one image, with the sums that SPOC leaves, and return its bytes."""
    rng = np.random.default_rng(seed)
    image = fits.ImageHDU(rng.normal(1000.0, 50.0, (side, side)).astype(np.float32), name="IMAGE")
    primary = fits.PrimaryHDU()
    primary.header["NEXTEND"] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([primary, image]).writeto(path, checksum=checksum)
    return path.read_bytes()


def make_shelf(folder: Path, names: Sequence[str], side: int = 64, checksum: bool = True) -> dict[str, bytes]:
    """Write files, each with pixels of its own, and return their bytes by name."""
    return {name: write_fits(folder / name, seed, side, checksum) for seed, name in enumerate(names)}


def make_workspace(folder: Path, archive: LoopbackArchive, **more: object) -> Path:
    """Make a workspace whose archive is the one on this machine."""
    path = write_workspace(folder, "tess", ["RAW"], [])
    lines = [f'archive = "{archive.url}"', *(f"{key} = {str(value).lower()}" for key, value in more.items())]
    path.write_text(path.read_text().replace('# archive = ""', "\n".join(lines)))
    return folder


def here(root: Path) -> dict[str, bytes]:
    """The files below RAW, by name, whatever they are called."""
    return {path.name: path.read_bytes() for path in (root / "RAW").rglob("*") if path.is_file()}


def whole_downloads(archive: LoopbackArchive, name: str) -> int:
    """How often the archive sent a file from its first byte to its last."""
    size = archive.site.shelf.paths[name].stat().st_size
    return sum(r.method == "GET" and r.name == name and r.status == 200 and r.sent >= size for r in archive.requests)


def names_in_trouble(outcome: Outcome, *states: str) -> set[str]:
    """Files that are named as not there."""
    return {file.name for file, _ in outcome.troubled(*states)}
