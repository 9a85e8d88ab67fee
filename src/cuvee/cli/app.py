"""The table of commands; each command imports what it needs when it is called, so that help is instant."""

from __future__ import annotations

from typing import Annotated

import typer

from cuvee import __version__
from cuvee.cli import look, make, reduce

__all__ = ["app"]

app = typer.Typer(
    name="cuvee",
    help="Light curves of every star, from images: archive in, science-grade light curves out.",
    epilog="Start here: cuvee demo   or   cuvee init my-survey --instrument tess --data 'FOLDER' --catalog TABLE",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cuvee {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Light curves of every star, from images: archive in, science-grade light curves out."""


for command in (
    reduce.init,
    reduce.run,
    reduce.status,
    look.show,
    look.explain,
    look.export,
    make.simulate,
    make.demo,
):
    app.command()(command)
