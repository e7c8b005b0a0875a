"""What a certificate says: the entries of the chain about one retirement, replayed and put into order.

The same ledger at the same entry gives the same certificate, byte for byte: its time is that of the entry.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from retirement.errors import ConfigError
from retirement.ledger import ARCHIVE_ASKED, ARCHIVE_CLEARED, NOTHING, RETIRED, chain
from retirement.ledger.extract import Entry, Extract

#: A certificate as the JSON object that it is.
Certificate = dict[str, Any]
Row = Mapping[str, Any]

FORMAT = 1
#: How a receipt ends that is settled by a service's word or by a person's, and what an outcome then still needs.
CONFIRMED = "confirmed"
#: Outcomes that are a promise: of a service, or that somebody will do it.
PROMISES = {"accepted": "only accepted", "manual": "left to a person"}

HOW_TO_CHECK = (
    "An entry of the ledger is the JSON list [seq, at, kind, user_id, body as stored, previous], ASCII without spaces.",
    "Its hash is the SHA-256 of that list in lower case hex.",
    "The field previous is the hash of the entry before, 64 zeros for the first, and numbers run from 1 without a gap.",
    "Every entry quoted here, and the head, is in the ledger: `retirement certificate --check FILE` compares them all.",
)
#: Puts a learner into the queue for partners, which a delivered report then settles, or nothing to report.
_PARTNER_QUEUE = "retirement_partner_queue"
_CLAIM = {"claim": "id", "state": "state", "ended_at": "ended_at"}
_NOBODY_TO_TELL = (NOTHING,)

#: How a step's report and the ending of a run refer to a hold; see `Hold.sentence`.
_HELD_BY = re.compile(r"by hold (\d+)\b")


def certificate_of(extract: Extract, retirement_id: int | None = None) -> Certificate:
    """The certificate of a retirement, the newest one by default.

    Raises `ConfigError` where the ledger has no such retirement of the learner.
    """
    rows = _replayed(extract.entries)
    known = {row["retirement_id"]: row for row in rows["learner"] if row["user_id"] == extract.user_id}
    number = max(known, default=None) if retirement_id is None else retirement_id
    if number is None or number not in known:
        raise ConfigError(f"the ledger has no retirement of learner {extract.user_id} to certify")
    learner = known[number]
    mine = {name: [row for row in rows[name] if row["retirement_id"] == number] for name in ("attempt", "receipt")}
    steps = _steps(mine["attempt"], mine["receipt"])
    receipts = [_receipt(row) for row in mine["receipt"]]
    holds = _holds(rows["hold"], extract, learner)
    reports = [{name: row[of] for name, of in _CLAIM.items()} for row in rows["partner_claim"]]
    missing = _unproved_steps(extract, number, {each["step"] for each in steps})
    missing += _missing(learner, steps, receipts, holds, _settled(steps, receipts, reports))
    return {
        "certificate": FORMAT,
        "user_id": extract.user_id,
        "retirement_id": number,
        "other_retirements": sorted(known.keys() - {number}),
        "complete": not missing,
        "not_complete": missing,
        **_course(learner),
        "steps": steps,
        "held_nothing": _absent(mine["attempt"]),
        "receipts": receipts,
        "partner_reports": reports,
        "retained": holds,
        "forgotten": _forgotten(extract, number),
        "proof": _proof(extract, number, {each["hold"] for each in holds}),
    }


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
    rows: dict[str, dict[str, Row]] = {name: {} for name in ("learner", "attempt", "receipt", "hold", "partner_claim")}
    for entry in entries:
        for table, key, row in entry.rows:
            if table not in rows:
                continue
            if row is None:
                rows[table].pop(chain.canonical(key), None)
            else:
                rows[table][chain.canonical(key)] = row
    return {name: list(found.values()) for name, found in rows.items()}


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
    tried: dict[str, list[Row]] = {}
    for row in sorted(attempts, key=lambda row: int(row["id"])):
        tried.setdefault(row["step"], []).append(row)
    return [_step(name, rows, receipts) for name, rows in tried.items()]


def _step(name: str, attempts: list[Row], receipts: list[Row]) -> dict[str, Any]:
    proved = [row for row in attempts if row["outcome"] and not row["voided_at"]]
    last = proved[-1] if proved else attempts[-1]
    return {
        "step": name,
        # An outcome that was found out about an earlier run has no service of its own.
        "service": next((row["service"] for row in reversed(attempts) if row["service"]), ""),
        "operation": next((row["operation"] for row in reversed(attempts) if row["operation"]), ""),
        "outcome": last["outcome"] if proved else None,
        "at": last["ended_at"],
        "attempts": len(attempts),
        "voided": sum(row["voided_at"] is not None for row in attempts),
        "error": None if proved else last["error"],
        "receipts": [row["id"] for row in receipts if row["step"] == name],
    }


def _receipt(row: Row) -> dict[str, Any]:
    copied = ("step", "service", "reference", "received_at", "checked_at", "verdict", "confirmed_at")
    return {
        "receipt": row["id"],
        **{name: row[name] for name in copied},
        "evidence": row["evidence"],
        "evidence_by": row["evidence_by"],
        "state": row["result"] or "open",
    }


def _holds(rows: Iterable[Row], extract: Extract, learner: Row) -> list[dict[str, Any]]:
    """The holds on the learner, and those on organisations that kept them, by the reason the run ended with."""
    named = {int(number) for number in _HELD_BY.findall(learner["reason"] or "")}
    today = extract.head.at[:10]
    return [
        {
            "hold": row["id"],
            "service": row["service"],
            "basis": row["basis"],
            "until": row["until"],
            "placed_at": row["placed_at"],
            "released_at": row["released_at"],
            "in_force": row["released_at"] is None and today <= row["until"],
        }
        for row in rows
        if row["user_id"] == extract.user_id or row["id"] in named
    ]


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


def _unproved_steps(extract: Extract, retirement_id: int, known: set[str]) -> list[str]:
    """Steps of the last run's pipeline that the ledger knows nothing of: somebody else did them, or nobody."""
    steps: list[str] = []
    for entry in extract.entries:
        if entry.kind == "run.began" and entry.facts.get("retirement") == retirement_id:
            steps = entry.facts.get("steps") or steps
    unknown = [f"step {name}: the ledger has no proof of it" for name in steps if name not in known]
    return unknown if known or unknown else ["the ledger has proof of no step"]


