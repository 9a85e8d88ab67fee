"""The commands that make a workspace and bring it up to date: init, run, status."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cuvee.cli.again import reproduction_json, reproduction_lines
from cuvee.cli.output import count, table, tell

if TYPE_CHECKING:
    from cuvee.reproduce import Reproduction
    from cuvee.run.start import Reporter, RunOptions, RunSummary

__all__ = ["Json", "Workspace", "at_workspace", "init", "run", "status", "trouble_lines"]

Workspace = Annotated[Path, typer.Option("--workspace", "-w", help="The workspace; here by default.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

_SHOWN = 20
"""Bad units and files that `run` lists; `status` lists all."""
_LONGEST_ID = 18
"""Digits of a catalogue id; 64 bits hold them."""


def init(
    workspace: Annotated[Path, typer.Argument(help="Folder to make.")],
    instrument: Annotated[str, typer.Option(help="tess, kepler (K2 too), cos, stis, or events.")] = "tess",
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
    from cuvee.errors import ConfigError
    from cuvee.instruments.registry import instrument as find_instrument

    photons = find_instrument(instrument).photons is not None  # a typo is found now, not at the first run
    if photons and catalog:
        raise ConfigError(f"{instrument} names its targets itself; leave --catalog out.")
    here = [str(Path(item).absolute()) for item in data or []] or ["RAW"]
    tables = [str(Path(item).absolute()) for item in catalog or []]
    path = write_workspace(workspace, instrument, here, tables, photons)
    if tables or photons:
        after = f"then: cuvee run{at_workspace(workspace)}"
    else:
        at = at_workspace(workspace)
        after = f"have images (cuvee acquire{at}) and a catalogue (cuvee catalog fetch tic{at}, or import FILE), then: cuvee run{at}"
    tell(f"Made {path}; look through it, {after}")


def run(
    workspace: Workspace = Path(),
    sector: Annotated[int | None, typer.Option(min=1, help="Only this TESS sector.")] = None,
    camera: Annotated[int | None, typer.Option(min=1, max=4, help="Only this TESS camera.")] = None,
    ccd: Annotated[int | None, typer.Option(min=1, max=4, help="Only this TESS CCD (with --camera).")] = None,
    star: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only the light curve of this star; may be given again.")
    ] = None,
    until: Annotated[str, typer.Option(help="Stop after this stage.")] = "",
    renew: Annotated[str, typer.Option(help="'reference' chooses the reference frames anew.")] = "",
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0: as cuvee.toml says.")] = 0,
    executor: Annotated[str, typer.Option(help="process or serial; empty: as cuvee.toml says.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done first.")] = False,
    reproduce: Annotated[
        str, typer.Option(metavar="RUN", help="Do that run again, here; SURVEY: its newest, SURVEY#3: run 3.")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the workspace up to date: light curves of every star in every frame.

    What [acquire] in cuvee.toml wants is fetched first, once; where [catalog] names "tic", the strips of the TIC on which
    the images lie, too.

    Again and again is fine: what is there and still true is left alone; a repaired or added frame remakes only what
    depends on it.

    With --star, only the detectors on which that star falls are measured, and only the light curves of its patch of the sky
    are put together: as a whole run does it, so that the next one goes on from there.

    With --reproduce, a run of another workspace is done again in an empty folder, from the same files and settings;
    every product is compared, and what differs is named with the input behind it.

    Exit code 0: all is well; 1: finished, but some files or units are bad, or not as in the run that was reproduced
    (listed); 2: your mistake; 3: the disk or the system; 130: interrupted.

    Example: cuvee run -w my-survey --sector 8 --camera 3 --ccd 4
    """
    from cuvee.cli.progress import TerminalReporter
    from cuvee.errors import EXIT_BAD_UNITS, ConfigError, CuveeError
    from cuvee.pipeline import PIPELINE
    from cuvee.reproduce import reproduce_run
    from cuvee.run.start import RunOptions, run_workspace

    if ccd is not None and camera is None:
        raise ConfigError("--ccd needs --camera, as in --camera 3 --ccd 4.")
    if renew not in ("", "reference"):
        raise ConfigError(f"--renew takes 'reference', not {renew!r}.")
    if executor not in ("", "process", "serial"):
        raise ConfigError(f"--executor takes process or serial, not {executor!r}.")
    stars = _star_ids(star or [])
    asked = {
        "--sector": sector,
        "--camera": camera,
        "--star": star,
        "--until": until,
        "--renew": renew,
        "--dry-run": dry_run,
    }
    if reproduce and (given := [name for name, value in asked.items() if value]):
        raise ConfigError(f"--reproduce does what was asked of that run; leave out {', '.join(given)}.")
    options = RunOptions(
        segment="" if sector is None else f"s{sector:04d}",
        detector="" if camera is None else f"{camera}-{'' if ccd is None else ccd}",
        stars=stars,
        until=until,
        renew_reference=renew == "reference",
        workers=workers,
        executor=executor,
        dry_run=dry_run,
        command=" ".join(sys.argv[1:]),
    )
    again: Reproduction | None = None
    wanting, warnings = list[str](), list[str]()
    with TerminalReporter(quiet or as_json) as reporter:
        try:
            if not reproduce and not dry_run:
                wanting = _acquire(workspace, reporter)
                absent, warnings = _fetch_strips(workspace, reporter, options)
                wanting += absent
            if reproduce:
                again = reproduce_run(workspace, reproduce, PIPELINE, options, reporter)
            summary = again.summary if again else run_workspace(workspace, PIPELINE, options, reporter)
        except CuveeError:
            for line in wanting:  # what did not come may be why nothing could be done
                typer.echo(f"cuvee: {line}", err=True)
            raise
        report = _draw(workspace, reporter) if summary.worked and not dry_run else ""
    if as_json:
        more = {"reproduction": reproduction_json(again)} if again else {}
        tell(json.dumps({**_summary_json(summary), **more}, indent=1))
    else:
        lines = [*_summary_lines(summary, workspace, dry_run, stars), *([report] if report else [])]
        tell("\n".join([*lines, *warnings, *wanting, *(reproduction_lines(again) if again else [])]))
    if not again.comparison.exact if again else summary.bad or summary.troubled or wanting:
        raise typer.Exit(EXIT_BAD_UNITS)


