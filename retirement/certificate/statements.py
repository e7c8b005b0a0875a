"""What a certificate says: the entries of the chain about one retirement, replayed and put into order.

The same ledger at the same entry gives the same certificate, byte for byte: its time is that of the entry.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from retirement.errors import ConfigError
from retirement.ledger import CLEANUP_ASKED, CLEANUP_CLEARED, NOTHING, RETIRED, chain, not_retired
from retirement.ledger.extract import Entry, Extract

#: A certificate as the JSON object that it is.
Certificate = dict[str, Any]
Row = Mapping[str, Any]

FORMAT = 2
#: How a receipt ends that is settled by a service's word or by a person's, and what an outcome then still needs.
CONFIRMED = "confirmed"
#: Outcomes that are a promise: of a service, or of work that a person will do.
PROMISES = {"accepted": "only accepted", "manual": "left to a person"}

HOW_TO_CHECK = (
    "JSON is with sorted keys, without spaces, in ASCII; what is signed is its SHA-256, as the message of Ed25519.",
    "The field signature covers the JSON of the document without that field.",
    'The signature of the head covers the JSON list ["retirement ledger head", seq, hash, at, root].',
    "The root is that of a Merkle tree over the hashes of all entries (RFC 6962), and path leads to it from the entry.",
    "The hash of an entry is the SHA-256 of the JSON list [seq, at, kind, user_id, body, previous]; body may be null.",
    "`retirement certificate --check FILE --public-key KEY` does this; without the key it compares with the ledger.",
)
#: What stood there before heads were signed; certificates of that format are checked as they were issued.
HOW_TO_CHECK_1 = (
    "An entry of the ledger is the JSON list [seq, at, kind, user_id, body as stored, previous], ASCII without spaces.",
    "Its hash is the SHA-256 of that list in lower case hex.",
    "The field previous is the hash of the entry before, 64 zeros for the first, and numbers run from 1 without a gap.",
    "Every entry quoted here, and the head, is in the ledger: `retirement certificate --check FILE` compares them all.",
)
#: The tables of which whole rows may leave the ledger: they hold neither digests nor anything of other learners.
_QUOTED_WHOLE = {"attempt", "receipt", "hold", "site"}
#: Puts a learner into the queue for partners, which a delivered report then settles, or nothing to report.
_PARTNER_QUEUE = "retirement_partner_queue"

#: How a step's report and the ending of a run refer to a hold; see `Hold.sentence`.
_HELD_BY = re.compile(r"by hold (\d+)\b")


@dataclass(frozen=True, slots=True)
class _Retirement:
    """The rows of one retirement, as the entries about the learner leave them behind."""

    id: int
    others: list[int]  #: retirements of the same learner
    unretired: list[Row]  #: those of the others that have not ended retired
    learner: Row
    attempts: list[Row]
    receipts: list[Row]
    holds: list[Row]  #: on the learner, and on organisations of which the run's reason names the hold
    reports: list[Row]
    site: str | None

    @classmethod
    def of(cls, extract: Extract, retirement_id: int | None) -> "_Retirement":
        """One retirement of the learner, the newest for None. Raises `ConfigError` where the ledger has none."""
        rows = _replayed(extract.entries)
        known = {row["retirement_id"]: row for row in rows["learner"] if row["user_id"] == extract.user_id}
        number = max(known, default=None) if retirement_id is None else retirement_id
        if number is None or number not in known:
            raise ConfigError(f"the ledger has no retirement of learner {extract.user_id} to certify")
        return cls(
            id=number,
            others=sorted(known.keys() - {number}),
            unretired=_unretired(known, rows["attempt"], number),
            learner=known[number],
            attempts=_of_retirement(rows["attempt"], number),
            receipts=_of_retirement(rows["receipt"], number),
            holds=_of_learner(rows["hold"], known[number]),
            reports=rows["partner_claim"],
            site=next((row["name"] for row in rows["site"]), None),
        )


def certificate_of(extract: Extract, retirement_id: int | None = None) -> Certificate:
    """The certificate of a retirement, the newest one by default.

    Raises `ConfigError` where the ledger has no such retirement of the learner.
    """
    found = _Retirement.of(extract, retirement_id)
    steps = _steps(found.attempts, found.receipts)
    receipts = list(map(_receipt, found.receipts))
    holds = [_hold(row, today=extract.head.at[:10]) for row in found.holds]
    reports = list(map(_report, found.reports))
    missing = _steps_without_proof(extract, found.id, {each["step"] for each in steps})
    missing += [_unretired_sentence(row) for row in found.unretired]
    missing += _missing(found.learner, steps, receipts, holds, _settled(steps, receipts, reports))
    return {
        "certificate": FORMAT,
        "site": found.site,
        "user_id": extract.user_id,
        "retirement_id": found.id,
        "other_retirements": found.others,
        "complete": not missing,
        "not_complete": missing,
        **_course(found.learner),
        "steps": steps,
        "held_nothing": _absent(found.attempts),
        "receipts": receipts,
        "partner_reports": reports,
        "retained": holds,
        "forgotten": _forgotten(extract, found.id),
        "proof": _proof(extract, found.id, {each["hold"] for each in holds}),
    }


def _of_retirement(rows: Iterable[Row], retirement_id: int) -> list[Row]:
    return [row for row in rows if row["retirement_id"] == retirement_id]


@dataclass(frozen=True, slots=True)
class _Known:
    """One of the retirements of a learner, for `not_retired`."""

    user_id: int
    retirement_id: int
    retired_at: str | None
    finished: Mapping[str, str]


def _unretired(known: Mapping[int, Row], attempts: Iterable[Row], but: int) -> list[Row]:
    """The rows of those retirements, but one, that have not ended retired."""
    proved: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for row in attempts:
        if row["outcome"] and not row["voided_at"]:
            proved[row["retirement_id"]][row["step"]] = row["outcome"]
    all_of_them = (_Known(row["user_id"], number, row["retired_at"], proved[number]) for number, row in known.items())
    return [known[each.retirement_id] for each in not_retired(all_of_them) if each.retirement_id != but]


def _unretired_sentence(row: Row) -> str:
    how = f"ended {row['ending']}: {row['reason'] or 'no reason is kept'}" if row["ending"] else "has no end yet"
    return f"retirement {row['retirement_id']} of the same learner {how}"


def _of_learner(holds: Iterable[Row], learner: Row) -> list[Row]:
    """The holds on the learner, and those on organisations that kept them, by the reason the run ended with."""
    named = set(map(int, _HELD_BY.findall(learner["reason"] or "")))
    return [row for row in holds if row["user_id"] == learner["user_id"] or row["id"] in named]


def only_promised(certificate: Certificate) -> bool:
    """Whether nothing but promises keeps it from being complete: of services, of people, of a report to partners."""
    steps, receipts = certificate["steps"], certificate["receipts"]
    settled = _settled(steps, receipts, certificate["partner_reports"])
    promised = {_unproved(each, settled) for each in steps if each["outcome"] in PROMISES}
    return set(certificate["not_complete"]) <= {*promised, *_waiting(receipts)}


def as_json(certificate: Certificate) -> str:
    """The one way to write a certificate down, of which `fingerprint` is taken, and a line end."""
    return f"{chain.canonical(certificate)}\n"


def fingerprint(certificate: Certificate) -> str:
    """The SHA-256 of the canonical JSON, by which a printed page names the file that can be checked."""
    return hashlib.sha256(chain.canonical(certificate).encode("ascii")).hexdigest()


def _replayed(entries: Iterable[Entry]) -> dict[str, list[Row]]:
    """The rows that the entries leave behind, by table, in the order in which they were made."""
    rows: defaultdict[str, dict[str, Row]] = defaultdict(dict)
    for entry in entries:
        for table, key, row in entry.rows:
            if row is None:
                rows[table].pop(chain.canonical(key), None)
            else:
                rows[table][chain.canonical(key)] = row
    return defaultdict(list, {name: list(found.values()) for name, found in rows.items()})


def _course(learner: Row) -> dict[str, Any]:
    """From the request to the end of the last run."""
    return {
        "requested_at": learner["requested_at"],
        "due_at": learner["due_at"],
        "retired_at": learner["retired_at"],
        "in_time": learner["retired_at"] <= learner["due_at"] if learner["retired_at"] else None,
        "ending": learner["ending"],
        "reason": learner["reason"] or None,
        "pipeline": learner["pipeline"],
    }


def _steps(attempts: list[Row], receipts: list[Row]) -> list[dict[str, Any]]:
    tried = _by_step(sorted(attempts, key=lambda row: int(row["id"])))
    received = _by_step(receipts)
    return [_step(name, rows, received.get(name, [])) for name, rows in tried.items()]


def _by_step(rows: Iterable[Row]) -> dict[str, list[Row]]:
    steps: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        steps[row["step"]].append(row)
    return steps


def _step(name: str, attempts: list[Row], receipts: list[Row]) -> dict[str, Any]:
    proof = _newest_proof(attempts)
    last = proof or attempts[-1]
    return {
        "step": name,
        "service": _last_named(attempts, "service"),
        "operation": _last_named(attempts, "operation"),
        "outcome": proof and proof["outcome"],
        "at": last["ended_at"],
        "attempts": len(attempts),
        "voided": sum(row["voided_at"] is not None for row in attempts),
        "error": None if proof else last["error"],
        "receipts": [row["id"] for row in receipts],
    }


def _newest_proof(attempts: list[Row]) -> Row | None:
    return next((row for row in reversed(attempts) if row["outcome"] and not row["voided_at"]), None)


def _last_named(attempts: list[Row], field: str) -> str:
    """The newest value that is not empty: an outcome that was found out about an earlier run names no service."""
    return next((str(row[field]) for row in reversed(attempts) if row[field]), "")


def _receipt(row: Row) -> dict[str, Any]:
    copied = ("step", "service", "reference", "received_at", "checked_at", "verdict", "confirmed_at")
    return {
        "receipt": row["id"],
        **{name: row[name] for name in copied},
        "evidence": row["evidence"],
        "evidence_by": row["evidence_by"],
        "state": row["result"] or "open",
    }


def _hold(row: Row, *, today: str) -> dict[str, Any]:
    copied = ("service", "basis", "until", "placed_at", "released_at")
    in_force = row["released_at"] is None and today <= row["until"]
    return {"hold": row["id"], **{name: row[name] for name in copied}, "in_force": in_force}


def _report(row: Row) -> dict[str, Any]:
    return {"claim": row["id"], "state": row["state"], "ended_at": row["ended_at"]}


def _missing(
    learner: Row,
    steps: list[dict[str, Any]],
    receipts: list[dict[str, Any]],
    holds: list[dict[str, Any]],
    settled: set[str],
) -> list[str]:
    """Every reason why this is no certificate of a complete erasure, as sentences."""
    kept = [
        f"{each['service'] or 'everything'} is kept until {each['until']} by hold {each['hold']}: {each['basis']}"
        for each in holds
        if each["in_force"]
    ]
    unproved = [sentence for step in steps if (sentence := _unproved(step, settled))]
    return [*_unended(learner), *kept, *unproved, *_waiting(receipts)]


def _waiting(receipts: Iterable[Mapping[str, Any]]) -> list[str]:
    return [
        f"receipt {each['receipt']} of {each['service']} is open: {each['verdict'] or 'never asked'}"
        for each in receipts
        if each["state"] == "open"
    ]


def _steps_without_proof(extract: Extract, retirement_id: int, known: set[str]) -> list[str]:
    """Steps of the last run's pipeline of which the ledger has no entry: another program did them, or they are due."""
    planned = _planned(extract, retirement_id)
    unknown = [f"step {name}: the ledger has no proof of it" for name in planned if name not in known]
    return unknown if known or unknown else ["the ledger has proof of no step"]


