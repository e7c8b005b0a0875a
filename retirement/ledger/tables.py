"""What the ledger stores: the chain of events, the evidence that is a projection of it, and the leases.

Times are ISO-8601 texts in UTC with microseconds, so that they sort, and are the same bytes in SQLite and in
PostgreSQL. Lists and mappings are canonical JSON texts. Nothing personal has a column: a learner is the user
id of the LMS, and keyed digests answer questions about an e-mail or a username.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

#: The revision of `migrations/versions` that these tables are at.
SCHEMA = "0001"

# An INTEGER key is the row id of SQLite, so there is one b-tree instead of two.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
# Compared byte by byte on both databases, whatever locale the operator's cluster was made with.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")

metadata = MetaData()

#: The chain (see `chain`). Nothing is ever changed or deleted here.
event = Table(
    "event",
    metadata,
    Column("seq", _NUMBER, primary_key=True, autoincrement=False),
    Column("at", _TEXT, nullable=False),
    Column("kind", _TEXT, nullable=False),
    Column("user_id", _NUMBER, index=True),
    Column("body", _TEXT, nullable=False),
    Column("previous", _TEXT, nullable=False),
    Column("hash", _TEXT, nullable=False),
)

#: One retirement of one learner; who asks again after a cancellation has another row.
learner = Table(
    "learner",
    metadata,
    Column("user_id", _NUMBER, primary_key=True, autoincrement=False),
    Column("retirement_id", _NUMBER, primary_key=True, autoincrement=False),
    Column("requested_at", _TEXT, nullable=False),
    Column("due_at", _TEXT, nullable=False),
    Column("pipeline", _TEXT, nullable=False),
    Column("email_digest", _TEXT, index=True),
    Column("username_digest", _TEXT, index=True),
    Column("domain_digest", _TEXT),
    Column("key_id", _TEXT, nullable=False),
    Column("first_seen_at", _TEXT, nullable=False, index=True),
    Column("fence", _NUMBER, nullable=False),
    Column("began_at", _TEXT, nullable=False),
    Column("ending", _TEXT),
    Column("reason", _TEXT),
    Column("state", _TEXT),
    Column("ended_at", _TEXT),
    Column("retired_at", _TEXT),
)

_RETIREMENT = ("user_id", "retirement_id")

#: One try at one step: its intent, then what came of it. `fence` is that of the run's lease.
attempt = Table(
    "attempt",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=False),
    Column("user_id", _NUMBER, nullable=False),
    Column("retirement_id", _NUMBER, nullable=False),
    Column("step", _TEXT, nullable=False),
    Column("service", _TEXT, nullable=False),
    Column("operation", _TEXT, nullable=False),
    Column("fence", _NUMBER, nullable=False),
    Column("began_at", _TEXT, nullable=False),
    Column("outcome", _TEXT),
    Column("error", _TEXT),
    Column("reason", _TEXT),
    Column("ended_at", _TEXT),
    Column("voided_at", _TEXT),
    Column("void_reason", _TEXT),
    ForeignKeyConstraint(_RETIREMENT, [learner.c.user_id, learner.c.retirement_id]),
    Index("ix_attempt_retirement", *_RETIREMENT),
)

#: What a service gave us to ask about later.
receipt = Table(
    "receipt",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=False),
    Column("user_id", _NUMBER, nullable=False),
    Column("retirement_id", _NUMBER, nullable=False),
    Column("step", _TEXT, nullable=False),
    Column("service", _TEXT, nullable=False),
    Column("operation", _TEXT),
    Column("reference", _TEXT, nullable=False),
    Column("received_at", _TEXT, nullable=False),
    Column("next_check_at", _TEXT),
    Column("checked_at", _TEXT),
    Column("verdict", _TEXT),
    Column("confirmed_at", _TEXT),
    Column("evidence", _TEXT),
    Column("evidence_by", _TEXT),
    Column("result", _TEXT),
    ForeignKeyConstraint(_RETIREMENT, [learner.c.user_id, learner.c.retirement_id]),
    Index("ix_receipt_retirement", *_RETIREMENT),
)

hold = Table(
    "hold",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=False),
    Column("user_id", _NUMBER),
    Column("org", _TEXT),
    Column("service", _TEXT),
    Column("basis", _TEXT, nullable=False),
    Column("until", _TEXT, nullable=False),
    Column("placed_by", _TEXT, nullable=False),
    Column("placed_at", _TEXT, nullable=False),
    Column("released_by", _TEXT),
    Column("released_at", _TEXT),
    Column("release_reason", _TEXT),
)

#: What a guard asked a human, and the answer.
decision = Table(
    "decision",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=False),
    Column("run_id", _TEXT, nullable=False),
    Column("asked_at", _TEXT, nullable=False),
    Column("trips", _TEXT, nullable=False),
    Column("depth", _NUMBER, nullable=False),
    Column("expires_at", _TEXT, nullable=False),
    Column("answer", _TEXT),
    Column("approver", _TEXT),
    Column("reason", _TEXT),
    Column("at_most", _NUMBER),
    Column("decided_at", _TEXT),
)

queue_run = Table(
    "queue_run",
    metadata,
    Column("run_id", _TEXT, primary_key=True),
    Column("began_at", _TEXT, nullable=False),
    Column("depth", _NUMBER, nullable=False),
    Column("batch", _NUMBER, nullable=False),
    Column("ended_at", _TEXT),
    Column("counts", _TEXT),
    Column("seconds", Float(53)),
)

#: Services that were seen failing; `failing` lists the user ids that failed since the last success.
breaker = Table(
    "breaker",
    metadata,
    Column("service", _TEXT, primary_key=True),
    Column("state", _TEXT, nullable=False),
    Column("since", _TEXT, nullable=False),
    Column("retry_at", _TEXT),
    Column("wait", Float(53), nullable=False),
    Column("reason", _TEXT, nullable=False),
    Column("changed_by", _TEXT, nullable=False),
    Column("failing", _TEXT, nullable=False),
    Column("probe_until", _TEXT),
)

#: Learners claimed from the LMS' partner queue; `sealed` is encrypted, and deleted once delivered.
partner_claim = Table(
    "partner_claim",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=False),
    Column("state", _TEXT, nullable=False),
    Column("began_at", _TEXT, nullable=False),
    Column("user_ids", _TEXT, nullable=False),
    Column("sealed", LargeBinary),
    Column("reason", _TEXT),
    Column("ended_at", _TEXT),
)

#: Who works on what right now. Coordination and not evidence: no event tells of it, and `fence` only grows.
lease = Table(
    "lease",
    metadata,
    Column("scope", _TEXT, primary_key=True),
    Column("holder", _TEXT, nullable=False),
    Column("what", _TEXT, nullable=False),
    Column("fence", _NUMBER, nullable=False),
    Column("acquired_at", _TEXT, nullable=False),
    Column("expires_at", _TEXT, nullable=False),
)

#: The tables whose every row is the replay of the chain.
EVIDENCE = {table.name: table for table in metadata.sorted_tables if table.name not in ("event", "lease")}
