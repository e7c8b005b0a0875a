"""Accounts without a profile: old ones, and those made by scripts (contract lms.md, appendix on the whole LMS)."""

from __future__ import annotations

from typing import Any

import pytest

from retirement.sandbox.world.identity import CLIENTS

from .world import ACCOUNTS, World

pytestmark = pytest.mark.anyio

NO_PROFILE = "User has no profile."
UNENROLL = "/api/enrollment/v1/unenroll/"
OTHER_STEPS = (
    ("POST", f"{ACCOUNTS}/retire_misc/"),
    ("PUT", f"{ACCOUNTS}/retirement_partner_report/"),
    ("POST", "/api/discussion/v1/accounts/retire_forum/"),
    ("POST", "/api/edxnotes/v1/retire_user/"),
)


def _otis(**more: Any) -> dict[str, Any]:
    return {"username": "otis", "profile": False, "enrollments": [{"org": "OrgO"}], "state": "RETIRING_LMS", **more}


@pytest.mark.parametrize("path", [UNENROLL, f"{ACCOUNTS}/retire/", "/api/enrollment/v2/enrollment/unenroll/"])
async def test_unenroll_and_retire_fail_each_time_and_do_nothing(world: World, path: str) -> None:
    """The same JSON text again and again; account and enrollments stay as they were."""
    world.seed(_otis())
    before = world.state("otis")

    answers = [await world.call("POST", path, json={"username": "otis"}) for _ in range(3)]

    assert [(answer.status_code, answer.json()) for answer in answers] == [(500, NO_PROFILE)] * 3
    assert world.state("otis") == before
    assert before["enrollments"] == [{"org": "OrgO", "active": True}]


async def test_a_fault_that_stops_half_way_does_not_get_as_far(world: World) -> None:
    """The profile comes first: there is no half that could be committed."""
    world.seed(_otis())
    before = world.state("otis")
    world.sandbox.arm([{"path": "/retire/", "partial": True}])

    answer = await world.call("POST", f"{ACCOUNTS}/retire/", json={"username": "otis"})

    assert (answer.json(), world.state("otis")) == (NO_PROFILE, before)


async def test_unenroll_needs_the_profile_only_for_an_active_enrollment(world: World) -> None:
    """The text comes from the event that an unenrolment sends: without any there is none."""
    world.seed(_otis(enrollments=[{"org": "OrgO", "active": False}]))

    answer = await world.call("POST", UNENROLL, json={"username": "otis"})

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(("method", "path"), OTHER_STEPS)
async def test_the_other_steps_do_not_ask_for_the_profile(world: World, method: str, path: str) -> None:
    """misc, partner queue, forum and notes are done as for other learners."""
    world.seed(_otis(notes=1))

    assert (await world.call(method, path, json={"username": "otis"})).status_code == 204


@pytest.mark.parametrize(
    ("state", "status", "start"), [("PENDING", 400, "User: "), ("LMS_COMPLETE", 400, "User: ")], ids=str
)
async def test_a_wrong_state_is_told_before_the_profile(world: World, state: str, status: int, start: str) -> None:
    """The guard of the working states comes first, and a row that is not there before it."""
    world.seed(_otis(state=state), {"username": "ivo", "profile": False})

    wrong = await world.call("POST", f"{ACCOUNTS}/retire/", json={"username": "otis"})
    absent = await world.call("POST", f"{ACCOUNTS}/retire/", json={"username": "ivo"})

    assert (wrong.status_code, wrong.json()[: len(start)]) == (status, start)
    assert (absent.status_code, absent.content) == (404, b"")


async def test_status_queue_and_list_by_date_show_a_null_profile(world: World) -> None:
    """The learner is listed like others, with `null` where the object stands."""
    world.seed(_otis(state="PENDING", requested_days_ago=1))

    status = await world.call("GET", f"{ACCOUNTS}/otis/retirement_status/")
    query: dict[str, Any] = {"cool_off_days": 0, "states": "PENDING"}
    queue = await world.call("GET", f"{ACCOUNTS}/retirement_queue/", params=query)
    day = status.json()["created"][:10]
    query = {"start_date": day, "end_date": day, "state": "PENDING"}
    listed = await world.call("GET", f"{ACCOUNTS}/retirements_by_status_and_date/", params=query)

    user = {"id": world.ids["otis"]["user_id"], "username": "otis", "profile": None}
    assert status.status_code == 200
    assert status.json()["user"] == {**user, "email": status.json()["retired_email"]}
    assert [status.json()] == queue.json() == listed.json()


async def test_the_state_shows_a_null_profile_and_no_links(world: World) -> None:
    """The links of a learner hang on the profile; all else is there."""
    world.seed(_otis(), {"username": "ana"})

    otis, ana = world.state("otis"), world.state("ana")

    assert (otis["profile"], otis["account"]["social_links"]) == (None, 0)
    assert (ana["profile"]["goals"], ana["account"]["social_links"]) == ("learn", 1)
    assert otis["account"]["first_name"] == "First"


async def test_residue_is_looked_for_without_a_profile(world: World) -> None:
    """What other tables hold is found, and of the profile's table there is nothing to find."""
    world.seed(_otis(state="COMPLETE"))

    tables = {place["table"] for place in world.sandbox.residue("otis")}

    assert "certificates_generatedcertificate" in tables
    assert not tables & {"auth_userprofile", "student_sociallink"}


async def test_an_account_without_a_profile_is_shown_with_nulls(world: World) -> None:
    """Look-ups answer 200; what the profile would hold is null, lists included."""
    world.seed({"username": "otis", "profile": False})

    answer = (await world.call("GET", f"{ACCOUNTS}/otis", auth="support")).json()

    assert (answer["email"], answer["is_active"]) == ("otis@example.com", True)
    assert {answer[name] for name in ("name", "bio", "profile_image", "phone_number", "country")} == {None}
    assert (answer["social_links"], answer["requires_parental_consent"]) == (None, None)


async def test_without_a_profile_no_request_can_be_made(world: World) -> None:
    """The row copies the profile's name: in bulk such a user is one of the failed, and nothing is written."""
    world.seed({"username": "otis", "profile": False}, {"username": "ana"})

    answer = await world.call("POST", "/v1/accounts/bulk_retire_users", json={"usernames": "otis,ana"})

    assert answer.json() == {"successful_user_retirements": ["ana"], "failed_user_retirements": ["otis"]}
    assert world.state("otis")["retirement"] is None
    assert world.state("otis")["retirement_request"] is False


async def test_an_account_of_the_platform_has_a_profile(world: World) -> None:
    """It can ask for its own retirement like any other."""
    form = {"password": CLIENTS["plain"].client_secret}

    answer = await world.call("POST", f"{ACCOUNTS}/deactivate_logout/", auth="plain", data=form)

    assert (answer.status_code, answer.content) == (204, b"")
