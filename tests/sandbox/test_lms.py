"""Facts of the LMS' API that are easy to get wrong (contract lms.md 1 to 4)."""

from __future__ import annotations

from typing import Any

import pytest

from .world import ACCOUNTS, World

pytestmark = pytest.mark.anyio

UNENROLL = "/api/enrollment/v1/unenroll/"
FORUM = "/api/discussion/v1/accounts/retire_forum/"
NOTES = "/api/edxnotes/v1/retire_user/"
QUEUE = f"{ACCOUNTS}/retirement_queue/"


@pytest.mark.parametrize("body", [[], ["ana"], "ana", 7])
@pytest.mark.parametrize("path", [f"{ACCOUNTS}/retire/", f"{ACCOUNTS}/retire_misc/", FORUM, NOTES])
async def test_json_of_another_shape_is_an_html_500(world: World, path: str, body: Any) -> None:
    """The views ask the body for a key without looking at it first."""
    answer = await world.call("POST", path, json=body)

    assert (answer.status_code, answer.headers["content-type"][:9]) == (500, "text/html")


async def test_unenroll_and_cleanup_answer_their_own_texts_for_arrays(world: World) -> None:
    """unenroll wraps the TypeError in a 500, cleanup in a 400."""
    text = "list indices must be integers or slices, not str"

    unenroll = await world.call("POST", UNENROLL, json=["ana"])
    cleanup = await world.call("POST", f"{ACCOUNTS}/retirement_cleanup/", json=["ana"])

    assert (unenroll.status_code, unenroll.json()) == (500, text)
    assert (cleanup.status_code, cleanup.json()) == (400, text)


@pytest.mark.parametrize(
    ("path", "states"), [(UNENROLL, 204), (FORUM, 204), (NOTES, 204)], ids=["unenroll", "forum", "notes"]
)
async def test_some_views_take_forms(world: World, path: str, states: int) -> None:
    """unenroll, forum and notes are not JSON-only, url-encoded and multipart alike."""
    world.seed({"username": "ana", "state": "RETIRING_NOTES"})

    form = await world.call("POST", path, data={"username": "ana"})
    multipart = await world.call("POST", path, files={"username": (None, "ana")})

    assert (form.status_code, multipart.status_code) == (states, states)


