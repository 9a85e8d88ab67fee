"""The commands that make a workspace and bring it up to date: init, run, status."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cuvee.run.drive import RunSummary

__all__ = ["Workspace", "init", "run", "status"]

Workspace = Annotated[Path, typer.Option("--workspace", "-w", help="The workspace; here by default.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def init(
    workspace: Annotated[Path, typer.Argument(help="Folder to make.")],
    instrument: Annotated[str, typer.Option(help="tess or kepler (K2 too).")] = "tess",
    data: Annotated[
        list[str] | None, typer.Option(help="Folder, file or 'glob' of raw data; may be given again. They stay there.")
    ] = None,
    catalog: Annotated[
        list[str] | None, typer.Option(help="Table of stars (TIC rows, csv, ecsv, FITS, Parquet); may be given again.")
    ] = None,
) -> None:
    """Make a workspace with a commented cuvee.toml.

    Example: cuvee init my-survey --data '/data/s0008/*_ffic.fits' --catalog tic.csv
    """
    from cuvee.config import write_workspace
    from cuvee.instruments.registry import instrument as find_instrument

    find_instrument(instrument)  # a typo is found now, not at the first run
    here = [str(Path(item).absolute()) for item in data or []] or ["RAW"]
    tables = [str(Path(item).absolute()) for item in catalog or []]
    path = write_workspace(workspace, instrument, here, tables)
    if tables:
        after = f"then: cuvee run -w {workspace}"
    else:
        after = f"name a catalogue in [catalog] files there, then: cuvee run -w {workspace}"
    typer.echo(f"Made {path}; look through it, {after}")


def run(
    workspace: Workspace = Path(),
    sector: Annotated[int | None, typer.Option(min=1, help="Only this TESS sector.")] = None,
    camera: Annotated[int | None, typer.Option(min=1, max=4, help="Only this TESS camera.")] = None,
    ccd: Annotated[int | None, typer.Option(min=1, max=4, help="Only this TESS CCD (with --camera).")] = None,
    until: Annotated[str, typer.Option(help="Stop after this stage.")] = "",
    renew: Annotated[str, typer.Option(help="'reference' chooses the reference frames anew.")] = "",
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0: as cuvee.toml says.")] = 0,
    executor: Annotated[str, typer.Option(help="process or serial; empty: as cuvee.toml says.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done first.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the workspace up to date: light curves of every star in every frame.

    Again and again is fine: what is there and still true is left alone; a repaired or added frame remakes only
    what depends on it. Exit code 0: all is well; 1: finished, but some files or units are bad (listed).

    Example: cuvee run -w my-survey --sector 8 --camera 3 --ccd 4
    """
    from cuvee.cli.progress import TerminalReporter
    from cuvee.errors import EXIT_BAD_UNITS, ConfigError
    from cuvee.pipeline import PIPELINE
    from cuvee.run.drive import RunOptions, run_workspace

    if ccd is not None and camera is None:
        raise ConfigError("--ccd needs --camera, as in --camera 3 --ccd 4.")
    if renew not in ("", "reference"):
        raise ConfigError(f"--renew takes 'reference', not {renew!r}.")
    if executor not in ("", "process", "serial"):
        raise ConfigError(f"--executor takes process or serial, not {executor!r}.")
    options = RunOptions(
        segment="" if sector is None else f"s{sector:04d}",
        detector="" if camera is None else f"{camera}-{'' if ccd is None else ccd}",
        until=until,
        renew_reference=renew == "reference",
        workers=workers,
        executor=executor,
        dry_run=dry_run,
        command=" ".join(sys.argv[1:]),
    )
    with TerminalReporter(quiet or as_json) as reporter:
        summary = run_workspace(workspace, PIPELINE, options, reporter)
    pictures = _draw(workspace) if summary.worked and not dry_run else []
    if as_json:
        typer.echo(json.dumps(_summary_json(summary), indent=1))
    else:
        _print_summary(summary, workspace, dry_run)
        for picture in pictures:
            typer.echo(f"Scatter against magnitude: {picture}")
    if summary.bad or summary.troubled:
        raise typer.Exit(EXIT_BAD_UNITS)


