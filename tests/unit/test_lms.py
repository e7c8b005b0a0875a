"""The LMS as the authority: who waits, where their row stands, and which states there are."""

from __future__ import annotations

import re
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from retirement.errors import ConfigError, Misconfigured, Refused, Rescinded, StateConflict, Transient
from retirement.learner import Learner
from retirement.lms import Lms
from retirement.site import Site

from .doubles import USERNAME, Script, World, holder, line, names_nobody, row, shipped

pytestmark = pytest.mark.anyio

PIPELINE = shipped("default")


@pytest.fixture
def site(world: World) -> Site:
    learners = [
        holder(requested_days_ago=30),
        holder("bo jensen", state="FORUMS_COMPLETE", requested_days_ago=10),
        holder("zoë", state="RETIRING_NOTES", requested_days_ago=10),
        holder("faye/slash", requested_days_ago=3),
        holder("done", state="COMPLETE", requested_days_ago=90),
        holder("stays", state=None),
    ]
    world.seed(*learners, states=PIPELINE.lms_states)
    return world.site(PIPELINE)


async def test_the_queue_lists_those_who_wait_and_are_old_enough(site: Site) -> None:
    """Oldest row first; working states and dead ends are not asked for."""
    found = (await site.lms.rows.queue(PIPELINE.queue_states, 7)).learners
    assert [each.username for each in found] == [USERNAME, "bo jensen"]

    everybody = (await site.lms.rows.queue(PIPELINE.queue_states, 0)).learners
    assert [each.username for each in everybody] == [USERNAME, "bo jensen", "faye/slash"]


@pytest.mark.parametrize(("limit", "expected"), [(None, 3), (2, 2), (1, 1), (0, 0)])
async def test_the_queue_can_be_limited(site: Site, limit: int | None, expected: int) -> None:
    """`limit=0` is nobody, not everybody (contract, section 4.1)."""
    assert expected == len((await site.lms.rows.queue(PIPELINE.queue_states, 0, limit)).learners)


async def test_rows_of_a_state_are_listed_by_the_day_of_the_request(site: Site) -> None:
    """Both days are included."""
    day = (datetime.now(UTC) - timedelta(days=90)).date()

    assert [each.username for each in (await site.lms.rows.by_date("COMPLETE", day, day)).learners] == ["done"]
    later = day + timedelta(days=1)
    assert (await site.lms.rows.by_date("COMPLETE", later, later)).learners == []


@pytest.mark.parametrize("username", [USERNAME, "bo jensen", "zoë", "done"])
async def test_a_status_is_found_by_the_original_name(site: Site, username: str) -> None:
    """With every character that the route takes."""
    found = await site.lms.rows.status(username)

    assert found is not None
    assert username == found.username


@pytest.mark.parametrize("username", ["nobody", "stays"])
async def test_no_row_is_none(site: Site, username: str) -> None:
    """An unknown account and one without a request look alike."""
    assert await site.lms.rows.status(username) is None


async def test_a_row_that_was_cleaned_up_is_none(world: World, site: Site) -> None:
    """Indistinguishable from never requested (contract, section 4.3)."""
    done = await world.learner(site, "done")
    token = await site.tokens.current()
    path = "/api/user/v1/accounts/retirement_cleanup/"
    headers = {"Authorization": f"JWT {token}"}
    answer = await world.clients["lms"].post(path, json={"usernames": ["done"]}, headers=headers)
    assert answer.status_code == 204

    assert await site.lms.rows.refresh(done) is None
    assert await site.lms.rows.find(done.user_id) is None


@pytest.mark.parametrize("username", [USERNAME, "zoë", "faye/slash", "done"])
async def test_a_learner_is_found_by_id_in_every_state(world: World, site: Site, username: str) -> None:
    """The API finds rows by name only, so all are listed."""
    found = await site.lms.rows.find(world.sandbox.state()["learners"][username]["user_id"])

    assert found is not None
    assert username == found.username


async def test_an_id_without_a_request_is_found_nowhere(world: World, site: Site) -> None:
    """Neither an account without a row nor a number that is nobody's."""
    assert await site.lms.rows.find(world.sandbox.state()["learners"]["stays"]["user_id"]) is None
    assert await site.lms.rows.find(999_999) is None


async def test_a_name_that_no_path_carries_is_refreshed_from_a_list(world: World, site: Site) -> None:
    """And its name is put into no path."""
    faye = await world.learner(site, "faye/slash")
    await world.force("faye/slash", "RETIRING_NOTES")

    found = await site.lms.rows.refresh(faye)

    assert found is not None
    assert found.state == "RETIRING_NOTES"
    assert not [each for each in world.sandbox.requests if "/retirement_status" in each["path"]]


