"""Every fault in every situation: what is done to a file, what must come of it, and whether it does.

``python -m tests.run.fault_table`` prints the table; `tests.run.test_fault_table` holds the project to it.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
from astropy.io import fits
from tests.run import damages as d
from tests.run.stamps import make_workspace, position
from tests.run.workspaces import own, product_bytes

from cuvee.cli import main
from cuvee.model.flags import NAN_PIXEL
from cuvee.simulate import faults
from cuvee.simulate.params import PLAIN
from cuvee.simulate.tess import simulate
from cuvee.store.atomic import TEMPORARY_SUFFIX
from cuvee.survey import open_survey

FRAMES, MEMBERS = 40, 32
"""The reference set is the middle 32 of 40 frames, so the second frame is none of it."""
OTHER, MIDDLE = 1, 20
"""A frame like any other, and the one whose WCS places the stars."""
STAMPS = 4

SITUATIONS = ("first run", "rerun", "repaired", "later", "rerun again", "repaired again")
"""The fault is there from the start; nothing has changed since; the good file is back. Then the same where the fault
comes to a survey that was good."""

Point = tuple[Any, ...]


# -- what must come of it -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """One row of the table.

    Parameters
    ----------
    name : str
        What is wrong.
    damage : callable
        Does it to a file.
    reason : str
        Why the file is set aside; empty where it is used all the same.
    lost : bool
        Whether its points are missing, and no others.
    flag : int
        Bit that some of its points have, and no others.
    moves : float
        How far stars may move (px), and all points change with that.
    where : str
        Which file: ``other``, ``middle`` (its WCS places the stars), ``copy`` (a new one), ``all``.
    exit : int
        Exit code while the fault is there.
    says : str
        What the answer says where no file is set aside.
    """

    name: str
    damage: Callable[[Path], None]
    reason: str = ""
    lost: bool = True
    flag: int = 0
    moves: float = 0.0
    where: str = "other"
    exit: int = 1
    says: str = ""


def bytes_faults(card: bytes) -> list[Fault]:
    """Return what may happen to the bytes of any FITS file; ``card`` is one whose value is believed."""
    return [
        Fault("truncated", d.cut(0.3), "truncated"),
        Fault("zero-byte", faults.zero_byte, "empty"),
        Fault("HTML", faults.replace_by_html, "not-fits"),
        Fault("header bit: BITPIX", d.header_bit(b"BITPIX", 1), "header"),
        Fault(f"header bit: {card.decode()}", d.header_bit(card, 0), "checksum"),
        Fault("pixel bit", d.pixel_bit, "checksum"),
    ]


def used(name: str, damage: Callable[[Path], None], **words: Any) -> Fault:
    """Return a fault that costs nothing."""
    return Fault(name, damage, lost=False, exit=0, **words)


def double(name: str, damage: Callable[[Path], None]) -> Fault:
    """Return a fault that is a second file."""
    return Fault(name, damage, "duplicate", lost=False, where="copy")


CONTRACT: dict[str, list[Fault]] = {
    "frames": [
        *bytes_faults(b"TSTART"),
        Fault("truncated behind the image", d.cut(0.7), "truncated"),
        Fault("header bit: FFIINDEX", d.header_bit(b"FFIINDEX", 0, extension=False), "clock"),
        Fault("header overwritten", faults.damage_header, "header"),
        Fault("wrong shape", faults.wrong_shape, "wrong-shape"),
        Fault("all NaN", faults.all_nan, "all-nan"),
        used("some NaN", d.edit(d.some_nan), flag=NAN_PIXEL),
        double("duplicate, same content", d.copy_beside(None)),
        double("duplicate, other content", d.copy_beside(d.edit(d.brighten))),
        Fault("future cadence", d.edit(d.shift_cadence), "clock"),
        Fault("future time", d.edit(d.shift_times(3650.0)), "clock"),
        Fault("future cadence and time", d.edit(d.shift_both), "clock"),
        Fault("clock jump", d.edit(d.shift_times(-1.0 / 24.0)), "clock"),
        used("missing WCS", faults.strip_wcs),
        Fault("missing WCS in all", faults.strip_wcs, where="all", says="has a WCS"),
        used("wrong WCS", d.edit(d.move_wcs)),
        used("wrong WCS of the middle", d.edit(d.move_wcs), moves=0.3, where="middle"),
    ],
    "frames .gz": [
        *bytes_faults(b"TSTART"),
        used("truncated behind the image", d.cut(0.7)),  # nobody unpacks what is not measured
    ],
    "frames .fz": bytes_faults(b"TSTART"),
    "stamps": [
        *bytes_faults(b"1CRVL4"),
        Fault("wrong shape", d.edit(d.without_pixels), "wrong-shape"),
        Fault("all NaN", d.edit(d.nan_stamp), "all-nan"),
        used("some NaN", d.edit(d.some_nan_stamp), flag=NAN_PIXEL),
        double("duplicate, same content", d.copy_into_folder(None)),
        double("duplicate, other content", d.copy_into_folder(d.edit(d.some_nan_stamp))),
        Fault("future time", d.edit(d.shift_stamp), "clock"),
        used("clock jump", d.edit(d.jump_of_one_time)),
        Fault("clock jump in the names", d.edit(d.jump_of_one_name), "clock"),
        Fault("missing WCS", d.edit(d.strip_stamp_wcs), "header"),
        Fault("wrong WCS", d.edit(d.move_stamp_wcs), "header"),
    ],
}


# -- surveys --------------------------------------------------------------------------------------------------------


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


MAKERS: dict[str, Callable[[Path], None]] = {
    "frames": make_frames,
    "frames .gz": lambda root: make_frames(root, squeeze),
    "frames .fz": lambda root: make_frames(root, pack),
    "stamps": make_stamps,
}


def _copy(source: Path, target: Path) -> None:
    """Copy a workspace; raw files are linked, so that the ledger knows them again."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("RAW"))
    shutil.copytree(source / "RAW", target / "RAW", copy_function=os.link)


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

    def targets(self, fault: Fault) -> list[Path]:
        """Return the files that a fault is about."""
        raw = self.root / "RAW"
        if fault.where == "all":
            return [raw / name for name in self.names]
        return [raw / self.names[MIDDLE if fault.where == "middle" else OTHER]]

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


