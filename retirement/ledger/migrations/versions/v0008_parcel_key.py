"""What a claim has sealed has a key of its own, which is destroyed at the delivery; open claims keep what they have."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table. What is sealed by now stays under the key of the ledger until it is delivered."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "parcel_key",
        sa.Column("claim", number, primary_key=True, autoincrement=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
    )
