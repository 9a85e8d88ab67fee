"""Every fault in every situation: what is done to a file, what must come of it, and whether it does.

``python -m tests.run.fault_table`` prints the table; `tests.run.test_fault_table` holds the project to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.run import damages as d
from tests.run.fault_surveys import Survey, call, places_of, points_of
from tests.run.workspaces import own, product_bytes

from cuvee.model.flags import NAN_PIXEL
from cuvee.simulate import faults
from cuvee.store.atomic import TEMPORARY_SUFFIX

SITUATIONS = ("first run", "rerun", "repaired", "later", "rerun again", "repaired again")
"""The fault is there from the start; nothing has changed since; the good file is back. Then the same where the fault
comes to a survey that was good."""


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
        files = survey.targets(fault.where)
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
