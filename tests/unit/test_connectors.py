"""What each operation does and what it says about it: the LMS and everything inside of it."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from retirement.connectors import Connector, Outcome, registry
from retirement.connectors.openedx import FORUM_COLLISION, Forum
from retirement.errors import Misconfigured, Refused, Rescinded, RetirementError, StateConflict, Transient
from retirement.learner import Learner
from retirement.site import Site
from tests.routes import ROUTES, part_of

from .doubles import CONNECTORS, PERSONAL, USERNAME, World, holder, names_nobody, row, shipped

pytestmark = pytest.mark.anyio

PIPELINE = shipped("default")
#: Any working state will do: the LMS does not check that it fits the call (contract, section 2.7).
WORKING, WAITING = "RETIRING_NOTES", "NOTES_COMPLETE"
OPERATIONS = {
    **{name: part_of(name) for name, (_, app, _) in ROUTES.items() if app == "lms"},
    "retirement_retire_proctoring_backend_data": "/edx_proctoring/v1/retire_backend_user/",
}
#: Those that the LMS does for a learner whose row says so, and not for whoever has the user id.
GUARDED = [name for name in OPERATIONS if name in ROUTES and "{user_id}" not in ROUTES[name][2]]


async def prepared(world: World, state: str = WORKING, forum: str = "legacy", **changes: Any) -> tuple[Site, Learner]:
    world.seed(holder(**changes), states=PIPELINE.lms_states, forum=forum)
    site = world.site(PIPELINE)
    learner = await world.learner(site, USERNAME)
    await world.force(USERNAME, state)
    return site, learner


async def perform(world: World, operation: str, service: str = "LMS", **seed: Any) -> Outcome:
    site, learner = await prepared(world, **seed)
    return (await site.connectors[service].perform(operation, learner)).outcome


async def error_of(world: World, operation: str, service: str = "LMS", **seed: Any) -> RetirementError:
    site, learner = await prepared(world, **{k: v for k, v in seed.items() if k != "fault"})
    if "fault" in seed:
        world.sandbox.arm([{"times": 99, **seed["fault"]}])
    with pytest.raises(RetirementError) as caught:
        await site.connectors[service].perform(operation, learner)
    assert names_nobody("".join(traceback.format_exception(caught.value)) + repr(caught.value.args))
    return caught.value


def truth(world: World) -> dict[str, Any]:
    learner: dict[str, Any] = world.sandbox.state()["learners"][USERNAME]
    return learner


@pytest.mark.parametrize(
    ("operation", "seed", "expected"),
    [
        ("retirement_unenroll", {}, Outcome.ERASED),
        ("retirement_unenroll", {"enrollments": []}, Outcome.ABSENT),
        ("retirement_unenroll", {"enrollments": [{"org": "A", "active": False}]}, Outcome.ABSENT),
        ("retirement_retire_forum", {"forum": "legacy"}, Outcome.ERASED),
        ("retirement_retire_forum", {"forum": "v2"}, Outcome.ERASED),
        ("retirement_retire_forum", {"forum": "v2-new"}, Outcome.ERASED),
        ("retirement_retire_notes", {}, Outcome.ERASED),
        ("retirement_retire_notes", {"notes": 0}, Outcome.ERASED),
        ("retirement_lms_retire_misc", {}, Outcome.ERASED),
        ("retirement_lms_retire", {}, Outcome.ERASED),
        ("retirement_partner_queue", {}, Outcome.ACCEPTED),
        ("retirement_partner_queue", {"enrollments": []}, Outcome.ACCEPTED),
        ("retirement_retire_proctoring_data", {}, Outcome.ERASED),
        ("retirement_retire_proctoring_backend_data", {}, Outcome.ABSENT),
        ("retirement_retire_proctoring_backend_data", {"proctoring_backends": {"a": True}}, Outcome.ERASED),
        ("retirement_retire_mailings", {}, Outcome.ABSENT),
    ],
)
async def test_an_operation_says_what_became_of_the_data(
    world: World, operation: str, seed: dict[str, Any], expected: Outcome
) -> None:
    """Erased, or nothing was there, or somebody has to be told."""
    assert expected is await perform(world, operation, **seed)


@pytest.mark.parametrize("operation", GUARDED)
async def test_an_operation_can_be_repeated(world: World, operation: str) -> None:
    """A run may die between the call and the move: the second call is fine and changes nothing."""
    site, learner = await prepared(world)
    await site.connectors["LMS"].perform(operation, learner)
    once = truth(world)

    await site.connectors["LMS"].perform(operation, learner)

    assert once == truth(world)


async def test_the_operations_erase_what_they_say(world: World) -> None:
    """All of them, and then nothing of the learner is left in the LMS."""
    site, learner = await prepared(world)
    for operation in OPERATIONS:
        await site.connectors["LMS"].perform(operation, learner)

    left = truth(world)
    assert [each["active"] for each in left["enrollments"]] == [False, False]
    assert (left["forum"]["retired"], left["notes"], left["proctoring"]) == (True, 0, [""])
    assert learner.retired_username == left["account"]["username"]
    assert [place for place in world.sandbox.residue(USERNAME) if place["service"] == "lms"] == []


@pytest.mark.parametrize(("generation", "active"), [("legacy", False), ("v2", True), ("v2-new", False)])
async def test_old_forums_rename_the_account(world: World, generation: str, active: bool) -> None:
    """After them `unenroll` finds nobody and says `absent`: the pipeline's order is all that protects it."""
    site, learner = await prepared(world, forum=generation)
    lms = site.connectors["LMS"]
    await lms.perform("retirement_retire_forum", learner)
    outcome = (await lms.perform("retirement_unenroll", learner)).outcome

    assert (Outcome.ABSENT if active else Outcome.ERASED) is outcome
    assert active == truth(world)["enrollments"][0]["active"]


