"""List exposures of photons with what sums their light curves up; until they are binned again, none is listed."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from cuvee.store.schema import text

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "exposures",
        *_words("instrument", "segment", "detector"),
        *_words("series", "target", "composite", length=255),
        *_numbers("ra", "decl"),
        *_words("grating"),
        sa.Column("cenwave", sa.BigInteger(), nullable=True),
        *_words("aperture", "obstype", "fppos"),
        sa.Column("proposal", sa.BigInteger(), nullable=False),
        sa.Column("n_exposure", sa.BigInteger(), nullable=False),
        *_numbers("mjd", "seconds", "step"),
        sa.Column("events", sa.BigInteger(), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=True),
        *_numbers("mean", "spread", "poisson_factor", "excess_variance", "constant", "pearson_r", "pearson_p"),
        *_numbers("period", "false_alarm"),
        sa.Column("calibrated", sa.Boolean(), nullable=False),
        *_words("path", length=750),
        sa.PrimaryKeyConstraint("instrument", "segment", "detector", "series"),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )


def _words(*names: str, length: int = 64) -> Iterator[sa.Column[str]]:
    return (sa.Column(name, text(length), nullable=False) for name in names)


def _numbers(*names: str) -> Iterator[sa.Column[float]]:
    return (sa.Column(name, sa.Double(), nullable=True) for name in names)
