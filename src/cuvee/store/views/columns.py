"""Pieces of queries that several views share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cuvee.store.schema import TABLES

__all__ = ["camera_of", "ccd_of", "framed", "nothing", "sector_of", "text_of", "yes"]

Element = sa.ColumnElement[Any]


def nothing(name: str, kind: type[sa.types.TypeEngine[Any]] = sa.Double) -> Element:
    """Return a column without values."""
    return sa.cast(sa.null(), kind).label(name)


def yes(name: str) -> Element:
    """Return a column that is 1 everywhere."""
    return sa.literal(1).label(name)


def text_of(value: Element) -> Element:
    """Return a number as text."""
    return sa.cast(value, sa.String(255))


def sector_of(table: Any) -> Element:
    """Return the number of a TESS sector, NULL for what is none."""
    return _digits(table, table.c.segment, 2, 4)


def camera_of(table: Any) -> Element:
    """Return the number of a TESS camera, NULL for what is none."""
    return _digits(table, table.c.detector, 1, 1)


def ccd_of(table: Any) -> Element:
    """Return the number of a TESS CCD, NULL for what is none."""
    return _digits(table, table.c.detector, 3, 1)


def _digits(table: Any, column: Element, start: int, length: int) -> Element:
    # The other instruments' names are no numbers, and not to be read as such.
    digits = sa.case((table.c.instrument == "tess", sa.func.substr(column, start, length)), else_=None)
    return sa.cast(digits, sa.Integer)


def framed() -> sa.Subquery:
    """Return the frames with their files, and a number for each that all views share: its place in the order of the names."""
    files, frames = TABLES["files"], TABLES["frames"]
    return (
        sa.select(
            sa.func.row_number().over(order_by=frames.c.file).label("framekey"),
            frames.c.file,
            files.c.instrument,
            frames.c.segment,
            frames.c.detector,
            frames.c.kind,
            frames.c.cadence,
            frames.c.start,
            frames.c.stop,
            frames.c.quality,
            frames.c.has_wcs,
            files.c.state,
            files.c.info,
        )
        .join_from(frames, files, files.c.path == frames.c.file)
        .subquery("framed")
    )
