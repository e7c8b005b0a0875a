"""What the chain says about one learner, as of one entry: enough to write a certificate, and to check one later.

The entries hold every row whole that they changed, so nothing but them is read. A ledger that has grown since
then says the same as of that entry: a certificate stays checkable for as long as the ledger is kept.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, or_

from retirement.errors import LedgerError
from retirement.ledger import chain
from retirement.ledger.chain import Head
from retirement.ledger.failures import failure
from retirement.ledger.ledger import Ledger
from retirement.ledger.location import LedgerLocation, engine_of
from retirement.ledger.tables import Entry as Stored
from retirement.ledger.tables import LearnerRecord
from retirement.ledger.transaction import head_of, rows_of
from retirement.ledger.verification import reading_of, verify

#: What is entered about several learners at once: holds on organisations, and reports to partners.
_SHARED = ("hold.added", "hold.released", "claim.sealed", "claim.parted", "claim.written", "claim.delivered")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the chain, as it is quoted; `rows` as in `chain`, `at` as it is stored."""

    seq: int
    at: str
    kind: str
    user_id: int | None  #: None: a hold on an organisation, which may be the learner's, or a report that names them
    facts: Mapping[str, Any]
    rows: Sequence[Any]
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Extract:
    """The entries that may concern a learner, up to `head`, which is an entry of the chain."""

    user_id: int
    head: Head
    entries: tuple[Entry, ...]


async def extract(ledger: Ledger, user_id: int) -> Extract:
    """What an open ledger says right now; `retirement ledger verify` checks it. Raises `LedgerError`."""
    return await ledger.access.read(lambda tx: _read(tx.connection, user_id, head_of(tx.connection)))


async def changed_since(ledger: Ledger, seq: int) -> set[int]:
    """The learners with a retirement that ended retired of whom entries after the one of number `seq` say something.

    A hold on an organisation is about those whom it kept. Raises `LedgerError`.
    """
    return await ledger.access.read(lambda tx: _changed(tx.connection, seq))


def verified_extract(location: LedgerLocation, user_id: int, upto: int | None = None) -> Extract:
    """The same of a ledger that is verified first, neither opened for writing nor needing its key.

    `upto` is the number of the entry that ends it; a shorter ledger ends it before. Raises `LedgerError` for a
    ledger that is missing, or is not what was written, with the sentence of the verification.
    """
    verdict = verify(location)
    if verdict.problem:
        raise LedgerError(verdict.problem.sentence)
    last = verdict.head.seq if upto is None else min(upto, verdict.head.seq)
    engine = engine_of(location, reading=reading_of(location))
    try:
        with engine.connect().execution_options(reading=True) as connection:
            found = rows_of(connection, Stored, Stored.seq == last)
            head = Head(last, found[0].hash, found[0].at) if found else Head(0, chain.ORIGIN, "")
            return _read(connection, user_id, head)
    except LedgerError:
        raise
    except Exception as error:  # noqa: BLE001 - a driver's words may quote the address
        raise failure(str(location), error) from None
    finally:
        engine.dispose()


def _changed(connection: Connection, seq: int) -> set[int]:
    entries = rows_of(connection, Stored, Stored.seq > seq)
    shared = [each for each in entries if each.kind in _SHARED]
    changes = [change for each in shared for change in json.loads(each.body)["rows"]]
    about = {each.user_id for each in entries}.union(*map(_reported, changes))
    holds = {f"by hold {key[0]}" for table, key, _ in changes if table == "hold"}
    # A ledger has learners by the thousand, of which few were touched: the database need not be asked for each.
    retired = rows_of(connection, LearnerRecord, LearnerRecord.retired_at.is_not(None)) if entries else []
    return {each.user_id for each in retired if each.user_id in about or _is_held(each.reason, holds)}


def _reported(change: tuple[str, Any, Mapping[str, Any] | None]) -> set[int]:
    """The learners of a report to partners that a change is about."""
    table, _, row = change
    return set(json.loads(row["user_ids"])) if table == "partner_claim" and row else set()


def _is_held(reason: str | None, holds: set[str]) -> bool:
    return any(each in (reason or "") for each in holds)


def _read(connection: Connection, user_id: int, head: Head) -> Extract:
    mine = or_(Stored.user_id == user_id, and_(Stored.user_id.is_(None), Stored.kind.in_(_SHARED)))
    entries = []
    for row in rows_of(connection, Stored, mine, Stored.seq <= head.seq):
        told = chain.entry_hash(row.seq, row.at, row.kind, row.user_id, row.body, row.previous)
        if told != row.hash:
            raise LedgerError(f"entry {row.seq} is not what was written")
        body = json.loads(row.body)
        if not _concerns(body["rows"], user_id):
            continue
        entries.append(
            Entry(row.seq, row.at, row.kind, row.user_id, body["facts"], body["rows"], row.previous, row.hash)
        )
    return Extract(user_id, head, tuple(entries))


def _concerns(rows: Sequence[Any], user_id: int) -> bool:
    """Not a report to partners that is about others only."""
    claims = [row for table, _, row in rows if table == "partner_claim"]
    return not claims or any(row and user_id in json.loads(row["user_ids"]) for row in claims)
