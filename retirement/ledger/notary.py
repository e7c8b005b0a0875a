"""Signing the head of the chain: at the end of what wrote entries, and before a certificate is issued.

Not with each entry: one signature covers every entry before it. What a process that died had entered is covered by the
next signature.
"""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from retirement.errors import ConfigError, LedgerError
from retirement.ledger.access import clock_of
from retirement.ledger.anchor import read_anchor, write_anchor
from retirement.ledger.belonging import require_site
from retirement.ledger.failures import translated
from retirement.ledger.handing_on import hand_on
from retirement.ledger.heads import (
    SIGNING_KEY,
    SignedHead,
    digest_of,
    require_signed_head,
    signed_head,
    tree_since,
)
from retirement.ledger.location import LedgerLocation, engine_of
from retirement.ledger.schema import require_schema, schema_of
from retirement.ledger.signing import Signer, signer_of
from retirement.ledger.tables import SignedRow, table_of
from retirement.ledger.transaction import opened_transaction
from retirement.ledger.verification import require_whole


def sign_head(location: LedgerLocation, *, clock: Callable[[], datetime] | None = None) -> SignedHead | None:
    """The signed head of a ledger, signed now unless it is; None for one without entries, or that is not signed at all.

    Reads the entries since the last signature. Raises `LedgerError` where the chain is not the one that was signed,
    or where the ledger or the key does not do its part, and `ConfigError` for a bad key file and a ledger of another
    schema or another site.
    """
    if location.signing is None:
        return None
    if location.file and not location.file.is_file():
        raise ConfigError(f"{location}: there is no ledger")
    signer = signer_of(location.signing)
    anchor = read_anchor(location.anchor)
    engine = engine_of(location)
    try:
        with translated(str(location)), engine.connect() as connection, connection.begin():
            require_schema(schema_of(connection) or "", str(location))
            require_whole(connection, anchor, str(location))
            require_site(connection, location)
            signed, is_new = _signed(connection, location, signer, clock)
    finally:
        engine.dispose()
    if signed and is_new:
        write_anchor(location.anchor, signed)
        hand_on(location, signed)
    return signed


def _signed(
    connection: Connection, location: LedgerLocation, signer: Signer, clock: Callable[[], datetime] | None
) -> tuple[SignedHead | None, bool]:
    """The signed head, and whether it was signed right now."""
    tx = opened_transaction(connection, clock_of(location, clock), writable=True)
    last = require_signed_head(connection, str(location))
    head = tx.head
    if last and last.seq == head.seq:
        return signed_head(last), False
    if head.seq == 0:
        return None, False
    if not _is_known(connection, signer):
        tx.enter(SIGNING_KEY, facts={"key": signer.key})
        head = tx.append()
    tree = tree_since(connection, last)
    if tree.size != head.seq:
        raise LedgerError(f"{location}: an entry is missing: `retirement ledger verify` says which")
    root = tree.root.hex()
    signed = SignedHead(head, root, signer.key, signer.sign(digest_of(head, root)))
    row = {"seq": head.seq, "hash": head.hash, "at": head.at, "root": root, "key": signer.key}
    peaks = tuple(peak.hex() for peak in tree.peaks)
    connection.execute(table_of(SignedRow).insert(), row | {"peaks": peaks, "signature": signed.signature})
    return signed, True


def _is_known(connection: Connection, signer: Signer) -> bool:
    """Whether the key has signed before: then an entry names it."""
    table = table_of(SignedRow)
    return connection.execute(table.select().where(table.c.key == signer.key).limit(1)).first() is not None