async def test_the_row_of_another_in_other_capitals_is_not_taken(world: World) -> None:
    """The LMS ignores case in a status; the id tells whose row it is (contract, section 1.6)."""
    world.seed(
        holder("ana"),
        holder("Ana", account_retired=True, state="COMPLETE", email="capital@mail.example"),
        states=PIPELINE.lms_states,
    )
    site = world.site(PIPELINE)
    for username in ("ana", "Ana"):
        learner = await world.learner(site, username)
        for asked in (learner, replace(learner, username=username.upper())):
            found = await site.lms.rows.refresh(asked)
            assert found is not None
            assert learner.user_id == found.user_id


@pytest.mark.parametrize("rows", [{}, "text", None])
async def test_a_list_that_cannot_be_read_is_refused_and_quotes_nobody(rows: object) -> None:
    """A list is due."""
    lms = Lms(Script(httpx.Response(200, json=rows)).api(), PIPELINE.lms_states)

    with pytest.raises(Refused) as caught:
        await lms.rows.queue(["PENDING"], 0)

    assert names_nobody("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize("odd", [row(user=None), row(created="ana@example.com"), None, "ana@example.com"])
async def test_a_row_that_cannot_be_read_keeps_nobody_else_waiting(odd: object) -> None:
    """It is said which row and which field, and not what stands there."""
    lms = Lms(Script(httpx.Response(200, json=[odd, row()])).api(), PIPELINE.lms_states)

    listing = await lms.rows.queue(["PENDING"], 0)

    assert [each.user_id for each in listing.learners] == [row()["user"]["id"]]
    assert [text.partition(":")[0] for text in listing.unreadable] == ["row 1 of the queue cannot be read"]
    assert names_nobody(listing.unreadable[0])


async def test_the_states_are_known_in_the_order_of_the_lms(site: Site) -> None:
    """Whatever the order of the question; unknown ones are left out; nothing is changed by asking."""
    asked = ["COMPLETE", "NO_SUCH_STATE", *reversed(PIPELINE.lms_states)]

    assert PIPELINE.lms_states == await site.lms.rows.known_states(asked)


async def test_an_lms_with_the_pipelines_states_is_fine(site: Site) -> None:
    """More states than ours do not matter."""
    await site.lms.rows.require_states()


async def test_more_states_than_ours_are_fine(world: World) -> None:
    """The default list has two LOCKING states that no step uses."""
    states = [*PIPELINE.lms_states[:1], "LOCKING_ACCOUNT", "LOCKING_COMPLETE", *PIPELINE.lms_states[1:]]
    world.seed(states=states)

    await world.site(PIPELINE).lms.rows.require_states()


async def test_states_that_the_lms_lacks_are_named(world: World) -> None:
    """The default list has no state for LMS_MISC (contract, section 2.2)."""
    world.seed()
    with pytest.raises(ConfigError, match=r"lacks the states .*RETIRING_LMS_MISC, LMS_MISC_COMPLETE.*populate"):
        await world.site(PIPELINE).lms.rows.require_states()


async def test_states_in_another_order_are_named(world: World) -> None:
    """Every move to the later one would be refused."""
    world.seed()
    pipeline = line(("NOTES", "LMS", "retirement_retire_notes"), ("FORUMS", "LMS", "retirement_retire_forum"))

    with pytest.raises(ConfigError, match="RETIRING_FORUMS comes before RETIRING_NOTES there"):
        await world.site(pipeline).lms.rows.require_states()


@pytest.mark.parametrize("body", ['"something else"', "[]", '"Found: PENDING"'])
async def test_a_refusal_without_a_list_is_refused(body: str) -> None:
    """Another release may word it differently; then we say so and guess nothing."""
    answer = httpx.Response(400, headers={"content-type": "application/json"}, content=body.encode())

    with pytest.raises(Refused, match="does not list the states"):
        await Lms(Script(answer).api(), ["PENDING"]).rows.known_states(["PENDING"])


async def test_a_worker_without_permission_is_misconfigured(world: World, site: Site) -> None:
    """403 to everything."""
    plain = world.sandbox.clients["plain"]
    site.tokens._form = lambda: {**plain, "grant_type": "client_credentials", "token_type": "jwt"}

    for asking in (site.lms.rows.queue(["PENDING"], 0), site.lms.rows.status(USERNAME), site.lms.rows.require_states()):
        with pytest.raises(Misconfigured):
            await asking


async def test_the_clock_of_the_lms_is_its_date_header() -> None:
    """None where a proxy takes it away, or writes something else."""

    async def clock(**headers: str) -> datetime | None:
        return await Lms(Script(httpx.Response(200, json=[], headers=headers)).api(), ["A"]).rows.clock()

    assert await clock(date="Sat, 21 Nov 2026 12:00:30 GMT") == datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
    assert (await clock(), await clock(date="noon")) == (None, None)


async def test_a_preflight_changes_nothing(world: World, site: Site) -> None:
    """It asks about states and routes, with every service of the pipeline."""
    before = world.sandbox.state()

    await site.preflight()

    assert before == world.sandbox.state()
    assert {each["method"] for each in world.sandbox.requests} == {"GET", "POST"}
    posts = {each["path"] for each in world.sandbox.requests if each["method"] == "POST"}
    assert posts == {"/oauth2/access_token"}
    assert not [each for each in world.sandbox.requests if re.search("ana", each["path"])]


async def test_a_learner_keeps_what_the_lms_said(site: Site) -> None:
    """A status object of the platform is read without loss."""
    found = await site.lms.rows.status("zoë")

    assert isinstance(found, Learner)
    assert (found.state, found.last_state, found.current_username) == ("RETIRING_NOTES", "PENDING", "zoë")
    assert found.retired_username.startswith("retired__user_")
    assert found.retirement_id > found.user_id


@pytest.fixture
def support(world: World, site: Site) -> Site:
    """The same site, whose client may cancel."""
    client = world.sandbox.clients["support"]
    site.tokens._form = lambda: {**client, "grant_type": "client_credentials", "token_type": "jwt"}
    return site


def cancels(world: World) -> int:
    return sum(each["path"].endswith("/cancel_retirement/") for each in world.sandbox.requests)


@pytest.mark.parametrize("username", [USERNAME, "faye/slash"])
async def test_a_pending_request_can_be_cancelled(world: World, support: Site, username: str) -> None:
    """The row is gone, and the learner may ask again."""
    await support.lms.rows.cancel(await world.learner(support, username))

    learner = world.sandbox.state()["learners"][username]
    assert (learner["retirement"], learner["retirement_request"], cancels(world)) == (None, False, 1)


async def test_to_cancel_takes_a_permission_of_its_own(world: World, site: Site) -> None:
    """Retiring and cancelling are two (contract, section 1.2)."""
    with pytest.raises(Misconfigured, match="change_userretirementstatus"):
        await site.lms.rows.cancel(await world.learner(site, USERNAME))

    assert world.state(USERNAME) == "PENDING"


async def test_only_a_pending_request_can_be_cancelled(world: World, support: Site) -> None:
    """Known before, or told by the LMS."""
    with pytest.raises(StateConflict, match="is in FORUMS_COMPLETE: only a request in PENDING"):
        await support.lms.rows.cancel(await world.learner(support, "bo jensen"))
    assert cancels(world) == 0

    learner = await world.learner(support, USERNAME)
    await world.force(USERNAME, "RETIRING_FORUMS")
    with pytest.raises(StateConflict, match="is in RETIRING_FORUMS") as caught:
        await support.lms.rows.cancel(learner)
    assert names_nobody("".join(traceback.format_exception(caught.value)))


async def test_who_cancelled_before_has_no_request(world: World, support: Site) -> None:
    """They were first, not we."""
    learner = await world.learner(support, USERNAME)
    await support.lms.rows.cancel(learner)

    with pytest.raises(Rescinded):
        await support.lms.rows.cancel(learner)


@pytest.mark.parametrize(
    ("fault", "done"),
    [
        ({"after": True, "drop": True}, True),
        ({"after": True, "status": 504}, True),
        ({"drop": True}, False),
        ({"status": 504}, False),
        ({"status": 500}, False),
    ],
)
async def test_a_lost_answer_to_a_cancellation_is_read_back(
    world: World, support: Site, fault: dict[str, Any], done: bool
) -> None:
    """A row that is gone is cancelled; else whoever asked may ask again."""
    learner = await world.learner(support, USERNAME)
    world.sandbox.arm([{"path": "cancel_retirement", "method": "POST", **fault}])

    if done:
        await support.lms.rows.cancel(learner)
    else:
        with pytest.raises(Transient):
            await support.lms.rows.cancel(learner)

    assert (world.sandbox.state()["learners"][USERNAME]["retirement"] is None, cancels(world)) == (done, 1)


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, html="<h1>Log in</h1>"), httpx.Response(404, html="<h1>?</h1>")]
)
async def test_a_page_is_no_cancellation(ana: Learner, answer: httpx.Response) -> None:
    """A wrong host, or a login in between."""
    with pytest.raises(Misconfigured):
        await Lms(Script(answer).api(), PIPELINE.lms_states).rows.cancel(ana)


@pytest.mark.parametrize(("row_left", "done"), [(httpx.Response(404), True), (httpx.Response(200, json=row()), False)])
async def test_an_answer_that_does_not_say_so_is_read_back(ana: Learner, row_left: httpx.Response, done: bool) -> None:
    """200 with another body: the row tells."""
    lms = Lms(Script(httpx.Response(200, json={"success": False}), row_left).api(), PIPELINE.lms_states)

    if done:
        await lms.rows.cancel(ana)
    else:
        with pytest.raises(Transient, match="does not say that it cancelled"):
            await lms.rows.cancel(ana)