def _planned(extract: Extract, retirement_id: int) -> list[str]:
    """The steps of the last run that has some."""
    runs = (each.facts for each in reversed(extract.entries) if each.kind == "run.began")
    ours = (facts.get("steps") for facts in runs if facts.get("retirement") == retirement_id)
    return next(filter(None, ours), [])


def _unended(learner: Row) -> list[str]:
    if learner["ending"] is None:
        return ["a run is under way, or has died: the retirement has no end yet"]
    if learner["ending"] != RETIRED:
        return [f"the last run ended {learner['ending']}: {learner['reason'] or 'no reason is kept'}"]
    return []


def _settled(steps: list[dict[str, Any]], receipts: list[dict[str, Any]], reports: list[dict[str, Any]]) -> set[str]:
    """The steps whose promise was kept: a receipt is confirmed, or the partners have their report."""
    kept = {each["step"] for each in receipts if each["state"] == CONFIRMED}
    if not _has_report(receipts, reports):
        return kept
    return kept | {each["step"] for each in steps if each["operation"] == _PARTNER_QUEUE}


def _has_report(receipts: list[dict[str, Any]], reports: list[dict[str, Any]]) -> bool:
    """Whether a report with the learner was delivered, or the LMS had nothing to report."""
    return any(each["state"] == "delivered" for each in reports) or any(each["state"] == NOTHING for each in receipts)


