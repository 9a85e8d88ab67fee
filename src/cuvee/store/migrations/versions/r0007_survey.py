"""Say whose ledger it is."""

import sqlalchemy as sa
from alembic import op

from cuvee.store.schema import long_text, text

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "survey",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", text(64), nullable=False),
        sa.Column("root", long_text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
    )
