"""Make the ledger's tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("path", sa.String(length=750), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("instrument", sa.String(length=64), nullable=False),
        sa.Column("segment", sa.String(length=64), nullable=False),
        sa.Column("detector", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("series", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("n_frame", sa.BigInteger(), nullable=False),
        sa.Column("first_cadence", sa.BigInteger(), nullable=False),
        sa.Column("last_cadence", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("info", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("path"),
        sqlite_with_rowid=False,
    )
    op.create_index("files_by_detector", "files", ["segment", "detector", "kind"], unique=False)
    op.create_table(
        "frames",
        sa.Column("file", sa.String(length=750), nullable=False),
        sa.Column("segment", sa.String(length=64), nullable=False),
        sa.Column("detector", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("cadence", sa.BigInteger(), nullable=False),
        sa.Column("start", sa.Double(), nullable=True),
        sa.Column("stop", sa.Double(), nullable=True),
        sa.Column("quality", sa.BigInteger(), nullable=False),
        sa.Column("has_wcs", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("file"),
        sqlite_with_rowid=False,
    )
    op.create_index("frames_by_cadence", "frames", ["segment", "detector", "kind", "cadence"], unique=False)
    op.create_table(
        "light_curves",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("instrument", sa.String(length=64), nullable=False),
        sa.Column("segment", sa.String(length=64), nullable=False),
        sa.Column("detector", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("healpix", sa.BigInteger(), nullable=False),
        sa.Column("series", sa.String(length=255), nullable=False),
        sa.Column("path", sa.String(length=750), nullable=False),
        sa.Column("best", sa.String(length=64), nullable=False),
        sa.Column("n_point", sa.BigInteger(), nullable=False),
        sa.Column("scatter", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", "instrument", "segment", "detector", "kind"),
        sqlite_with_rowid=False,
    )
    op.create_index("light_curves_by_healpix", "light_curves", ["healpix"], unique=False)
    op.create_index("light_curves_by_path", "light_curves", ["path"], unique=False)
    op.create_table(
        "lineage",
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("data_id", sa.String(length=255), nullable=False),
        sa.Column("input_kind", sa.String(length=64), nullable=False),
        sa.Column("input_id", sa.String(length=255), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("kind", "data_id", "input_kind", "input_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("lineage_by_input", "lineage", ["input_kind", "input_id"], unique=False)
    op.create_table(
        "products",
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("data_id", sa.String(length=255), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=750), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.Column("stage", sa.String(length=64), nullable=False),
        sa.Column("unit", sa.String(length=255), nullable=False),
        sa.Column("recipe", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("kind", "data_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("products_by_unit", "products", ["stage", "unit"], unique=False)
    op.create_table(
        "quarantine",
        sa.Column("path", sa.String(length=750), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("still", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("path"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started", sa.String(length=64), nullable=False),
        sa.Column("finished", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "targets",
        sa.Column("instrument", sa.String(length=64), nullable=False),
        sa.Column("segment", sa.String(length=64), nullable=False),
        sa.Column("detector", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("healpix", sa.BigInteger(), nullable=False),
        sa.Column("series", sa.String(length=255), nullable=False),
        sa.Column("row_number", sa.BigInteger(), nullable=False),
        sa.Column("ra", sa.Double(), nullable=True),
        sa.Column("decl", sa.Double(), nullable=True),
        sa.Column("col", sa.Double(), nullable=True),
        sa.Column("row", sa.Double(), nullable=True),
        sa.Column("mag", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("instrument", "segment", "detector", "kind", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("targets_by_healpix", "targets", ["healpix"], unique=False)
    op.create_index("targets_by_id", "targets", ["id"], unique=False)
    op.create_table(
        "units",
        sa.Column("stage", sa.String(length=64), nullable=False),
        sa.Column("data_id", sa.String(length=255), nullable=False),
        sa.Column("recipe", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("memory", sa.Double(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stage", "data_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("units_by_outcome", "units", ["outcome"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("A ledger is made anew from the receipts, never taken back a version.")
