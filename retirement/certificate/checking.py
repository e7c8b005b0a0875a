"""Is a certificate true? Compares it with a ledger, offline: no LMS, no service, no key, nothing written."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retirement.certificate.sealing import NO_CERTIFICATE, check_seal, is_sealed, without_seal
from retirement.certificate.statements import FORMAT, Certificate, as_format_1, certificate_of
from retirement.errors import ConfigError
from retirement.ledger import LedgerLocation
from retirement.ledger.chain import REDACTED, canonical
from retirement.ledger.extract import Evidence


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a ledger says of a certificate: what is wrong as of its own entry, and the certificate of today.

    `today` is None where the ledger has no such retirement; `changed` are the statements that differ by now.
    """

    wrong: list[str]
    today: Certificate | None
    changed: list[str]

    @property
    def is_outdated(self) -> bool:
        """Whether today's certificate comes to another result."""
        return self.today is None or bool({"complete", "not_complete"} & set(self.changed))


def check(document: object, place: LedgerLocation) -> list[str]:
    """What is wrong with a certificate, as sentences that repeat nothing of it; empty where all of it is true.

    Raises `ConfigError` for what is no certificate, and `LedgerError` where the ledger itself is not sound.
    """
    return compare(document, place).wrong


def compare(document: object, place: LedgerLocation) -> Comparison:
    """Compares a certificate with the ledger, as of its own entry and as of today. Raises as `check`."""
    if not isinstance(document, dict) or document.get("certificate") not in (1, FORMAT):
        raise ConfigError(NO_CERTIFICATE)
    user_id, retirement_id, seq = _numbers(document)
    evidence = Evidence.of(place)
    today = _told(evidence, document, user_id, retirement_id)
    changed = (
        sorted(
            key for key in today if _is_statement(key) and _differs(_as_today(document, key, today[key]), today[key])
        )
        if today
        else []
    )
    return Comparison(_wrong(document, evidence, user_id, retirement_id, seq), today, changed)


def _wrong(document: Mapping[str, Any], evidence: Evidence, user_id: int, retirement_id: int, seq: int) -> list[str]:
    if evidence.head.seq < seq:
        return [f"the ledger ends at entry {evidence.head.seq}, before the head of the certificate"]
    told = _told(evidence, document, user_id, retirement_id, seq)
    if told is None:
        return [f"the ledger has no retirement of learner {user_id} to certify"]
    if not is_sealed(document):
        return _differences(document, told)
    given = without_seal(document)
    # Its texts are what the ledger said where its signature is genuine; the ledger may not have them any more.
    given = {key: _as_taken_out(value, told.get(key)) for key, value in given.items()}
    return check_seal(document, evidence.keys) + _differences(given, told)


def _as_today(document: Mapping[str, Any], key: str, told: Any) -> Any:
    """A statement, where it is signed without the texts that the ledger does not have any more."""
    return _as_taken_out(document.get(key), told) if is_sealed(document) else document.get(key)


def _as_taken_out(given: Any, told: Any) -> Any:
    """A statement with "(redacted)" for each text that the ledger tells so, wherever else it says the same."""
    if isinstance(given, dict) and isinstance(told, dict):
        return {name: _as_taken_out(value, told.get(name)) for name, value in given.items()}
    if isinstance(given, list) and isinstance(told, list) and len(given) == len(told):
        return [_as_taken_out(*both) for both in zip(given, told, strict=True)]
    if isinstance(given, str) and isinstance(told, str) and REDACTED in told:
        # Such a text may be a part of a sentence.
        pattern = ".*".join(map(re.escape, told.split(REDACTED)))
        return told if re.fullmatch(pattern, given, re.DOTALL) else given
    return given


def _told(
    evidence: Evidence, document: Mapping[str, Any], user_id: int, retirement_id: int, upto: int | None = None
) -> Certificate | None:
    """The certificate of the same retirement in the format of the document; None where there is none to issue."""
    try:
        told = certificate_of(evidence.extract(user_id, upto), retirement_id)
    except ConfigError:
        return None
    return as_format_1(told) if document["certificate"] == 1 else told


def _is_statement(key: str) -> bool:
    return key not in ("proof", "certificate")


def _numbers(document: Mapping[str, Any]) -> tuple[int, int, int]:
    """Learner, retirement and number of the head entry. Raises `ConfigError` where one is missing."""
    proof = document.get("proof")
    head = proof.get("head") if isinstance(proof, dict) else None
    seq = head.get("seq") if isinstance(head, dict) else None
    user_id, retirement_id = document.get("user_id"), document.get("retirement_id")
    # JSON's true would be an int to isinstance.
    if type(user_id) is not int or type(retirement_id) is not int or type(seq) is not int:
        raise ConfigError(NO_CERTIFICATE)
    return user_id, retirement_id, seq


def _differences(given: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    """Statement by statement; the proof in more detail, since a reader looks its entries up."""
    wrong = [
        f"{key}: this is not what the ledger says"
        for key in told
        if key != "proof" and _differs(given.get(key), told[key])
    ]
    if given.keys() - told.keys():
        wrong.append("it says more than a certificate does")
    return wrong + _differences_of_proof(given["proof"], told["proof"])


def _differences_of_proof(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    wrong = []
    if _differs(theirs.get("head"), ours["head"]):
        wrong.append(f"head: entry {ours['head']['seq']} of the ledger is another one")
    wrong += _differences_of_entries(theirs.get("entries"), ours["entries"])
    if _differs({**theirs, "head": 0, "entries": 0}, {**ours, "head": 0, "entries": 0}):
        wrong.append("proof: this is not what a certificate says")
    return wrong


def _differences_of_entries(quoted: object, ours: Sequence[Mapping[str, Any]]) -> list[str]:
    theirs = _by_number(quoted)
    wrong = [
        f"entry {each['seq']}: {'is another one in the ledger' if each['seq'] in theirs else 'is not quoted'}"
        for each in ours
        if _differs(theirs.get(each["seq"]), each)
    ]
    if not isinstance(quoted, list) or len(quoted) > len(ours):
        wrong.append("it quotes entries that do not concern this learner")
    return wrong


def _by_number(quoted: object) -> dict[int, Any]:
    """The entries of a list that have a number, by that number."""
    listed = quoted if isinstance(quoted, list) else []
    return {each["seq"]: each for each in listed if isinstance(each, dict) and type(each.get("seq")) is int}


def _differs(given: Any, told: Any) -> bool:
    """As they are written down: JSON's true is not 1, though Python's is."""
    return canonical(given) != canonical(told)
