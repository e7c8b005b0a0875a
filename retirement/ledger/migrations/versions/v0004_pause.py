"""A schedule that a person has paused is a row, which no restart and no deployment takes away."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Makes the table; no schedule is paused."""
    op.create_table(
        "pause",
        sa.Column("schedule", _TEXT, primary_key=True),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("since", "reason", "paused_by")),
    )
