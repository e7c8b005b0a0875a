"""What is usual at this site: learners first seen and retired, day by day."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import InstrumentedAttribute

from retirement.ledger.columns import Day
from retirement.ledger.tables import Entry, LearnerRecord
from retirement.ledger.transaction import Transaction


@dataclass(frozen=True, slots=True)
class History:
    """What is usual here. Days are in UTC; `began_at` is the time of the first entry, None in an empty ledger."""

    began_at: datetime | None
    first_seen: Mapping[date, int]
    retired: Mapping[date, int]
    domains: Mapping[str, int]  #: learners first seen, by the digest of their e-mail's domain


def history_since(tx: Transaction, since: datetime) -> History:
    """How many learners were first seen and how many retired, each day since then."""
    connection = tx.connection
    began = connection.execute(select(Entry.at).where(Entry.seq == 1)).scalar_one_or_none()
    domains = select(LearnerRecord.domain_digest).where(LearnerRecord.first_seen_at >= since)
    return History(
        began_at=datetime.fromisoformat(began) if began else None,
        first_seen=_days(connection, LearnerRecord.first_seen_at, since),
        retired=_days(connection, LearnerRecord.retired_at, since),
        domains=dict(Counter(digest for digest in connection.scalars(domains) if digest)),
    )


def _days(connection: Connection, column: InstrumentedAttribute[Any], since: datetime) -> dict[date, int]:
    # The first ten characters of a time are its day.
    day = func.substr(column, 1, 10, type_=Day)
    statement = select(day, func.count()).where(column >= since).group_by(day).order_by(day)
    return {row[0]: row[1] for row in connection.execute(statement)}
