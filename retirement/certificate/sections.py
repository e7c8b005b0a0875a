"""A certificate as headings, sentences and tables: what every form of it shows, in the same words."""

from collections.abc import Mapping, Sequence
from typing import Any

from retirement.certificate import markup, paper
from retirement.certificate.page import Page, Section
from retirement.certificate.statements import Certificate, fingerprint
from retirement.ledger import chain


def html(certificate: Certificate) -> str:
    """The certificate as one page for browsers, which needs nothing else."""
    return markup.html(page_of(certificate))


def markdown(certificate: Certificate) -> str:
    """The certificate as the artifact of a run."""
    return markup.markdown(page_of(certificate))


def pdf(certificate: Certificate) -> bytes:
    """The certificate on paper: the same file, byte for byte, for the same certificate."""
    return paper.pdf(page_of(certificate))


def page_of(certificate: Certificate) -> Page:
    """The certificate in the order in which it is read, below a title with nothing personal and its verdict."""
    return Page(
        title=f"Certificate of retirement {certificate['retirement_id']} of learner {certificate['user_id']}",
        verdict="complete" if certificate["complete"] else f"not complete: {'; '.join(certificate['not_complete'])}",
        sections=(_facts(certificate), *_steps(certificate), *_kept(certificate), *_proof(certificate)),
        made_at=chain.read(certificate["proof"]["head"]["at"]),
        subject=fingerprint(certificate),
    )


def _facts(certificate: Certificate) -> Section:
    in_time = {True: "yes", False: "no", None: "not yet known"}[certificate["in_time"]]
    rows = (
        ("site", certificate["site"] or "not named"),
        ("learner (LMS user id)", str(certificate["user_id"])),
        ("retirement", str(certificate["retirement_id"])),
        ("requested", certificate["requested_at"]),
        ("due", certificate["due_at"]),
        ("retired", certificate["retired_at"] or "not yet"),
        ("in time", in_time),
        ("forgotten by the LMS", _forgotten(certificate["forgotten"])),
        ("end of the last run", certificate["ending"] or "none"),
        ("pipeline", certificate["pipeline"]),
        ("SHA-256 of the JSON certificate", fingerprint(certificate)),
    )
    return Section("Retirement", (), ("what", "value"), rows)


def _forgotten(forgotten: Mapping[str, Any] | None) -> str:
    if forgotten is None:
        return "not yet"
    told = f", told by {forgotten['by']}: {forgotten['reason']}" if forgotten.get("by") else ""
    return f"{forgotten['at']}{told}"


def _steps(certificate: Certificate) -> tuple[Section, ...]:
    columns = ("step", "service", "operation", "outcome", "when", "attempts", "receipts")
    steps = Section(
        "What was erased, where and when", (), columns, _rows(certificate["steps"], columns, {"when": "at"})
    )
    nothing = ", ".join(certificate["held_nothing"]) or "none"
    absent = Section("Services that held nothing", (f"They said that they do not know the learner: {nothing}.",))
    asked = ("receipt", "step", "service", "reference", "state", "confirmed", "verdict", "evidence", "given by")
    names = {"confirmed": "confirmed_at", "given by": "evidence_by"}
    sentences = () if certificate["receipts"] else ("No service gave anything to ask about later.",)
    told = tuple(f"Claim {each['claim']} is {each['state']}." for each in certificate["partner_reports"])
    partners = Section("Reports to partners", told or ("None names the learner.",))
    return (
        steps,
        absent,
        partners,
        Section("On what proof", sentences, asked, _rows(certificate["receipts"], asked, names)),
    )


def _kept(certificate: Certificate) -> tuple[Section, ...]:
    columns = ("hold", "service", "basis", "until", "released", "in force")
    names = {"released": "released_at", "in force": "in_force"}
    rows = _rows(certificate["retained"], columns, names)
    return (Section("What was kept, and on which basis", () if rows else ("Nothing.",), columns, rows),)


def _proof(certificate: Certificate) -> tuple[Section, ...]:
    proof = certificate["proof"]
    # Without the hash of the entry before, which is another learner's: the JSON has it, and nothing is checked by eye.
    columns = ("seq", "at", "kind", "hash")
    head = f"The ledger ends at entry {proof['head']['seq']} of {proof['head']['at']}: {proof['head']['hash']}"
    entries = Section(
        "Entries of the ledger", (head, *_signatures(certificate)), columns, _rows(proof["entries"], columns, {})
    )
    return entries, Section("How to check this certificate", tuple(proof["how_to_check"]))


def _signatures(certificate: Certificate) -> tuple[str, ...]:
    head = certificate["proof"]["head"]
    if "root" not in head:
        return ()
    return (
        f"Root of the tree over all entries up to it: {head['root']}",
        f"Public key: {head['key']}",
        f"Signature of the head: {head['signature']}",
        f"Signature of the JSON certificate: {certificate['signature']['signature']}",
    )


def _rows(
    found: Sequence[Mapping[str, Any]], columns: tuple[str, ...], names: Mapping[str, str]
) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(_text(each[names.get(column, column)]) for column in columns) for each in found)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
