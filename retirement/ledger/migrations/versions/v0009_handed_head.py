"""Up to which signed head an address of the operator has taken them, so that what it missed comes with the next one."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table; nothing was handed to an address before."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "handed_head",
        sa.Column("id", number, primary_key=True, autoincrement=False),
        sa.Column("seq", number, nullable=False),
    )
