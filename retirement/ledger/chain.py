"""The hash chain: how an entry is written down, byte for byte, and what its hash covers.

`canonical` is JSON with sorted keys, without spaces, in ASCII. The hash of an entry is the SHA-256, in lower
case hex, of the canonical form of the list `[seq, at, kind, user_id, body, previous]`, where `body` is the
text that is stored (itself canonical JSON) and `previous` is the hash of the entry before, 64 zeros for the
first. Numbers run from 1 without a gap. What people typed stands in `body` as `{"salt": …, "text": …}`, and is
hashed as `{"sha256": …}`, the SHA-256 of both: so a text can be taken out, and its entry keeps its hash.
These five sentences are enough to check a ledger.

Unlike RFC 8785, `canonical` escapes every sign beyond ASCII, writes numbers as Python does, sorts by code point.

`body` is `{"facts": {…}, "rows": [[table, [key, …], {column: value, …} or null], …]}`: every row that the
entry changed, whole, or null where it was deleted. So the evidence tables are the replay of the chain. Bytes
stand there as their SHA-256, for they are deleted one day and the chain never is.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

#: What stands before the first entry.
ORIGIN = "0" * 64
#: The facts and columns in which free text stands; entries of releases before had it in clear.
FREE_TEXT = frozenset({"reason", "void_reason", "release_reason", "basis", "evidence"})
#: What stands in a row instead of a text that was taken out.
REDACTED = "(redacted)"
#: The entries of acts, with which is entered what was observed. Every other entry follows from one of these: it has
#: the fence, the run or the number that one of them has entered.
ACTS = frozenset(
    {
        "archive.asked",
        "archive.expired",
        "backfill.asked",
        "breaker.closed",
        "breaker.opened",
        "bulk.asked",
        "claim.began",
        "claim.delivered",
        "claim.lost",
        "decision.first",
        "decision.late",
        "decision.made",
        "decision.same",
        "decision.taken_up",
        "decision.used",
        "hold.added",
        "hold.first",
        "hold.kept",
        "hold.released",
        "hold.same",
        "key.rotated",
        "permission.set",
        "prefect.asked",
        "queue.began",
        "receipt.checked",
        "report.expired",
        "receipt.late",
        "rename.asked",
        "replay.asked",
        "request.asked",
        "run.asked",
        "run.unasked",
        "run.began",
        "run.closed",
        "schedule.paused",
        "schedule.resumed",
        "signing.key",
        "site.named",
        "text.redacted",
    }
)

#: The fact of an entry under which it stands.
OBSERVED = "observed"
_SALTED, _TAKEN_OUT = {"salt", "text"}, {"sha256"}
# No text of a body has these bytes: its quotes are escaped.
_SALT_KEY, _HASH_KEY = '"salt":', '"sha256":'


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
    """The hash of an entry, over everything else that is stored of it, but of free texts over their hashes only."""
    told = [seq, at, kind, user_id, as_hashed(body), previous]
    return hashlib.sha256(canonical(told).encode("ascii")).hexdigest()


def with_salts(value: Any) -> Any:
    """A body with each free text beside a salt of its own, so that no hash of a text can be guessed."""
    if isinstance(value, Mapping):
        return {
            name: {"salt": secrets.token_hex(16), "text": each}
            if name in FREE_TEXT and each and isinstance(each, str)
            else with_salts(each)
            for name, each in value.items()
        }
    return [with_salts(each) for each in value] if isinstance(value, list | tuple) else value


def as_hashed(body: str) -> str:
    """A body as its hash covers it: without free texts."""
    if _SALT_KEY not in body:
        return body
    try:
        # Two names of one object, or a blank, would stand in it unseen, since parsing drops them.
        if canonical(json.loads(body)) == body:
            return canonical(json.loads(body, object_hook=without_text))
    except ValueError:
        pass
    return body  # another hand was in it, so that no hash fits, nor that of this


def without_text(found: dict[str, Any]) -> dict[str, Any]:
    """An object of a body: the hash of a free text instead of it; every other as it is."""
    if found.keys() != _SALTED or not all(isinstance(each, str) for each in found.values()):
        return found
    text = found["text"].encode("utf-8", "surrogatepass")
    return {"sha256": hashlib.sha256(bytes.fromhex(found["salt"]) + text).hexdigest()}


def read_body(body: str) -> dict[str, Any]:
    """A body as it is read: facts and rows, with free texts in clear, and `REDACTED` where one was taken out."""
    read: dict[str, Any] = json.loads(body, object_hook=_in_clear if _SALT_KEY in body or _HASH_KEY in body else None)
    return read


def _in_clear(found: dict[str, Any]) -> Any:
    if found.keys() == _SALTED and isinstance(found["text"], str):
        return found["text"]
    return REDACTED if found.keys() == _TAKEN_OUT and isinstance(found["sha256"], str) else found


def taken_out(body: str) -> int:
    """How many texts were taken out of a body."""
    return body.count(_HASH_KEY)


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
