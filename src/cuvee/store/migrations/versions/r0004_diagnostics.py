"""Say of each star's light curves how noisy they are, and what TASOC's diagnostics say; until they are collected again, nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NUMBERS = (
    "cdpp_1h",
    "cdpp_6_5h",
    "mean_flux",
    "variance",
    "variability",
    "rms_hour",
    "ptp",
    "contamination",
    "mask_size",
)


def upgrade() -> None:
    op.add_column("light_curves", sa.Column("n_good", sa.BigInteger(), nullable=True))
    for name in _NUMBERS:
        op.add_column("light_curves", sa.Column(name, sa.Double(), nullable=True))
    op.add_column("light_curves", sa.Column("flag", sa.BigInteger(), nullable=True))
    op.add_column("light_curves", sa.Column("elaptime", sa.Double(), nullable=True))
