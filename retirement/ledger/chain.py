"""The hash chain: how an entry is written down, byte for byte, and what its hash covers.

`canonical` is JSON with sorted keys, without spaces, in ASCII. The hash of an entry is the SHA-256, in lower
case hex, of the canonical form of the list `[seq, at, kind, user_id, body, previous]`, where `body` is the
text that is stored (itself canonical JSON) and `previous` is the hash of the entry before, 64 zeros for the
first. Numbers run from 1 without a gap. These four sentences are enough to check a ledger.

Unlike RFC 8785, `canonical` escapes every sign beyond ASCII, writes numbers as Python does, sorts by code point.

`body` is `{"facts": {…}, "rows": [[table, [key, …], {column: value, …} or null], …]}`: every row that the
entry changed, whole, or null where it was deleted. So the evidence tables are the replay of the chain. Bytes
stand there as their SHA-256, for they are deleted one day and the chain never is.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

#: What stands before the first entry.
ORIGIN = "0" * 64


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of the chain; `seq` 0 and no time where there is none."""

    seq: int
    hash: str
    at: str


def canonical(value: Any) -> str:
    """The one way to write a value down; raises `TypeError` or `ValueError` for what JSON does not have."""
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False)


def entry_hash(seq: int, at: str, kind: str, user_id: int | None, body: str, previous: str) -> str:
    """The hash of an entry, over everything else that is stored of it."""
    return hashlib.sha256(canonical([seq, at, kind, user_id, body, previous]).encode("ascii")).hexdigest()


def content(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as an entry tells of it: bytes as their SHA-256."""
    return {
        name: hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value for name, value in row.items()
    }


def written(time: datetime) -> str:
    """A time as it is stored; raises `ValueError` for one without a zone."""
    if time.tzinfo is None:
        raise ValueError("a time of the ledger has a zone")
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def read(text: str) -> datetime:
    """A stored time."""
    return datetime.fromisoformat(text)
