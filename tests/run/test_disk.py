"""The disk that a run needs is known before the work, and a run that cannot succeed is not begun."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.conftest import Cuvee, cuvee
from tests.run import stamps
from tests.run.workspaces import House, Listener, raw_files, run

from cuvee.run.disk.need import Room
from cuvee.simulate.tess import simulate

__all__ = ["cuvee"]  # the fixture

FACTOR = 1.5
"""What the estimate promises."""


def on_disk(root: Path) -> dict[str, int]:
    """Return the bytes of what cuvee wrote, by folder."""
    found = {
        folder: sum(p.stat().st_size for p in (root / folder).rglob("*") if p.is_file() and p.name != "catalog.csv")
        for folder in ("BASE", "RED", "LC")
    }
    return {**found, "the ledger": sum(path.stat().st_size for path in root.glob("cuvee*.db*"))}


def configure(root: Path, section: str, setting: str) -> None:
    path = root / "cuvee.toml"
    text = path.read_text()
    path.write_text(
        text.replace(f"[{section}]", f"[{section}]\n{setting}")
        if f"[{section}]" in text
        else f"{text}[{section}]\n{setting}\n"
    )


def room_of(cuvee: Cuvee, root: Path, *more: object) -> dict[str, Any]:
    answer = cuvee("run", "-w", root, "--executor", "serial", "--json", *more)
    assert answer.code == 0, answer
    room = json.loads(answer.out)["room"]
    assert isinstance(room, dict)
    return room


def agree(estimate: dict[str, int], grew: dict[str, int], *folders: str) -> None:
    """Check an estimate, folder by folder, and in all where it is an estimate of all."""
    for name in folders:
        print(f"{name}: estimated {estimate[name]}, written {grew[name]}, ratio {estimate[name] / grew[name]:.2f}")  # noqa: T201
        assert 1 / FACTOR < estimate[name] / grew[name] < FACTOR, name
    if "BASE" in folders:
        ratio = sum(estimate.values()) / sum(grew.values())
        print(f"in all, with the ledger: ratio {ratio:.2f}")  # noqa: T201
        assert 1 / FACTOR < ratio < FACTOR


@pytest.mark.parametrize(
    ("frames", "stars", "size", "settings"),
    [
        (300, 120, 160, []),
        (60, 700, 400, [("extract", "radii = [2.0]"), ("targets", "mag_limit = 14.0")]),
        (200, 300, 256, [("collect", "round_noise = 8"), ("extract", 'background = "annulus"')]),
        (100, 500, 256, [("extract", "psf = true")]),
        (100, 500, 256, [("extract", "k2p2 = true")]),
        (60, 700, 300, [("extract", "psf = true"), ("extract", "k2p2 = true"), ("extract", "halo = true")]),
    ],
)
def test_frames_take_what_was_estimated(
    cuvee: Cuvee, tmp_path: Path, frames: int, stars: int, size: int, settings: list[tuple[str, str]]
) -> None:
    root = tmp_path / "survey"
    simulate(root, frames=frames, stars=stars, size=size, seed=2)
    for section, setting in settings:
        configure(root, section, setting)
    foreseen = room_of(cuvee, root, "--dry-run")
    seen = room_of(cuvee, root)
    agree(foreseen["needs"], on_disk(root), "RED", "LC", "BASE")
    agree(seen["needs"], on_disk(root), "RED", "LC")
    free = shutil.disk_usage(root).free
    assert seen["free"]["RED"] == pytest.approx(free, rel=0.2)


@pytest.mark.parametrize(
    ("n", "n_frame", "settings"),
    [
        (60, 6, ""),
        (40, 300, ""),
        (40, 300, 'mask = "mask.npy"\n'),
        (40, 300, "psf = true\n"),
        (30, 300, "k2p2 = true\nhalo = true\nhalo_limit = 12.0\n"),
        (30, 60, "psf = true\nk2p2 = true\nhalo = true\n"),
    ],
)
def test_stamps_take_what_was_estimated(cuvee: Cuvee, tmp_path: Path, n: int, n_frame: int, settings: str) -> None:
    root = stamps.make_workspace(tmp_path / "survey", n, n_frame, config=f"[extract]\n{settings}")
    if "mask.npy" in settings:
        np.save(root / "mask.npy", np.ones((9, 9)))
    foreseen = room_of(cuvee, root, "--dry-run")
    seen = room_of(cuvee, root)
    agree(foreseen["needs"], on_disk(root), "RED", "LC", "BASE")
    agree(seen["needs"], on_disk(root), "RED", "LC")


def test_real_stamps_take_what_was_estimated(cuvee: Cuvee, tmp_path: Path, shared_data: Path) -> None:
    folder, root = shared_data / "tess_ic2391_s8_c3_ccd4", tmp_path / "survey"
    data, table = folder / "TPF*_S8C8.fits.gz", folder / "cluster_targets_tic.ecsv"
    cuvee("init", root, "--data", data, "--catalog", table)
    foreseen = room_of(cuvee, root, "--dry-run")
    room_of(cuvee, root)
    agree(foreseen["needs"], on_disk(root), "RED", "LC", "BASE")


def test_only_what_is_to_do_counts(cuvee: Cuvee, house: House) -> None:
    """One block of four is lost, and in the end it takes the place that it had; the light curves stay as they are."""
    root = house.finished()
    assert json.loads(cuvee("run", "-w", root, "--json").out)["room"] is None
    block = sorted(root.rglob("fluxes/*.arrow"))[1]
    size = block.stat().st_size
    block.unlink()
    foreseen = room_of(cuvee, root, "--dry-run")
    seen = room_of(cuvee, root)
    assert block.stat().st_size == size
    for room in (foreseen, seen):
        assert size / FACTOR < room["needs"]["RED"] < FACTOR * size
        assert room["needs"]["LC"] < 0.5 * on_disk(root)["LC"]  # nothing that was not there


def test_new_frames_need_a_block_and_longer_light_curves(house: House, tmp_path: Path) -> None:
    root = house.untouched()
    aside = tmp_path / "later"
    aside.mkdir()
    for path in raw_files(root)[150:]:
        shutil.move(path, aside)
    run(root)
    before = on_disk(root)
    for path in aside.iterdir():
        shutil.move(path, root / "RAW")
    room = run(root).room
    assert room is not None
    after = on_disk(root)
    grew = {name: after[name] - before[name] for name in before}
    agree(dict(room.needs), grew, "RED")
    assert 1 / FACTOR < room.needs["LC"] / grew["LC"] < FACTOR


def test_the_first_line_speaks_of_all_detectors(tmp_path: Path) -> None:
    """Stamps of sector 1 come before frames of sector 8; no star of the frames has been chosen when they are counted."""
    root = stamps.make_workspace(tmp_path / "survey", 12, 40)
    simulate(tmp_path / "frames", frames=140, stars=200, size=200, seed=2)
    path = root / "cuvee.toml"
    text = path.read_text().replace('["RAW"]', '["RAW", "../frames/RAW"]')
    path.write_text(text.replace('["stars.csv"]', '["stars.csv", "../frames/BASE/CAT/catalog.csv"]'))
    alone = run(root, dry_run=True, segment="s0001").room
    dry = run(root, dry_run=True).room
    listener = Listener()
    summary = run(root, listener)
    assert {key[0] for key in summary.counts} >= {"extract", "extract-series"}
    room = summary.room
    assert room is not None
    assert alone is not None
    assert dry is not None
    assert [line for line in listener.said if line.startswith("Needs")] == [room.sentence]
    agree(dict(room.needs), on_disk(root), "RED")
    agree(dict(dry.needs), on_disk(root), "RED")
    assert alone.needs["RED"] < 0.2 * room.needs["RED"]

    configure(root, "keep", "flux_blocks = false")
    for folder in ("RED", "LC", "BASE"):
        shutil.rmtree(root / folder)
    (root / "cuvee.db").unlink()
    frugal = run(root).room
    assert frugal is not None
    # One detector's blocks at a time: those of the frames, which are the most.
    assert frugal.needs["RED"] == pytest.approx(room.needs["RED"] - alone.needs["RED"], rel=0.1)


def room(red: int, lc: int, frugal: int, disks: tuple[int, int] = (1, 1), free: tuple[int, int] = (1000, 1000)) -> Room:
    return Room(
        {"RED": red, "LC": lc},
        dict(zip(("RED", "LC"), free, strict=True)),
        dict(zip(("RED", "LC"), disks, strict=True)),
        frugal,
    )


def test_words() -> None:
    one = room(3_240_000_000, 1_130_000_000, 1_300_000_000, free=(210_400_000_000,) * 2)
    assert one.sentence == "Needs about 3.2 GB in RED and 1.1 GB in LC; 210 GB are free."
    assert one.lacking(1.0) == ""
    assert room(0, 0, 0).sentence == "Needs about no more than it replaces; 1.0 kB are free."
    small = room(3_240_000_000, 1_130_000_000, 1_300_000_000, free=(2_000_000_000,) * 2)
    assert small.lacking(0.5).startswith(
        "about 4.4 GB are needed in RED and LC, but only 2.0 GB are free; free space, or "
    )
    assert "[keep] flux_blocks = false, which needs about 1.3 GB in all" in small.lacking(0.5)
    # Together they would do; each on its own disk, one lacks.
    two = room(3_000_000, 1_000_000, 3_900_000, disks=(1, 2), free=(2_500_000, 90_000_000))
    assert two.sentence == "Needs about 3.0 MB in RED and 1.0 MB in LC; free are 2.5 MB for RED, 90 MB for LC."
    assert two.lacking(0.5) == ""
    assert two.lacking(1.0).startswith("about 3.0 MB are needed in RED, but only 2.5 MB are free;")
    assert "flux_blocks" not in two.lacking(1.0)


@pytest.mark.parametrize(("size", "begun"), [("1m", False), ("2500k", True)])
def test_a_disk_that_is_too_small(house: House, tmp_path: Path, size: str, begun: bool) -> None:
    """A real, small file system for RED: hopeless is refused before the work; doubtful is told, and tried."""
    disk = tmp_path / "small"
    disk.mkdir()
    mount = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs -o size={size} none {disk} && exec "$@"',
        "sh",
    ]
    if shutil.which("unshare") is None or subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here, not even a private one")
    root = house.untouched()
    configure(root, "workspace", f'red = "{disk}"')
    words = [sys.executable, "-c", "from cuvee.cli import main; main()", "run", "-w", str(root), "--executor", "serial"]
    done = subprocess.run([*mount, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    *news, last = done.stderr.splitlines()
    doubt = [line for line in news if line.startswith("The disk may not suffice: about 3.8 MB are needed in ")]
    assert bool(doubt) == begun
    if begun:
        assert "No space left" in last
    else:
        assert last.startswith(f"cuvee: The disk does not suffice: about 3.8 MB are needed in {disk}, but only ")
        assert "move red or lc in [workspace] to a larger disk" in last
        assert not any(line.startswith("extract ") for line in news)
