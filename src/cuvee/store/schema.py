"""The tables of the ledger. A change here needs a migration in ``store/migrations/versions`` and its name in `REVISIONS`.

The ledger holds facts about things, never points of light curves nor pixels. Keys come from the data; ids are never
counted up by the database. A migration must be such that it can be done again (``if_not_exists``): MySQL cannot take back what one has done that was killed. On every database texts are told apart and ordered byte by byte, as Python does.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

__all__ = ["METADATA", "REVISIONS", "TABLES", "JsonText", "long_text", "text"]

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
"""The migrations in their order; a ledger at the last one opens without loading Alembic."""

METADATA = sa.MetaData()


def text(length: int) -> sa.String:
    """Return the type of a short text, which may be part of a key.

    Parameters
    ----------
    length : int
        Of the longest (characters): MySQL must know it, and indexes 3072 bytes at most. The others take no notice.
    """
    kind = sa.String(length).with_variant(sa.String(collation="C"), "postgresql")
    # A blank at the end counts, as it does in the name of a file.
    kind = kind.with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mariadb")
    return kind.with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_0900_bin"), "mysql")


def long_text() -> sa.Text:
    """Return the type of a text of any length."""
    longest = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    return sa.Text().with_variant(longest, "mysql", "mariadb").with_variant(sa.Text(collation="C"), "postgresql")


class _Json(sa.Text):
    """What SQLite calls a column of JSON; it keeps any text there."""

    __visit_name__ = "JSON"


class JsonText(sa.types.TypeDecorator[Any]):
    """JSON as the text that it is: a database's own type for it would refuse the NaN that headers of raw files hold."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return what the database calls it."""
        return _Json() if dialect.name == "sqlite" else dialect.type_descriptor(long_text())

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str:  # noqa: ARG002 - the same in all
        """Return the text of a value."""
        return json.dumps(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:  # noqa: ARG002
        """Return the value of a text."""
        return None if value is None else json.loads(value)


_WORD = text(64)
_KEY = text(255)
_PATH = text(750)
_LONG = long_text()


def _text(name: str, kind: sa.String | sa.Text = _WORD, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, kind, primary_key=key, nullable=False, default="")


def _count(name: str, default: int = 0) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, default=default)


def _key(name: str, kind: sa.types.TypeEngine[int] | None = None) -> sa.Column[int]:
    return sa.Column(name, kind or sa.BigInteger, primary_key=True, autoincrement=False)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, JsonText, nullable=False, default={})


# Raw files that are good, with what their headers say, so that nobody opens an unchanged file for planning. What planning asks
# of every file has a column; the rest is in ``info``, long and seldom read.
sa.Table(
    "files",
    METADATA,
    _text("path", _PATH, key=True),
    _count("size"),
    _count("mtime_ns"),
    _count("inode"),
    _text("content"),
    _text("instrument"),
    _text("segment"),
    _text("detector"),
    _text("kind"),
    _text("series", _KEY),
    _text("name", _KEY),
    _count("n_frame"),
    _count("first_cadence", -1),
    _count("last_cadence", -1),
    _text("state"),
    _text("had"),
    sa.Column("has_wcs", sa.Boolean, nullable=False, default=False),
    sa.Column("cells", JsonText, nullable=False, default=[]),
    _text("footprint"),
    _json("info"),
    sa.Index("files_by_detector", "segment", "detector", "kind"),
    # SQLite keeps rows as long as these in one piece only where they have a number.
    sqlite_with_rowid=True,
)

# Frames of files that hold one frame each.
sa.Table(
    "frames",
    METADATA,
    _text("file", _PATH, key=True),
    _text("segment"),
    _text("detector"),
    _text("kind"),
    _count("cadence"),
    sa.Column("start", sa.Double),
    sa.Column("stop", sa.Double),
    _count("quality"),
    sa.Column("has_wcs", sa.Boolean, nullable=False, default=False),
    sa.Index("frames_by_cadence", "segment", "detector", "kind", "cadence"),
    sqlite_with_rowid=False,
)

