"""List exposures of photons with what sums their light curves up; until they are binned again, none is listed."""

import sqlalchemy as sa
from alembic import op

from cuvee.store.schema import text

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_WORDS = {
    "instrument": 64,
    "segment": 64,
    "detector": 64,
    "series": 255,
    "target": 255,
    "composite": 255,
    "grating": 64,
    "aperture": 64,
    "obstype": 64,
    "fppos": 64,
    "path": 750,
}
_NUMBERS = (
    "ra",
    "decl",
    "mjd",
    "seconds",
    "step",
    "mean",
    "spread",
    "poisson_factor",
    "excess_variance",
    "constant",
    "pearson_r",
    "pearson_p",
    "period",
    "false_alarm",
)


def upgrade() -> None:
    op.create_table(
        "exposures",
        *(sa.Column(name, text(length), nullable=False) for name, length in _WORDS.items()),
        *(sa.Column(name, sa.Double(), nullable=True) for name in _NUMBERS),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in ("cenwave", "events", "total")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("proposal", "n_exposure")),
        sa.Column("calibrated", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("instrument", "segment", "detector", "series"),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
