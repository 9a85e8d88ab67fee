"""The command that fetches files from an archive: acquire."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cuvee.cli.output import count, table, tell
from cuvee.cli.progress import duration
from cuvee.cli.reduce import Json, Workspace

if TYPE_CHECKING:
    from cuvee.acquire import Found, Manifest, Outcome, Query, Wanted
    from cuvee.config import AcquireParams, Config

__all__ = ["Mission", "acquire"]

_SHOWN = 20
"""Files in trouble that are listed; the record has all."""

_WORDS = {
    "missing": "the archive does not have",
    "broken": "came, but not sound:",
    "changed": "the archive has changed since, so not taken:",
    "failed": "did not come:",
    "quarantined": "in quarantine, because nothing sound ever came (--again asks for it once more):",
    "wanted": "not here:",
}


class Mission(enum.StrEnum):
    """Whose files."""

    TESS = "tess"
    KEPLER = "kepler"
    HST = "hst"


def acquire(
    mission: Annotated[
        Mission | None, typer.Argument(help="Whose files; without, what [acquire] in cuvee.toml says.")
    ] = None,
    workspace: Workspace = Path(),
    sector: Annotated[list[str] | None, typer.Option(help="TESS: sectors, as 1, 1-3 or 1,5.")] = None,
    camera: Annotated[int, typer.Option(min=0, max=4, help="TESS frames: of this camera; 0: all.")] = 0,
    ccd: Annotated[int, typer.Option(min=0, max=4, help="TESS frames: of this CCD of the camera; 0: all.")] = 0,
    target: Annotated[list[str] | None, typer.Option(help="Star: TIC, KIC, EPIC or name; may be given again.")] = None,
    product: Annotated[
        list[str] | None,
        typer.Option(help="Kind of file: ffic, ffir, lc, tp, fast-lc, fast-tp, dv, cbv; HST: corrtag, x1d ..."),
    ] = None,
    instrument: Annotated[str, typer.Option(help="HST: cos or stis.")] = "",
    programme: Annotated[str, typer.Option(help="HST: number of the observing programme.")] = "",
    grating: Annotated[str, typer.Option(help="HST: for example G130M.")] = "",
    time_tag: Annotated[bool, typer.Option("--time-tag", help="HST: only exposures that list photons.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Only files that are neither here nor in quarantine.")] = False,
    where: Annotated[
        list[str] | None, typer.Option(help="column=value, column=min..max or column=wild*; may be given again.")
    ] = None,
    columns: Annotated[bool, typer.Option("--columns", help="List what --where can filter on.")] = False,
    only_list: Annotated[bool, typer.Option("--list", help="List the files; fetch nothing.")] = False,
    from_: Annotated[
        Path | None, typer.Option("--from", help="Repeat the acquisition of this record, bit for bit.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Write the record here, not into PROJ.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Ask for files in quarantine, too.")] = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Fetch files of an archive into RAW, each whole or not at all; what is there is not fetched again.

    Which archive, whether the cloud, how many at a time and how fast, [acquire] in cuvee.toml says. A record of all files with their hashes
    goes into PROJ.

    Exit code 0: all files are there; 1: some are not (named); 2: your mistake, or there is nothing of the kind; 3: no network, or no room;
    130: interrupted.

    Example: cuvee acquire tess --sector 1 --camera 1 --ccd 1 -w my-survey
    """
    from cuvee.config import load
    from cuvee.errors import EXIT_BAD_UNITS, EXIT_ENVIRONMENT, ConfigError, TransientError

    config = load(workspace)
    words: dict[str, Any] = {
        "--sector": sector, "--camera": camera, "--ccd": ccd, "--target": target, "--product": product,
        "--instrument": instrument, "--programme": programme, "--grating": grating, "--time-tag": time_tag, "--where": where,
    }  # fmt: skip
    given = [name for name, value in words.items() if value]
    try:
        if columns:
            _columns(config.acquire)
            return
        if from_ is not None:
            if given or mission or new:
                raise ConfigError(
                    f"--from does what its record says; leave out {', '.join([*given, *(['--new'] if new else [])]) or mission}."
                )
            outcome = _repeat(workspace, from_, record, only_list, as_json, again, quiet)
        else:
            query = _query(mission, words, config)
            outcome = _search_and_fetch(workspace, query, new, record, only_list, as_json, again, quiet)
    except TransientError as error:  # whatever may pass: the network, the archive
        typer.echo(f"cuvee: {error.message}", err=True)
        raise typer.Exit(EXIT_ENVIRONMENT) from error
    if outcome is None:
        return
    tell(json.dumps(_outcome_json(outcome), indent=1) if as_json else "\n".join(_outcome_lines(outcome)))
    if outcome.offline and outcome.trouble:
        raise typer.Exit(EXIT_ENVIRONMENT)
    if not outcome.complete:
        raise typer.Exit(EXIT_BAD_UNITS)