def _acquire(workspace: Path, reporter: Reporter) -> list[str]:
    """Fetch what [acquire] wants; return what has not come, in words. A run goes on with what is there."""
    from cuvee.config import load

    params = load(workspace).acquire
    if not (params.sector or params.target):
        return []
    from cuvee.acquire.configured import acquire_configured
    from cuvee.errors import TransientError

    try:
        outcome = acquire_configured(workspace, reporter)
    except TransientError as error:
        return [f"Nothing was fetched, and the run went on with what is there: {error.message}"]
    if outcome is None or outcome.complete:
        return []
    n, total = len(outcome.troubled()), len(outcome.manifest.files)
    why = outcome.offline or "; ".join(f"{len(files)} {state}" for state, files in outcome.trouble.items())
    return [
        f"Of {count(total, 'file')} that [acquire] wants {n} are not here ({why}); see: cuvee acquire{at_workspace(workspace)}"
    ]


def _fetch_strips(workspace: Path, reporter: Reporter, options: RunOptions) -> tuple[list[str], list[str]]:
    """Fetch the strips of the TIC that a run needs; return what has not come, and what nobody was asked for, in words."""
    from cuvee.config import load

    if not load(workspace).catalog.files:
        return [], []  # that is said by the run
    from cuvee.sky.strips import strips_for_run

    outcome = strips_for_run(workspace, reporter, options=options)
    if outcome is None or not outcome.trouble:
        return [], []
    pairs = [pair for some in outcome.trouble.values() for pair in some]
    what, see = count(len(pairs), "strip"), f"see: cuvee catalog fetch tic{at_workspace(workspace)}"
    if not outcome.offline and "wanted" in outcome.trouble:
        named = ", ".join(strip.stem for strip, _ in pairs)
        return [], [
            f"The stored TIC lacks {what} on which images lie ({named}), and stars there have no light curves; {see}"
        ]
    why = outcome.offline or "; ".join(f"{strip.stem}: {message}" for strip, message in pairs)
    return [f"{what} of the TIC did not come ({why}), and stars there have no light curves; {see}"], []


def _draw(workspace: Path, reporter: Reporter) -> str:
    """Write the page of the run and say where it is; whatever happens to a page, the run stands."""
    from cuvee.errors import CuveeError
    from cuvee.report import write_report
    from cuvee.survey import open_survey

    try:
        return f"Report: {write_report(open_survey(workspace), reporter=reporter)}"
    except KeyboardInterrupt:
        why = "interrupted"
    except CuveeError as error:
        why = error.message.rstrip(".")
    except Exception as error:  # a page is not worth a run
        why = f"unexpected {type(error).__name__}: {error}"
    return f"The run is complete, its report is not ({why}); try again with: cuvee report{at_workspace(workspace)}"


def at_workspace(workspace: Path) -> str:
    """Return the option that names the workspace, for commands that the user may copy."""
    return "" if workspace == Path() else f" -w {shlex.quote(str(workspace))}"


def _summary_json(summary: RunSummary) -> dict[str, object]:
    stages: dict[str, dict[str, int]] = {}
    for (stage, outcome), n in sorted(summary.counts.items()):
        stages.setdefault(stage, {})[outcome] = n
    room = summary.room
    return {
        "files": {"good": summary.n_files, "bad": len(summary.bad), "gone": summary.n_gone},
        "worked": summary.worked,
        "room": None if room is None else {"needs": dict(room.needs), "free": dict(room.free)},
        "stages": stages,
        "bad_files": [{"path": b.path, "reason": b.reason, "message": b.message} for b in summary.bad.values()],
        "troubled_units": [
            {"stage": r.stage, "unit": str(r.data_id), "outcome": r.outcome, "message": r.message}
            for r in summary.troubled
        ],
    }