@pytest.mark.parametrize(("generation", "expected"), [("legacy", "absent"), ("v2", "absent"), ("v2-new", "erased")])
async def test_a_learner_whom_the_forum_does_not_know_is_done(world: World, generation: str, expected: str) -> None:
    """404, 500 with a text, or 204 (contract, section 4.16)."""
    world.seed(holder(forum=False), states=PIPELINE.lms_states, forum=generation)
    site = world.site(PIPELINE)
    learner = await world.learner(site, USERNAME)
    await world.force(USERNAME, WORKING)

    assert expected == (await site.connectors["LMS"].perform("retirement_retire_forum", learner)).outcome
    assert world.naps.taken == []


async def test_two_learners_between_an_old_forum_and_the_account_collide(world: World) -> None:
    """Both would have a blank e-mail, which is unique: the second one waits, and is not to blame."""
    world.seed(holder(), holder("bo"), states=PIPELINE.lms_states, forum="v2")
    site = world.site(PIPELINE, forum=Forum.V2)
    lms = site.connectors["LMS"]
    ana, bo = await world.learner(site, USERNAME), await world.learner(site, "bo")
    for learner in (ana, bo):
        await world.force(learner.username, WORKING)
    await lms.perform("retirement_retire_forum", ana)

    with pytest.raises(Transient) as caught:
        await lms.perform("retirement_retire_forum", bo)
    assert caught.value.reason == FORUM_COLLISION
    assert names_nobody(str(caught.value))

    await lms.perform("retirement_lms_retire", ana)
    assert Outcome.ERASED is (await lms.perform("retirement_retire_forum", bo)).outcome


@pytest.mark.parametrize("operation", [name for name in GUARDED if name != "retirement_partner_queue"])
@pytest.mark.parametrize("state", ["PENDING", WAITING, "ERRORED", "COMPLETE"])
async def test_a_learner_in_no_working_state_is_somebody_elses(world: World, operation: str, state: str) -> None:
    """400, 405 or 500 by endpoint (contract, section 2.7); none of them is worth a retry."""
    error = await error_of(world, operation, state=state)

    assert type(error) is StateConflict
    assert world.naps.taken == []


async def test_the_partner_queue_hides_the_wrong_state_behind_a_page(world: World) -> None:
    """An HTML 500 says nothing, so it is retried; the next look at the row tells."""
    assert type(await error_of(world, "retirement_partner_queue", state=WAITING)) is Transient


@pytest.mark.parametrize("operation", [name for name in GUARDED if name != "retirement_retire_forum"])
async def test_a_request_that_is_gone_is_noticed(world: World, operation: str) -> None:
    """404 of the endpoint itself, empty or JSON."""
    site, _ = await prepared(world)
    gone = Learner.from_row(row(original_username="nobody"))

    with pytest.raises(StateConflict):
        await site.connectors["LMS"].perform(operation, gone)


async def test_a_learner_in_a_working_state_has_taken_nothing_back(world: World) -> None:
    """Only PENDING requests can be cancelled (contract, section 4.13): `rescinded` would hide a lost row."""
    site, _ = await prepared(world)
    gone = Learner.from_row(row(original_username="nobody"))

    with pytest.raises(StateConflict) as caught:
        await site.connectors["LMS"].perform("retirement_lms_retire_misc", gone)
    assert type(caught.value) is not Rescinded


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_missing_route_is_misconfigured_and_never_success(world: World, operation: str) -> None:
    """An HTML 404: the feature is off, or the base URL is wrong."""
    fault = {"path": OPERATIONS[operation], "status": 404, "body": f"<p>{USERNAME}</p>"}

    assert type(await error_of(world, operation, fault=fault)) is Misconfigured


