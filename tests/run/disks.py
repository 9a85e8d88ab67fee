"""Small disks, and disks that are full."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = 4096


def mount(folder: Path, mounted: list[Path], size: str = "6m") -> None:
    """Put a small disk in a folder's place, with what the folder holds."""
    kept = folder.with_name(f"{folder.name}-kept")
    folder.mkdir(exist_ok=True)
    shutil.copytree(folder, kept)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("small disks cannot be mounted here (that takes the rights of the superuser)")
    mounted.append(folder)
    shutil.copytree(kept, folder, dirs_exist_ok=True, copy_function=shutil.copy2)
    shutil.rmtree(kept)


def fill(folder: Path, left: int = 0) -> Path:
    """Take all the room that is left, but for some bytes."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    os.truncate(filler, filler.stat().st_size // PAGE * PAGE - left)
    return filler
