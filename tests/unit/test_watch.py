"""Who is watched: rows in states that no step has are found, named, counted in deadlines, and moved by an operator."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from retirement.errors import Ending
from retirement.followup.adopt import adopt
from retirement.followup.move_back import Finding, Verdict
from retirement.followup.reconcile import reconcile
from retirement.learner import Learner
from retirement.pipeline import ABORTED, COMPLETE, ERRORED, PENDING, Pipeline, Step
from retirement.pipeline.strays import place_of
from retirement.queue import out_of_reach
from retirement.site import Site
from retirement.site.watch import Watched, absence, locate, watch, whereabouts

from .batches import batch_of, retire
from .doubles import Died, Forward, World, holder, line, names_nobody

pytestmark = pytest.mark.anyio

ENROLLMENTS = ("ENROLLMENTS", "LMS", "retirement_unenroll")
NOTES = ("NOTES", "LMS", "retirement_retire_notes")
MISC = ("LMS_MISC", "LMS", "retirement_lms_retire_misc")
ACCOUNT = ("LMS", "LMS", "retirement_lms_retire")
#: Yesterday's pipeline, and today's, which has a step less.
OLD, TODAY = line(ENROLLMENTS, NOTES, MISC, ACCOUNT), line(ENROLLMENTS, MISC, ACCOUNT)
LOCKING = ("LOCKING_ACCOUNT", "LOCKING_COMPLETE")


def states(pipeline: Pipeline, *more: str) -> list[str]:
    """The states of an LMS that has more of them than a pipeline needs."""
    return [PENDING, *more, *pipeline.lms_states[1:]]


def renamed(pipeline: Pipeline, *names: tuple[str, str]) -> Pipeline:
    """The same steps with other states."""
    steps: list[Step] = []
    for step, (start, end) in zip(pipeline, names, strict=True):
        after = (steps[-1].name,) if steps else ()
        steps.append(replace(step, start=start, end=end, after=after))
    return Pipeline(tuple(steps))


#: A pipeline of a former release, whose names follow no convention.
FORMER = renamed(TODAY, ("REMOVING", "REMOVED"), ("CLEANING", "CLEANED"), ("ENDING_IT", "ENDED_IT"))


async def found(site: Site, **options: Any) -> dict[int | None, Finding]:
    return {each.user_id: each async for each in reconcile(site, **options)}


async def adopted(site: Site, **options: Any) -> dict[int | None, Finding]:
    return {each.user_id: each async for each in adopt(site, **options)}


async def parked(world: World, pipeline: Pipeline, path: str, username: str = "bo") -> Learner:
    """A learner that a run with this pipeline has parked, since a service did not answer."""
    world.sandbox.arm([{"path": path, "status": 503, "times": 100}])
    site = world.site(pipeline)
    report = await retire(site, await world.learner(site, username))
    world.sandbox.arm([])
    assert report.ending is Ending.PARKED
    return await world.learner(site, username)


def seen(watched: Watched) -> dict[int, str]:
    return {each.user_id: each.state for each in watched.learners}


async def test_rows_of_the_default_states_are_watched_without_a_word_in_the_file(world: World) -> None:
    """A step was taken out, or the former driver left them; none of ours ever had them."""
    left = {"bo": "NOTES_COMPLETE", "cy": "RETIRING_NOTES", "di": "LOCKING_COMPLETE", "ed": PENDING, "fe": ERRORED}
    over = {"gus": COMPLETE, "hal": ABORTED}
    rows = [holder(name, state=state, requested_days_ago=40) for name, state in {**left, **over}.items()]
    world.seed(*rows, states=states(OLD, *LOCKING))

    watched = await watch(world.site(TODAY))

    assert seen(watched) == {world.user_ids[name]: state for name, state in left.items()}
    assert watched.order == tuple(states(OLD, *LOCKING))
    assert (watched.unseen, watched.unreadable) == ((), ())
    assert watched.standing.startswith("open in the LMS are ERRORED 1, LOCKING_COMPLETE 1, NOTES_COMPLETE 1, PENDING 1")
    assert "retirement redrive" in watched.standing


async def test_states_of_the_file_are_watched(world: World) -> None:
    """A site that gives `lms.states` has named what nothing else could know."""
    world.seed(holder("bo", state="QUARANTINE"), states=states(TODAY, "QUARANTINE"))
    site = world.site(TODAY)

    assert (await watch(site)).learners == ()
    named = replace(site, lms_states=states(TODAY, "QUARANTINE"))

    assert seen(await watch(named)) == {world.user_ids["bo"]: "QUARANTINE"}


async def test_states_of_a_former_pipeline_are_known_from_the_ledger(world: World) -> None:
    """Of learners that our runs had, and of those that another driver left there."""
    world.seed(holder("bo"), holder("cy"), holder("di"), states=states(TODAY, *FORMER.lms_states[1:-3]))
    await parked(world, FORMER, "retire_misc")
    await world.force("cy", "CLEANING")
    await world.force("di", "ENDED_IT")

    watched = await watch(world.site(TODAY))

    expected = {"bo": "REMOVED", "cy": "CLEANING", "di": "ENDED_IT"}
    assert seen(watched) == {world.user_ids[name]: state for name, state in expected.items()}


@pytest.mark.parametrize("is_staff", [True, False], ids=["staff", "no-staff"])
async def test_what_the_ledger_has_open_is_looked_for_by_the_account(world: World, is_staff: bool) -> None:
    """An operator has moved the row to a state of which nothing tells; without staff it is named all the same."""
    world.seed(holder("bo"), states=states(OLD, "QUARANTINE"), worker_is_staff=is_staff)
    bo = await parked(world, OLD, "retire_misc")
    await world.force("bo", "QUARANTINE")
    site = world.site(OLD)

    watched = await watch(site)

    if is_staff:
        assert seen(watched) == {bo.user_id: "QUARANTINE"}
        assert watched.order == tuple(states(OLD, "QUARANTINE"))
        assert "QUARANTINE, a state that no step has" in await whereabouts(site, bo.user_id)
        return
    (unseen,) = watched.unseen
    assert (unseen.record.user_id, unseen.record.state) == (bo.user_id, "NOTES_COMPLETE")
    assert "last in NOTES_COMPLETE" in unseen.text
    assert "staff" in unseen.text
    assert await locate(site, bo.user_id) is None
    assert unseen.text in await absence(site, bo.user_id)
    assert "not to be seen 1" in watched.standing
    (finding,) = (await found(site)).values()
    assert (finding.verdict, finding.state) == (Verdict.UNSEEN, "NOTES_COMPLETE")


async def test_a_row_in_a_state_that_the_queue_refuses_is_looked_up(world: World) -> None:
    """The listing denies a state in which the ledger knows a learner to be."""
    world.seed(holder("bo"), states=states(OLD), worker_is_staff=True)
    bo = await parked(world, OLD, "retire_misc")

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await forward(request)
        if "retirement_queue" in request.url.path and answer.status_code == 400:
            await answer.aread()
            return httpx.Response(400, json=answer.json().replace("'NOTES_COMPLETE', ", ""))
        return answer

    world.around = around

    assert seen(await watch(world.site(TODAY))) == {bo.user_id: "NOTES_COMPLETE"}


async def test_a_retirement_that_ended_elsewhere_is_named_until_it_is_proved(world: World) -> None:
    """Another driver, or a person, has brought it to its end, and our runs have not proved every step."""
    world.seed(holder("bo"), holder("cy"), holder("di"), states=states(OLD))
    for name in ("bo", "cy"):
        await parked(world, OLD, "retire_misc", name)
    await parked(world, OLD, "unenroll", "di")
    await world.force("bo", COMPLETE)
    await world.force("cy", ABORTED)
    site = world.site(OLD)

    watched = await watch(site)

    assert seen(watched) == {world.user_ids["di"]: PENDING}
    assert {each.record.user_id: each.state for each in watched.unseen} == {
        world.user_ids["bo"]: COMPLETE,
        world.user_ids["cy"]: ABORTED,
    }


async def test_the_ledger_keeps_open_what_it_has_of_a_stray_learner(world: World) -> None:
    """A run died in a step that is gone by now: the last trace of the learner stays, and the learner is named."""
    world.seed(holder("bo"), states=states(OLD))
    old = world.site(OLD)

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if "edxnotes" in request.url.path:
            raise Died
        return await forward(request)

    world.around = around
    with pytest.raises(BaseExceptionGroup) as died:
        await retire(old, await world.learner(old, "bo"))
    assert died.value.subgroup(Died)
    world.around = None
    world.calendar.pass_by(minutes=10)
    site = world.site(TODAY)

    (finding,) = (await found(site)).values()

    assert (finding.verdict, finding.state, finding.target) == (Verdict.STRAY, "RETIRING_NOTES", None)
    assert "retirement reconcile --adopt" in finding.text
    assert len(await world.ledger.learners.open_runs()) == 1
    (moved,) = (await adopted(site)).values()
    assert (moved.verdict, moved.target) == (Verdict.MOVED, "ENROLLMENTS_COMPLETE")
    assert await world.ledger.learners.open_runs() == []


@pytest.mark.parametrize(
    ("state", "account_retired", "target", "says"),
    [
        ("NOTES_COMPLETE", False, PENDING, "done again, since the ledger has no proof of it: RETIRING_ENROLLMENTS"),
        ("RETIRING_NOTES", False, PENDING, "from the first step"),
        ("LOCKING_COMPLETE", False, PENDING, "from the first step"),
        ("TOLD", True, "LMS_COMPLETE", "taken from where the row stands, without proof: RETIRING_ENROLLMENTS"),
    ],
)
async def test_a_row_of_a_former_driver_is_adopted_to_what_is_proved(
    world: World, state: str, account_retired: bool, target: str, says: str
) -> None:
    """Its pipeline need not have had our steps; only once the account is renamed they could not be done again."""
    order = states(OLD, *LOCKING)
    order[-3:-3] = ["TOLD"]
    world.seed(holder("bo", state=state, account_retired=account_retired), states=order)
    world.calendar.pass_by(minutes=61)
    site = replace(world.site(TODAY), lms_states=order)
    head, sent = await world.ledger.events.head(), len(world.sandbox.requests)

    (would,) = (await adopted(site, dry_run=True)).values()

    assert (would.verdict, would.state, would.target) == (Verdict.WOULD_MOVE, state, target)
    assert says in would.text
    assert await world.ledger.events.head() == head
    assert "PATCH" not in {each["method"] for each in world.sandbox.requests[sent:]}
    (moved,) = (await adopted(site)).values()
    assert (moved.verdict, moved.target, world.state("bo")) == (Verdict.MOVED, target, target)
    (event,) = await world.ledger.events.find(kind="learner.moved")
    assert (event.facts["before"], event.facts["after"]) == (state, target)
    assert (await world.retire(site, "bo")).ending is Ending.RETIRED
    assert await adopted(site) == {}
    assert names_nobody(f"{would}{moved}")


async def test_a_learner_parked_by_us_goes_back_to_what_the_ledger_proves(world: World) -> None:
    """The step of the state was taken out of the file; what was done is not done again."""
    world.seed(holder("bo"), states=states(OLD))
    bo = await parked(world, OLD, "retire_misc")
    assert bo.state == "NOTES_COMPLETE"
    site = world.site(TODAY)
    calls = [each["path"] for each in world.sandbox.requests].count("/api/enrollment/v1/unenroll/")

    report = await retire(site, bo)
    (moved,) = (await adopted(site, user_ids={bo.user_id})).values()

    assert (report.ending, world.state("bo")) == (Ending.BUSY_ELSEWHERE, "ENROLLMENTS_COMPLETE")
    assert "a state that no step has: `retirement reconcile --adopt --user-id" in report.reason
    assert (moved.verdict, moved.text) == (Verdict.MOVED, "the next queue run goes on from there")
    assert (await world.retire(site, "bo")).ending is Ending.RETIRED
    assert [each["path"] for each in world.sandbox.requests].count("/api/enrollment/v1/unenroll/") == calls


async def test_a_row_that_may_be_with_another_run_is_not_adopted(world: World) -> None:
    """A live run has one, and another driver may be at work on the other for an hour."""
    world.seed(holder("bo"), holder("cy"), states=states(OLD))
    old, site = world.site(OLD), world.site(TODAY)
    bo = await world.learner(old, "bo")
    await world.ledger.learners.lease(bo, due_at=old.due_at(bo), pipeline=OLD.digest)
    for name in ("bo", "cy"):
        await world.force(name, "NOTES_COMPLETE")

    for told in (await found(site), await adopted(site)):
        verdicts = {told[world.user_ids[name]].verdict for name in ("bo", "cy")}
        assert verdicts == {Verdict.BUSY, Verdict.LEFT}
    assert {world.state(name) for name in ("bo", "cy")} == {"NOTES_COMPLETE"}


async def test_an_errored_row_whose_state_is_gone_is_adopted(world: World) -> None:
    """`redrive` has nothing to prove a place by, and says what helps."""
    world.seed(holder("bo"), states=states(OLD))
    await world.force("bo", "RETIRING_NOTES")
    await world.force("bo", ERRORED)
    world.calendar.pass_by(minutes=61)

    (moved,) = (await adopted(world.site(TODAY))).values()

    assert (moved.verdict, moved.state, world.state("bo")) == (Verdict.MOVED, ERRORED, PENDING)


async def test_a_name_that_no_path_carries_is_adopted_too(world: World) -> None:
    """The row is found in the list of its own state."""
    world.seed(holder("faye/slash", state="NOTES_COMPLETE"), states=states(OLD))
    world.calendar.pass_by(minutes=61)

    (moved,) = (await adopted(world.site(TODAY))).values()

    assert (moved.verdict, world.state("faye/slash")) == (Verdict.MOVED, PENDING)


async def test_a_run_that_leaves_learners_behind_names_them(world: World) -> None:
    """By state, with what helps, where they are overdue; a hold on the learner is no fault of the run."""
    late = {"bo": "NOTES_COMPLETE", "cy": ERRORED, "di": "RETIRING_LMS", "ed": PENDING, "fe": "NOTES_COMPLETE"}
    rows = [holder(name, state=state, requested_days_ago=40) for name, state in late.items()]
    world.seed(*rows, holder("gus", state="NOTES_COMPLETE", requested_days_ago=3), states=states(OLD))
    site = world.site(TODAY)
    until = (world.ledger.now() + timedelta(days=9)).date()
    await world.ledger.holds.add(
        user_id=world.user_ids["fe"], org=None, service=None, basis="a court asked", until=until, by="legal"
    )
    watched = await watch(site)

    said = await out_of_reach.left_behind(site, batch_of(site), watched, {world.user_ids["ed"]})
    breaches = await out_of_reach.breaches(site, batch_of(site), watched)

    assert [text.partition(", ")[0] for text in said] == [
        f"overdue and not taken by this run: 1 in {late[name]} (user ids {world.user_ids[name]})"
        for name in ("cy", "bo", "di")
    ]
    helps = ("redrive", "reconcile --adopt", "reconcile")
    assert all(f"`retirement {each}`" in text for each, text in zip(helps, said, strict=True))
    assert {each.user_id for each in breaches} == {world.user_ids[name] for name in ("bo", "fe", "gus")}
    assert {each.expected for each in breaches} == {None}


ORDER = ["PENDING", "X", "ENROLLMENTS_COMPLETE", "NOTES_COMPLETE", "LMS_MISC_COMPLETE", "LMS_COMPLETE", "Y"]
STEPS = TODAY.working_states


@pytest.mark.parametrize(
    ("state", "is_renamed", "ended", "target"),
    [
        ("NOTES_COMPLETE", False, STEPS[:1], "ENROLLMENTS_COMPLETE"),
        ("NOTES_COMPLETE", False, [], PENDING),
        ("NOTES_COMPLETE", False, STEPS, "ENROLLMENTS_COMPLETE"),
        ("X", False, STEPS, PENDING),
        ("Y", False, STEPS, "LMS_COMPLETE"),
        ("Y", False, [STEPS[0], STEPS[2]], "ENROLLMENTS_COMPLETE"),
        ("Y", True, [], "LMS_COMPLETE"),
        ("NOTES_COMPLETE", True, [], "ENROLLMENTS_COMPLETE"),
        ("ELSEWHERE", False, STEPS, PENDING),
        ("ELSEWHERE", True, STEPS, None),
    ],
)
def test_a_stray_row_goes_no_further_than_row_and_ledger_agree(
    ana: Learner, state: str, is_renamed: bool, ended: list[str], target: str | None
) -> None:
    """A backup that was restored takes the row back, and with it what the ledger has as ended beyond it."""
    row = replace(ana, state=state, current_username=ana.retired_username if is_renamed else ana.username)

    assert place_of(TODAY, row, ended, ORDER).state == target


async def test_a_learner_in_pending_whose_request_is_gone_is_not_missed(world: World) -> None:
    """Learners take requests back while they wait: that is no retirement out of sight."""
    world.seed(holder("bo"), states=states(OLD))
    site = world.site(OLD)
    bo = await world.learner(site, "bo")
    lease = await world.ledger.learners.lease(bo, due_at=site.due_at(bo), pipeline=OLD.digest)
    await lease.end("parked", "the LMS was away", PENDING)
    world.seed(states=states(OLD))

    assert (await watch(site)).unseen == ()
