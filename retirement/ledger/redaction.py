"""Taking a text out of the ledger for good, so that the chain stays whole: its hash stays, the text and its salt go.

For what should never have been entered: a name in a reason, an error text that quoted an address.
"""

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from retirement.errors import ConfigError
from retirement.ledger import chain, tables
from retirement.ledger.access import clock_of
from retirement.ledger.anchor import read_anchor, write_anchor
from retirement.ledger.belonging import require_site
from retirement.ledger.chain import Head
from retirement.ledger.location import LedgerLocation
from retirement.ledger.maintenance import in_a_transaction, require_idle
from retirement.ledger.schema import require_schema, schema_of
from retirement.ledger.transaction import Transaction, opened_transaction
from retirement.ledger.verification import TEXT_REDACTED, require_whole


@dataclass(frozen=True, slots=True)
class Redaction:
    """What was taken out: how many different texts of the entry, and every entry in which one of them stood."""

    texts: int
    entries: tuple[int, ...]


def redact(
    location: LedgerLocation,
    seq: int,
    *,
    by: str,
    reason: str,
    dry_run: bool = False,
    clock: Callable[[], datetime] | None = None,
) -> Redaction:
    """Takes the free texts of an entry out of it, and out of every entry and row that repeats one, and enters that.

    `dry_run` changes nothing. Raises `ConfigError` for an entry that is not there or has no text that can be taken
    out, `BusyElsewhere` while a run is under way, which may have a text in its memory, and `LedgerError`.
    """
    require_there(location)

    def work(connection: Connection) -> tuple[Redaction, Head]:
        tx = opened_whole(connection, location, clock)
        require_idle(tx, location, "take texts out")
        texts = _texts_of(connection, location, seq)
        taken = dict(_taken_out(connection, texts))
        facts = {"entry": seq, "entries": [*taken], "texts": [*taken.values()], "by": by, "reason": reason}
        tx.enter(TEXT_REDACTED, facts=facts)
        return Redaction(len(texts), tuple(taken)), tx.append()

    done, head = in_a_transaction(location, work, rolled_back=dry_run, empties_log=True)
    if not dry_run:
        write_anchor(location.anchor, head)
    return done


def require_there(location: LedgerLocation) -> None:
    """Raises `ConfigError` for a SQLite file that is missing, which opening it would make."""
    if location.file and not location.file.is_file():
        raise ConfigError(f"{location}: there is no ledger")


def opened_whole(connection: Connection, location: LedgerLocation, clock: Callable[[], datetime] | None) -> Transaction:
    """The transaction that takes texts out of a ledger which is whole. Raises `ConfigError` and `LedgerError`."""
    require_schema(schema_of(connection) or "", str(location))
    require_whole(connection, read_anchor(location.anchor), str(location))
    require_site(connection, location)
    return opened_transaction(connection, clock_of(location, clock), writable=True)


def _texts_of(connection: Connection, location: LedgerLocation, seq: int) -> set[str]:
    """Its free texts; raises `ConfigError` where there is none."""
    body = connection.scalar(select(tables.event.c.body).where(tables.event.c.seq == seq))
    if body is None:
        raise ConfigError(f"{location}: has no entry {seq}")
    if texts := set(salted(json.loads(body))):
        return texts
    raise ConfigError(
        f"{location}: entry {seq} has no text that can be taken out: it has none, it is taken out already, or a "
        "release of before entered it in clear"
    )


def salted(value: Any) -> Iterator[str]:
    """Every free text in a body."""
    if isinstance(value, dict):
        if value.keys() == {"salt", "text"}:
            yield value["text"]
            return
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from salted(each)


def _taken_out(connection: Connection, texts: set[str]) -> Iterator[tuple[int, int]]:
    """Takes the texts out of every entry and of the rows; each entry, and in how many places it had one."""
    event = tables.event
    found = connection.execute(
        select(event.c.seq, event.c.body).where(event.c.body.contains('"salt":')).order_by(event.c.seq)
    )
    for seq, body in found.all():
        parsed = json.loads(body)
        if texts.isdisjoint(salted(parsed)):
            continue
        taken = store_without(connection, seq, parsed, texts)
        for table, key, row in parsed["rows"]:
            out_of_row(connection, table, key, row or {}, texts)
        yield seq, taken


def store_without(connection: Connection, seq: int, body: Any, texts: Collection[str]) -> int:
    """Stores the body of an entry with the hashes of these texts in their place; returns in how many places."""
    stored = chain.canonical(_without(body, texts))
    connection.execute(update(tables.event).where(tables.event.c.seq == seq).values(body=stored))
    return chain.taken_out(stored) - chain.taken_out(chain.canonical(body))


def _without(value: Any, texts: Collection[str]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"salt", "text"}:
            return chain.without_text(value) if value["text"] in texts else value
        return {name: _without(each, texts) for name, each in value.items()}
    return [_without(each, texts) for each in value] if isinstance(value, list) else value


def out_of_row(connection: Connection, name: str, key: list[Any], row: dict[str, Any], texts: Collection[str]) -> None:
    """A row that still has the text was written last by an entry of which it is taken out."""
    table = tables.EVIDENCE[name]
    mine = [column == value for column, value in zip(table.primary_key.columns, key, strict=True)]
    for column, value in row.items():
        if isinstance(value, dict) and value.get("text") in texts:
            same = table.c[column] == value["text"]
            connection.execute(update(table).where(*mine, same).values({column: chain.REDACTED}))
