"""Lists of enrollments, and what accounts show to others, as the platform's source has them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from retirement.sandbox.world import throttles

from .world import ACCOUNTS, World

pytestmark = pytest.mark.anyio

LIST = "/api/enrollment/v1/enrollments"
OF = "/api/enrollment/v1/enrollment"
STAFF: dict[str, Any] = {"settings": {"worker_is_staff": True}}


def learner(username: str, *orgs: str, **more: Any) -> dict[str, Any]:
    """The second enrollment, and every other after it, has ended."""
    listed = [{"org": org, "active": place % 2 == 0} for place, org in enumerate(orgs)]
    return {"username": username, "enrollments": listed, **more}


async def ask(world: World, path: str, auth: str = "worker", **query: str) -> httpx.Response:
    return await world.call("GET", path, auth=auth, params=query)


async def test_the_list_is_for_staff(world: World) -> None:
    """The worker is not, unless the seed says so; a superuser of this sandbox is."""
    world.seed(learner("ana", "OrgA"))
    refused = [await ask(world, LIST, auth, username="not a name!") for auth in ("worker", "plain")]
    served = await ask(world, LIST, "support")

    world.seed(learner("ana", "OrgA"), **STAFF)

    assert [answer.status_code for answer in refused] == [403, 403]
    assert (served.status_code, (await ask(world, LIST + "/")).status_code) == (200, 200)


async def test_the_list_has_ended_enrollments_and_the_name_in_any_case(world: World) -> None:
    """By the name that the account has now."""
    world.seed(learner("ana", "OrgA", "OrgB", state="PENDING"), learner("bo", "OrgC"), learner("eve", "OrgD"), **STAFF)

    answer = (await ask(world, LIST, username="ANA,bo,unknown")).json()

    rows = [(each["user"], each["course_id"], each["is_active"], each["mode"]) for each in answer["results"]]
    assert sorted(rows) == [
        ("ana", "course-v1:OrgA+C0+R1", True, "audit"),
        ("ana", "course-v1:OrgB+C1+R1", False, "audit"),
        ("bo", "course-v1:OrgC+C0+R1", True, "audit"),
    ]
    assert (answer["next"], answer["previous"]) == (None, None)


@pytest.mark.parametrize("username", ["ana.gomez", "bo jensen", "zo\u00eb", "ana,b@c", ",", ",".join(["x"] * 101)])
async def test_the_list_takes_names_of_the_registration_only(world: World, username: str) -> None:
    """And at most a hundred."""
    world.seed(**STAFF)

    answer = await ask(world, LIST, username=username)

    assert (answer.status_code, list(answer.json())) == (400, ["username"])


async def test_the_list_comes_in_pages(world: World) -> None:
    """`next` is a whole URL that keeps the question."""
    world.seed(learner("ana", *(f"Org{number}" for number in range(250))), learner("bo", "OrgX"), **STAFF)
    seen: list[str] = []
    sizes: list[int] = []
    page = (await ask(world, LIST, username="ana")).json()
    while True:
        seen += [each["course_id"] for each in page["results"]]
        sizes.append(len(page["results"]))
        if not page["next"]:
            break
        page = (await world.call("GET", page["next"].removeprefix("http://lms.sandbox"))).json()

    assert (sizes, len(set(seen))) == ([100, 100, 50], 250)
    assert (await world.call("GET", page["previous"].removeprefix("http://lms.sandbox"))).status_code == 200
    assert (await ask(world, LIST, cursor="???")).status_code == 404


async def test_the_other_list_hides_what_is_not_for_the_caller(world: World) -> None:
    """An empty array, and no error; ended enrollments are hidden from all."""
    world.seed(learner("ana.gomez+x", "OrgA", "OrgB"))

    shown = (await ask(world, OF, "support", user="ana.gomez+x")).json()

    assert [each["course_details"]["course_id"] for each in shown] == ["course-v1:OrgA+C0+R1"]
    assert (await ask(world, OF, user="ana.gomez+x")).json() == []
    assert (await ask(world, OF, "support")).json() == []


@pytest.mark.parametrize(("auth", "rate"), [("support", throttles.STAFF_RATE), ("plain", throttles.USER_RATE)])
async def test_the_lists_have_a_limit(world: World, auth: str, rate: int) -> None:
    """For each account, unless the seed turns it off."""
    served = [(await ask(world, OF, auth)).status_code for _ in range(rate)]
    refused = await ask(world, OF, auth)
    world.seed(settings={"enrollment_throttle": False})
    again = [(await ask(world, OF, auth)).status_code for _ in range(rate + 1)]

    assert ({*served}, {*again}, refused.status_code) == ({200}, {200}, 429)
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.json()["detail"].startswith("Request was throttled.")


async def test_accounts_show_their_country_to_staff(world: World) -> None:
    """ES unless the seed says otherwise; null where none is given."""
    people: list[dict[str, Any]] = [
        {"username": "ana"},
        {"username": "bo", "country": "US"},
        {"username": "eve", "country": None},
    ]
    world.seed(*people)
    hidden = (await ask(world, ACCOUNTS, username="ana,bo,eve")).json()

    world.seed(*people, **STAFF)
    shown = (await ask(world, ACCOUNTS, username="ana,bo,eve")).json()

    assert [each["country"] for each in shown] == ["ES", "US", None]
    assert not [each for each in hidden if "country" in each or "id" in each]


async def test_no_api_says_who_is_staff(world: World) -> None:
    """The account has it, and keeps it; no account is told about others."""
    world.seed({"username": "ana", "is_staff": True, "state": "PENDING"}, **STAFF)

    (account,) = (await ask(world, ACCOUNTS, username="ana")).json()
    status = (await ask(world, f"{ACCOUNTS}/ana/retirement_status/")).json()

    assert "staff" not in f"{account}{status}"