def _query(mission: Mission | None, words: dict[str, Any], config: Config) -> Query:
    from cuvee.acquire.configured import configured_query
    from cuvee.acquire.manifest import Query
    from cuvee.acquire.sectors import parse_sectors
    from cuvee.errors import ConfigError

    of = str(mission or config.acquire.mission)
    foreign = {
        "tess": ("--instrument", "--programme", "--grating", "--time-tag"),
        "kepler": ("--sector", "--camera", "--ccd", "--instrument", "--programme", "--grating", "--time-tag"),
        "hst": ("--sector", "--camera", "--ccd"),
    }[of]
    if wrong := [name for name in foreign if words[name]]:
        raise ConfigError(f"{', '.join(wrong)} does not go with {of}; see: cuvee acquire --help")
    if not any(value for name, value in words.items() if name != "--product") and (
        mission is None or of == config.acquire.mission
    ):
        # nothing was said: do what the configuration says
        query = configured_query(config)
        return replace(query, mission=of, products=tuple(words["--product"] or query.products))
    return Query(
        of,
        sectors=parse_sectors(words["--sector"] or ()),
        camera=words["--camera"],
        ccd=words["--ccd"],
        targets=tuple(words["--target"] or ()),
        products=tuple(words["--product"] or ()),
        instrument=words["--instrument"].lower(),
        programme=words["--programme"],
        grating=words["--grating"],
        time_tag=words["--time-tag"],
        where=tuple(words["--where"] or ()),
    )


def _columns(params: AcquireParams) -> None:
    from cuvee.acquire import columns

    found = columns(params.archive)
    tell(table(found.colnames, [[str(cell) for cell in row] for row in found]))


def _search_and_fetch(
    workspace: Path,
    query: Query,
    new: bool,
    record: Path | None,
    only_list: bool,
    as_json: bool,
    again: bool,
    quiet: bool,
) -> Outcome | None:
    from cuvee.acquire.api import archive_at, fetch, paths_of
    from cuvee.acquire.search import search
    from cuvee.acquire.session import cached, without_known
    from cuvee.cli.progress import TerminalReporter
    from cuvee.config import load
    from cuvee.errors import TransientError

    with TerminalReporter(quiet or as_json) as reporter:
        try:
            with archive_at(load(workspace).acquire.archive) as archive:
                found: Found = search(query, archive)
        except TransientError as error:
            return cached(paths_of(workspace), query, error.message)
        manifest = without_known(paths_of(workspace), found.manifest) if new else found.manifest
        if only_list:
            _list(manifest, as_json)
            return None
        return fetch(workspace, manifest, again=again, record=record, reporter=reporter)


def _repeat(
    workspace: Path, source: Path, record: Path | None, only_list: bool, as_json: bool, again: bool, quiet: bool
) -> Outcome | None:
    from cuvee.acquire import fetch, read_record
    from cuvee.cli.progress import TerminalReporter

    manifest = read_record(source)
    if only_list:
        _list(manifest, as_json)
        return None
    with TerminalReporter(quiet or as_json) as reporter:
        return fetch(workspace, manifest, again=again, record=record, reporter=reporter)


def _list(manifest: Manifest, as_json: bool) -> None:
    from cuvee.acquire.outcome import byte_text

    if as_json:
        files = [{"name": file.name, "path": file.path, "uri": file.uri, "size": file.size} for file in manifest.files]
        tell(json.dumps({"query": manifest.query.as_dict(), "files": files, "notes": manifest.notes}, indent=1))
        return
    rows = [[file.path, byte_text(file.size) if file.size >= 0 else "?"] for file in manifest.files]
    sizes = f", {byte_text(manifest.size)}" if manifest.size else ""
    tell("\n".join([table(["file", "size"], rows), "", f"{count(len(rows), 'file')}{sizes}.", *manifest.notes]))


def _outcome_lines(outcome: Outcome) -> list[str]:
    from cuvee.acquire.outcome import byte_text

    n, total = len(outcome.fetched), len(outcome.manifest.files)
    lines = []
    if outcome.offline:
        lines.append(outcome.offline)
        lines.append(
            f"Of {count(total, 'file')}, as listed {outcome.manifest.asked}, {outcome.here} are here; go on with them: cuvee run"
        )
    elif n:
        rate = f", {byte_text(outcome.size / outcome.seconds)}/s" if outcome.seconds > 0.0 else ""
        here = f"; {outcome.here} were there" if outcome.here else ""
        lines.append(
            f"Fetched {count(n, 'file')}, {byte_text(outcome.size)} in {duration(outcome.seconds)}{rate}{here}."
        )
    elif outcome.here:
        lines.append(f"Nothing to fetch: {outcome.here} of {count(total, 'file')} are there.")
    else:
        lines.append(f"Fetched none of {count(total, 'file')}.")
    lines += outcome.manifest.notes
    lines += _some(outcome.remarks, "taken as they are, with a remark")
    for state, pairs in outcome.trouble.items():
        lines += _some(pairs, f"{_WORDS[state]}".rstrip(":"))
    if outcome.record is not None and not outcome.offline:
        lines.append(f"Record: {outcome.record}")
    return lines


def _some(pairs: Sequence[tuple[Wanted, str]], what: str) -> list[str]:
    if not pairs:
        return []
    more = len(pairs) - _SHOWN
    return [
        f"{count(len(pairs), 'file')}: {what}",
        *(f"  {file.name}{f': {message}' if message else ''}" for file, message in pairs[:_SHOWN]),
        *([f"  and {more} more, in the record"] if more > 0 else []),
    ]


def _outcome_json(outcome: Outcome) -> dict[str, object]:
    def listed(pairs: Sequence[tuple[Wanted, str]]) -> list[dict[str, str]]:
        return [{"path": file.path, "message": message} for file, message in pairs]

    return {
        "files": len(outcome.manifest.files),
        "here": outcome.here,
        "fetched": [file.path for file in outcome.fetched],
        "bytes": outcome.size,
        "seconds": round(outcome.seconds, 3),
        "trouble": {state: listed(pairs) for state, pairs in outcome.trouble.items()},
        "remarks": listed(outcome.remarks),
        "notes": list(outcome.manifest.notes),
        "offline": outcome.offline,
        "record": str(outcome.record or ""),
    }
