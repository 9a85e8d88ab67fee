"""The commands about archives: one that serves a folder as MAST would."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cuvee.cli.output import tell

__all__ = ["archive", "serve"]

archive = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@archive.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    """Serve a folder of files as MAST would, to try downloads without an archive."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@archive.command(short_help="Serve a folder of files as MAST would.")
def serve(
    folder: Annotated[Path, typer.Argument(help="Files to serve, in any subfolders; for instance RAW of a workspace.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any that is free.")] = 0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND:PATTERN:times=N:number=X", help="What goes wrong, and for which files; may be given again."
        ),
    ] = None,
    catalogs: Annotated[Path | None, typer.Option(help="Folder with tables of stars (TIC, CTL).")] = None,
) -> None:
    """Serve a folder of files as MAST would, on 127.0.0.1, so that astroquery, lightkurve, boto3 and curl can be tried on it.

    Searches, downloads, bulk scripts, cutouts and the public bucket are answered from the names and headers of the files.
    Faults are kinds such as truncate, drop, flip, html, 404, 429, 503, slow, stall, changed; a wrong one lists them all.

    Example: cuvee archive serve sim/RAW --fault 'truncate:*_ffic.fits:times=2'
    """
    from cuvee.testing.archive import LoopbackArchive, parse_fault
    from cuvee.testing.archive.announce import announcement, farewell

    server = LoopbackArchive(folder, [parse_fault(text) for text in fault or []], port, catalogs)
    tell(announcement(server))
    try:
        server.serve()
    except KeyboardInterrupt:
        tell(farewell(server))
    finally:
        server.close()
