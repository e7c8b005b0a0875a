"""Certificates: what they say of each kind of ending, that they are the same each time, and that lies are found."""

import json
import re
import zlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from retirement import certificate as certificates
from retirement.errors import ConfigError, LedgerError
from retirement.ledger import Given, Ledger, LedgerLocation
from retirement.ledger.extract import extract, verified_extract
from tests.ledger.desk import KEY, START, Clock, Desk, begin, learner

pytestmark = pytest.mark.anyio

Story = Callable[[Ledger], Awaitable[None]]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A ledger in a file."""
    return Desk(LedgerLocation(f"sqlite:///{tmp_path}/ledger.db", key=KEY), Clock(), tmp_path)


async def retired(ledger: Ledger, outcome: str = "erased", given: Given | None = None) -> None:
    """Learner 17: one step at the LMS, one at BRAZE that ended so, and the end."""
    lease = await begin(ledger, 17)
    await lease.intend("FORUMS", "LMS", "retirement_retire_forum")
    await lease.prove("FORUMS", "erased")
    await lease.intend("BRAZE", "BRAZE", "delete_user")
    await lease.prove("BRAZE", outcome, given)
    await lease.end("retired", "", "COMPLETE")


async def issued(desk: Desk, story: Story) -> dict[str, Any]:
    """The certificate of learner 17 after a story."""
    async with desk.open() as ledger:
        await story(ledger)
    return certificates.certificate_of(verified_extract(desk.place, 17))


def tampered(certificate: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """As it comes out of a file, changed."""
    document: dict[str, Any] = json.loads(certificates.as_json(certificate))
    return document | changes


async def test_a_retirement_that_is_proved_is_complete(desk: Desk) -> None:
    """Every step with its service, operation, outcome and time; who held nothing is told apart."""
    certificate = await issued(desk, lambda ledger: retired(ledger, "absent"))

    assert certificate["complete"] is True
    assert certificate["not_complete"] == []
    assert certificate["in_time"] is True
    assert [(each["step"], each["service"], each["outcome"]) for each in certificate["steps"]] == [
        ("FORUMS", "LMS", "erased"),
        ("BRAZE", "BRAZE", "absent"),
    ]
    assert certificate["held_nothing"] == ["BRAZE"]
    assert [each["kind"] for each in certificate["proof"]["entries"]] == [
        *("run.began", "step.intended", "step.proved", "step.intended", "step.proved", "run.ended"),
    ]
    assert certificate["proof"]["head"]["seq"] == 6
    assert len(certificate["proof"]["how_to_check"]) == 6


async def test_an_open_receipt_is_said_on_top(desk: Desk) -> None:
    """What a service only accepted is not erased, and no form of the certificate hides it."""
    given = Given("job-1", timedelta(days=1))
    certificate = await issued(desk, lambda ledger: retired(ledger, "accepted", given))

    assert certificate["complete"] is False
    assert certificate["not_complete"] == [
        "step BRAZE is only accepted, and nothing confirms it",
        "receipt 5 of BRAZE is open: never asked",
    ]
    assert "not complete: step BRAZE is only accepted" in certificates.html(certificate)
    assert "**not complete: step BRAZE is only accepted" in certificates.markdown(certificate)


async def test_a_confirmed_receipt_proves_its_step(desk: Desk) -> None:
    """With the evidence that a person gave, and who they are."""

    async def story(ledger: Ledger) -> None:
        await retired(ledger, "manual", Given("ticket-1", timedelta(days=1)))
        await ledger.receipts.checked(5, result="confirmed", confirmed=True, evidence=("letter 7", "dpo"))

    certificate = await issued(desk, story)

    assert certificate["complete"] is True
    (receipt,) = certificate["receipts"]
    assert (receipt["reference"], receipt["evidence"], receipt["evidence_by"]) == ("ticket-1", "letter 7", "dpo")
    assert certificate["proof"]["entries"][-1]["kind"] == "receipt.checked"


async def test_the_partner_queue_is_settled_by_a_delivered_report(desk: Desk) -> None:
    """Until then the learner's partners have not been told; a report about others settles nothing."""

    async def story(ledger: Ledger, *, reported: int) -> None:
        lease = await begin(ledger, 17)
        await lease.intend("PARTNERS", "LMS", "retirement_partner_queue")
        await lease.prove("PARTNERS", "accepted")
        await lease.end("retired", "", "COMPLETE")
        claim = await ledger.claims.begin()
        await ledger.claims.seal(claim, b"CanaryClaim", [reported])
        await ledger.claims.delivered(claim)

    others = await issued(desk, lambda ledger: story(ledger, reported=18))
    assert others["not_complete"] == ["step PARTNERS is only accepted, and nothing confirms it"]
    assert others["partner_reports"] == []
    own = await issued(desk, lambda ledger: story(ledger, reported=17))
    assert own["complete"] is True
    assert [each["state"] for each in own["partner_reports"]] == ["delivered"]
    assert certificates.check(tampered(own), desk.place) == []


