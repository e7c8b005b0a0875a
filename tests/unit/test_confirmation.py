"""Receipts are asked about until the service confirms, and once more; who came back is erased again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from retirement.certificate import certificate_of
from retirement.connectors import Verdict as Answer
from retirement.connectors import registry
from retirement.errors import Ending, StateConflict
from retirement.followup import verify as confirmation
from retirement.followup.move_back import Verdict
from retirement.followup.questions import TROUBLE, Checked, CheckResult
from retirement.followup.reconcile import reconcile
from retirement.learner import Learner
from retirement.ledger import LedgerLocation, Receipt, opened
from retirement.ledger.extract import extract
from retirement.lms import Listing
from retirement.pipeline import Pipeline
from retirement.sandbox.vendors import VENDORS, braze
from retirement.site import Site

from .batches import batch_of, retire
from .doubles import PERSONAL, USERNAME, Deadly, World, holder, line, names_nobody

pytestmark = pytest.mark.anyio

PIPELINE = line(
    ("BRAZE", "BRAZE", "delete_user"),
    ("MISC", "LMS", "retirement_lms_retire_misc"),
    ("LMS", "LMS", "retirement_lms_retire"),
)


class Case:
    """Learners whom Braze knows, retired; time passes at the vendor and in the ledger together."""

    def __init__(self, world: World) -> None:
        self.world = world

    def site(self, pipeline: Pipeline = PIPELINE, **settings: Any) -> Site:
        site = self.world.site(pipeline)
        wiring, _ = self.world.wiring()
        kind = registry()["BRAZE"]
        section = VENDORS["braze"].settings("http://braze.sandbox", {}) | settings
        braze_connector = kind.connected("BRAZE", kind.Settings(**section), wiring)
        return replace(site, connectors={**site.connectors, "BRAZE": braze_connector})

    async def retired(self, *names: str, vendors: tuple[str, ...] = ("braze",)) -> Site:
        self.world.seed(*(holder(name, vendors=list(vendors)) for name in names), states=PIPELINE.lms_states)
        site = self.site()
        for name in names:
            report = await self.world.retire(site, name)
            assert report.ending is Ending.RETIRED, report
        return site

    def pass_by(self, **time: float) -> None:
        self.world.calendar.pass_by(**time)
        self.world.sandbox.advance(timedelta(**time).total_seconds())

    async def verify(self, site: Site, *, every: bool = False) -> list[Checked]:
        return [each async for each in confirmation.verify(site, batch_of(site), every=every)]

    async def receipts(self, name: str = USERNAME) -> list[Receipt]:
        return await self.world.ledger.receipts.find(user_id=self.world.user_ids[name])

    def returns(self, name: str = USERNAME) -> None:
        """An event that was still queued somewhere makes the profile anew."""
        with self.world.sandbox._platform.world.database.transaction() as db:
            row = {"learner": self.world.user_ids[name], "external_id": str(self.world.user_ids[name])}
            db.execute(braze.profile.insert(), [row | {"email": PERSONAL[2], "first_name": "Ana", "delete_at": None}])


@pytest.fixture
def case(world: World) -> Case:
    return Case(world)


async def test_a_receipt_is_kept_with_its_outcome_and_asked_about_when_its_time_has_come(case: Case) -> None:
    """Not before; then it is confirmed, asked once more two weeks later, and settled."""
    site = await case.retired(USERNAME)
    (kept,) = await case.receipts()
    assert (kept.service, kept.operation, kept.reference) == ("BRAZE", "delete_user", str(kept.user_id))
    assert await case.verify(site) == []
    case.pass_by(minutes=16)
    (gone,) = await case.verify(site)
    assert await case.verify(site) == []
    case.pass_by(days=15)
    (confirmed,) = await case.verify(site)
    (settled,) = await case.receipts()

    assert [each.what for each in (gone, confirmed)] == [CheckResult.GONE, CheckResult.CONFIRMED]
    assert (settled.result, settled.verdict) == ("confirmed", "gone")
    assert settled.confirmed_at is not None
    assert await case.verify(site, every=True) == []


async def test_a_service_that_accepted_has_time(case: Case) -> None:
    """While it works nothing is sent anew; then it is asked once more, and where that finds nobody a person looks."""
    site = await case.retired(USERNAME)
    (early,) = await case.verify(site, every=True)
    calls = case.world.calls("braze")
    assert (early.what, early.overdue) == (CheckResult.WAITING, False)
    case.world.calendar.pass_by(days=3)  # for us, and not for Braze
    (late,) = await case.verify(site)

    assert (late.what, late.overdue) == (CheckResult.STILL_THERE, True)  # Braze has them queued, and counts nobody new
    assert case.world.calls("braze") == calls + 2
    case.pass_by(days=1)
    (gone,) = await case.verify(site)
    assert gone.what is CheckResult.GONE


async def test_who_comes_back_is_erased_again_and_the_lms_row_stays(case: Case) -> None:
    """With an attempt and a receipt of its own; the second pass confirms."""
    site = await case.retired(USERNAME)
    case.pass_by(minutes=16)
    await case.verify(site)
    case.returns()
    case.pass_by(days=15)
    (again,) = await case.verify(site)
    first, second = await case.receipts()
    case.pass_by(minutes=16)
    (gone,) = await case.verify(site)
    record = await case.world.ledger.learners.newest(case.world.user_ids[USERNAME])

    assert (again.what, first.result, second.result) == (CheckResult.ERASED_AGAIN, "returned", None)
    assert gone.what is CheckResult.GONE
    assert case.world.state(USERNAME) == "COMPLETE"
    assert record is not None
    assert (record.ending, [each.outcome for each in record.attempts if each.step == "RETIRING_BRAZE"]) == (
        "retired",
        ["accepted", "accepted"],
    )
    assert [place for place in case.world.sandbox.residue(USERNAME) if place["service"] == "braze"] == []


async def test_a_service_that_does_not_answer_is_asked_by_the_next_run(case: Case) -> None:
    """One learner's answer that is lost is nobody else's; a wrong key silences the service for this run."""
    site = await case.retired(USERNAME, "bo")
    case.pass_by(minutes=16)
    case.world.sandbox.arm([{"service": "braze", "path": "/users/export", "status": 503, "times": 4}])
    down, fine = await case.verify(site)
    wrong = await case.verify(case.site(api_key="wrong"), every=True)
    mended = await case.verify(site)

    assert [each.what for each in (down, fine)] == [CheckResult.UNANSWERED, CheckResult.GONE]
    assert {each.what for each in wrong} == {CheckResult.UNANSWERED}
    assert [each.what for each in mended] == [CheckResult.GONE]
    assert not any(each.troubles for each in (down, fine, *wrong))


async def test_a_receipt_that_nobody_can_ask_about_is_named(case: Case) -> None:
    """The pipeline has lost its step: a person has to look."""
    await case.retired(USERNAME)
    case.pass_by(days=1)
    (odd,) = await case.verify(case.world.site(PIPELINE))

    assert (odd.what, odd.troubles) == (CheckResult.UNASKABLE, True)
    assert "retirement confirm" in odd.text


async def test_who_is_held_is_not_erased_again(case: Case) -> None:
    """A hold that was placed since then counts, and it is said."""
    site = await case.retired(USERNAME)
    case.pass_by(minutes=16)
    await case.verify(site)
    case.returns()
    calls = case.world.calls("braze")
    until = case.world.calendar.now + timedelta(days=99)
    await case.world.ledger.holds.add(
        user_id=case.world.user_ids[USERNAME],
        org=None,
        service="BRAZE",
        basis="Art. 17(3)(e)",
        until=until.date(),
        by="legal",
    )
    case.pass_by(days=15)
    (kept,) = await case.verify(site)

    assert (kept.what, kept.troubles) == (CheckResult.STILL_THERE, True)
    assert case.world.calls("braze") == calls + 1  # the question


async def test_who_took_the_request_back_is_not_erased_again(case: Case) -> None:
    """The row is read anew under the lease: the account may be alive again, and nobody is called about it."""
    site = await case.retired(USERNAME)
    case.pass_by(minutes=16)
    await case.verify(site)
    case.returns()
    calls = case.world.calls("braze")
    case.pass_by(days=15)
    await case.world.force(USERNAME, "ABORTED")
    site.lms.rows.by_days = _of(await case.world.learner(site, USERNAME))  # type: ignore[method-assign]  # listed before that
    (left,) = await case.verify(site)

    assert (left.what, left.troubles) == (CheckResult.UNANSWERED, False)
    assert case.world.calls("braze") == calls + 1  # the question


def _of(learner: Learner) -> Any:
    async def by_days(*_asked: Any) -> AsyncGenerator[Listing, None]:
        yield Listing([learner])

    return by_days


async def test_what_is_settled_stays_settled(case: Case) -> None:
    """A person gave the evidence while the service was being asked; neither its answer nor a second word counts."""
    await case.retired(USERNAME)
    (receipt,) = await case.receipts()
    ledger = case.world.ledger
    await ledger.receipts.checked(receipt.id, result="confirmed", confirmed=True, evidence=("ticket 1", "support"))
    await ledger.receipts.checked(receipt.id, result=None, verdict="working", evidence=("ticket 2", "nobody"))
    (after,) = await case.receipts()

    assert (after.result, after.evidence, after.evidence_by) == ("confirmed", "ticket 1", "support")


async def test_one_odd_receipt_silences_nobody(case: Case) -> None:
    """A page of a firewall for one learner; those after them are asked all the same."""
    site = await case.retired(USERNAME, "bo", "cy")
    case.pass_by(minutes=16)
    case.world.sandbox.arm([{"service": "braze", "path": "/users/export", "status": 403, "times": 1}])
    found = await case.verify(site)

    assert [each.what for each in found] == [CheckResult.UNANSWERED, CheckResult.GONE, CheckResult.GONE]


@pytest.mark.sweep
@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
async def test_a_verification_that_died_anywhere_is_finished_by_the_next(
    case: Case, tmp_path: Path, after: bool, every_nth: int, first: int
) -> None:
    """At every request and every transaction, with somebody to confirm and somebody who came back."""
    deaths, world = first, case.world
    while True:
        place = LedgerLocation(f"sqlite:///{tmp_path / f'dying-{deaths}.sqlite'}")
        async with opened(place, clock=world.calendar) as world.ledger:
            site = await case.retired(USERNAME, "bo")
            case.pass_by(minutes=16)
            assert [each.what for each in await case.verify(site)] == [CheckResult.GONE, CheckResult.GONE]
        case.returns("bo")
        case.pass_by(days=15)
        if await world.outlives(Deadly(deaths + 1, after), lambda: case.verify(case.site()), place):
            break
        deaths += 1
        case.pass_by(minutes=10)
        async with opened(place, clock=world.calendar) as world.ledger:
            await _followed_up(case)
            for user_id in world.user_ids.values():
                issued = certificate_of(await extract(world.ledger, user_id))
                assert issued["complete"], f"died at {deaths}: {issued['not_complete']}"
            assert [each for each in world.sandbox.residue() if each["service"] == "braze"] == [], f"died at {deaths}"
            assert (await world.ledger.verify()).ok
        deaths += every_nth - 1

    assert deaths > 12


async def _followed_up(case: Case) -> None:
    """What `serve` does by itself: it reconciles and verifies again and again, as the weeks pass."""
    site = case.site()
    for _ in range(4):
        assert not [each async for each in reconcile(site) if each.verdict in (Verdict.LEFT, Verdict.FAILED)]
        assert not [each for each in await case.verify(site) if each.what in TROUBLE]
        case.pass_by(days=15)
    assert await case.world.ledger.receipts.find(open_only=True) == []


async def test_a_connector_that_breaks_on_one_receipt_goes_on_with_the_next(case: Case) -> None:
    """A defect in a package of somebody else's; its text may name the learner, and is not repeated."""
    site = await case.retired(USERNAME, "bo")
    case.pass_by(minutes=16)
    braze_connector = site.connectors["BRAZE"]
    broken = case.world.user_ids[USERNAME]

    class Broken(type(braze_connector)):  # type: ignore[misc]  # the class is known when the test runs
        async def ask(self, operation: str, reference: str, learner: Learner | None) -> Answer:
            if reference == str(broken):
                raise KeyError(USERNAME)
            return cast(Answer, await super().ask(operation, reference, learner))

    braze_connector.__class__ = Broken
    found = {each.user_id: each for each in await case.verify(site)}

    assert found[broken].what is CheckResult.UNANSWERED
    assert names_nobody(found[broken].text)
    assert found[case.world.user_ids["bo"]].what is CheckResult.GONE


