"""A Merkle tree over the entries, of the shape of RFC 6962: one root for a whole chain, and short proofs of one entry.

A leaf is `SHA-256(0x00 || hash of the entry)`, 32 bytes each, an inner node `SHA-256(0x01 || left || right)`; the left
part of a tree of n leaves has as many as the largest power of two below n (https://www.rfc-editor.org/rfc/rfc6962#section-2.1).
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field


def leaf_of(entry_hash: str) -> bytes:
    """The leaf of an entry, by the hash that the chain has of it."""
    return hashlib.sha256(b"\0" + bytes.fromhex(entry_hash)).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


@dataclass(slots=True)
class Tree:
    """A tree that grows by its right end: of so many leaves, the roots of its whole parts are enough."""

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def add(self, leaf: bytes) -> None:
        """Takes the next leaf."""
        parts = self.size
        while parts & 1:
            leaf = _node(self.peaks.pop(), leaf)
            parts >>= 1
        self.peaks.append(leaf)
        self.size += 1

    @property
    def root(self) -> bytes:
        """The root; of no leaf at all, SHA-256 of nothing."""
        if not self.peaks:
            return hashlib.sha256().digest()
        *others, root = self.peaks
        for peak in reversed(others):
            root = _node(peak, root)
        return root


@dataclass(slots=True)
class _Part:
    """A part of the tree whose size is a power of two, and the wanted leaves in it."""

    root: bytes
    size: int
    wanted: list[int]


def paths(leaves: Iterable[bytes], wanted: Collection[int]) -> dict[int, list[bytes]]:
    """The proof of each wanted leaf, by its number from 1: the roots beside the way up, lowest first.

    Reads the leaves once and keeps few of them. A number beyond the last leaf has no proof.
    """
    asked = frozenset(wanted)
    found: dict[int, list[bytes]] = {}
    parts: list[_Part] = []
    for number, leaf in enumerate(leaves, start=1):
        mine = [number] if number in asked else []
        found.update((each, []) for each in mine)
        parts.append(_Part(leaf, 1, mine))
        while len(parts) > 1 and parts[-2].size == parts[-1].size:
            _join(parts, found)
    while len(parts) > 1:
        _join(parts, found)
    return found


def _join(parts: list[_Part], found: dict[int, list[bytes]]) -> None:
    right, left = parts.pop(), parts.pop()
    for number in left.wanted:
        found[number].append(right.root)
    for number in right.wanted:
        found[number].append(left.root)
    parts.append(_Part(_node(left.root, right.root), left.size + right.size, [*left.wanted, *right.wanted]))


def root_by(leaf: bytes, number: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root of a tree of that size which a proof leads to; None where the proof has another length.

    As in RFC 9162, 2.1.3.2 (https://www.rfc-editor.org/rfc/rfc9162#section-2.1.3.2).
    """
    if not 0 < number <= size:
        return None
    at, last, root = number - 1, size - 1, leaf
    for beside in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            root = _node(beside, root)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            root = _node(root, beside)
        at, last = at >> 1, last >> 1
    return root if last == 0 else None