async def test_credentials_come_before_method_body_and_query(world: World) -> None:
    """A wrong method and a broken body are only seen by those who may come in."""
    wrong_method = await world.call("GET", f"{ACCOUNTS}/retire/", auth=None)
    broken = await world.call("POST", f"{ACCOUNTS}/retire/", auth="plain", content="{")

    assert (wrong_method.status_code, broken.status_code) == (401, 403)


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "implicit"}, 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "client_secret": ""}, 401, "invalid_client"),
        ({"grant_type": "authorization_code", "code": "x"}, 400, "unauthorized_client"),
        ({"grant_type": "password", "username": "a", "password": "b"}, 400, "invalid_grant"),
        ({"grant_type": "client_credentials", "scope": "read all"}, 400, "invalid_scope"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_the_token_endpoint_refuses(world: World, form: dict[str, str], status: int, error: str) -> None:
    """Grant type before client, client before scope (3)."""
    data = {**world.sandbox.clients["worker"], **form}

    answer = await world.call("POST", "/oauth2/access_token", auth=None, data=data)

    assert (answer.status_code, answer.json()["error"]) == (status, error)


async def test_a_subset_of_scopes_is_granted_and_the_form_wins_over_the_header(world: World) -> None:
    """`X-Token-Type` counts only when the field is absent."""
    data = {**world.sandbox.clients["worker"], "grant_type": "client_credentials", "scope": "read"}
    headers = {"X-Token-Type": "JWT"}

    by_header = await world.call("POST", "/oauth2/access_token", auth=None, data=data, headers=headers)
    data["token_type"] = "bearer"
    by_form = await world.call("POST", "/oauth2/access_token", auth=None, data=data, headers=headers)

    assert (by_header.json()["token_type"], by_header.json()["scope"]) == ("JWT", "read")
    assert by_form.json()["token_type"] == "Bearer"


async def test_the_word_jwt_may_be_in_any_case_but_wants_one_token(world: World) -> None:
    """`jwt x` is read; `JWT` and `JWT a b` are not seen at all."""
    answers = [
        (await world.call("GET", QUEUE, auth=None, headers={"Authorization": text})).json()["detail"]
        for text in ("jwt garbage", "JWT", "JWT a b", "Basic YTpi")
    ]

    missing = "Authentication credentials were not provided."
    assert answers == ["Invalid token.", missing, missing, missing]


@pytest.mark.parametrize("days", ["800000", "1000000000"])
async def test_a_cool_off_that_reaches_before_year_one_is_an_html_500(world: World, days: str) -> None:
    """The view catches a ValueError, and an overflow is none."""
    answer = await world.call("GET", QUEUE, params={"cool_off_days": days, "states": "PENDING"})

    assert (answer.status_code, answer.headers["content-type"][:9]) == (500, "text/html")


async def test_a_missing_slash_redirects_with_the_query_and_before_credentials(world: World) -> None:
    """301 for every method; the path stays encoded as it came."""
    answer = await world.call("DELETE", f"{ACCOUNTS}/zo%C3%AB%20x/retirement_status?a=b", auth=None)

    assert answer.status_code == 301
    assert answer.headers["location"] == f"{ACCOUNTS}/zo%C3%AB%20x/retirement_status/?a=b"


async def test_a_slash_in_a_username_matches_no_route(world: World) -> None:
    """HTML 404 by path, while bodies carry the name."""
    world.seed({"username": "faye/canary", "state": "RETIRING_LMS"})

    by_path = await world.call("GET", f"{ACCOUNTS}/faye%2Fcanary/retirement_status/")
    by_body = await world.call("POST", f"{ACCOUNTS}/retire/", json={"username": "faye/canary"})

    assert (by_path.status_code, by_path.headers["content-type"][:9]) == (404, "text/html")
    assert by_body.status_code == 204


async def test_the_forum_up_to_0_4_3_breaks_unenrolment_and_the_next_learner(world: World) -> None:
    """It renames the account and blanks its e-mail, which only one account can have (4.16)."""
    world.seed(
        {"username": "ana", "state": "RETIRING_FORUMS", "enrollments": [{"org": "OrgA"}]},
        {"username": "bram", "state": "RETIRING_FORUMS"},
        settings={"forum": "v2"},
    )

    first = await world.call("POST", FORUM, json={"username": "ana"})
    unenroll = await world.call("POST", UNENROLL, json={"username": "ana"})
    second = await world.call("POST", FORUM, json={"username": "bram"})
    await world.call("POST", f"{ACCOUNTS}/retire/", json={"username": "ana"})
    third = await world.call("POST", FORUM, json={"username": "bram"})

    assert [first.status_code, unenroll.status_code, second.status_code, third.status_code] == [*(204, 204, 500, 204)]
    assert "Duplicate entry ''" in second.json()
    assert world.state("ana")["enrollments"] == [{"org": "OrgA", "active": True}]


async def test_a_slow_notes_service_is_a_500_but_the_notes_go(world: World) -> None:
    """The LMS gives up after 1.5 s; the service works on (4.19)."""
    world.seed({"username": "ana", "state": "RETIRING_NOTES", "notes": 2})
    world.sandbox.arm([{"service": "notes", "path": "/retire_annotations/", "delay_s": 1.7}])

    answer = await world.call("POST", NOTES, json={"username": "ana"})
    left_at_once = world.state("ana")["notes"]
    world.sandbox.arm([{"path": "/heartbeat", "delay_s": 0.4}])
    await world.call("GET", "/heartbeat", auth=None)

    assert answer.status_code == 500
    assert (left_at_once, world.state("ana")["notes"]) == (2, 0)


async def test_a_vendor_that_does_not_obey_makes_the_backend_call_a_500(world: World) -> None:
    """The body says which; the shape is that of success (4.21)."""
    world.seed({"username": "ana", "proctoring_backends": {"north": True, "south": False}})
    path = f"/api/edx_proctoring/v1/retire_backend_user/{world.ids['ana']['user_id']}/"

    first = await world.call("POST", path)
    second = await world.call("POST", path)

    assert (first.status_code, first.json()) == (500, {"north": True, "south": False})
    assert (second.status_code, second.json()) == (500, {"south": False})


async def test_cancelling_takes_numbers_as_text_and_forms(world: World) -> None:
    """Text that is no number is an HTML 500, null is an unknown id (4.13)."""
    world.seed({"username": "ana", "state": "PENDING"})
    path, number = f"{ACCOUNTS}/cancel_retirement/", str(world.ids["ana"]["retirement_id"])

    word = await world.call("POST", path, auth="support", json={"retirement_id": "ana"})
    null = await world.call("POST", path, auth="support", json={"retirement_id": None})
    form = await world.call("POST", path, auth="support", data={"retirement_id": number})

    assert (word.status_code, null.status_code, form.status_code) == (500, 400, 200)
    assert world.state("ana")["account"]["email"] == "ana@example.com"


async def test_replacing_a_username_that_is_taken_adds_a_suffix(world: World) -> None:
    """The answer shows the name that was really given (4.14)."""
    world.seed({"username": "ana", "state": "PENDING"}, {"username": "bram"})

    answer = await world.call("POST", f"{ACCOUNTS}/replace_usernames/", json={"username_mappings": [{"ana": "bram"}]})

    given = answer.json()["successful_replacements"][0]["ana"]
    assert given.startswith("bram-")
    assert len(given) == len("bram-") + 4
    assert world.state("ana")["retirement"]["original_username"] == given


async def test_emails_are_searched_by_staff_only(world: World) -> None:
    """Others get a 404 that says nothing (4.15)."""
    world.seed({"username": "ana"})
    path, body = f"{ACCOUNTS}/search_emails", {"emails": ["ana@example.com", "unknown@example.com"]}

    staff = await world.call("POST", path, auth="support", json=body)
    worker = await world.call("POST", path, json=body)

    expected = [{"email": "ana@example.com", "id": world.ids["ana"]["user_id"], "username": "ana"}]
    assert staff.json() == expected
    assert worker.status_code == 404
