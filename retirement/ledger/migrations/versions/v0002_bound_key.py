"""The ledger knows its key: a check value, in a table of one row, that is no evidence and is not hashed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Makes the table; the row is written by whoever has the key."""
    op.create_table(
        "bound_key",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("check_value", _TEXT, nullable=False),
    )
