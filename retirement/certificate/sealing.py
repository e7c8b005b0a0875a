"""A certificate that needs no ledger: signed as a whole, with proofs that its entries are under a signed head.

Whoever has the public key of the installation can tell that it said so, as of that entry, and that the entries stand
in a ledger of which it can never show another one with the same head.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from retirement.certificate.statements import FORMAT, Certificate, certificate_of
from retirement.errors import ConfigError
from retirement.ledger import Head, LedgerLocation, SignedHead, sign_head, signer_of
from retirement.ledger.chain import canonical, entry_hash
from retirement.ledger.extract import Evidence
from retirement.ledger.signing import is_signed
from retirement.ledger.tree import leaf_of, root_by

NO_CERTIFICATE = "the file is no certificate of this program: give one that was issued with --format json"


def issue(location: LedgerLocation, user_id: int) -> Certificate:
    """The certificate of a learner's newest retirement, signed where the ledger is; signs the head before.

    Raises `ConfigError` where there is none, and `LedgerError` for a ledger that is not sound, or cannot be signed.
    """
    evidence = Evidence.of(location)
    if location.signing is None:
        return certificate_of(evidence.extract(user_id))
    certificate = certificate_of(evidence.extract(user_id))
    signed = evidence.signed()
    if signed is None:
        # Only of a learner who has a certificate: signing may enter the key.
        sign_head(location)
        evidence = Evidence.of(location)
        signed = evidence.signed()
        certificate = certificate_of(evidence.extract(user_id))
    if signed is None:
        raise ConfigError(f"{location}: another run enters right now; issue the certificate again")
    return _sealed(certificate, location, evidence, signed)


def _sealed(certificate: Certificate, location: LedgerLocation, evidence: Evidence, head: SignedHead) -> Certificate:
    proof = certificate["proof"]
    paths = evidence.paths([each["seq"] for each in proof["entries"]], head.head.seq)
    entries = [{**each, "path": paths[each["seq"]]} for each in proof["entries"]]
    signed = {**proof["head"], "root": head.root, "key": head.key, "signature": head.signature}
    whole = {**certificate, "proof": {**proof, "entries": entries, "head": signed}}
    if location.signing is None:
        return whole
    signer = signer_of(location.signing)
    return {**whole, "signature": {"key": signer.key, "signature": signer.sign(_digest(whole))}}


def without_seal(document: Mapping[str, Any]) -> Certificate:
    """A certificate without what signing added to it, as `certificate_of` makes it."""
    proof = document["proof"]
    entries = [{name: value for name, value in each.items() if name != "path"} for each in proof["entries"]]
    head = {name: value for name, value in proof["head"].items() if name not in ("root", "key", "signature")}
    whole = {name: value for name, value in document.items() if name != "signature"}
    return {**whole, "proof": {**proof, "entries": entries, "head": head}}


def is_sealed(document: Mapping[str, Any]) -> bool:
    """Whether a certificate is signed; those of earlier releases are not."""
    return "signature" in document


def check_seal(document: object, trusted: Collection[str]) -> list[str]:
    """What is wrong with the signatures and proofs of a certificate, as sentences; empty where all of them hold.

    `trusted` are public keys in hex. Needs no ledger. Raises `ConfigError` for what is no signed certificate.
    """
    if not isinstance(document, dict) or document.get("certificate") not in (1, FORMAT):
        raise ConfigError(NO_CERTIFICATE)
    if not is_sealed(document):
        raise ConfigError("the certificate is not signed: check it with the ledger, without --public-key")
    try:
        return _wrong(document, trusted)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ConfigError(NO_CERTIFICATE) from None


def _wrong(document: Mapping[str, Any], trusted: Collection[str]) -> list[str]:
    seal, proof = document["signature"], document["proof"]
    rest = {name: value for name, value in document.items() if name != "signature"}
    wrong = []
    if seal["key"] not in trusted:
        wrong.append("signature: it is by another key")
    elif not is_signed(seal["key"], seal["signature"], _digest(rest)):
        wrong.append("signature: the certificate is not what was signed")
    given = proof["head"]
    head = SignedHead(Head(given["seq"], given["hash"], given["at"]), given["root"], given["key"], given["signature"])
    if head.key not in trusted:
        wrong.append("head: it is signed by another key")
    elif not head.is_genuine:
        wrong.append("head: it is not what was signed")
    return wrong + [
        f"entry {each['seq']}: it is not in the ledger whose head was signed"
        for each in proof["entries"]
        if not _is_in(each, head)
    ]


def _is_in(entry: Mapping[str, Any], head: SignedHead) -> bool:
    if entry["body"] is not None:
        told = (entry["seq"], entry["at"], entry["kind"], entry["user_id"], entry["body"], entry["previous"])
        if entry_hash(*told) != entry["hash"]:
            return False
    path = [bytes.fromhex(each) for each in entry["path"]]
    root = root_by(leaf_of(entry["hash"]), entry["seq"], head.head.seq, path)
    return root is not None and root.hex() == head.root


def _digest(document: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(canonical(document).encode("ascii")).digest()
