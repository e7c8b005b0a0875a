"""204 of `unenroll` says that no enrollment is active: what a gateway's empty answer says too, so a list is asked."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from retirement.connectors import Outcome
from retirement.connectors.openedx import ENROLLMENTS_OF, Forum
from retirement.errors import Ending, Misconfigured, Refused, RetirementError, Transient

from .doubles import USERNAME, Forward, World, holder, names_nobody, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")
UNENROLL = "/api/enrollment/v1/unenroll/"
ACTIVE = [{"org": "OrgA", "active": True}, {"org": "OrgB", "active": True}, {"org": "OrgC", "active": False}]


def seeded(world: World, *, staff: bool = True, **changes: Any) -> None:
    """One learner in a working state."""
    world.seed(
        holder(**{"state": "RETIRING_ENROLLMENTS", "enrollments": ACTIVE, **changes}),
        worker_is_staff=staff,
        states=LINE.lms_states,
    )


def gateway(world: World, path: str, *answers: httpx.Response) -> None:
    """Something answers this route in the place of the LMS, once for each answer."""
    left = list(answers)

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        return left.pop(0) if left and request.url.path == path else await forward(request)

    world.around = around


async def unenrolled(world: World) -> Outcome:
    site = world.site(LINE)
    return (await site.connectors["LMS"].perform("retirement_unenroll", await world.learner(site, USERNAME))).outcome


async def error_of(world: World) -> RetirementError:
    with pytest.raises(RetirementError) as caught:
        await unenrolled(world)
    assert names_nobody(f"{caught.value} {caught.value.args}")
    return caught.value


async def test_an_empty_answer_is_not_believed_against_the_list(world: World) -> None:
    """The reason tells what both answers show."""
    seeded(world)
    gateway(world, UNENROLL, httpx.Response(204))

    error = await error_of(world)

    assert (type(error), str(error)) == (
        Refused,
        f"LMS: GET {ENROLLMENTS_OF} answered 200: unenroll answered that no enrollment is active, and active are: 2",
    )


async def test_an_account_that_was_renamed_before_is_found_by_its_new_name(world: World) -> None:
    """Forums up to 0.4.3 rename the account, and `unenroll` then finds nothing and says 204."""
    seeded(world, state="RETIRING_FORUMS")
    world.sandbox._platform.world.settings = type(world.sandbox._platform.world.settings)(
        forum="v2", worker_is_staff=True
    )
    site = world.site(LINE, forum=Forum.V2)
    await site.connectors["LMS"].perform("retirement_retire_forum", await world.learner(site, USERNAME))

    assert "active are: 2" in str(await error_of(world))


@pytest.mark.parametrize("enrollments", [[], [{"org": "OrgC", "active": False}]])
async def test_a_learner_without_an_active_enrollment_is_absent(world: World, enrollments: list[Any]) -> None:
    """What the LMS says with 204 is true: its list of enrollments says so too."""
    seeded(world, enrollments=enrollments)

    assert await unenrolled(world) is Outcome.ABSENT


@pytest.mark.parametrize("status", [403, 404])
async def test_where_the_list_may_not_be_asked_the_word_of_the_lms_stands(world: World, status: int) -> None:
    """The retirement API does not need a worker that is staff."""
    seeded(world, enrollments=[])
    gateway(world, ENROLLMENTS_OF, httpx.Response(status), httpx.Response(status))

    assert await unenrolled(world) is Outcome.ABSENT


async def test_a_worker_that_is_no_staff_is_shown_nothing_and_told_nothing(world: World) -> None:
    """An empty list, which proves nothing; so the lie is believed, as the table of `make hostile` says."""
    seeded(world, staff=False)
    gateway(world, UNENROLL, httpx.Response(204))

    assert await unenrolled(world) is Outcome.ABSENT


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, json={"results": []}), Refused),
        (httpx.Response(200, json=[None]), Refused),
        (httpx.Response(200, json=[{"is_active": "no"}]), Refused),
        (httpx.Response(202), Refused),
        (httpx.Response(200, html="<p>Sign in</p>"), Misconfigured),
        (httpx.Response(401), Misconfigured),
        (httpx.Response(503), Transient),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else f"{value.status_code} {value.text[:14]}",
)
async def test_no_other_answer_is_an_empty_list(world: World, answer: httpx.Response, kind: type[Exception]) -> None:
    """Again and again, as long as it is asked."""
    seeded(world, enrollments=[])
    answers = [httpx.Response(answer.status_code, headers=answer.headers, content=answer.content) for _ in range(9)]
    gateway(world, ENROLLMENTS_OF, *answers)

    assert isinstance(await error_of(world), kind)


@pytest.mark.parametrize("body", [[], [17], [["OrgA"]]], ids=str)
async def test_success_names_organisations(world: World, body: Any) -> None:
    """200 is said of learners who had an active enrollment, so an empty list is no answer to this request."""
    seeded(world)
    gateway(world, UNENROLL, httpx.Response(200, json=body))

    assert "a list of organisations is due" in str(await error_of(world))


async def test_such_a_learner_is_errored_and_not_retired(world: World) -> None:
    """At the end of a whole run."""
    seeded(world, state="PENDING")
    gateway(world, UNENROLL, httpx.Response(204))

    report = await world.retire(world.site(LINE), USERNAME)

    assert (report.ending, world.state(USERNAME)) == (Ending.ERRORED, "ERRORED")
