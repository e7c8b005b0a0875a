"""Handing signed heads on, to a command and to an address of the operator, once they are stored and in the anchor.

A head is signed, whatever comes of that. What the address has not taken is handed to it with the next head; a line
may come twice, where a process died between the answer and its note.
"""

import logging
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Engine, select

from retirement.errors import LedgerError
from retirement.ledger.anchor import line_of
from retirement.ledger.failures import translated
from retirement.ledger.heads import SignedHead, signed_head
from retirement.ledger.location import LedgerLocation, engine_of
from retirement.ledger.signing import run_command
from retirement.ledger.tables import HandedHead, SignedRow, table_of
from retirement.ledger.transaction import Piece, rows_of

logger = logging.getLogger(__name__)

#: Heads of one post, oldest first; more wait for the next one.
AT_ONCE = 1000
#: The number of the only row.
_ONLY = 1


def hand_on(location: LedgerLocation, signed: SignedHead) -> None:
    """Hands a head that was signed right now to those who want it; what fails is a warning."""
    if location.signing is None:
        return
    command, post = location.signing.told, location.signing.post
    try:
        if command:
            run_command("ledger.head_command", command, line_of(signed).encode("ascii"))
    except LedgerError as error:
        logger.warning("a signed head was not handed on: %s", error)
    try:
        if post:
            _post(location, post)
    except LedgerError as error:
        logger.warning("signed heads were not handed on, and are with the next one: %s", error)


def _post(location: LedgerLocation, post: Callable[[bytes], None]) -> None:
    """Posts every head that was not taken yet, and notes the last. No transaction is open meanwhile."""
    engine = engine_of(location)
    try:
        with translated(str(location)), engine.connect().execution_options(reading=True) as connection:
            heads = _not_taken(connection)
        if heads:
            post("".join(map(line_of, heads)).encode("ascii"))
            _note(location, engine, heads[-1].head.seq)
    finally:
        engine.dispose()


def _not_taken(connection: Connection) -> Sequence[SignedHead]:
    last = connection.scalar(select(HandedHead.seq)) or 0
    return [signed_head(row) for row in rows_of(connection, SignedRow, SignedRow.seq > last, piece=Piece(AT_ONCE))]


def _note(location: LedgerLocation, engine: Engine, seq: int) -> None:
    table = table_of(HandedHead)
    with translated(str(location)), engine.connect() as connection, connection.begin():
        connection.execute(table.delete())
        connection.execute(table.insert(), {"id": _ONLY, "seq": seq})
