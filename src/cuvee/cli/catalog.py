"""The commands about reference catalogues: cuvee catalog, and import, search, targets below it (fetch is in `cuvee.cli.strips`)."""

from __future__ import annotations

import enum
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cuvee.cli.output import count, table, tell
from cuvee.cli.reduce import Json, Workspace
from cuvee.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from cuvee.sky import Taken

__all__ = ["Tables", "catalog", "catalogs", "search", "take", "targets", "tell_taken"]

catalog = typer.Typer(
    help="Reference catalogues: fetch the TIC; take TIC, CTL, Gaia or any table in; search them; list the stars on each detector.",
    invoke_without_command=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_SHOWN = 20
"""Rows of a search that a terminal shows."""

_USUAL = ("ID", "source_id", "ra", "dec", "Tmag", "phot_g_mean_mag", "pmRA", "pmDEC", "Teff", "rad")
"""Columns that a search shows unless others are asked for."""


class Tables(enum.StrEnum):
    """Formats of tables of detectors."""

    PARQUET = "parquet"
    CSV = "csv"


@catalog.callback()
def catalogs(context: typer.Context, workspace: Workspace = Path(), as_json: Json = False) -> None:
    """Say which catalogues the workspace has.

    Example: cuvee catalog -w my-survey
    """
    if context.invoked_subcommand is not None:
        return
    from cuvee.sky import catalogs_of

    found = catalogs_of(workspace)
    if as_json:
        facts = [
            {"name": one.name, "folder": str(folder), "rows": one.n_row, "columns": list(one.columns)}
            for folder, one in found.items()
        ]
        tell(json.dumps(facts, indent=1))
    elif not found:
        tell(
            f"{workspace} has no stored catalogue; make one with: cuvee catalog fetch tic -w {workspace}, or: cuvee catalog import FILE -w {workspace}"
        )
    else:
        rows = [
            [one.name, f"{one.n_row:,}", str(len(one.columns)), str(len(one.sources)), str(folder)]
            for folder, one in found.items()
        ]
        tell(table(["catalogue", "stars", "columns", "files", "folder"], rows))


@catalog.command("import", short_help="Take catalogue files in, with all their columns.")
def take(
    files: Annotated[
        list[Path],
        typer.Argument(help="Tables: csv or csv.gz (TIC and CTL as MAST has them), ECSV, FITS, VOTable, Parquet."),
    ],
    workspace: Workspace = Path(),
    name: Annotated[
        str, typer.Option(help="Name of the catalogue; by default tic, ctl or gaia, as the file is called.")
    ] = "",
    to: Annotated[
        Path | None, typer.Option(help="Keep catalogues in this folder, which several workspaces can share.")
    ] = None,
    md5: Annotated[Path | None, typer.Option(help="List of md5 sums; by default md5sum.txt beside the file.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
) -> None:
    """Take catalogue files in: all columns, cut by place on the sky, so that searches take milliseconds and a run reads what it needs.

    Files without a header line are read by header.csv beside them, else as TIC v8.2 bulk files. Where there is an md5sum.txt
    beside a file, its bytes must fit it. A file that is there already is not written again; a changed one takes the place of the old.

    Where cuvee.toml names no catalogue yet, it names this one afterwards.

    Example: cuvee catalog import tic_dec*.csv.gz -w my-survey
    """
    from cuvee.cli.progress import TerminalReporter
    from cuvee.sky import take_in
    from cuvee.sky.home import home_of, name_catalog

    home = to.absolute() if to is not None else home_of(workspace)
    with TerminalReporter(quiet) as reporter:
        taken = take_in(files, home, reporter, name, md5)
    for one in taken:
        tell_taken(one)
    for folder in dict.fromkeys(one.folder for one in taken):
        source = folder.name if to is None else str(folder)
        if (workspace / "cuvee.toml").is_file() and name_catalog(workspace, source):
            tell(f"{folder}: cuvee.toml names it in [catalog]")
        else:
            tell(f'{folder}: name it in cuvee.toml as [catalog] files = ["{source}"]')


def tell_taken(one: Taken) -> None:
    """Tell what became of a file."""
    state = "taken in" if one.new else "there already"
    proof = "its md5 is right" if one.proven else "no md5 to compare with"
    off = f", {count(one.source.n_off, 'row')} without a position left out" if one.source.n_off else ""
    tell(f"{one.path.name}: {one.source.n_row:,} stars {state} ({proof}{off})")


@catalog.command("search", short_help="Stars in a circle or a polygon of the sky.")
def search(
    place: Annotated[
        str, typer.Argument(help="'RA DEC' in degrees, or the corners of a polygon: 'RA DEC, RA DEC, RA DEC'.")
    ],
    workspace: Workspace = Path(),
    radius: Annotated[float, typer.Option(help="Radius of the circle (deg).")] = 0.05,
    name: Annotated[str, typer.Option(help="Which catalogue: its name or its folder.")] = "",
    columns: Annotated[str, typer.Option(help="Columns, with commas between; 'all' for all of them.")] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a table: .csv or .parquet.")] = None,
    as_json: Json = False,
) -> None:
    """Find the stars in a circle, nearest first, or in a convex polygon.

    Example: cuvee catalog search '63.37 -69.23' --radius 0.1 -w my-survey
    """
    from cuvee.sky import cone_search, find_catalog, polygon_search
    from cuvee.store.sky_store import read_catalog

    corners = _corners(place)
    folder = find_catalog(workspace, name)
    known = read_catalog(folder)
    wanted = (
        [] if columns == "all" else columns.split(",") if columns else [one for one in _USUAL if one in known.columns]
    )
    if len(corners) == 1:
        found = cone_search(folder, *corners[0], radius, wanted)
    else:
        found = polygon_search(folder, [ra for ra, _ in corners], [dec for _, dec in corners], wanted)
    if output is not None:
        _write(found, output)
        tell(f"{output}: {count(found.num_rows, 'star')}")
    elif as_json:
        tell(json.dumps(found.to_pylist()))
    elif not found.num_rows:
        tell(f"No star of {known.name!r} lies there.")
    else:
        rows = [[_cell(value) for value in row.values()] for row in found.slice(0, _SHOWN).to_pylist()]
        more = f"\n{found.num_rows - _SHOWN} more; all of them with --output FILE" if found.num_rows > _SHOWN else ""
        tell(table(found.column_names, rows) + more)


@catalog.command("targets", short_help="One table a detector: the stars on it.")
def targets(
    workspace: Workspace = Path(),
    sector: Annotated[str, typer.Option(help="Sectors: 1, 1-3 or 1,5; by default all there are.")] = "",
    camera: Annotated[int | None, typer.Option(min=1, max=4, help="Only this camera.")] = None,
    ccd: Annotated[int | None, typer.Option(min=1, max=4, help="Only this CCD.")] = None,
    name: Annotated[str, typer.Option(help="Stored catalogue whose columns join; by default the only one.")] = "",
    form: Annotated[Tables, typer.Option("--format", help="Format of the tables.")] = Tables.PARQUET,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
) -> None:
    """Write CTLchip{sector}_{camera}_{ccd}: of each detector the stars that [targets] asks for, with place and catalogue columns.

    Only the first stages of a run are done for it: no flux is measured. x, y are in the whole full-frame image,
    col, row in its science pixels, both counted from 0. They hold at the epoch of the frames, proper motion applied.

    Example: cuvee catalog targets --sector 1-3 -w my-survey
    """
    from cuvee.acquire.sectors import parse_sectors
    from cuvee.cli.progress import TerminalReporter
    from cuvee.pipeline import PIPELINE
    from cuvee.run.start import RunOptions, run_workspace
    from cuvee.sky import catalogs_of, chip_tables, find_catalog
    from cuvee.survey import open_survey

    numbers = parse_sectors([sector])
    detector = "" if camera is None else f"{camera}-{'' if ccd is None else ccd}"
    if ccd is not None and camera is None:
        raise ConfigError("--ccd needs --camera, as in --camera 3 --ccd 4.")
    with TerminalReporter(quiet) as reporter:
        for segment in [f"s{number:04d}" for number in numbers] or [""]:
            run_workspace(
                workspace, PIPELINE, RunOptions(segment=segment, detector=detector, until="targets"), reporter
            )
    survey = open_survey(workspace)
    there = find_catalog(workspace, name) if name or len(catalogs_of(workspace)) == 1 else None
    made = chip_tables(survey, numbers, detector, there, form.value)
    if not made:
        raise ConfigError(
            f"No star of the catalogue falls on a full-frame image of {workspace}; is it the right part of the sky?"
        )
    tell("\n".join(f"{one.path}: {count(one.n_star, 'star')}" for one in made))


def _corners(place: str) -> list[tuple[float, float]]:
    corners = []
    for part in place.split(","):
        words = re.split(r"\s+", part.strip())
        try:
            ra, dec = (float(word) for word in words)
        except ValueError:
            raise ConfigError(
                f"{place!r} is no place on the sky: write '63.37 -69.23', or the corners of a polygon with commas between, in degrees."
            ) from None
        corners.append((ra, dec))
    return corners


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.7g}" if isinstance(value, float) else str(value)


def _write(found: pa.Table, path: Path) -> None:
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    from cuvee.store.atomic import atomic_path

    with atomic_path(path) as temporary:
        if path.suffix == ".parquet":
            pq.write_table(found, temporary)
        elif path.suffix == ".csv":
            pa_csv.write_csv(found, temporary)
        else:
            raise ConfigError(f"{path} ends in neither .csv nor .parquet; name one that does.")
