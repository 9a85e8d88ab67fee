"""The commands about the database behind a survey: database, and load, views, copy, check below it."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Annotated

import typer

from cuvee.cli.output import count, table, tell
from cuvee.cli.reduce import Json, Workspace

__all__ = ["Loadable", "check", "copy", "database", "load", "views", "where"]

_SHOWN = 20
"""Differences that are listed; --json lists all."""

database = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Loadable(enum.StrEnum):
    """What can be loaded."""

    CTL = "ctl"
    TIC = "tic"


@database.callback(invoke_without_command=True)
def where(context: typer.Context, workspace: Workspace = Path(), as_json: Json = False) -> None:
    """Say where the ledger is, its kind and schema, and how many rows each table has.

    It is the file cuvee.db of the workspace, unless [database] url in cuvee.toml names a server.

    Example: cuvee database -w my-survey
    """
    if context.invoked_subcommand is not None:
        if workspace != Path() or as_json:
            from cuvee.errors import ConfigError

            word = context.invoked_subcommand
            raise ConfigError(
                f"Options come after the command's last word, as in: cuvee database {word} -w {workspace}"
            )
        return
    from cuvee.database import database_facts
    from cuvee.survey import open_survey

    facts = database_facts(open_survey(workspace))
    if as_json:
        tell(json.dumps(facts, indent=1))
        return
    if not facts["there"]:
        tell("There is no ledger yet; make one with: cuvee run")
        return
    rows = [(name, str(n)) for name, n in facts["tables"].items()]
    views = f"\n\n{count(len(facts['views']), 'view')}: {', '.join(facts['views'])}" if facts["views"] else ""
    tell(f"{facts['place']}: {facts['kind']}, schema {facts['schema']}\n\n{table(('table', 'rows'), rows)}{views}")


@database.command()
def load(
    what: Annotated[Loadable, typer.Argument(help="Which catalogue.")],
    workspace: Workspace = Path(),
    file: Annotated[
        list[Path] | None, typer.Option(help="Table to load; may be given again. Else what the survey has.")
    ] = None,
    dec: Annotated[
        tuple[float, float], typer.Option(metavar="A B", help="Only declinations from A on and before B (deg).")
    ] = (-90.0, 90.0),
    column: Annotated[
        list[str] | None, typer.Option(help="A further column, as rad; may be given again; all: all of them.")
    ] = None,
) -> None:
    """Make a table of catalogue stars in SQL: id, ra, decl, pmra, pmdec, tmag, teff, healpix; and the views over it.

    Example: cuvee database load tic -w my-survey --dec -60 -58
    """
    from cuvee.database import load_catalog
    from cuvee.survey import open_survey

    n, views = load_catalog(open_survey(workspace), what.value, file or (), dec, column or ())
    tell(f"Loaded {count(n, 'star')} into the table {what.value}; {count(len(views), 'view')}: {', '.join(views)}")


@database.command()
def views(workspace: Workspace = Path()) -> None:
    """Make views with the tables and columns of Vineyard, pipe-trex, TASOC and hstlc; again after new sectors.

    Example: cuvee database views -w my-survey
    """
    from cuvee.database import make_survey_views
    from cuvee.survey import open_survey

    names = make_survey_views(open_survey(workspace))
    tell(f"Made {count(len(names), 'view')}: {', '.join(names)}")


@database.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="URL1", help="The ledger: a file or a URL.")],
    target: Annotated[str, typer.Argument(metavar="URL2", help="Where it goes: a file or a URL, empty.")],
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Copy a survey's ledger to another database, and prove it equal: rows and a digest of each table.

    The first one is left as it is. Then name the second one in cuvee.toml as [database] url.

    Example: cuvee database copy my-survey/cuvee.db 'postgresql://me@host/astro?schema=my_survey'
    """
    from cuvee.cli.progress import TerminalReporter
    from cuvee.database import copy_ledger

    with TerminalReporter(quiet) as reporter:
        begun = False

        def progress(done: int, total: int) -> None:
            nonlocal begun
            if not begun:
                reporter.begin("Copying rows", total)
                begun = True
            reporter.advance(done)

        copied = copy_ledger(source, target, progress)
    if as_json:
        tell(json.dumps([one._asdict() for one in copied], indent=1))
        return
    rows = [(one.table, str(one.rows), one.digest) for one in copied]
    tell(
        f"{table(('table', 'rows', 'digest'), rows)}\nBoth are equal. Now name the second one in cuvee.toml: [database] url"
    )


@database.command()
def check(workspace: Workspace = Path(), as_json: Json = False) -> None:
    """Make the ledger anew from the receipts, beside the one that is there, and say what differs; nothing is changed.

    Exit code 0: they agree; 1: they differ.

    Example: cuvee database check -w my-survey
    """
    from cuvee.database import check_ledger
    from cuvee.errors import EXIT_BAD_UNITS
    from cuvee.survey import open_survey

    found = check_ledger(open_survey(workspace))
    if as_json:
        tell(json.dumps(found._asdict(), indent=1))
    else:
        compared = ", ".join(f"{n} {name}" for name, n in found.rows.items())
        lines = [f"{found.place} against {count(found.receipts, 'receipt')}: {compared}."]
        lines += [f"  {name} {key}: {words}" for name, key, words in found.differences[:_SHOWN]]
        if len(found.differences) > _SHOWN:
            lines.append(f"  and {len(found.differences) - _SHOWN} more; --json lists all")
        good = "They agree."
        bad = f"{count(len(found.differences), 'difference')}: cuvee run takes in what the ledger lacks, and does again what is not there."
        tell("\n".join([*lines, bad if found.differences else good]))
    if found.differences:
        raise typer.Exit(EXIT_BAD_UNITS)
