"""pipe-trex's PostgreSQL tables: frames, references, objects, and indexes into the store instead of photometry."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cuvee.store.schema import TABLES
from cuvee.store.views.columns import camera_of, ccd_of, framed, nothing, text_of, yes

__all__ = ["views"]

_SECONDS = 86400.0
_RJD = 57000.0
"""What makes a reduced Julian date (JD - 2400000) of our times."""
_MAGNITUDES = [
    "jmag",
    "hmag",
    "kmag",
    "umag",
    "bmag",
    "vmag",
    "rmag",
    "imag",
    "sdssu",
    "sdssg",
    "sdssr",
    "sdssi",
    "sdssz",
    "gaiag",
]
_BANDS = {"tess": (1, "T", "TESS, 600 to 1000 nm"), "kepler": (2, "Kp", "Kepler, 420 to 900 nm")}
_TEXT = sa.String
Query = sa.Select[Any]


def views() -> dict[str, Query]:
    """Return the queries of the views by name."""
    return {
        "calibratedframes": _calibratedframes(),
        "frameinfo": _frameinfo(),
        "filters": _filters(),
        "objectinfo": _objectinfo(),
        "lcinfo": _lcinfo(),
        "photometryinfo": _photometryinfo(),
        "astromrefs": _astromrefs(),
        "photrefs": _photrefs(),
        "ap_photometry": _photometry("aperture"),
        "ism_photometry": _photometry("subtraction"),
        "iphotfiles": _iphotfiles(),
        "iphotobjects": _iphotobjects(),
        "photindex_iphots": _photindex(),
    }


# -- frames --------------------------------------------------------------------------------------------------------


def _calibratedframes() -> Query:
    one, bad = framed(), TABLES["quarantine"]
    return sa.select(
        one.c.framekey,
        nothing("entryts", _TEXT),
        sa.case((sa.or_(one.c.state == "bad", bad.c.path.is_not(None)), sa.false()), else_=sa.true()).label(
            "frameisok"
        ),
        one.c.file.label("fits"),
        nothing("fistar", _TEXT),
        nothing("fiphot", _TEXT),
        sa.case((one.c.has_wcs, one.c.file), else_=None).label("wcs"),
        one.c.info.label("fitsheader"),
        nothing("photinfo", _TEXT),
    ).join_from(one, bad, sa.and_(bad.c.path == one.c.file, bad.c.still), isouter=True)


def _frameinfo() -> Query:
    one = framed()
    middle = (one.c.start + one.c.stop) / 2.0
    zeros = [sa.literal(0).label(name) for name in ("flt", "flv", "cid", "cvn", "cbv", "cdv", "cfv")]
    unknown = ["tid", "tvn", "tfs", "ttt", "tmi", "tmv", "tgs", "mph", "iha", "izd"]
    return sa.select(
        one.c.framekey,
        one.c.instrument.label("network"),
        sa.literal("0").label("projectid"),
        camera_of(one).label("stationid"),
        one.c.segment.label("obsfield"),
        (middle + _RJD).label("framerjd"),
        one.c.file.label("fits"),
        nothing("fistar", _TEXT),
        sa.case((one.c.has_wcs, one.c.file), else_=None).label("wcs"),
        one.c.cadence.label("cfn"),
        sa.literal("").label("cfs"),
        ccd_of(one).label("ccd"),
        one.c.kind.label("frt"),
        *zeros,
        ((one.c.stop - one.c.start) * _SECONDS).label("exp"),
        *(nothing(name) for name in unknown),
        nothing("tms", _TEXT),
    )


def _filters() -> Query:
    files = TABLES["files"]
    known = [(files.c.instrument == name, band) for name, band in _BANDS.items()]
    number, name, words = (
        sa.case(*((is_it, band[k]) for is_it, band in known), else_=other)
        for k, other in enumerate((0, files.c.instrument, files.c.instrument))
    )
    return sa.select(number.label("filterid"), name.label("filtername"), words.label("filterdesc")).distinct()


def _references() -> tuple[sa.Table, sa.Table, sa.ColumnElement[bool]]:
    """Return the products with one file of the detector of each, to know what it is called."""
    products, files = TABLES["products"], TABLES["files"]
    middle = sa.select(sa.func.min(files.c.path)).where(
        products.c.data_id
        == files.c.instrument
        + "/"
        + files.c.segment
        + "/"
        + files.c.detector
        + "/"
        + files.c.kind
        + "/"
        + files.c.series
    )
    return products, files, files.c.path == middle.correlate(products).scalar_subquery()


def _reference_columns(files: sa.Table) -> list[sa.ColumnElement[Any]]:
    return [
        sa.literal(0).label("projectid"),
        files.c.segment.label("field"),
        camera_of(files).label("camera"),
        ccd_of(files).label("ccd"),
        yes("isactive"),
        nothing("unixtime"),
    ]


def _astromrefs() -> Query:
    products, files, same = _references()
    return (
        sa.select(
            *_reference_columns(files),
            products.c.path.label("framepath"),
            nothing("jpegpath", _TEXT),
            *(nothing(name) for name in ("sval", "dval", "bgv")),
            nothing("ndet", sa.Integer),
            products.c.content.label("comment"),
        )
        .join_from(products, files, same)
        .where(products.c.kind == "reference")
    )


def _photrefs() -> Query:
    products, files, same = _references()
    unknown = (
        "zenithdist moondist moonelev moonphase hourangle ndet medmagerr magerrmad medsrcbgv stdsrcbgv medsval meddval"
    )
    return (
        sa.select(
            *_reference_columns(files),
            sa.literal("oneframe").label("photreftype"),
            products.c.path.label("framepath"),
            *(nothing(name, _TEXT) for name in ("jpegpath", "convolvetarget", "convolveregpath", "cmrawphotpath")),
            *(nothing(f"target_{name}") for name in unknown.split()),
            products.c.meta.label("photrefinfo"),
        )
        .join_from(products, files, same)
        .where(products.c.kind == "reference")
    )


# -- stars ---------------------------------------------------------------------------------------------------------


def _objectinfo() -> Query:
    targets, curves = TABLES["targets"], TABLES["light_curves"]
    points = sa.select(curves.c.id, sa.func.sum(curves.c.n_point).label("n")).group_by(curves.c.id).subquery("points")
    one = (
        sa.select(
            targets.c.id,
            sa.func.min(targets.c.instrument).label("instrument"),
            sa.func.min(targets.c.ra).label("ra"),
            sa.func.min(targets.c.decl).label("decl"),
            sa.func.min(targets.c.mag).label("mag"),
            sa.func.min(targets.c.detector).label("detector"),
        )
        .group_by(targets.c.id)
        .subquery("stars")
    )
    return sa.select(
        text_of(one.c.id).label("objectid"),
        nothing("twomassid", _TEXT),
        nothing("ucac4id", _TEXT),
        one.c.ra,
        one.c.decl,
        *(nothing(name) for name in ("pmra", "pmra_err", "pmdecl", "pmdecl_err", "parallax", *_MAGNITUDES)),
        one.c.mag.label("tmag"),
        sa.cast(sa.func.coalesce(points.c.n, 0), sa.BigInteger).label("ndet"),
        one.c.instrument.label("network"),
        one.c.detector.label("stations"),
    ).join_from(one, points, points.c.id == one.c.id, isouter=True)


def _lcinfo() -> Query:
    runs = TABLES["runs"]
    return sa.select(
        runs.c.id.label("version"),
        runs.c.id.label("datarelease"),
        sa.literal("time,flux,flux_err,background,quality,flag,col,row").label("lightcurvecolumns"),
        sa.literal("time").label("lightcurvesortcol"),
        runs.c.config.label("lightcurveapertures"),
        sa.literal("flux").label("lcbestaperture"),
        sa.literal("id,ra,dec,mag").label("objectinfocolumns"),
        sa.literal("id").label("objectinfoidcol"),
        nothing("unixtime"),
        (sa.literal("cuvee ") + runs.c.version).label("lcserver"),
        runs.c.command.label("comment"),
    )


def _photometryinfo() -> Query:
    targets = TABLES["targets"]
    key = targets.c.segment + "/" + targets.c.detector + "/" + targets.c.kind
    return sa.select(
        key.label("photkey"),
        sa.literal("0").label("projectid"),
        targets.c.segment.label("field"),
        sa.literal("aperture").label("photmethod"),
        *(
            nothing(f"ism_{name}", _TEXT)
            for name in ("photreftype", "photrefframe", "convsubtype", "lcapertures", "convkernel")
        ),
    ).distinct()


# -- photometry, as indexes into the store -------------------------------------------------------------------------


def _photometry(method: str) -> Query:
    curves = TABLES["light_curves"]
    query = sa.select(
        nothing("frameutcdt", _TEXT),
        text_of(curves.c.id).label("objectid"),
        nothing("framekey", sa.BigInteger),
        (curves.c.segment + "/" + curves.c.detector + "/" + curves.c.kind).label("photkey"),
        curves.c.path.label("photdata"),
        curves.c.n_point.label("n_point"),
    )
    return query if method == "aperture" else query.where(sa.false())


def _blocks() -> tuple[sa.Table, sa.Table, sa.ColumnElement[bool]]:
    """Return flux blocks and stars, and which block has which star."""
    products, targets = TABLES["products"], TABLES["targets"]
    group = (
        targets.c.instrument
        + "/"
        + targets.c.segment
        + "/"
        + targets.c.detector
        + "/"
        + targets.c.kind
        + "/"
        + targets.c.series
    )
    same = sa.or_(
        products.c.data_id == group,
        sa.and_(products.c.data_id >= group + "/", products.c.data_id < group + "0"),  # "0" comes after "/"
    )
    return products, targets, same


def _file_columns(table: Any) -> list[sa.ColumnElement[Any]]:
    return [
        sa.literal(0).label("projectid"),
        table.c.segment.label("field"),
        ccd_of(table).label("ccd"),
        sa.literal("oneframe").label("photreftype"),
        sa.literal("none").label("convsubtype"),
        sa.true().label("isactive"),
    ]


def _iphotfiles() -> Query:
    products, targets, same = _blocks()
    return (
        sa.select(
            *_file_columns(targets),
            products.c.path.label("iphotfilepath"),
            nothing("framerjd"),
            nothing("framefilepath", _TEXT),
            nothing("entrytimestamp", _TEXT),
        )
        .join_from(products, targets, same)
        .where(products.c.kind == "fluxes")
        .distinct()
    )


def _iphotobjects() -> Query:
    products, targets, same = _blocks()
    return (
        sa.select(
            *_file_columns(targets),
            text_of(targets.c.id).label("objectid"),
            products.c.path.label("iphotfilepath"),
            targets.c.row_number.label("iphotfileline"),
        )
        .join_from(products, targets, same)
        .where(products.c.kind == "fluxes")
    )


def _photindex() -> Query:
    curves, frames = TABLES["light_curves"], TABLES["frames"]
    keys = (frames.c.segment, frames.c.detector, frames.c.kind)
    first = sa.select(*keys, sa.func.min(frames.c.start).label("start")).group_by(*keys).subquery("first")
    same = sa.and_(*(curves.c[name] == first.c[name] for name in ("segment", "detector", "kind")))
    return sa.select(
        (first.c.start + _RJD).label("rjd"),
        text_of(curves.c.id).label("objectid"),
        nothing("framekey", sa.BigInteger),
        curves.c.path.label("photline"),
    ).join_from(curves, first, same, isouter=True)