def _draw(workspace: Path) -> list[Path]:
    from cuvee.quicklook import draw_run
    from cuvee.survey import open_survey

    survey = open_survey(workspace)
    return draw_run(survey.paths, survey.instrument, survey.config.extract.radii)


def _summary_json(summary: RunSummary) -> dict[str, object]:
    stages: dict[str, dict[str, int]] = {}
    for (stage, outcome), n in sorted(summary.counts.items()):
        stages.setdefault(stage, {})[outcome] = n
    return {
        "files": {"good": summary.n_files, "bad": len(summary.bad)},
        "stages": stages,
        "bad_files": [{"path": b.path, "reason": b.reason, "message": b.message} for b in summary.bad.values()],
        "troubled_units": [
            {"stage": r.stage, "unit": str(r.data_id), "outcome": r.outcome, "message": r.message}
            for r in summary.troubled
        ],
    }


def _print_summary(summary: RunSummary, workspace: Path, dry_run: bool) -> None:
    if dry_run:
        todo = {stage: n for (stage, outcome), n in summary.counts.items() if outcome == "to do" and n}
        first = ", ".join(f"{stage} {n}" for stage, n in todo.items())
        typer.echo(f"To do now: {first}; what follows from it is planned then." if todo else "Nothing to do.")
    elif not summary.worked:
        n = sum(summary.counts.values())
        typer.echo(f"Nothing to do: {summary.n_files} files and {n} units are as they should be.")
    else:
        done = {stage: n for (stage, outcome), n in summary.counts.items() if outcome == "done"}
        what = ", ".join(f"{stage} {n}" for stage, n in done.items()) or "nothing"
        typer.echo(f"Done: {what}. Next: cuvee status -w {workspace}; cuvee show ID -w {workspace}")
    for receipt in summary.troubled[:20]:
        typer.echo(f"  {receipt.outcome:9s} {receipt.stage} {receipt.data_id}: {receipt.message}")
    if len(summary.troubled) > 20:
        typer.echo(f"  ... and {len(summary.troubled) - 20} more units; see cuvee status")
    if summary.bad:
        typer.echo(f"{len(summary.bad)} of {summary.n_files + len(summary.bad)} files cannot be used:")
        for bad in list(summary.bad.values())[:20]:
            typer.echo(f"  {bad.reason:11s} {Path(bad.path).name}: {bad.message}")
        if len(summary.bad) > 20:
            typer.echo(f"  ... and {len(summary.bad) - 20} more; see cuvee status")


def status(workspace: Workspace = Path(), as_json: Json = False) -> None:
    """Show what has been done: units by stage and outcome, bad files and units with their reasons.

    Example: cuvee status -w my-survey
    """
    from rich.console import Console
    from rich.table import Table

    from cuvee.status import workspace_status
    from cuvee.survey import open_survey

    report = workspace_status(open_survey(workspace))
    if as_json:
        typer.echo(json.dumps(report, indent=1))
        return
    console = Console(highlight=False)
    if not report["runs"]:
        console.print(f"Nothing has been run yet; start with: cuvee run -w {workspace}")
        return
    last = report["runs"][-1]
    state = "finished" if last["finished"] else "running or interrupted"
    console.print(
        f"{report['light_curves']} light curves; {report['files']} good files; last run {last['started']} ({state})"
    )
    outcomes = sorted({outcome for counts in report["stages"].values() for outcome in counts})
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    for outcome in outcomes:
        table.add_column(outcome, justify="right")
    table.add_column("seconds", justify="right")
    for stage, counts in report["stages"].items():
        row = [str(counts.get(outcome, "")) for outcome in outcomes]
        table.add_row(stage, *row, f"{report['seconds'].get(stage, 0.0):.1f}")
    console.print(table)
    for unit in report["troubled_units"]:
        console.print(f"{unit['outcome']}: {unit['stage']} {unit['unit']}: {unit['message']}", soft_wrap=True)
    if report["bad_files"]:
        console.print(f"{len(report['bad_files'])} files cannot be used; repair or remove them, then run again:")
        for bad in report["bad_files"]:
            console.print(f"  {bad['reason']:11s} {bad['message']}", soft_wrap=True)
