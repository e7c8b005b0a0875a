"""A question has learners, and an answer counts for a later run: one row for each question, beside its decision."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Makes the table; questions of earlier releases have no row in it, and no later run acts on their answers."""
    op.create_table(
        "question",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("user_ids", _TEXT, nullable=False),
        sa.Column("wanted", _NUMBER, nullable=False),
        sa.Column("run_id", _TEXT, nullable=False),
        *(sa.Column(name, _TEXT) for name in ("answered_by", "counts_until", "used_by", "used_at")),
    )
