"""The services beside the LMS (contract services.md A0 to A7)."""

from __future__ import annotations

from typing import Any

import pytest

from .world import World

pytestmark = pytest.mark.anyio

RENAME = {"username_mappings": [{"ana": "retired__x"}]}
RENAMES = {
    "credentials": "/api/v2/replace_usernames/",
    "ecommerce": "/api/v2/user_management/replace_usernames/",
    "discovery": "/api/v1/replace_usernames/",
}
EVERYWHERE = {"username": "ana", "name": "Ana Canario", "credentials": True, "ecommerce": True, "discovery": True}


@pytest.mark.parametrize(("service", "path"), RENAMES.items(), ids=RENAMES)
async def test_a_rename_is_for_the_worker_only(world: World, service: str, path: str) -> None:
    """401 without a token, 403 for an LMS superuser, 400 for another shape, 200 for the worker."""
    world.seed(EVERYWHERE)

    answers = [
        await world.call("POST", path, service=service, auth=None, json=RENAME),
        await world.call("POST", path, service=service, auth="support", json=RENAME),
        await world.call("POST", path, service=service, json={"username_mappings": [{}]}),
        await world.call("POST", path, service=service, json=RENAME),
    ]

    assert [answer.status_code for answer in answers] == [401, 403, 400, 200]
    done: list[dict[str, Any]] = answers[-1].json()["successful_replacements"]
    assert done == [{"ana": "retired__x"}]


@pytest.mark.parametrize(("service", "path"), RENAMES.items(), ids=RENAMES)
async def test_a_rename_leaves_the_email_behind(world: World, service: str, path: str) -> None:
    """The username is gone from the service, the e-mail is listed as a survivor."""
    world.seed(EVERYWHERE)

    await world.call("POST", path, service=service, json=RENAME)

    left = [(p["table"], p["what"]) for p in world.sandbox.residue("ana") if p["service"] == service]
    kept = [p["what"] for p in world.state("ana")["survives"] if p["service"] == service]
    assert left == []
    assert "email" in kept


async def test_the_old_retirement_routes_of_the_services_do_not_exist(world: World) -> None:
    """HTML 404, with which a route is told from a person that is missing."""
    for service, path in (("credentials", "/user/retire/"), ("ecommerce", "/api/v2/user/retire/")):
        answer = await world.call("POST", path, service=service, json={"username": "ana"})

        assert (answer.status_code, answer.headers["content-type"][:9]) == (404, "text/html")


async def test_ecommerce_tells_its_tracking_id(world: World) -> None:
    """JSON 404 for a name it does not know."""
    world.seed(EVERYWHERE)
    path = "/api/v2/retirement/tracking_id/{}/"

    known = await world.call("GET", path.format("ana"), service="ecommerce")
    unknown = await world.call("GET", path.format("unknown"), service="ecommerce")

    number = known.json()["id"]
    user_id = world.ids["ana"]["user_id"]
    assert known.json() == {
        "id": number, "ecommerce_tracking_id": f"ecommerce-{number}", "lms_user_id": user_id
    }  # fmt: skip
    assert (unknown.status_code, unknown.json()) == (404, {"message": "Invalid user."})


async def test_licences_assigned_by_email_are_not_found(world: World) -> None:
    """204, since the user row was there, but the address stays; a revoked licence keeps the LMS id."""
    world.seed({"username": "ana", "licenses": ["assigned", "revoked"]})
    user_id = world.ids["ana"]["user_id"]
    body = {"lms_user_id": str(user_id), "original_username": "ana"}

    answer = await world.call("POST", "/api/v1/retire_user", service="license_manager", json=body)

    assigned, revoked = world.state("ana")["license_manager"]["licenses"]
    assert answer.status_code == 204
    assert (assigned["email"], assigned["emails_in_history"]) == ("ana@example.com", 1)
    assert revoked == {"status": "revoked", "email": None, "lms_user_id": user_id, "emails_in_history": 0}


async def test_a_licence_request_with_a_word_for_a_number_is_an_html_500(world: World) -> None:
    """The error is in the licence part, before the user row."""
    body = {"lms_user_id": "seven", "original_username": "ana"}

    answer = await world.call("POST", "/api/v1/retire_user/", service="license_manager", json=body)

    assert (answer.status_code, answer.headers["content-type"][:9]) == (500, "text/html")


async def test_the_worker_may_not_look_up_licences(world: World) -> None:
    """That is for admins of the license manager."""
    answer = await world.call(
        *("POST", "/api/v1/staff_lookup_licenses"), service="license_manager", json={"user_email": "a@b.c"}
    )

    assert answer.status_code == 403