async def test_what_is_kept_is_told_with_its_basis(desk: Desk) -> None:
    """Of a hold on the learner, and of one on an organisation that the run names; not of other people's holds."""

    async def story(ledger: Ledger) -> None:
        day = START.date() + timedelta(days=60)
        own = await ledger.holds.add(user_id=17, org=None, service="BRAZE", basis="Art. 17(3)(e)", until=day, by="dpo")
        org = await ledger.holds.add(user_id=None, org="OrgA", service="LMS", basis="contract", until=day, by="dpo")
        await ledger.holds.add(user_id=None, org="OrgB", service=None, basis="other", until=day, by="dpo")
        await ledger.holds.add(user_id=18, org=None, service=None, basis="other", until=day, by="dpo")
        lease = await begin(ledger, 17)
        await lease.end("held", f"kept until {day} by hold {org}", "PENDING")
        assert (own, org) == (1, 2)

    certificate = await issued(desk, story)

    assert [(each["service"], each["basis"], each["in_force"]) for each in certificate["retained"]] == [
        ("BRAZE", "Art. 17(3)(e)", True),
        ("LMS", "contract", True),
    ]
    assert not certificate["complete"]
    assert "BRAZE is kept until 2026-04-30 by hold 1: Art. 17(3)(e)" in certificate["not_complete"]
    assert [each["seq"] for each in certificate["proof"]["entries"]] == [1, 2, 5, 6]


async def test_failures_voided_steps_and_dead_runs_are_told(desk: Desk) -> None:
    """A step without an outcome makes the certificate incomplete, whatever was proved before."""

    async def story(ledger: Ledger) -> None:
        lease = await begin(ledger, 17)
        await lease.intend("FORUMS", "LMS", "retirement_retire_forum")
        await lease.prove("FORUMS", "erased")
        await lease.void(["FORUMS"], "the LMS has the learner back in PENDING")
        await lease.intend("BRAZE", "BRAZE", "delete_user")
        await lease.fail("BRAZE", "BRAZE", ConfigError("no key"))

    certificate = await issued(desk, story)

    assert certificate["steps"][0]["voided"] == 1
    assert certificate["not_complete"] == [
        "a run is under way, or has died: the retirement has no end yet",
        "step FORUMS has no outcome",
        "step BRAZE has no outcome (ConfigError)",
    ]


@pytest.mark.parametrize(
    ("steps", "reasons"),
    [
        (["FORUMS", "BRAZE"], ["step BRAZE: the ledger has no proof of it"]),
        (["FORUMS"], []),
    ],
)
async def test_a_step_that_somebody_else_did_is_not_proved(desk: Desk, steps: list[str], reasons: list[str]) -> None:
    """A row that stood behind the step already, or was COMPLETE: the pipeline has it, and the ledger does not."""

    async def story(ledger: Ledger) -> None:
        due = START + timedelta(days=30)
        lease = await ledger.learners.lease(learner(17), due_at=due, pipeline="p1", steps=steps)
        await lease.intend("FORUMS", "LMS", "retirement_retire_forum")
        await lease.prove("FORUMS", "erased")
        await lease.end("retired", "", "COMPLETE")

    assert (await issued(desk, story))["not_complete"] == reasons


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (("parked", 1), ["retirement 1 of the same learner ended parked: of this test"]),
        (("rescinded", 0), []),
        (("retired", 1), []),
    ],
)
async def test_a_retirement_that_was_replaced_half_way_keeps_the_learner_from_being_complete(
    desk: Desk, before: tuple[str, int], said: list[str]
) -> None:
    """A later request of the same account says nothing of what the first one had begun to erase."""
    ending, steps = before

    async def story(ledger: Ledger) -> None:
        lease = await begin(ledger, 17, retirement_id=1)
        for _ in range(steps):
            await lease.intend("FORUMS", "LMS", "retirement_retire_forum")
            await lease.prove("FORUMS", "erased")
        await lease.end(ending, "of this test", "PENDING")
        await retired(ledger)

    certificate = await issued(desk, story)

    assert (certificate["not_complete"], certificate["complete"]) == (said, not said)
    assert certificate["other_retirements"] == [1]


async def test_nothing_proved_is_no_certificate(desk: Desk) -> None:
    """Found COMPLETE, with nothing in the ledger about how."""

    async def story(ledger: Ledger) -> None:
        await (await begin(ledger, 17)).end("retired", "was COMPLETE already", "COMPLETE")

    assert (await issued(desk, story))["not_complete"] == ["the ledger has proof of no step"]


async def test_the_same_head_gives_the_same_bytes(desk: Desk) -> None:
    """In every form, from an open ledger and from a file that nobody may write."""
    async with desk.open() as ledger:
        await retired(ledger)
        live = certificates.certificate_of(await extract(ledger, 17))
    again = certificates.certificate_of(verified_extract(desk.place, 17))

    assert certificates.as_json(live) == certificates.as_json(again)
    assert certificates.pdf(live) == certificates.pdf(again)
    assert certificates.html(live) == certificates.html(again)
    assert certificates.fingerprint(live) in certificates.markdown(again)