def _unended(learner: Row) -> list[str]:
    if learner["ending"] is None:
        return ["a run is under way, or has died: the retirement has no end yet"]
    if learner["ending"] != RETIRED:
        return [f"the last run ended {learner['ending']}: {learner['reason'] or 'no reason is kept'}"]
    return []


def _settled(steps: list[dict[str, Any]], receipts: list[dict[str, Any]], reports: list[dict[str, Any]]) -> set[str]:
    """The steps whose promise was kept: a receipt is confirmed, or the partners have their report."""
    kept = {each["step"] for each in receipts if each["state"] == CONFIRMED}
    told = any(each["state"] == "delivered" for each in reports)
    told = told or any(each["state"] in _NOBODY_TO_TELL for each in receipts)
    return kept | {each["step"] for each in steps if told and each["operation"] == _PARTNER_QUEUE}


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
    """When the LMS forgot who the learner was; and who said so on which grounds, where the proof was not complete."""
    forgotten, told = None, {}
    for entry in extract.entries:
        if entry.facts.get("retirement") != retirement_id:
            continue
        if entry.kind == ARCHIVE_ASKED:
            # The row was there: what an earlier entry says of it is over.
            forgotten, told = None, {name: entry.facts.get(name) for name in ("reason", "by")}
        elif entry.kind == ARCHIVE_CLEARED:
            forgotten = {"at": entry.at, **told}
    return forgotten


def _proof(extract: Extract, retirement_id: int, holds: set[int]) -> dict[str, Any]:
    quoted = [entry for entry in extract.entries if _concerns(entry, retirement_id, holds)]
    return {
        "entries": [
            {"seq": each.seq, "at": each.at, "kind": each.kind, "previous": each.previous, "hash": each.hash}
            for each in quoted
        ],
        "head": {"seq": extract.head.seq, "at": extract.head.at, "hash": extract.head.hash},
        "how_to_check": list(HOW_TO_CHECK),
    }


def _concerns(entry: Entry, retirement_id: int, holds: set[int]) -> bool:
    """Whether an entry is about this retirement: it says so, or changed a row of it or a hold on the learner."""
    if entry.facts.get("retirement") == retirement_id:
        return True
    for table, key, row in entry.rows:
        if table == "partner_claim" or (table == "hold" and key[0] in holds):
            return True
        if row is not None and row.get("retirement_id") == retirement_id:
            return True
    return False