@pytest.mark.sweep
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("status", [500, 503, 504])
async def test_a_passing_failure_is_retried_and_stays_transient(world: World, operation: str, status: int) -> None:
    """Every operation may be repeated (contract, section 7)."""
    fault = {"path": OPERATIONS[operation], "status": status, "body": f"<p>{PERSONAL}</p>"}

    assert type(await error_of(world, operation, fault=fault)) is Transient
    assert len(world.naps.taken) == 3


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_lost_answer_is_asked_for_again(world: World, operation: str) -> None:
    """The work was done; the second answer may be another one, the end is the same."""
    site, learner = await prepared(world, proctoring_backends={"a": True})
    world.sandbox.arm([{"path": OPERATIONS[operation], "after": True, "drop": True}])

    await site.connectors["LMS"].perform(operation, learner)

    assert len(world.naps.taken) == 1


@pytest.mark.parametrize("operation", ["retirement_lms_retire", "retirement_lms_retire_misc"])
async def test_work_that_was_half_done_is_finished(world: World, operation: str) -> None:
    """500 and a part of it committed (contract, section 1.7)."""
    site, learner = await prepared(world)
    world.sandbox.arm([{"path": OPERATIONS[operation], "partial": True}])

    assert Outcome.ERASED is (await site.connectors["LMS"].perform(operation, learner)).outcome


@pytest.mark.parametrize(
    "operation", ["retirement_retire_proctoring_data", "retirement_retire_proctoring_backend_data"]
)
@pytest.mark.parametrize("body", ["", '{"detail": "Invalid token."}'])
async def test_proctoring_says_403_for_a_stale_token(world: World, operation: str, body: str) -> None:
    """One renewal, and if it stays so the run stops."""
    headers = {"content-type": "application/json"} if body else {}
    fault = {"path": OPERATIONS[operation], "status": 403, "body": body, "headers": headers}
    site, learner = await prepared(world)
    world.sandbox.arm([fault])
    await site.connectors["LMS"].perform(operation, learner)

    assert type(await error_of(world, operation, fault=fault)) is Misconfigured


async def test_a_vendor_that_does_not_delete_is_no_matter_of_time(world: World) -> None:
    """500 with the vendors by name: a human has to look."""
    backends = {"good": True, "ana@example.com": False}
    error = await error_of(world, "retirement_retire_proctoring_backend_data", proctoring_backends=backends)

    assert type(error) is Refused
    assert "a proctoring vendor did not delete" in str(error)
    assert world.naps.taken == []


async def test_a_notes_service_that_is_down_is_transient(world: World) -> None:
    """The LMS says 500 with a text."""
    fault = {"service": "notes", "drop": True}

    assert type(await error_of(world, "retirement_retire_notes", fault=fault)) is Transient
    assert truth(world)["notes"] == 2


async def test_the_newer_unenroll_route_is_used_where_it_is_configured(world: World) -> None:
    """Newest releases move it."""
    world.seed(holder(), states=PIPELINE.lms_states)
    site = world.site(PIPELINE, unenroll_version=2)
    learner = await world.learner(site, USERNAME)
    await world.force(USERNAME, WORKING)

    assert Outcome.ERASED is (await site.connectors["LMS"].perform("retirement_unenroll", learner)).outcome
    route = site.connectors["LMS"].route("retirement_unenroll")
    assert route is not None
    assert route.path == "/api/enrollment/v2/enrollment/unenroll/"


async def test_the_old_logout_is_never_sent(world: World) -> None:
    """It would address the worker's own account."""
    site, learner = await prepared(world)
    before = len(world.sandbox.requests)

    with pytest.raises(Refused):
        await site.connectors["LMS"].perform("retirement_deactivate_logout", learner)
    assert before == len(world.sandbox.requests)


def test_the_installed_connectors_are_ours() -> None:
    """By entry point, as those of third parties."""
    installed = registry()

    assert {name: connector for name, (connector, _) in CONNECTORS.items()}.items() <= installed.items()
    assert all(connector.__module__.startswith("retirement.connectors.") for connector in installed.values())


@pytest.mark.parametrize("connector", [connector for connector, _ in CONNECTORS.values()])
def test_every_operation_says_what_it_does(connector: type[Connector]) -> None:
    """The first line of its docstring is the operator's manual."""
    assert all(each.doc.endswith((".", "…")) and len(each.doc) > 20 for each in connector.operations().values())


@pytest.mark.parametrize("service", sorted(registry()))
def test_every_operation_declares_its_success(service: str) -> None:
    """Status and body of the request that does the work; only what an operator declares cannot."""
    declared = [each for each in registry()[service].operations().values() if each.route]

    assert [each.name for each in declared if each.success is None] == []