# Stars that are measured, with the row that they have in the flux blocks.
sa.Table(
    "targets",
    METADATA,
    _text("instrument", key=True),
    _text("segment", key=True),
    _text("detector", key=True),
    _text("kind", key=True),
    _key("id"),
    _count("healpix"),
    _text("series", _KEY),
    _count("row_number"),
    sa.Column("ra", sa.Double),
    sa.Column("decl", sa.Double),
    sa.Column("col", sa.Double),
    sa.Column("row", sa.Double),
    sa.Column("mag", sa.Double),
    sa.Index("targets_by_id", "id"),
    sa.Index("targets_by_healpix", "healpix"),
    sqlite_with_rowid=False,
)

# What became of each unit of work when it was last done.
sa.Table(
    "units",
    METADATA,
    _text("stage", key=True),
    _text("data_id", _KEY, key=True),
    _text("recipe"),
    _text("outcome"),
    _text("message", _LONG),
    _text("reason"),
    sa.Column("seconds", sa.Double, nullable=False, default=0.0),
    sa.Column("memory", sa.Double, nullable=False, default=0.0),
    _json("counts"),
    _count("run_id"),
    sa.Index("units_by_outcome", "outcome"),
    sqlite_with_rowid=False,
)

# What exists, and which unit made it.
sa.Table(
    "products",
    METADATA,
    _text("kind", key=True),
    _text("data_id", _KEY, key=True),
    _text("content"),
    _text("path", _PATH),
    _count("size"),
    _json("meta"),
    _text("stage"),
    _text("unit", _KEY),
    _text("recipe"),
    sa.Index("products_by_unit", "stage", "unit"),
    sqlite_with_rowid=False,
)

# Waves of work (a segment, detector and kind of file) that ended with nothing left to do: what their plan depended on, as a hash, and
# how many units each stage had. While the hash is the same, and the products are there, planning would find nothing to do.
sa.Table(
    "waves",
    METADATA,
    _text("data_id", _KEY, key=True),
    _text("seal"),
    _json("units"),
    sqlite_with_rowid=False,
)

# What a product was made from.
sa.Table(
    "lineage",
    METADATA,
    _text("kind", key=True),
    _text("data_id", _KEY, key=True),
    _text("input_kind", key=True),
    _text("input_id", _KEY, key=True),
    _text("content"),
    sa.Index("lineage_by_input", "input_kind", "input_id"),
    sqlite_with_rowid=False,
)

sa.Table(
    "runs",
    METADATA,
    _key("id", sa.Integer()),
    _text("started"),
    _text("finished"),
    _text("version"),
    _json("config"),
    _text("command", _LONG),
)

# Files that cannot be used; those that were mended since have still = false.
sa.Table(
    "quarantine",
    METADATA,
    _text("path", _PATH, key=True),
    _count("size"),
    _count("mtime_ns"),
    _count("inode"),
    _text("reason"),
    _text("message", _LONG),
    _count("run_id"),
    sa.Column("still", sa.Boolean, nullable=False, default=True),
    sqlite_with_rowid=False,
)

# What was asked of archives; ``id`` is a hash of the question, ``record`` the file that lists what came (relative to the workspace).
sa.Table(
    "acquisitions",
    METADATA,
    _text("id", key=True),
    _text("mission"),
    _json("query"),
    _text("asked"),
    _text("finished"),
    _text("record", _PATH),
    _count("n_file"),
    sqlite_with_rowid=False,
)

# Each file that was wanted of an archive, and what became of it: ``have``, ``missing``, ``broken``, ``changed`` or ``failed``. Size, time and
# inode are those of the file under its final name, ``hash`` is the XXH3-128 of all its bytes; ``failures`` counts acquisitions in
# which nothing sound came, since it was last there.
sa.Table(
    "downloads",
    METADATA,
    _text("path", _PATH, key=True),
    _text("name", _KEY),
    _text("uri", _PATH),
    _text("url", _LONG),
    _text("state"),
    _count("size"),
    _count("mtime_ns"),
    _count("inode"),
    _text("hash"),
    _text("etag", _KEY),
    _count("tries"),
    _count("failures"),
    _text("message", _LONG),
    _text("fetched"),
    sqlite_with_rowid=False,
)

