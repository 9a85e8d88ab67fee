"""Vineyard's tables: the CTL and the TIC as they were loaded, and the stars on each CCD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from cuvee.store.catalog_columns import TIC_COLUMNS
from cuvee.store.schema import TABLES
from cuvee.store.star_rows import STAR_COLUMNS
from cuvee.store.star_tables import loaded_ranges
from cuvee.store.views.columns import camera_of, ccd_of, sector_of

__all__ = ["views"]

_FIRST_COLUMN = 44
"""Columns of a full-frame image before the first science pixel."""

_SPELLED = {name.casefold(): name for name in TIC_COLUMNS}


def views(connection: sa.Connection, stars: Mapping[str, Sequence[str]]) -> dict[str, sa.Select[Any]]:
    """Return the queries of the views by name.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        Asked which CCDs there are, and which declinations have been loaded.
    stars : mapping of str to sequence of str
        The loaded tables with their columns.
    """
    found: dict[str, sa.Select[Any]] = {}
    if "ctl" in stars:
        found["CTLv8"] = found["CTLv8_has_key"] = _stars("ctl", stars["ctl"])
    if "tic" in stars:
        for low, high in loaded_ranges(connection, "tic"):
            query = _stars("tic", stars["tic"])
            decl: sa.ColumnElement[float] = sa.column("decl")
            query = query.where(decl >= low)
            if high < 90.0:
                query = query.where(decl < high)
            name = f"TICv8_{low:g}_{high:g}"
            found[name] = found[f"{name}_has_key"] = query
    targets = TABLES["targets"]
    ccds = sa.select(targets.c.segment, targets.c.detector).where(targets.c.instrument == "tess").distinct()
    for segment, detector in sorted(tuple(row) for row in connection.execute(ccds)):
        sector, (camera, ccd) = int(segment[1:]), detector.split("-")
        found[f"CTLchip{sector}_{camera}_{ccd}"] = _chip(segment, detector)
    return found


def _stars(name: str, columns: Sequence[str]) -> sa.Select[Any]:
    table = sa.table(name, *(sa.column(column) for column in columns))
    called = {**_SPELLED, **STAR_COLUMNS}
    return sa.select(*(table.c[column].label(called.get(column, column)) for column in columns))


def _chip(segment: str, detector: str) -> sa.Select[Any]:
    table = TABLES["targets"]
    return (
        sa.select(
            table.c.id.label("ID"),
            sector_of(table).label("sector"),
            camera_of(table).label("camera"),
            ccd_of(table).label("chip"),
            table.c.ra.label("ra"),
            table.c.decl.label("dec"),
            table.c.mag.label("Tmag"),
            (table.c.col + _FIRST_COLUMN).label("x"),
            table.c.row.label("y"),
        )
        .where(table.c.instrument == "tess", table.c.segment == segment, table.c.detector == detector)
        .distinct()
    )
