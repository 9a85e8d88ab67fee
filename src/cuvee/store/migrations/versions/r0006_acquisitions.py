"""Keep what was fetched from archives: each file with its size and hash, so that a rerun asks for nothing that is there."""

import sqlalchemy as sa
from alembic import op

from cuvee.store.schema import JsonText, long_text, text

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "acquisitions",
        sa.Column("id", text(64), nullable=False),
        sa.Column("mission", text(64), nullable=False),
        sa.Column("query", JsonText(), nullable=False),
        sa.Column("asked", text(64), nullable=False),
        sa.Column("finished", text(64), nullable=False),
        sa.Column("record", text(750), nullable=False),
        sa.Column("n_file", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "downloads",
        sa.Column("path", text(750), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("uri", text(750), nullable=False),
        sa.Column("url", long_text(), nullable=False),
        sa.Column("state", text(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("hash", text(64), nullable=False),
        sa.Column("etag", text(255), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("message", long_text(), nullable=False),
        sa.Column("fetched", text(64), nullable=False),
        sa.PrimaryKeyConstraint("path"),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
