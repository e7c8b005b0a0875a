"""A ledger belongs to a site, which an entry and this table name; one that has entries already is adopted once."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Makes the table; what a ledger of before belongs to is entered by the migration, after its last entry."""
    op.create_table(
        "site",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=False),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("name", "since")),
    )