def _unproved(step: Mapping[str, Any], settled: set[str]) -> str | None:
    """Why a step proves nothing yet; None where it does."""
    outcome = step["outcome"]
    if outcome is None:
        return f"step {step['step']} has no outcome" + (f" ({step['error']})" if step["error"] else "")
    if outcome in PROMISES and step["step"] not in settled:
        return f"step {step['step']} is {PROMISES[outcome]}, and nothing confirms it"
    return None


def _absent(attempts: list[Row]) -> list[str]:
    """Services whose every answer was that they do not know the learner, that of earlier attempts included."""
    outcomes: dict[str, set[str]] = {}
    for row in attempts:
        if row["outcome"]:
            outcomes.setdefault(row["service"], set()).add(row["outcome"])
    return sorted(service for service, found in outcomes.items() if found == {"absent"})


def _forgotten(extract: Extract, retirement_id: int) -> dict[str, Any] | None:
    """When the LMS forgot who the learner was; where proof was missing, also who decided it and for which reason."""
    forgotten, told = None, {}
    for entry in extract.entries:
        if entry.facts.get("retirement") != retirement_id:
            continue
        if entry.kind == CLEANUP_ASKED:
            # The row was there: what an earlier entry says of it is over.
            forgotten, told = None, {name: entry.facts.get(name) for name in ("reason", "by")}
        elif entry.kind == CLEANUP_CLEARED:
            forgotten = {"at": entry.at, **told}
    return forgotten


