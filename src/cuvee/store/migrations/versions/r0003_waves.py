"""Remember which waves of work are whole, so that an idle rerun need not plan each of their units again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "waves",
        sa.Column("data_id", sa.String(length=255), nullable=False),
        sa.Column("seal", sa.String(length=64), nullable=False),
        sa.Column("units", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("data_id"),
        sqlite_with_rowid=False,
    )
