"""The first ledger.

It stands alone and imports nothing of ours: the tables of later releases are not those of this one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Makes every table."""
    _chain()
    _learners()
    _questions()
    _services()
    _lease()


def _number(name: str, *, key: bool = False, empty: bool = False) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, primary_key=key, autoincrement=False, nullable=empty)


def _text(name: str, *, key: bool = False, empty: bool = False) -> sa.Column[str]:
    return sa.Column(name, _TEXT, primary_key=key, nullable=empty)


def _chain() -> None:
    op.create_table(
        "event",
        _number("seq", key=True),
        _text("at"),
        _text("kind"),
        _number("user_id", empty=True),
        _text("body"),
        _text("previous"),
        _text("hash"),
    )
    op.create_index("ix_event_user_id", "event", ["user_id"])


def _learners() -> None:
    op.create_table(
        "learner",
        _number("user_id", key=True),
        _number("retirement_id", key=True),
        *(_text(name) for name in ("requested_at", "due_at", "pipeline")),
        *(_text(name, empty=True) for name in ("email_digest", "username_digest", "domain_digest")),
        _text("key_id"),
        _text("first_seen_at"),
        _number("fence"),
        _text("began_at"),
        *(_text(name, empty=True) for name in ("ending", "reason", "state", "ended_at", "retired_at")),
    )
    for name in ("email_digest", "username_digest", "first_seen_at"):
        op.create_index(f"ix_learner_{name}", "learner", [name])
    op.create_table(
        "attempt",
        *(_number(name, key=name == "id") for name in ("id", "user_id", "retirement_id")),
        *(_text(name) for name in ("step", "service", "operation")),
        _number("fence"),
        _text("began_at"),
        *(_text(name, empty=True) for name in ("outcome", "error", "reason", "ended_at", "voided_at", "void_reason")),
        _of_a_retirement(),
    )
    op.create_index("ix_attempt_retirement", "attempt", ["user_id", "retirement_id"])
    op.create_table(
        "receipt",
        *(_number(name, key=name == "id") for name in ("id", "user_id", "retirement_id")),
        *(_text(name) for name in ("step", "service", "reference", "received_at")),
        *(_text(name, empty=True) for name in ("operation", "next_check_at", "checked_at", "verdict")),
        *(_text(name, empty=True) for name in ("confirmed_at", "evidence", "evidence_by", "result")),
        _of_a_retirement(),
    )
    op.create_index("ix_receipt_retirement", "receipt", ["user_id", "retirement_id"])


def _of_a_retirement() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["user_id", "retirement_id"], ["learner.user_id", "learner.retirement_id"])


def _questions() -> None:
    op.create_table(
        "hold",
        _number("id", key=True),
        _number("user_id", empty=True),
        *(_text(name, empty=True) for name in ("org", "service")),
        *(_text(name) for name in ("basis", "until", "placed_by", "placed_at")),
        *(_text(name, empty=True) for name in ("released_by", "released_at", "release_reason")),
    )
    op.create_table(
        "decision",
        _number("id", key=True),
        *(_text(name) for name in ("run_id", "asked_at", "trips")),
        _number("depth"),
        _text("expires_at"),
        *(_text(name, empty=True) for name in ("answer", "approver", "reason")),
        _number("at_most", empty=True),
        _text("decided_at", empty=True),
    )
    op.create_table(
        "queue_run",
        _text("run_id", key=True),
        _text("began_at"),
        *(_number(name) for name in ("depth", "batch")),
        *(_text(name, empty=True) for name in ("ended_at", "counts")),
        sa.Column("seconds", sa.Float(53)),
    )


def _services() -> None:
    op.create_table(
        "breaker",
        _text("service", key=True),
        *(_text(name) for name in ("state", "since")),
        _text("retry_at", empty=True),
        sa.Column("wait", sa.Float(53), nullable=False),
        *(_text(name) for name in ("reason", "changed_by", "failing")),
        _text("probe_until", empty=True),
    )
    op.create_table(
        "partner_claim",
        _number("id", key=True),
        *(_text(name) for name in ("state", "began_at", "user_ids")),
        sa.Column("sealed", sa.LargeBinary),
        *(_text(name, empty=True) for name in ("reason", "ended_at")),
    )


def _lease() -> None:
    op.create_table(
        "lease",
        _text("scope", key=True),
        *(_text(name) for name in ("holder", "what")),
        _number("fence"),
        *(_text(name) for name in ("acquired_at", "expires_at")),
    )