# -- the judgement --------------------------------------------------------------------------------------------------


@dataclass
class Cell:
    """What came of a fault in one situation.

    Parameters
    ----------
    text : str
        What was seen, in a few words.
    wrong : list of str
        In which points it is not what the contract says.
    """

    text: str = ""
    wrong: list[str] = field(default_factory=list)

    def expect(self, right: bool, complaint: str) -> None:
        if not right:
            self.wrong.append(complaint)


def judge(survey: Survey, fault: Fault, files: list[Path], mended: bool, idle: bool) -> Cell:
    """Run, and compare what comes out with the contract."""
    cell = Cell()
    code, answer, err = survey.run()
    cell.expect(err == "", f"complains: {err.strip()[-300:]}")
    bad = {Path(one["path"]).name: one["reason"] for one in answer.get("bad_files", ())}
    units = [one["message"] for one in answer.get("troubled_units", ())]
    reasons = sorted(set(bad.values()))
    cell.text = f"{' '.join(reasons) or ('blocked' if units else 'fine' if mended else 'used')} {code}"
    cell.expect(code == (0 if mended else fault.exit), f"exit code {code}")
    expected = {}
    if not mended and fault.reason:
        raw = survey.root / "RAW"
        copies = [path for path in raw.rglob("*.*") if path.parent != raw or path.name not in survey.names]
        expected = {path.name: fault.reason for path in (copies if fault.where == "copy" else files)}
    cell.expect(bad == expected, f"set aside: {bad}")
    cell.expect(
        not units or (not mended and bool(fault.says) and fault.says in " ".join(units)), f"in trouble: {units}"
    )
    cell.expect(not idle or answer.get("worked") == 0, f"{answer.get('worked')} units done again")
    status, out, err = call("status", "-w", survey.root)
    cell.expect(status == 0 and all(word in out for word in (*bad, *reasons)) and err == "", f"status: {out}{err}")
    rest = list(survey.root.rglob(f"*{TEMPORARY_SUFFIX}"))
    cell.expect(not rest and not (survey.root / "REDTEMP" / "errors").exists(), "leaves something behind")
    _judge_points(cell, survey, fault, {path.name for path in files}, mended)
    return cell


