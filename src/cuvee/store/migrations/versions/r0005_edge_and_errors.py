"""Say of each star's light curves how much of the flux comes from the edge of the pixels, and what went wrong; until they are collected again, nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("light_curves", sa.Column("edge_flux", sa.Double(), nullable=True))
    op.add_column("light_curves", sa.Column("errors", sa.Text(), nullable=True))