def _proof(extract: Extract, retirement_id: int, holds: set[int]) -> dict[str, Any]:
    quoted = [entry for entry in extract.entries if _concerns(entry, retirement_id, holds)]
    return {
        "entries": [_quoted(each) for each in quoted],
        "head": {"seq": extract.head.seq, "at": extract.head.at, "hash": extract.head.hash},
        "how_to_check": list(HOW_TO_CHECK),
    }


def _quoted(entry: Entry) -> dict[str, Any]:
    """An entry as a certificate quotes it: whole, where it tells of nothing that stays in the ledger."""
    is_whole = bool(entry.rows) and {table for table, _, _ in entry.rows} <= _QUOTED_WHOLE
    copied = {name: getattr(entry, name) for name in ("seq", "at", "kind", "user_id", "previous", "hash")}
    return {**copied, "body": chain.as_hashed(entry.body) if is_whole else None}


def as_format_1(certificate: Certificate) -> Certificate:
    """The same certificate as releases before signed heads wrote it."""
    quoted = ("seq", "at", "kind", "previous", "hash")
    proof = certificate["proof"]
    entries = [{name: each[name] for name in quoted} for each in proof["entries"]]
    proof = {"entries": entries, "head": proof["head"], "how_to_check": list(HOW_TO_CHECK_1)}
    statements = {name: value for name, value in certificate.items() if name != "site"}
    return {**statements, "certificate": 1, "proof": proof}


def _concerns(entry: Entry, retirement_id: int, holds: set[int]) -> bool:
    """Whether an entry is about this retirement: it says so, or changed a row of it or a hold on the learner."""
    if entry.facts.get("retirement") == retirement_id:
        return True
    return any(_is_about(change, retirement_id, holds) for change in entry.rows)


def _is_about(change: tuple[str, Any, Row | None], retirement_id: int, holds: set[int]) -> bool:
    table, key, row = change
    if table in ("partner_claim", "site") or (table == "hold" and key[0] in holds):
        return True
    return row is not None and row.get("retirement_id") == retirement_id