def _judge_points(cell: Cell, survey: Survey, fault: Fault, names: set[str], mended: bool) -> None:
    points = points_of(survey.root)
    missing = len(survey.points.keys() - points.keys())
    cell.text += f" -{missing}" if missing else ""
    if mended:
        cell.expect(product_bytes(survey.root) == survey.bytes, "LC and RED are not those of a good survey")
        cell.expect(points == survey.points, "the points are not those of a good survey")
        return
    own = {key for key in survey.points if survey.source[key] in names}
    if fault.lost:
        cell.expect(set(points) == set(survey.points) - own, f"{len(points)} of {len(survey.points)} points")
    else:
        cell.expect(set(points) == set(survey.points), f"{len(points)} of {len(survey.points)} points")
    if fault.moves:
        away = max(abs(was - now) for was, now in zip(survey.places, places_of(survey.root), strict=True))
        cell.expect(0.0 < away < fault.moves, f"stars have moved by {away:.3f} px")
        return
    same = [key for key in points if key not in own or not fault.flag]
    cell.expect(all(points[key] == survey.points.get(key) for key in same), "other points have changed")
    if fault.flag:
        cell.expect(any(points[key][-1] & fault.flag for key in own & set(points)), "no point is flagged")


def row(survey: Survey, fault: Fault) -> list[Cell]:
    """Judge one fault in all situations."""
    cells = []
    ways = []
    for finished in (False, True):
        survey.begin(finished)
        files = survey.targets(fault)
        for path in files:
            fault.damage(path if fault.where == "copy" else own(path))
        cells.append(judge(survey, fault, files, mended=False, idle=False))
        ways.append(product_bytes(survey.root))
        cells.append(judge(survey, fault, files, mended=False, idle=True))
        survey.repair()
        cells.append(judge(survey, fault, files, mended=True, idle=False))
    cells[3].expect(ways[0] == ways[1], "LC and RED are not those of a survey that had the fault from the start")
    return cells


def table() -> Iterator[tuple[str, str, list[Cell]]]:
    """Judge every fault of the contract; yields kind of file, fault and cells."""
    for kind, rows in CONTRACT.items():
        with TemporaryDirectory(prefix="cuvee-faults-") as folder:
            survey = Survey(kind, Path(folder))
            for fault in rows:
                yield kind, fault.name, row(survey, fault)


def lines(rows: list[tuple[str, str, list[Cell]]]) -> list[str]:
    """Return the table as text, with a verdict."""
    width = max(len(name) for _, name, _ in rows)
    out = [f"{'':10s}  {'fault':{width}s}  " + "  ".join(f"{name:16s}" for name in SITUATIONS)]
    wrong = []
    for kind, name, cells in rows:
        texts = [f"{'' if not cell.wrong else 'WRONG '}{cell.text}" for cell in cells]
        out.append(f"{kind:10s}  {name:{width}s}  " + "  ".join(f"{text:16s}" for text in texts))
        wrong += [
            f"{kind}, {name}, {where}: {'; '.join(cell.wrong)}"
            for where, cell in zip(SITUATIONS, cells, strict=True)
            if cell.wrong
        ]
    n = sum(len(cells) for _, _, cells in rows)
    verdict = "every one as the contract says." if not wrong else f"{len(wrong)} not as the contract says:"
    legend = (
        "What was said, the exit code, and how many points of all stars are missing. All other points are the same bit by bit, but for "
        "those of some NaN, and but for the middle's wrong WCS: then a neighbour's places the stars, less than 0.3 px away."
    )
    return [*out, "", legend, f"{len(rows)} faults in {len(SITUATIONS)} situations, {n} outcomes: {verdict}", *wrong]


if __name__ == "__main__":
    found = list(table())
    print("\n".join(lines(found)))  # noqa: T201 - that is what it is for
    sys.exit(any(cell.wrong for *_, cells in found for cell in cells))
