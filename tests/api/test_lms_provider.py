"""The LMS as the provider of learners: a token by password, the request, and what the token is good for at the door."""

from __future__ import annotations

import json
from typing import Any

import pytest

from retirement.sandbox.world.tokens import AUDIENCE, ISSUER, public_keys
from tests.unit.doubles import holder, shipped

from .desk import Desk, bearer

pytestmark = pytest.mark.anyio


async def signed_in(desk: Desk, username: str, **more: str) -> dict[str, Any]:
    """What the LMS answers to a person who signs in there."""
    assert desk.world is not None
    form = {
        "grant_type": "password",
        "username": username,
        "password": f"password-of-{desk.world.user_ids[username]}",
        "scope": "user_id email profile",
        "token_type": "jwt",
        "asymmetric_jwt": "true",
        **desk.world.sandbox.clients["plain"],
        **more,
    }
    found: dict[str, Any] = (await desk.world.clients["lms"].post("/oauth2/access_token", data=form)).json()
    return found


@pytest.fixture
def learners(desk: Desk) -> Desk:
    """A door that takes tokens of the simulated LMS, by the key that it shows."""
    desk.settings |= {
        "learners_keys": "keys-of-the-lms.json",
        "learners_audience": AUDIENCE,
        "learners_issuer": ISSUER,
    }
    (desk.folder / "keys-of-the-lms.json").write_text(json.dumps(public_keys()))
    return desk


async def accounts(desk: Desk, *usernames: str) -> dict[str, int]:
    """Accounts that have not asked for anything; their numbers."""
    async with desk.site(desk.configuration):
        assert desk.world is not None
        desk.world.seed(*(holder(each, state=None) for each in usernames), states=shipped("default").lms_states)
        return desk.world.user_ids


async def ask_to_be_retired(desk: Desk, username: str) -> None:
    """The LMS makes the request; the password is no good from then on."""
    assert desk.world is not None
    worker = {"grant_type": "client_credentials", "token_type": "jwt", **desk.world.sandbox.clients["worker"]}
    lms = desk.world.clients["lms"]
    access = (await lms.post("/oauth2/access_token", data=worker)).json()["access_token"]
    answer = await lms.post(
        "/v1/accounts/bulk_retire_users",
        json={"usernames": username},
        headers={"Authorization": f"JWT {access}"},
    )
    assert answer.json()["successful_user_retirements"] == [username]


async def test_a_learner_who_signs_in_at_the_lms_follows_the_own_request_and_no_other(learners: Desk) -> None:
    """The token is of before the request: after it the LMS lets the learner sign in no more."""
    ids = await accounts(learners, "ana", "ben")
    token = (await signed_in(learners, "ana"))["access_token"]
    await ask_to_be_retired(learners, "ana")
    await ask_to_be_retired(learners, "ben")
    own = bearer(token)
    async with learners.open() as client:
        mine = await client.get(f"/api/learners/{ids['ana']}", headers=own)
        other = await client.get(f"/api/learners/{ids['ben']}", headers=own)
        rights = (await client.get("/api/permissions/system", headers=own)).status_code
        again = await signed_in(learners, "ana")

    assert (mine.status_code, mine.json()["user_id"], other.status_code) == (200, ids["ana"], 404)
    assert (again["error"], rights) == ("invalid_grant", 404)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"asymmetric_jwt": "false"}, id="signed-with-the-secret-of-the-lms"),
        pytest.param({"scope": "email profile"}, id="without-the-number-of-the-learner"),
    ],
)
async def test_a_token_of_the_lms_that_the_door_cannot_check_or_place_is_refused(
    learners: Desk, more: dict[str, str]
) -> None:
    """The secret of the LMS stays there, and a name is not how a learner is known here."""
    ids = await accounts(learners, "ana")
    token = (await signed_in(learners, "ana", **more))["access_token"]
    async with learners.open() as client:
        answer = await client.get(f"/api/learners/{ids['ana']}", headers=bearer(token))

    assert answer.status_code == 401
    assert "ana" not in answer.text


async def test_a_token_of_a_program_is_of_no_learner(learners: Desk) -> None:
    """Client credentials act as the owner of the application, who has not signed in."""
    ids = await accounts(learners, "ana")
    assert learners.world is not None
    form = {"grant_type": "client_credentials", "token_type": "jwt", **learners.world.sandbox.clients["worker"]}
    token = (await learners.world.clients["lms"].post("/oauth2/access_token", data=form)).json()["access_token"]
    async with learners.open() as client:
        assert (await client.get(f"/api/learners/{ids['ana']}", headers=bearer(token))).status_code == 401


async def test_a_wrong_password_signs_no_person_in(learners: Desk) -> None:
    """Nor does the password of another account."""
    ids = await accounts(learners, "ana", "ben")

    for wrong in ("password-of-0", "", f"password-of-{ids['ben']}"):
        assert (await signed_in(learners, "ana", password=wrong))["error"] == "invalid_grant"
