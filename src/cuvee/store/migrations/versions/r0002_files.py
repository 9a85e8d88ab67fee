"""Give a column to what planning asks of every file; the long rest of its headers is then read only where it is needed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEPT = (
    "path, size, mtime_ns, inode, content, instrument, segment, detector, kind, series, name, n_frame, first_cadence,"
    " last_cadence, state, info"
)


def upgrade() -> None:
    # SQLite adds no column that may not be NULL without a default in the database, so the table is made anew; with row numbers,
    # because without them most of each of these long rows would lie in a page of its own.
    op.drop_index("files_by_detector", "files")
    op.rename_table("files", "files_before")
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
        sa.Column("had", sa.String(length=64), nullable=False),
        sa.Column("has_wcs", sa.Boolean(), nullable=False),
        sa.Column("cells", sa.JSON(), nullable=False),
        sa.Column("footprint", sa.String(length=64), nullable=False),
        sa.Column("info", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("path"),
        sqlite_with_rowid=True,
    )
    op.execute(
        f"INSERT INTO files ({_KEPT}, had, has_wcs, cells, footprint)"
        f" SELECT {_KEPT}, coalesce(json_extract(info, '$.had'), ''), coalesce(json_extract(info, '$.has_wcs'), 0),"
        " coalesce(json_extract(info, '$.cells'), '[]'), '' FROM files_before"
    )
    op.drop_table("files_before")
    op.create_index("files_by_detector", "files", ["segment", "detector", "kind"], unique=False)
