"""The command that fetches a reference catalogue from the archive: cuvee catalog fetch."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cuvee.cli.catalog import tell_taken
from cuvee.cli.output import count, table, tell
from cuvee.cli.progress import duration
from cuvee.cli.reduce import Workspace

if TYPE_CHECKING:
    from cuvee.acquire.strips import Strip
    from cuvee.run.options import Reporter
    from cuvee.sky.strip_fetch import StripOutcome

__all__ = ["Bulk", "fetch"]

_WORDS = {
    "missing": "the archive does not have",
    "broken": "came twice, and are not what the archive's sums say:",
    "changed": "the archive has changed since:",
    "failed": "did not come:",
    "wanted": "not here",
}


class Bulk(enum.StrEnum):
    """Catalogues that the archive has in bulk."""

    TIC = "tic"


def fetch(
    what: Annotated[Bulk, typer.Argument(help="Which catalogue; tic is TIC v8.2.")],
    workspace: Workspace = Path(),
    dec: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="A B", help="Declinations (deg) between which it is wanted; by default where images are."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the archive's files, too, in RAW/tess/catalogs.")] = False,
    only_list: Annotated[bool, typer.Option("--list", help="List the strips; fetch nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
) -> None:
    """Fetch strips of the TIC, of two degrees in declination each, and take them in; those that are there are not fetched again.

    Without --dec, it is the strips on which the workspace's images lie. Each is held against the archive's md5sum.txt, taken in
    with all its columns, and then deleted. Where it comes from, how many at a time and how fast, [acquire] in cuvee.toml says.

    Exit code 0: all strips are there; 1: some are not (named); 2: your mistake; 3: no network, or no room; 130: interrupted.

    Example: cuvee catalog fetch tic -w my-survey --dec -68 -64
    """
    from cuvee.acquire.strips import strips_between
    from cuvee.cli.progress import TerminalReporter
    from cuvee.errors import EXIT_BAD_UNITS, EXIT_ENVIRONMENT, ConfigError
    from cuvee.sky.home import home_of, name_catalog
    from cuvee.sky.strip_fetch import fetch_strips

    home = home_of(workspace)
    if dec is not None and not -90.0 <= dec[0] <= dec[1] <= 90.0:
        raise ConfigError(
            f"--dec takes two declinations from -90 to 90, the southern one first, not {dec[0]:g} {dec[1]:g}."
        )
    with TerminalReporter(quiet) as reporter:
        strips: Sequence[Strip] = strips_between(*dec) if dec is not None else _met(workspace, reporter)
        if only_list:
            raise typer.Exit(_list(workspace, strips))
        outcome = fetch_strips(workspace, strips, reporter, keep=keep)
    for one in outcome.taken:
        tell_taken(one)
    if outcome.offline:
        here = f"here: {_names(outcome.here)}" if outcome.here else "none is here"
        wanted = count(len(outcome.wanted), "strip")
        typer.echo(f"cuvee: {outcome.offline} Of {wanted} {here}; missing: {_names(outcome.absent)}.", err=True)
        raise typer.Exit(EXIT_ENVIRONMENT)
    tell("\n".join(_lines(outcome, what)))
    if outcome.here or outcome.taken:
        source = outcome.folder.name if outcome.folder.parent == home else str(outcome.folder)
        if not name_catalog(workspace, source):
            tell(f'{outcome.folder}: name it in cuvee.toml as [catalog] files = ["{source}"]')
    if outcome.trouble:
        raise typer.Exit(EXIT_BAD_UNITS)


def _met(workspace: Path, reporter: Reporter) -> Sequence[Strip]:
    from cuvee.errors import ConfigError
    from cuvee.sky.strips import strips_met

    try:
        found = strips_met(workspace, reporter)
        why = "none of them has a WCS"
    except ConfigError as error:
        found, why = set(), error.message.partition("; ")[0].rstrip(".")
    if not found:
        raise ConfigError(
            f"There is no image in {workspace} that says which strips are wanted ({why}); fetch images first (cuvee acquire), or name a"
            " range, as in --dec -68 -64."
        )
    return sorted(found)


def _list(workspace: Path, strips: Sequence[Strip]) -> int:
    """Tell which strips are there, and return the exit code."""
    from cuvee.acquire.outcome import byte_text
    from cuvee.errors import EXIT_ENVIRONMENT, EXIT_OK
    from cuvee.sky.strips import list_strips

    listed, offline = list_strips(workspace, strips)
    rows = [
        [
            one.strip.name,
            byte_text(one.size) if one.size >= 0 else "",
            "there" if one.here else one.message or "not here",
        ]
        for one in listed
    ]
    absent = [one for one in listed if not one.here]
    sizes = sum(max(0, one.size) for one in absent)
    tell(table(["strip", "size", "state"], rows))
    tell(f"\n{count(len(listed), 'strip')}, {len(absent)} not here{f' ({byte_text(sizes)})' if sizes else ''}.")
    if offline:
        typer.echo(f"cuvee: {offline}", err=True)
    return EXIT_ENVIRONMENT if offline else EXIT_OK


def _lines(outcome: StripOutcome, what: str) -> list[str]:
    from cuvee.acquire.outcome import byte_text

    n, here = len(outcome.taken), len(outcome.here)
    if n:
        rate = f", {byte_text(outcome.size)} in {duration(outcome.seconds)}"
        lines = [f"Fetched {count(n, 'strip')} of the {what.upper()}{rate}{f'; {here} there before' if here else ''}."]
    elif not outcome.trouble:
        lines = [f"Nothing to fetch: {count(here, 'strip')} there."]
    else:
        lines = [f"Fetched none of {count(len(outcome.wanted), 'strip')}{f'; {here} there before' if here else ''}."]
    for state, pairs in outcome.trouble.items():
        lines.append(f"{count(len(pairs), 'strip')}: {_WORDS[state].rstrip(':')}")
        lines += [f"  {strip.name}{f': {message}' if message else ''}" for strip, message in pairs]
    return lines


def _names(strips: Sequence[Strip]) -> str:
    return ", ".join(strip.stem for strip in strips)
