"""Tokens: signed by a library and judged by it, so odd ones are made with the same library here."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from retirement.sandbox.world.identity import CLIENTS, NOTES_CLIENT, WORKER, anonymous_id
from retirement.sandbox.world.tokens import SIGNING_KEY, access_token, annotator_token

from .world import ACCOUNTS, World

pytestmark = pytest.mark.anyio

CLAIMS: dict[str, Any] = {"preferred_username": WORKER, "aud": "openedx"}


def claims(**more: Any) -> dict[str, Any]:
    """Claims of the worker that are good for an hour."""
    return {**CLAIMS, "exp": int(time.time()) + 3600, **more}


async def status(world: World, token: str) -> tuple[int, Any]:
    """What the LMS answers to a token."""
    headers = {"Authorization": f"JWT {token}".encode()}
    answer = await world.call("GET", ACCOUNTS, auth=None, headers=headers)
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    "token",
    [
        jwt.encode(claims(), SIGNING_KEY, "HS512"),
        jwt.encode(claims(), "another-signing-key-of-the-same-length-or-so", "HS256"),
        jwt.encode(claims(), "", "none"),
        jwt.encode(claims(exp=int(time.time()) - 60), SIGNING_KEY, "HS256"),
        jwt.encode(claims(exp="tomorrow"), SIGNING_KEY, "HS256"),
        jwt.encode(CLAIMS, SIGNING_KEY, "HS256"),
        jwt.encode(claims(preferred_username="unknown"), SIGNING_KEY, "HS256"),
        access_token(CLIENTS["worker"], 60, "read")[:-6],
        "no.token",
        "é.é.é",
    ],
    ids=["algorithm", "key", "unsigned", "expired", "word", "endless", "unknown", "cut", "parts", "letters"],
)
async def test_a_bad_token_is_a_401(world: World, token: str) -> None:
    """All with the same text."""
    assert await status(world, token) == (401, {"detail": "Invalid token."})


async def test_a_token_made_elsewhere_with_the_key_is_good(world: World) -> None:
    """Nothing but key, algorithm, time and account decides, though the clock of its issuer may be ahead."""
    code, _ = await status(world, jwt.encode(claims(iat=int(time.time()) + 90), SIGNING_KEY, "HS256"))

    assert code == 200


async def test_an_access_token_has_the_claims_that_clients_read(world: World) -> None:
    """As the LMS signs it."""
    read = jwt.decode(access_token(CLIENTS["worker"], 60, "read email"), SIGNING_KEY, ["HS256"], audience="openedx")

    assert (read["preferred_username"], read["scopes"], read["exp"] - read["iat"]) == (WORKER, ["read", "email"], 60)


@pytest.mark.parametrize("differing", [{"sub": "another"}, {"aud": "another"}, {"exp": 1}, {}])
async def test_the_notes_service_takes_a_token_for_its_own_learner(world: World, differing: dict[str, Any]) -> None:
    """403 for another learner, another audience, or a time that is over."""
    world.seed({"username": "ana", "notes": 1})
    user = anonymous_id(world.ids["ana"]["user_id"])
    secret = NOTES_CLIENT.client_secret
    made = jwt.decode(annotator_token(NOTES_CLIENT, user), secret, ["HS256"], {"verify_aud": False})
    headers = {"x-annotator-auth-token": jwt.encode({**made, **differing}, secret, "HS256")}

    answer = await world.call(
        *("POST", "/api/v1/retire_annotations/"), service="notes", auth=None, headers=headers, data={"user": user}
    )

    assert answer.status_code == (403 if differing else 204)