async def test_nothing_personal_is_in_any_form(desk: Desk) -> None:
    """The learner is a number; the digests of the ledger stay in the ledger."""
    certificate = await issued(desk, retired)
    forms = [certificates.as_json(certificate), certificates.html(certificate), certificates.markdown(certificate)]

    assert not any(word in form for form in forms for word in ("Canary", "canary", "digest"))


async def test_every_value_is_escaped(desk: Desk) -> None:
    """What operators typed is text in a page, in an artifact and on paper, in any alphabet."""

    async def story(ledger: Ledger) -> None:
        await retired(ledger)
        day = START.date() + timedelta(days=1)
        basis = "<script>alert(1)</script> | § 147 АО – *x*"
        await ledger.holds.add(user_id=17, org=None, service="<b>", basis=basis, until=day, by="dpo")

    certificate = await issued(desk, story)

    page = certificates.html(certificate)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\\<script\\>alert(1)\\</script\\> \\| § 147 АО – \\*x\\*" in certificates.markdown(certificate)
    assert certificates.pdf(certificate).startswith(b"%PDF-")


async def test_paper_shows_what_its_fonts_have(desk: Desk) -> None:
    """Dashes and quotes as they are; a letter that they lack as its code."""

    async def story(ledger: Ledger) -> None:
        await retired(ledger)
        basis, day = "“§ 147 AO” – Ж", START.date() + timedelta(days=1)
        await ledger.holds.add(user_id=17, org=None, service="ECOMMERCE", basis=basis, until=day, by="dpo")

    paper = certificates.pdf(await issued(desk, story))

    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", paper, re.DOTALL)
    written = b"".join(zlib.decompress(each) for each in streams if each[:1] == b"x")
    assert "“§ 147 AO” – \\\\u0416".encode("cp1252") in written


async def test_a_true_certificate_stays_true_while_the_ledger_grows(desk: Desk) -> None:
    """Later entries about the learner, and about others, do not make it false."""
    certificate = await issued(desk, lambda ledger: retired(ledger, "accepted", Given("job-1", timedelta(days=1))))
    async with desk.open() as ledger:
        await ledger.receipts.checked(5, result="confirmed", confirmed=True)
        await (await begin(ledger, 18)).end("parked", "", "PENDING")

    assert certificates.check(tampered(certificate), desk.place) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"complete": True, "not_complete": []}, "complete: this is not what the ledger says"),
        ({"due_at": "2026-04-30T12:00:00.000000+00:00"}, "due_at: this is not what the ledger says"),
        ({"user_id": 18}, "the ledger has no retirement of learner 18 to certify"),
        ({"extra": "word"}, "it says more than a certificate does"),
        ({"in_time": 1}, "in_time: this is not what the ledger says"),
    ],
)
async def test_a_changed_statement_is_found(desk: Desk, changes: dict[str, Any], said: str) -> None:
    """By its name, and without repeating what it says."""
    given = Given("job-1", timedelta(days=1))
    certificate = await issued(desk, lambda ledger: retired(ledger, "accepted", given))

    assert said in certificates.check(tampered(certificate, **changes), desk.place)


async def test_a_changed_proof_is_found(desk: Desk) -> None:
    """An entry that is another one, that is left out, and a head that the ledger has not reached."""
    certificate = await issued(desk, retired)
    other, fewer, later = tampered(certificate), tampered(certificate), tampered(certificate)
    other["proof"]["entries"][1]["hash"] = "0" * 64
    del fewer["proof"]["entries"][2]
    later["proof"]["head"]["seq"] = 7

    assert certificates.check(other, desk.place) == ["entry 2: is another one in the ledger"]
    assert certificates.check(fewer, desk.place) == ["entry 3: is not quoted"]
    assert certificates.check(later, desk.place) == ["the ledger ends at entry 6, before the head of the certificate"]


@pytest.mark.parametrize("document", [None, [], {}, {"certificate": 1}, {"certificate": 2, "user_id": 17}])
async def test_what_is_no_certificate_is_refused(desk: Desk, document: object) -> None:
    """With the fix, and nothing of the file."""
    with pytest.raises(ConfigError, match="give one that was issued"):
        certificates.check(document, desk.place)


async def test_no_certificate_is_issued_from_a_ledger_that_was_touched(desk: Desk) -> None:
    """The sentence of the verification says which entry."""
    async with desk.open() as ledger:
        await retired(ledger)
    file = desk.place.file
    assert file is not None
    content = file.read_bytes()
    file.write_bytes(content.replace(b"step.proved", b"step.proveD"))

    with pytest.raises(LedgerError, match="entry 3 is not what was written"):
        verified_extract(desk.place, 17)


async def test_an_unknown_learner_has_no_certificate(desk: Desk) -> None:
    """Nor has a ledger that is not there."""
    with pytest.raises(LedgerError, match="there is no ledger"):
        verified_extract(desk.place, 17)
    async with desk.open() as ledger:
        await retired(ledger)

    with pytest.raises(ConfigError, match="no retirement of learner 99"):
        certificates.certificate_of(verified_extract(desk.place, 99))
