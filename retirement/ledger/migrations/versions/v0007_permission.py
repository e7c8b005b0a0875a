"""What people may do at the operators' door is a row for each person and place, which an entry has granted."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Makes the table; nothing is granted."""
    op.create_table(
        "permission",
        *(sa.Column(name, _TEXT, primary_key=True) for name in ("domain", "instance", "issuer", "subject")),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("actions", "since")),
    )