# Where each star's light curves are, and what sums them up: noise (ppm) and TASOC's diagnostics, of what ``flux`` holds. NULL where there
# are too few points, or where there is no such number. ``flag`` has the bits that every point of the star has; ``elaptime`` is
# in seconds, the star's part of what all stars of its detector took together; ``edge_flux`` (e-/s) is the light in the outermost rows and
# columns of the pixels; ``errors`` says in words what went wrong, and is empty where
# nothing did.
sa.Table(
    "light_curves",
    METADATA,
    _key("id"),
    _text("instrument", key=True),
    _text("segment", key=True),
    _text("detector", key=True),
    _text("kind", key=True),
    _count("healpix"),
    _text("series", _KEY),
    _text("path", _PATH),
    _text("best"),
    _count("n_point"),
    sa.Column("scatter", sa.Double),
    sa.Column("n_good", sa.BigInteger),
    sa.Column("cdpp_1h", sa.Double),
    sa.Column("cdpp_6_5h", sa.Double),
    sa.Column("mean_flux", sa.Double),
    sa.Column("variance", sa.Double),
    sa.Column("variability", sa.Double),
    sa.Column("rms_hour", sa.Double),
    sa.Column("ptp", sa.Double),
    sa.Column("contamination", sa.Double),
    sa.Column("mask_size", sa.Double),
    sa.Column("flag", sa.BigInteger),
    sa.Column("elaptime", sa.Double),
    sa.Column("edge_flux", sa.Double),
    sa.Column("errors", _LONG),
    sa.Index("light_curves_by_healpix", "healpix"),
    sa.Index("light_curves_by_path", "path"),
    sqlite_with_rowid=False,
)

# Exposures of photons that have light curves, and composites of them (segment ``composite``, series what their exposures have in common).
# Rates are in count/s, times in s, ``mjd`` is the exposure's zero in its own time scale; ``period`` is the least likely to come from noise,
# ``false_alarm`` how likely that is. NULL where there is no such number.
sa.Table(
    "exposures",
    METADATA,
    _text("instrument", key=True),
    _text("segment", key=True),
    _text("detector", key=True),
    _text("series", _KEY, key=True),
    _text("target", _KEY),
    _text("composite", _KEY),
    sa.Column("ra", sa.Double),
    sa.Column("decl", sa.Double),
    _text("grating"),
    sa.Column("cenwave", sa.BigInteger),
    _text("aperture"),
    _text("obstype"),
    _text("fppos"),
    _count("proposal"),
    _count("n_exposure", 1),
    sa.Column("mjd", sa.Double),
    sa.Column("seconds", sa.Double),
    sa.Column("step", sa.Double),
    sa.Column("events", sa.BigInteger),
    sa.Column("total", sa.BigInteger),
    sa.Column("mean", sa.Double),
    sa.Column("spread", sa.Double),
    sa.Column("poisson_factor", sa.Double),
    sa.Column("excess_variance", sa.Double),
    sa.Column("constant", sa.Double),
    sa.Column("pearson_r", sa.Double),
    sa.Column("pearson_p", sa.Double),
    sa.Column("period", sa.Double),
    sa.Column("false_alarm", sa.Double),
    sa.Column("calibrated", sa.Boolean, nullable=False, default=False),
    _text("path", _PATH),
    sqlite_with_rowid=False,
)

# Whose ledger this is: a database of a server may be named in the configuration of any workspace. One row, with id 1.
sa.Table(
    "survey",
    METADATA,
    _key("id", sa.Integer()),
    _text("name"),
    _text("root", _LONG),
)

TABLES: dict[str, sa.Table] = dict(METADATA.tables)
"""All tables by name."""