async def test_a_service_that_is_down_is_left_alone_after_three(case: Case) -> None:
    """The others' turn comes; the next run begins anew."""
    site = await case.retired(*(f"ana-{number}" for number in range(5)))
    case.pass_by(minutes=16)
    case.world.sandbox.arm([{"service": "braze", "path": "/users/export", "status": 503, "times": 999}])
    calls = case.world.calls("braze")
    found = await case.verify(site)

    assert {each.what for each in found} == {CheckResult.UNANSWERED}
    assert case.world.calls("braze") == calls + 3 * site.connectors["BRAZE"].api.retry.attempts


async def test_two_verifications_at_once_are_one(case: Case) -> None:
    """The second changes nothing, and says so."""
    site = await case.retired(USERNAME)
    lease = await case.world.ledger.leases.take("verify", what="the verification")
    with pytest.raises(StateConflict):
        await case.verify(site, every=True)
    await case.world.ledger.leases.release(lease)

    assert len(await case.verify(site, every=True)) == 1


async def test_who_is_gone_from_the_lms_cannot_be_erased_again(case: Case) -> None:
    """Nobody knows any more who they were."""
    site = await case.retired(USERNAME)
    case.pass_by(minutes=16)
    await case.verify(site)
    case.returns()
    case.world.seed({"username": "zed"}, holder("bo"), states=PIPELINE.lms_states)
    with case.world.sandbox._platform.world.database.transaction() as db:
        (receipt,) = await case.world.ledger.receipts.find()
        row = {"learner": 0, "external_id": receipt.reference, "email": "", "first_name": "", "delete_at": None}
        db.execute(braze.profile.insert(), [row])
    case.pass_by(days=15)
    (left,) = await case.verify(case.site())

    assert (left.what, left.overdue) == (CheckResult.STILL_THERE, True)
    assert "by hand" in left.text


async def test_nothing_that_is_said_names_anybody(case: Case) -> None:
    """Neither texts nor what the ledger keeps."""
    site = await case.retired(USERNAME)
    case.pass_by(minutes=16)
    said = await case.verify(site)
    case.returns()
    case.pass_by(days=15)
    case.world.sandbox.arm([{"service": "braze", "path": "/users/delete", "status": 400}])
    said += await case.verify(site)
    events = await case.world.ledger.events.find()

    shown = f"{said} {events}".casefold()
    assert said[-1].what is CheckResult.STILL_THERE
    assert not any(secret.casefold() in shown for secret in PERSONAL)


async def test_a_learner_who_is_retired_a_second_time_has_receipts_of_their_own(case: Case) -> None:
    """A report of the same step in another run is another receipt; each is settled by itself."""
    site = await case.retired(USERNAME, "bo")
    case.pass_by(minutes=16)
    found = await case.verify(site)

    assert {each.user_id for each in found} == set(case.world.user_ids.values())
    assert len({each.receipt for each in found}) == 2
    assert (await retire(site, await case.world.learner(site, "bo"))).reason == "was COMPLETE already"
