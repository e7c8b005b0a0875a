"""What the LMS tells of accounts: countries and organisations, and that it tells them to staff only."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import Any

import httpx
import pytest

from retirement.errors import Misconfigured, Refused, Transient
from retirement.learner import Learner
from retirement.lms.accounts import ACCOUNTS_AT_ONCE, Accounts
from retirement.site import Site

from .doubles import USERNAME, Script, World, holder, names_nobody, row, shipped

pytestmark = pytest.mark.anyio

PIPELINE = shipped("default")
#: Names that registration would take, and names that only old accounts have.
PLAIN, ODD = ("bo-jensen", "Carla_1"), (USERNAME, "dee dee", "zoë", "faye/slash", "x,y")


def enrolled(*orgs: str, active: bool = True) -> list[dict[str, Any]]:
    return [{"org": org, "active": active} for org in orgs]


@pytest.fixture
def site(world: World) -> Site:
    world.seed(
        *(holder(name, country="US") for name in (*PLAIN, *ODD)),
        holder("no-country", country=None),
        holder("elsewhere", country="DE", enrollments=enrolled("OrgC", active=False), state="RETIRING_NOTES"),
        holder("nowhere", enrollments=enrolled("")),
        holder("retired", country="FR", account_retired=True, state="COMPLETE"),
        states=PIPELINE.lms_states,
        worker_is_staff=True,
    )
    return world.site(PIPELINE)


async def everybody(world: World, site: Site) -> dict[str, Learner]:
    names = world.sandbox.state()["learners"]
    return {name: await world.learner(site, name) for name in names}


async def test_countries_come_by_user_id(world: World, site: Site) -> None:
    """Who gave none, and whose name has a comma, is left out; a renamed account is found by its new name."""
    learners = await everybody(world, site)

    found = await site.lms.accounts.countries(learners.values())

    by_name = {name: found.get(each.user_id) for name, each in learners.items()}
    named = dict.fromkeys((*PLAIN, *ODD), "US") | {"x,y": None}
    rest = {"no-country": None, "elsewhere": "DE", "nowhere": "ES", "retired": "FR"}
    assert by_name == {**named, **rest}


async def test_countries_are_asked_in_batches(world: World) -> None:
    """Fifty names stand in one URL; nobody asked, nothing sent."""
    names = [f"learner-{number}" for number in range(ACCOUNTS_AT_ONCE + 1)]
    world.seed(*(holder(name) for name in names), states=PIPELINE.lms_states, worker_is_staff=True)
    site = world.site(PIPELINE)
    learners = (await site.lms.rows.queue(["PENDING"], 0)).learners

    found = await site.lms.accounts.countries(learners)

    asked = [each for each in world.sandbox.requests if each["path"] == "/api/user/v1/accounts"]
    assert (len(found), len(asked)) == (ACCOUNTS_AT_ONCE + 1, 2)
    assert await site.lms.accounts.countries([]) == {}


async def test_unknown_names_have_no_country(site: Site, ana: Learner) -> None:
    """The LMS answers 404 when it knows none of them."""
    assert await site.lms.accounts.countries([replace(ana, current_username="nobody")]) == {}


async def test_countries_are_for_staff(world: World) -> None:
    """Anybody else is shown accounts without them: that is no answer."""
    world.seed(holder(), states=PIPELINE.lms_states)
    site = world.site(PIPELINE)
    learner = await world.learner(site, USERNAME)

    with pytest.raises(Misconfigured, match="only staff is shown countries"):
        await site.lms.accounts.countries([learner])


@pytest.mark.parametrize("username", PLAIN)
async def test_organisations_of_ended_enrollments_count(world: World, site: Site, username: str) -> None:
    """One active, one ended."""
    assert await site.lms.accounts.orgs(await world.learner(site, username)) == {"OrgA", "OrgB"}


@pytest.mark.parametrize("username", ODD)
async def test_names_that_the_list_refuses_are_asked_elsewhere(world: World, site: Site, username: str) -> None:
    """That list has the active enrollments only."""
    assert await site.lms.accounts.orgs(await world.learner(site, username)) == {"OrgA"}


async def test_organisations_of_many_are_one_question(world: World, site: Site) -> None:
    """By user id of everybody asked about; a blank organisation is none."""
    learners = {name: each for name, each in (await everybody(world, site)).items() if name not in ODD}

    found = await site.lms.accounts.enrolled_in(learners.values())

    by_name = {name: found[each.user_id] for name, each in learners.items()}
    both = {"OrgA", "OrgB"}
    assert by_name == {
        **dict.fromkeys((*PLAIN, "no-country", "retired"), both),
        "elsewhere": {"OrgC"},
        "nowhere": set(),
    }
    assert sum("enrollment" in each["path"] for each in world.sandbox.requests) == 1
    assert await site.lms.accounts.enrolled_in([]) == {}


async def test_every_page_is_read(world: World) -> None:
    """A learner with more enrollments than a page has."""
    orgs = [f"Org{number}" for number in range(230)]
    world.seed(holder("busy", enrollments=enrolled(*orgs)), states=PIPELINE.lms_states, worker_is_staff=True)
    site = world.site(PIPELINE)

    assert await site.lms.accounts.orgs(await world.learner(site, "busy")) == set(orgs)


@pytest.mark.parametrize("username", ["bo-jensen", USERNAME])
async def test_a_worker_that_is_not_staff_is_told(world: World, username: str) -> None:
    """Also for names of the other list, which would answer it with an empty array."""
    world.seed(holder(username), states=PIPELINE.lms_states)
    site = world.site(PIPELINE)
    learner = await world.learner(site, username)

    with pytest.raises(Misconfigured, match="only staff may list the enrollments of others"):
        await site.lms.accounts.orgs(learner)


@pytest.mark.parametrize(
    "answer",
    [
        {"results": [{"user": "ana", "course_id": "OrgD/C1/R1"}], "next": None, "count": 1, "num_pages": 1},
        [{"user": "ana", "course_details": {"course_id": "OrgD/C1/R1"}}],
        {"results": [{"user": "ANA", "course_id": "course-v1:OrgD+C1+R1"}], "next": ""},
    ],
)
async def test_other_shapes_of_the_same_are_read(ana: Learner, answer: Any) -> None:
    """Old course keys, pages by number, no pages at all, a name in other capitals."""
    accounts = Accounts(Script(httpx.Response(200, json=answer)).api())

    assert await accounts.orgs(replace(ana, current_username="ana")) == {"OrgD"}


@pytest.mark.parametrize(
    "answer", [None, {}, "x", {"results": None}, {"results": [{}]}, [row()], {"results": [], "next": 3}, [1]]
)
async def test_what_is_no_list_is_refused_and_quotes_nobody(ana: Learner, answer: Any) -> None:
    """Rather than taken for a learner without organisations."""
    accounts = Accounts(Script(httpx.Response(200, json=answer)).api())

    for asking in (accounts.orgs(ana), accounts.orgs(replace(ana, current_username="ana"))):
        with pytest.raises(Refused) as caught:
            await asking
        assert names_nobody("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(200, html="<h1>Log in</h1>"), Misconfigured),
        (httpx.Response(404, html="<h1>Not Found</h1>"), Misconfigured),
        (httpx.Response(503), Transient),
        (httpx.ReadTimeout("lost"), Transient),
        (httpx.Response(400, json={"username": ["no"]}), Refused),
    ],
)
async def test_pages_and_failures_are_errors(ana: Learner, answer: Any, expected: type[Exception]) -> None:
    """Never an empty answer."""
    accounts = Accounts(Script(answer).api())

    for asking in (accounts.orgs(ana), accounts.countries([ana])):
        with pytest.raises(expected):
            await asking


async def test_an_account_is_found_by_its_id(world: World, site: Site) -> None:
    """By the name that it has now; an id that no account has is an answer too."""
    ids = world.user_ids

    assert await site.lms.accounts.username(ids["zoë"]) == "zoë"
    assert str(await site.lms.accounts.username(ids["retired"])).startswith("retired__user_")
    assert await site.lms.accounts.username(999_999) is None


async def test_an_account_by_its_id_is_for_staff(world: World) -> None:
    """The LMS says so with 403."""
    world.seed(holder(), states=PIPELINE.lms_states)

    with pytest.raises(Misconfigured, match="only staff may look for an account"):
        await world.site(PIPELINE).lms.accounts.username(world.user_ids[USERNAME])


@pytest.mark.parametrize("answer", [[], [{"id": 18, "username": "bo"}], [{"username": USERNAME}], {}, None])
async def test_an_account_that_is_not_the_one_asked_for_proves_nothing(answer: Any) -> None:
    """An empty list neither: 404 is how the LMS says that there is none (contract, section 4.15)."""
    accounts = Accounts(Script(httpx.Response(200, json=answer)).api())

    with pytest.raises(Refused) as caught:
        await accounts.username(17)

    assert names_nobody("".join(traceback.format_exception(caught.value)))
