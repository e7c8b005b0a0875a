"""Signed heads: a head of the chain, the root of the tree over all entries up to it, and a signature of both.

Signed is the SHA-256 of the canonical form (see `chain`) of the list `["retirement ledger head", seq, hash, at, root]`.
A signing key is named by an entry of the chain before the first head that it signs.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from retirement.errors import LedgerError
from retirement.ledger import chain
from retirement.ledger.chain import Head
from retirement.ledger.signing import is_signed
from retirement.ledger.tables import SignedRow, event, table_of
from retirement.ledger.tree import Tree, leaf_of

#: The entry that names a public key among its facts: the heads after it may be signed by that key.
SIGNING_KEY = "signing.key"
_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head with the root over all entries up to it; `key` is the public key, and all are in hex."""

    head: Head
    root: str
    key: str
    signature: str

    @property
    def is_genuine(self) -> bool:
        """Whether the signature is that of the key."""
        return is_signed(self.key, self.signature, digest_of(self.head, self.root))


def digest_of(head: Head, root: str) -> bytes:
    """What is signed of a head."""
    told = chain.canonical(["retirement ledger head", head.seq, head.hash, head.at, root])
    return hashlib.sha256(told.encode("ascii")).digest()


def last_signed(connection: Connection) -> SignedRow | None:
    """The newest signed head as it is stored, None where there is none."""
    table = table_of(SignedRow)
    found = connection.execute(select(table).order_by(table.c.seq.desc()).limit(1)).first()
    return SignedRow(**found._mapping) if found else None


def signed_head(row: SignedRow) -> SignedHead:
    """A stored signed head."""
    return SignedHead(Head(row.seq, row.hash, row.at), row.root, row.key, row.signature)


def tree_since(connection: Connection, row: SignedRow | None) -> Tree:
    """The tree over the entries until now; reads those that came after a signed head."""
    tree = Tree(row.seq, [bytes.fromhex(peak) for peak in row.peaks]) if row else Tree()
    for leaf in leaves(connection, after=tree.size):
        tree.add(leaf)
    return tree


def leaves(connection: Connection, *, after: int = 0, upto: int | None = None) -> Iterator[bytes]:
    """The leaves of the entries after one, in their order, a few in memory at a time."""
    wanted = [event.c.seq > after, *([] if upto is None else [event.c.seq <= upto])]
    statement = select(event.c.hash).where(*wanted).order_by(event.c.seq).execution_options(yield_per=_AT_ONCE)
    with closing(connection.execute(statement)) as found:
        yield from map(leaf_of, found.scalars())


def require_signed_head(connection: Connection, name: str) -> SignedRow | None:
    """The newest signed head; raises `LedgerError` where its entry is not in the chain, or is another one."""
    row = last_signed(connection)
    if row and connection.scalar(select(event.c.hash).where(event.c.seq == row.seq)) != row.hash:
        raise LedgerError(
            f"{name}: entry {row.seq} is not the one whose head was signed: `retirement ledger verify` says more"
        )
    return row


class HeadCheck:
    """Compares the signed heads with the entries as they are read, one after the other.

    `trusted` are public keys that were given from outside; without any, those that the chain names are believed.
    """

    def __init__(self, heads: Mapping[int, SignedHead], trusted: Collection[str]) -> None:
        self.signed = 0  #: the last entry whose signed head fits
        self.keys: list[str] = []
        self._heads = heads
        self._trusted = frozenset(trusted)
        self._tree = Tree()
        self._named: set[str] = set()

    def take(self, head: Head, kind: str, facts: Mapping[str, Any]) -> str | None:
        """Takes the next entry; says what is wrong with the head that was signed there."""
        self._tree.add(leaf_of(head.hash))
        if kind == SIGNING_KEY:
            self._named.add(str(facts.get("key")))
        given = self._heads.get(head.seq)
        return self.wrong(given, head) if given else None

    def wrong(self, given: SignedHead, head: Head) -> str | None:
        """What is wrong with a signed head of the entry that was taken last; None where it fits."""
        if given.head != head or given.root != self._tree.root.hex():
            return f"entry {head.seq} is not the one whose head was signed: the chain was written anew"
        if given.key not in self._named or (self._trusted and given.key not in self._trusted):
            return f"the head of entry {head.seq} is signed by another key than this ledger's"
        if not given.is_genuine:
            return f"the signature of the head of entry {head.seq} is not genuine"
        self.signed = head.seq
        if given.key not in self.keys:
            self.keys.append(given.key)
        return None

    def missing(self, last: int) -> str | None:
        """What is wrong at the end: heads that were signed beyond the last entry, or none at all."""
        gone = max(self._heads, default=0)
        if gone > last:
            return f"entries are missing from the tail: the head of entry {gone} was signed"
        if (self._named or self._trusted) and not self.signed:
            return "no signed head is left, though the ledger has a signing key"
        return None
