"""hstlc's tables: exposures, their light curves, what could not be used, and how each light curve varies."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cuvee.store.schema import TABLES
from cuvee.store.views.columns import nothing

__all__ = ["views"]

_TEXT = sa.String
_REASONS = {
    "no-events": "No events",
    "bad-expflag": "Bad EXPFLAG",
    "non-linear-time": "Non-linear time",
    "singular-event": "Singular event",
    "bad-proposal": "Bad Proposal",
    "short-exposure": "Short Exposure",
}
"""hstlc's words; other reasons have ours."""
_CHANCE = 0.001
"""False-alarm probability below which a period counts as found."""

Query = sa.Select[Any]


def views() -> dict[str, Query]:
    """Return the queries of the views by name."""
    return {"metadata": _metadata(), "outputs": _outputs(), "bad_data": _bad_data(), "stats": _stats()}


def _numbered() -> sa.Subquery:
    """Return exposures, each with its number in the order of names."""
    table = TABLES["exposures"]
    keys = tuple(table.primary_key.columns)
    return sa.select(sa.func.row_number().over(order_by=keys).label("id"), *table.columns).subquery("numbered")


def _unit(one: Any) -> sa.ColumnElement[str]:
    """Return the data id of an exposure as the ledger writes it."""
    words = [one.c.instrument, one.c.segment, one.c.detector, sa.literal("events"), one.c.series]
    whole: sa.ColumnElement[Any] = words[0]
    for word in words[1:]:
        whole = whole + "/" + word
    return whole


def _file_name(one: Any) -> sa.ColumnElement[str]:
    """Return the name of an exposure's Parquet file, which ends its path."""
    name: sa.ColumnElement[str] = one.c.segment + "-" + one.c.detector + "-" + one.c.series + ".parquet"
    return name


def _folder(one: Any) -> sa.ColumnElement[str]:
    n = sa.func.length(one.c.path) - sa.func.length(_file_name(one)) - 1
    return sa.func.substr(one.c.path, 1, n)


def _metadata() -> Query:
    one, lineage, files = _numbered(), TABLES["lineage"], TABLES["files"]
    units, runs = TABLES["units"], TABLES["runs"]
    # Of the files of an exposure the first one stands for all, as segment A does in hstlc.
    first = (
        sa.select(lineage.c.data_id, sa.func.min(lineage.c.input_id).label("input_id"))
        .where(lineage.c.kind == "exposures", lineage.c.input_kind == "events")
        .group_by(lineage.c.data_id)
        .subquery("first")
    )
    name = sa.func.substr(first.c.input_id, sa.func.length(first.c.data_id) + 2)
    same = sa.and_(files.c.segment == one.c.segment, files.c.detector == one.c.detector, files.c.name == name)
    joined = (
        sa.join(one, first, first.c.data_id == _unit(one), isouter=True)
        .join(files, same, isouter=True)
        .join(units, sa.and_(units.c.stage == "bin", units.c.data_id == _unit(one)), isouter=True)
        .join(runs, runs.c.id == units.c.run_id, isouter=True)
    )
    return (
        sa.select(
            one.c.id,
            name.label("filename"),
            files.c.path,
            sa.func.substr(runs.c.started, 1, 10).label("ingest_date"),
            sa.case((one.c.instrument.in_(["cos", "stis"]), "HST"), else_=None).label("telescop"),
            sa.func.upper(one.c.instrument).label("instrume"),
            one.c.target.label("targname"),
            nothing("cal_ver", _TEXT),
            one.c.obstype,
            one.c.cenwave,
            one.c.aperture,
            sa.func.upper(one.c.detector).label("detector"),
            one.c.grating.label("opt_elem"),
            one.c.fppos,
        )
        .select_from(joined)
        .where(one.c.segment != "composite")
    )


def _outputs() -> Query:
    one, whole = _numbered(), TABLES["exposures"].alias("whole")
    same = sa.and_(
        whole.c.instrument == one.c.instrument, whole.c.segment == "composite", whole.c.series == one.c.composite
    )
    return (
        sa.select(
            one.c.id,
            one.c.id.label("metadata_id"),
            _folder(one).label("individual_path"),
            _file_name(one).label("individual_filename"),
            _folder(whole).label("composite_path"),
            _file_name(whole).label("composite_filename"),
        )
        .join_from(one, whole, same, isouter=True)
        .where(one.c.segment != "composite")
    )


def _bad_data() -> Query:
    bad, files, runs = TABLES["quarantine"], TABLES["files"], TABLES["runs"]
    words = [(bad.c.reason == ours, theirs) for ours, theirs in _REASONS.items()]
    return (
        sa.select(
            sa.func.row_number().over(order_by=bad.c.path).label("id"),
            sa.func.coalesce(files.c.name, bad.c.path).label("filename"),
            sa.func.substr(runs.c.started, 1, 10).label("ingest_date"),
            sa.case(*words, else_=bad.c.reason).label("reason"),
        )
        .select_from(
            sa.join(bad, files, files.c.path == bad.c.path, isouter=True).join(
                runs, runs.c.id == bad.c.run_id, isouter=True
            )
        )
        .where(bad.c.still)
    )


def _stats() -> Query:
    one = _numbered()
    return sa.select(
        one.c.id,
        _folder(one).label("lightcurve_path"),
        _file_name(one).label("lightcurve_filename"),
        one.c.total,
        (one.c.mean * one.c.step).label("mean"),
        nothing("mu"),
        (one.c.spread * one.c.step).label("stdev"),
        one.c.poisson_factor,
        one.c.pearson_r,
        one.c.pearson_p,
        sa.case((one.c.false_alarm < _CHANCE, 1), (one.c.false_alarm.is_(None), None), else_=0).label("periodogram"),
        nothing("deliver", sa.Integer),
    )
