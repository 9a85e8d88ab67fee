"""The table of commands; each command imports what it needs when it is called, so that help is instant."""

from __future__ import annotations

from typing import Annotated

import typer

from cuvee import __version__
from cuvee.cli import archive, catalog, check, database, fetch, look, make, reduce, reset, strips

__all__ = ["app"]

app = typer.Typer(
    name="cuvee",
    help="Light curves of every star, from images and photon lists: archive in, science-grade light curves out.",
    epilog="Start with: cuvee demo. Or: cuvee init my-survey --data FOLDER --catalog TABLE, then: cuvee run -w my-survey",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cuvee {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Light curves of every star, from images and photon lists: archive in, science-grade light curves out."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for command, what in (
    (reduce.init, "Make a workspace with a commented cuvee.toml."),
    (fetch.acquire, "Fetch files of an archive into a workspace."),
    (check.verify, "Look at every raw file; have broken ones fetched again."),
    (reduce.run, "Bring it up to date: light curves of every star."),
    (reduce.status, "Show what has been done, and what is in trouble."),
    (reset.reset, "Take away what was made, to begin again."),
    (look.show, "Draw a star's light curve and its pixels."),
    (look.explain, "Say where a star's fluxes come from."),
    (look.report, "Write one page about a run, for colleagues."),
    (look.export, "Write light curves, or pixels, for other programs."),
    (make.simulate, "Make a workspace of simulated images or photons."),
    (make.demo, "Simulate, reduce, draw, compare with the truth."),
):
    app.command(short_help=what)(command)

catalog.catalog.command("fetch", short_help="Fetch the TIC from the archive, where images lie or in a range.")(
    strips.fetch
)
app.add_typer(catalog.catalog, name="catalog", short_help="Fetch catalogues of stars, take them in, search.")
app.add_typer(database.database, name="database", short_help="Look into the ledger; load stars, copy, check.")
app.add_typer(archive.archive, name="archive", short_help="Serve a folder of files as MAST would.")
