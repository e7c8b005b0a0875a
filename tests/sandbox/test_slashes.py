"""What a missing final slash does: the route `accounts/{username}`, and redirects elsewhere (contract lms.md 1.5)."""

from __future__ import annotations

import pytest

from .world import ACCOUNTS, World

pytestmark = pytest.mark.anyio

#: Paths of the pipeline with one segment under `accounts/`.
CALLS = (
    *("retirement_queue", "retirements_by_status_and_date", "retire", "retire_misc", "retirement_cleanup"),
    *("retirement_partner_report", "retirement_partner_report_cleanup", "update_retirement_status"),
    *("cancel_retirement", "deactivate_logout", "replace_usernames"),
)
ELSEWHERE = (
    "/api/enrollment/v1/unenroll",
    "/api/edxnotes/v1/retire_user",
    "/api/edx_proctoring/v1/retire_user/17",
    "/api/edx_proctoring/v1/retire_backend_user/17",
    f"{ACCOUNTS}/ana/retirement_status",
    f"{ACCOUNTS}/ana/deactivate",
)


@pytest.mark.parametrize("call", CALLS)
async def test_one_segment_under_accounts_is_the_account_of_that_name(world: World, call: str) -> None:
    """GET finds no account, POST, PUT and DELETE do not exist, PATCH wants a merge patch."""
    path = f"{ACCOUNTS}/{call}"

    found = await world.call("GET", path, params={"cool_off_days": 7, "states": "PENDING"})
    changed = await world.call("PATCH", path, json={"username": "ana"})
    refused = {method: await world.call(method, path, json={"username": "ana"}) for method in ("POST", "PUT", "DELETE")}

    assert (found.status_code, found.content) == (404, b"")
    assert changed.status_code == 415
    assert changed.json() == {"detail": 'Unsupported media type "application/json" in request.'}
    for method, answer in refused.items():
        assert (answer.status_code, answer.json()) == (405, {"detail": f'Method "{method}" not allowed.'})
        assert answer.headers["allow"] == "GET, PATCH, HEAD, OPTIONS"


async def test_a_call_without_its_slash_does_nothing(world: World) -> None:
    """Neither the work of a step nor a move of the state."""
    world.seed({"username": "ana", "state": "RETIRING_LMS"})
    before = world.state("ana")

    for method, call in (("POST", "retire"), ("POST", "retire_misc"), ("PATCH", "update_retirement_status")):
        body = {"username": "ana", "new_state": "LMS_COMPLETE", "response": ""}
        await world.call(method, f"{ACCOUNTS}/{call}", json=body)

    assert world.state("ana") == before


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_the_route_of_accounts_wants_credentials_first(world: World, method: str) -> None:
    """401 before the method and the content type are looked at."""
    answer = await world.call(method, f"{ACCOUNTS}/retire", auth=None)

    assert (answer.status_code, answer.json()["detail"]) == (401, "Authentication credentials were not provided.")


async def test_a_learner_called_like_a_call_is_found_by_the_path_without_slash(world: World) -> None:
    """The route takes any name, this one too."""
    world.seed({"username": "retire"})

    answer = await world.call("GET", f"{ACCOUNTS}/retire", auth="support")

    assert (answer.status_code, answer.json()["email"]) == (200, "retire@example.com")


async def test_a_merge_patch_changes_only_the_account_of_its_sender(world: World) -> None:
    """Other accounts are refused with nothing to read."""
    world.seed({"username": "ana"})
    headers = {"Content-Type": "application/merge-patch+json"}

    answer = await world.call("PATCH", f"{ACCOUNTS}/ana", headers=headers, content='{"bio": ""}')
    own = await world.call("PATCH", f"{ACCOUNTS}/sandbox_plain", auth="plain", headers=headers, content="{}")

    assert (answer.status_code, answer.content) == (403, b"")
    assert (own.status_code, own.json()["username"]) == (200, "sandbox_plain")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ELSEWHERE)
async def test_elsewhere_every_method_is_redirected_before_credentials(world: World, path: str, method: str) -> None:
    """An empty 301 to the path with its slash, the query kept."""
    answer = await world.call(method, f"{path}?a=b&c=d", auth=None)

    assert (answer.status_code, answer.content) == (301, b"")
    assert answer.headers["location"] == f"{path}/?a=b&c=d"


@pytest.mark.parametrize("path", [f"{ACCOUNTS}/an'a", f"{ACCOUNTS}/", "/api/user/v1/nothing"])
async def test_a_path_that_exists_in_neither_form_is_an_html_404(world: World, path: str) -> None:
    """No route, and none with a slash either."""
    answer = await world.call("POST", path, json={})

    assert (answer.status_code, answer.headers["content-type"][:9]) == (404, "text/html")
