"""TASOC's ``todo.sqlite``: the list of stars, and what came out of each."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cuvee.store.schema import TABLES
from cuvee.store.views.columns import camera_of, ccd_of, nothing, sector_of

__all__ = ["views"]

_OK, _ERROR, _WARNING = 1, 2, 3
"""TASOC's STATUS."""


def views() -> dict[str, sa.Select[Any]]:
    """Return the queries of the views by name."""
    return {"todolist": _todolist(), "diagnostics": _diagnostics(), "photometry_skipped": _skipped()}


def _listed() -> sa.Subquery:
    """Return each star and observation with its number in the order of brightness."""
    targets, curves = TABLES["targets"], TABLES["light_curves"]
    keys = ("id", "instrument", "segment", "detector", "kind")
    same = sa.and_(*(targets.c[name] == curves.c[name] for name in keys))
    mag = targets.c.mag
    order = (sa.case((mag.is_(None), 1), else_=0), mag, *(targets.c[name] for name in keys))
    named = [column for column in curves.columns if column.name not in (*keys, "healpix", "series")]
    return (
        sa.select(
            sa.func.row_number().over(order_by=order).label("priority"),
            *(targets.c[name] for name in (*keys, "mag", "col", "row")),
            *named,
        )
        .join_from(targets, curves, same, isouter=True)
        .subquery("listed")
    )


def _cadences() -> sa.Subquery:
    """Return the seconds from one frame to the next, by detector."""
    frames = TABLES["frames"]
    span = sa.func.max(frames.c.start) - sa.func.min(frames.c.start)
    number = sa.func.max(frames.c.cadence) - sa.func.min(frames.c.cadence)
    keys = (frames.c.segment, frames.c.detector, frames.c.kind)
    seconds = sa.cast(sa.func.round(86400.0 * span / sa.func.nullif(number, 0)), sa.Integer).label("seconds")
    return sa.select(*keys, seconds).group_by(*keys).subquery("cadences")


def _method(best: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
    # Circles and masks of pixels are both sums over an aperture.
    return sa.case((best.in_(["psf", "halo"]), best), (best.is_(None), None), else_="aperture")


def _todolist() -> sa.Select[Any]:
    one, cadences = _listed(), _cadences()
    same = sa.and_(*(one.c[name] == cadences.c[name] for name in ("segment", "detector", "kind")))
    status = sa.case(
        (one.c.path.is_(None), None),
        (sa.func.coalesce(one.c.n_good, 0) == 0, _ERROR),
        (sa.func.coalesce(one.c.errors, "") != "", _WARNING),
        else_=_OK,
    )
    return sa.select(
        one.c.priority,
        one.c.id.label("starid"),
        sector_of(one).label("sector"),
        sa.case((one.c.kind == "ffi", "ffi"), else_="tpf").label("datasource"),
        camera_of(one).label("camera"),
        ccd_of(one).label("ccd"),
        cadences.c.seconds.label("cadence"),
        _method(one.c.best).label("method"),
        one.c.mag.label("tmag"),
        status.label("status"),
        nothing("cbv_area", sa.Integer),
    ).join_from(one, cadences, same, isouter=True)


def _diagnostics() -> sa.Select[Any]:
    one = _listed()
    return sa.select(
        one.c.priority,
        one.c.path.label("lightcurve"),
        _method(one.c.best).label("method_used"),
        one.c.elaptime,
        nothing("worker_wait_time"),
        one.c.mean_flux,
        one.c.variance,
        one.c.variability,
        one.c.rms_hour,
        one.c.ptp,
        one.c.row.label("pos_row"),
        one.c.col.label("pos_column"),
        one.c.contamination,
        one.c.mask_size,
        one.c.edge_flux,
        nothing("stamp_width", sa.Integer),
        nothing("stamp_height", sa.Integer),
        nothing("stamp_resizes", sa.Integer),
        one.c.errors,
    ).where(one.c.path.is_not(None))


def _skipped() -> sa.Select[Any]:
    # No star is left out because another's mask holds it: all get a light curve, and crowding says how much of it is theirs.
    nobody = TABLES["targets"]
    return sa.select(nobody.c.row_number.label("priority"), nobody.c.row_number.label("skipped_by")).where(sa.false())
