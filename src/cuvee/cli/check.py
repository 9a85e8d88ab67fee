"""The command that looks at raw files: verify."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cuvee.cli.output import count, tell
from cuvee.cli.reduce import Json, Workspace

if TYPE_CHECKING:
    from cuvee.verify import Report

__all__ = ["verify"]

_SHOWN = 20
"""Files of each sort that are listed; --json has all."""


def verify(
    workspace: Workspace = Path(),
    full: Annotated[bool, typer.Option("--full", help="Read all bytes: sums, hashes, blank images.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Fetch what is missing or broken, and only that.")] = False,
    listed: Annotated[
        Path | None, typer.Option("--list", help="Files there should be: a bulk script, a record, or names.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="With --repair: ask for files in quarantine, too.")] = False,
    archive: Annotated[str, typer.Option(help="Address of a mirror of the archive.")] = "",
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0: as cuvee.toml says.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
    as_json: Json = False,
) -> None:
    """Look at every raw file: what is missing, broken, or foreign.

    Without --full only headers are read: each file must be FITS from its first byte to its last, and what its headers say must fit
    its name. With --full all bytes are: sums must hold where those of the sector's other files do, images must show something,
    and bytes must be those that came, and those that a run measured.

    With --repair a broken file is put aside, under its name with .wrong behind it, until a sound one has come.

    Exit code 0: all files are there and whole; 1: some are not (listed).

    Example: cuvee verify --full --repair -w my-survey
    """
    from cuvee.acquire.api import archive_at
    from cuvee.cli.progress import TerminalReporter
    from cuvee.config import load
    from cuvee.errors import EXIT_BAD_UNITS
    from cuvee.verify import read_list, verify
    from cuvee.verify import repair as fetch_again

    names = read_list(listed) if listed is not None else set()
    with TerminalReporter(quiet or as_json) as reporter:
        report = verify(workspace, reporter, full, names, workers)
        if repair and not report.whole:
            settings = load(workspace).acquire
            with archive_at(archive or settings.archive) as source:
                fetch_again(workspace, report, source, reporter, again)
    if as_json:
        tell(json.dumps({**asdict(report), "whole": report.whole}, indent=1))
    else:
        text = "\n".join(_lines(report, workspace, repair))
        tell(text.replace(f"{workspace.resolve()}/", ""))
    if not report.whole:
        raise typer.Exit(EXIT_BAD_UNITS)


def _lines(report: Report, workspace: Path, repaired: bool) -> list[str]:
    sizes = (
        f", {report.n_byte / 1e9:.3g} GB, {report.n_byte / 1e6 / max(report.seconds, 1e-3):,.0f} MB/s"
        if report.full
        else ""
    )
    lines = [f"{count(report.n_file, 'file')} looked at in {report.seconds:.1f} s{sizes}."]
    if report.full:
        lines.append(f"Sums hold in {count(report.n_sum, 'file')}.")
    if report.repaired:
        lines.append(f"{count(len(report.repaired), 'file')} fetched again and whole now.")
    if report.missing:
        lines += ["", f"Missing: {count(len(report.missing), 'file')}", *_some(report.missing)]
    if report.broken:
        told = [f"{one.reason}: {one.message}" for one in report.broken]
        lines += ["", f"Broken: {count(len(report.broken), 'file')}", *_some(told)]
    if report.foreign:
        lines += ["", f"Foreign: {count(len(report.foreign), 'file')} that cuvee leaves alone", *_some(report.foreign)]
    if report.doubted:
        what = "whose sums do not hold, which proves nothing: too few of their kind have sums that do"
        lines += ["", f"Doubtful: {count(len(report.doubted), 'file')} {what}", *_some(report.doubted)]
    if report.replaced:
        what = "newer than the run that measured them; cuvee run measures them as they are now"
        lines += ["", f"Replaced: {count(len(report.replaced), 'file')} {what}", *_some(report.replaced)]
    if report.unrepaired:
        lines += ["", f"Not repaired: {count(len(report.unrepaired), 'file')}", *_some(report.unrepaired)]
    if report.whole:
        lines.append("All files are there and whole." if report.n_file else "There are no files.")
    elif not repaired:
        lines += ["", f"Fetch them again with: cuvee verify --repair{' --full' if report.full else ''} -w {workspace}"]
    return lines


def _some(items: list[str]) -> list[str]:
    more = [f"  and {len(items) - _SHOWN} more; --json lists all"] if len(items) > _SHOWN else []
    return [*(f"  {item}" for item in items[:_SHOWN]), *more]