def _star_ids(stars: Sequence[str]) -> tuple[int, ...]:
    """Return the catalogue ids that a user typed, each once."""
    from cuvee.errors import ConfigError

    ids = []
    for word in " ".join(stars).replace(",", " ").split():
        if not word.isdecimal() or len(word) > _LONGEST_ID:
            raise ConfigError(f"--star takes catalogue ids, as in --star 25155310, not {word!r}.")
        ids.append(int(word))
    return tuple(dict.fromkeys(ids))


def _summary_lines(summary: RunSummary, workspace: Path, dry_run: bool, stars: Sequence[int] = ()) -> list[str]:
    from cuvee.pipeline import PIPELINE

    def with_outcome(wanted: str) -> str:
        found = [(stage.name, summary.counts[stage.name, wanted]) for stage in PIPELINE]
        return ", ".join(f"{name} {n}" for name, n in found if n)

    files = count(summary.n_files, "file")
    if dry_run:
        todo = with_outcome("to do")
        lines = [f"To do now: {todo}; what follows from it is planned then." if todo else "Nothing to do."]
        if summary.room is not None:
            lines.append(summary.room.sentence)
            if lack := summary.room.lacking(1.0):
                lines.append(f"The disk may not suffice: {lack}")
    elif not summary.worked:
        as_they_are = sum(n for (_, outcome), n in summary.counts.items() if outcome in ("have", "no-work"))
        lines = [f"Nothing to do: {files} and {count(as_they_are, 'unit')} are as they should be."]
    else:
        lines = [f"Done: {with_outcome('done') or 'nothing'}."]
        if dropped := with_outcome("dropped"):
            lines.append(f"Dropped, because nothing calls for it any more: {dropped}.")
        if any(stage == "collect" and outcome in ("done", "have") for stage, outcome in summary.counts):
            lines.append(
                f"Look: cuvee status{at_workspace(workspace)}, cuvee show {stars[0] if stars else 'ID'}{at_workspace(workspace)}"
            )
    if summary.n_gone:
        lines.append(f"{count(summary.n_gone, 'file')} measured earlier, gone from disk since: the points stay.")
    troubled = [(r.stage, str(r.data_id), r.outcome, r.message) for r in summary.troubled]
    bad = [(b.reason, b.message) for b in summary.bad.values()]
    lines += trouble_lines(troubled[:_SHOWN], bad[:_SHOWN], len(troubled), len(bad), summary.n_files + len(bad))
    if max(len(troubled), len(bad)) > _SHOWN:
        lines.append(f"All of them: cuvee status{at_workspace(workspace)}")
    return lines


def trouble_lines(
    troubled: Sequence[tuple[str, str, str, str]],
    bad: Sequence[tuple[str, str]],
    n_troubled: int,
    n_bad: int,
    n_files: int,
) -> list[str]:
    """Say which units and files are in trouble, and why.

    Parameters
    ----------
    troubled : sequence of (stage, unit, outcome, message)
        Units to list.
    bad : sequence of (reason, message)
        Files to list.
    n_troubled, n_bad : int
        How many there are of each.
    n_files : int
        Number of raw files.
    """
    lines = []
    if n_troubled:
        lines.append(f"{count(n_troubled, 'unit')} could not be done:")
        lines += [f"  {outcome:9s} {stage} {unit}: {message}" for stage, unit, outcome, message in troubled]
    if n_bad:
        lines.append(f"{n_bad} of {count(n_files, 'file')} cannot be used; repair or remove, then run again:")
        lines += [f"  {reason:11s} {message}" for reason, message in bad]
    return lines


def status(workspace: Workspace = Path(), as_json: Json = False) -> None:
    """Show what has been done: units by stage and outcome, bad files and units with their reasons.

    Example: cuvee status -w my-survey
    """
    from cuvee.status import workspace_status
    from cuvee.survey import open_survey

    report = workspace_status(open_survey(workspace))
    if as_json:
        tell(json.dumps(report, indent=1))
        return
    if report["running"]:
        doing = f"a run is going on (process {report['running']})"
    elif not report["runs"]:
        tell(f"Nothing has been run yet; start with: cuvee run{at_workspace(workspace)}")
        return
    else:
        last = report["runs"][-1]
        doing = (
            f"last run finished {last['finished']}" if last["finished"] else f"the run of {last['started']} broke off"
        )
    files = f"{count(report['files'], 'good file')}"
    gone = f", {report['gone']} more measured and gone from disk" if report["gone"] else ""
    lines = [f"{count(report['light_curves'], 'light curve')} from {files}{gone}; {doing}."]
    outcomes = sorted({outcome for counts in report["stages"].values() for outcome in counts})
    rows = [
        [stage, *(str(counts.get(outcome, "")) for outcome in outcomes), f"{report['seconds'][stage]:.1f}"]
        for stage, counts in report["stages"].items()
    ]
    if rows:
        lines += ["", table(["stage", *outcomes, "seconds"], rows), ""]
    troubled = [(u["stage"], u["unit"], u["outcome"], u["message"]) for u in report["troubled_units"]]
    bad = [(b["reason"], b["message"]) for b in report["bad_files"]]
    lines += trouble_lines(troubled, bad, len(troubled), len(bad), report["files"] + len(bad))
    tell("\n".join(lines).rstrip())
