"""Is a certificate true? Compares it with a ledger, offline: no LMS, no service, no key, nothing written."""

from collections.abc import Mapping
from typing import Any

from retirement.certificate.statements import FORMAT, certificate_of
from retirement.errors import ConfigError
from retirement.ledger import LedgerPlace
from retirement.ledger.chain import canonical
from retirement.ledger.extract import verified_extract

_NO_CERTIFICATE = "the file is no certificate of this program: give one that was issued with --format json"


def check(document: object, place: LedgerPlace) -> list[str]:
    """What is wrong with a certificate, as sentences that repeat nothing of it; empty where all of it is true.

    Raises `ConfigError` for what is no certificate, and `LedgerError` where the ledger itself is not sound.
    """
    if not isinstance(document, dict) or document.get("certificate") != FORMAT:
        raise ConfigError(_NO_CERTIFICATE)
    user_id, retirement_id = document.get("user_id"), document.get("retirement_id")
    proof = document.get("proof")
    head = proof.get("head") if isinstance(proof, dict) else None
    seq = head.get("seq") if isinstance(head, dict) else None
    if not all(type(each) is int for each in (user_id, retirement_id, seq)):
        raise ConfigError(_NO_CERTIFICATE)
    found = verified_extract(place, int(user_id or 0), int(seq or 0))
    if found.head.seq < int(seq or 0):
        return [f"the ledger ends at entry {found.head.seq}, before the head of the certificate"]
    try:
        told = certificate_of(found, retirement_id)
    except ConfigError as error:
        return [str(error)]
    return _differences(document, told)


def _differences(given: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    """By statement; of the proof by entry, for that is what a reader looks up."""
    wrong = [
        f"{key}: this is not what the ledger says"
        for key in told
        if key != "proof" and _differs(given.get(key), told[key])
    ]
    if given.keys() - told.keys():
        wrong.append("it says more than a certificate does")
    theirs, ours = given["proof"], told["proof"]
    if _differs(theirs.get("head"), ours["head"]):
        wrong.append(f"head: entry {ours['head']['seq']} of the ledger is another one")
    quoted = theirs.get("entries")
    listed = quoted if isinstance(quoted, list) else []
    by_seq = {each["seq"]: each for each in listed if isinstance(each, dict) and type(each.get("seq")) is int}
    wrong += [
        f"entry {each['seq']}: {'is another one in the ledger' if each['seq'] in by_seq else 'is not quoted'}"
        for each in ours["entries"]
        if _differs(by_seq.get(each["seq"]), each)
    ]
    if not isinstance(quoted, list) or len(quoted) > len(ours["entries"]):
        wrong.append("it quotes entries that do not concern this learner")
    if _differs({**theirs, "head": 0, "entries": 0}, {**ours, "head": 0, "entries": 0}):
        wrong.append("proof: this is not what a certificate says")
    return wrong


def _differs(given: Any, told: Any) -> bool:
    """As they are written down: JSON's true is not 1, though Python's is."""
    return canonical(given) != canonical(told)
