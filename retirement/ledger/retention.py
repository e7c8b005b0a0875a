"""Taking free texts out of the ledger once they are as old as the settings say, by the means of `redaction`.

A text counts as old when every row that its entry tells of was last written before that time: so an entry and its row
say the same afterwards. What is in force keeps its text: holds, pauses, open breakers and open receipts. So does a
reason that names a hold, for certificates find the holds of an organisation by it.

Everything else of an entry stays, and is the evidence: learner, step, service, outcome, receipt, times, who and how.
"""

import json
import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from retirement.ledger import chain, tables
from retirement.ledger.anchor import write_anchor
from retirement.ledger.chain import Head
from retirement.ledger.location import LedgerLocation
from retirement.ledger.maintenance import in_a_transaction
from retirement.ledger.redaction import opened_whole, out_of_row, require_there, salted, store_without
from retirement.ledger.transaction import Transaction
from retirement.ledger.verification import TEXT_REDACTED

#: Entries of one transaction, whose numbers stand in its entry.
AT_ONCE = 500
#: The setting by which texts are taken out, as the entries name it.
RULE = "ledger.text_days"
_NAMES_A_HOLD = re.compile(r"\bby hold \d+\b")

#: A row, by its table and its key in canonical form.
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class TakenOut:
    """What one transaction came to: entries of which texts were taken out, how many texts, and old entries left.

    `last` is the number of the last entry that was looked at.
    """

    entries: int
    texts: int
    in_use: int
    last: int


@dataclass(frozen=True, slots=True)
class _Written:
    """Where a row was written last, when, and the day until which people act on it, as `Row.acted_on_until`."""

    seq: int
    at: str
    until: str


def take_out_older(
    location: LedgerLocation, age: timedelta, *, dry_run: bool = False, clock: Callable[[], datetime] | None = None
) -> Iterator[TakenOut]:
    """Takes out every text that is as old as `age`, a transaction for each step of the iteration.

    Each enters what it has taken out, so the next run goes on where one ended. `dry_run` changes nothing. Other runs
    may be under way: a row that one of them writes meanwhile is young, with the text that it has. Raises `ConfigError`
    and `LedgerError`.
    """
    require_there(location)
    after, shared = 0, _Shared()
    while True:
        done = _some(location, age, after, shared, dry_run=dry_run, clock=clock)
        if done is None:
            return
        yield done
        after = done.last


def _some(
    location: LedgerLocation,
    age: timedelta,
    after: int,
    shared: "_Shared",
    *,
    dry_run: bool,
    clock: Callable[[], datetime] | None,
) -> TakenOut | None:
    """The next entries; None where there are no more."""

    def work(connection: Connection) -> tuple[TakenOut | None, Head]:
        tx = opened_whole(connection, location, clock)
        before = chain.written(tx.now - age)
        old = _old(connection, before, after)
        done = _taken_out(tx, old, before, shared) if old else None
        return done, tx.append()

    done, head = in_a_transaction(location, work, rolled_back=dry_run, empties_log=not dry_run)
    if done and done.entries and not dry_run:
        write_anchor(location.anchor, head)
    return done


def _old(connection: Connection, before: str, after: int) -> Sequence[Row[Any]]:
    """The next entries that are old and have a text."""
    event = tables.event.c
    wanted = (event.seq > after, event.at < before, event.body.contains('"salt":'))
    statement = select(event.seq, event.user_id, event.body).where(*wanted).order_by(event.seq).limit(AT_ONCE)
    return connection.execute(statement).all()


def _taken_out(tx: Transaction, old: Sequence[Row[Any]], before: str, shared: "_Shared") -> TakenOut:
    bodies = {each.seq: json.loads(each.body) for each in old}
    written, today = _last_written(tx.connection, old, shared), tx.now.date().isoformat()
    texts: dict[int, list[str]] = {}
    in_use = 0
    for seq, body in bodies.items():
        mine = [written[_key(table, key)] for table, key, _ in body["rows"]]
        if any(each.at >= before or each.until >= today for each in mine):
            in_use += 1
        elif found := [text for text in salted(body) if not _NAMES_A_HOLD.search(text)]:
            texts[seq] = found
    taken = [_out_of(tx.connection, seq, bodies[seq], found, written) for seq, found in texts.items()]
    if texts:
        tx.enter(TEXT_REDACTED, facts={"entries": [*texts], "texts": taken, "rule": RULE, "before": before})
    return TakenOut(len(texts), sum(map(len, texts.values())), in_use, old[-1].seq)


def _out_of(
    connection: Connection, seq: int, body: Mapping[str, Any], texts: list[str], written: Mapping[_Key, _Written]
) -> int:
    """Takes texts out of an entry, and out of the rows that it wrote last; returns in how many places of the entry."""
    taken = store_without(connection, seq, body, texts)
    for table, key, row in body["rows"]:
        if written[_key(table, key)].seq == seq:
            out_of_row(connection, table, key, row or {}, texts)
    return taken


class _Shared:
    """Where rows were written last by entries about no learner, of which a run reads each once, however old it is."""

    def __init__(self) -> None:
        self._found: dict[_Key, _Written] = {}
        self._read = 0

    def found(self, connection: Connection) -> dict[_Key, _Written]:
        """With the entries that have come since."""
        for key, written in _writings(connection, tables.event.c.user_id.is_(None), self._read):
            self._found[key] = written
            self._read = written.seq
        return self._found


def _last_written(connection: Connection, old: Sequence[Row[Any]], shared: _Shared) -> Mapping[_Key, _Written]:
    """For each row that these entries tell of, the entry that wrote it last: one about the same learner, or no one."""
    user_ids = {each.user_id for each in old if each.user_id is not None}
    # Found by the index of learners, whose entries are few; all the later ones are many, and read anew each time.
    theirs = dict(_writings(connection, tables.event.c.user_id.in_(user_ids), old[0].seq - 1))
    common = shared.found(connection)
    return ChainMap(
        {key: each for key, each in theirs.items() if key not in common or common[key].seq < each.seq}, common
    )


def _writings(connection: Connection, whose: ColumnElement[bool], after: int) -> Iterator[tuple[_Key, _Written]]:
    """What entries after one have written, in their order."""
    event = tables.event.c
    # Facts alone write no row.
    wanted = (event.seq > after, whose, ~event.body.endswith('"rows":[]}'))
    statement = select(event.seq, event.at, event.body).where(*wanted).order_by(event.seq)
    # Of the statement and not of the connection, which goes on to write.
    for entry in connection.execute(statement.execution_options(yield_per=AT_ONCE)):
        for table, key, row in json.loads(entry.body)["rows"]:
            until = tables.BY_NAME.get(table, tables.Row).acted_on_until(row) if row else ""
            yield _key(table, key), _Written(entry.seq, entry.at, until)


def _key(table: str, key: list[Any]) -> _Key:
    return table, chain.canonical(key)
