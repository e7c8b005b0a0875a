"""Tokens: good ones of the provider and of the LMS, and every other text."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from retirement.api.keys import FRESH_SECONDS, PAUSE_SECONDS, Keys

from .desk import (
    ADMIN,
    CLIENT,
    ELLIPTIC,
    FIRST,
    FOREIGN,
    ISSUER,
    LMS_KEY,
    SECOND,
    Clock,
    Desk,
    Signer,
    bearer,
    claims,
    learner_token,
    token,
)

pytestmark = pytest.mark.anyio

ME = "/api/me"


def _unsigned(head: Mapping[str, Any], said: Mapping[str, Any], signature: bytes = b"") -> str:
    """A token as an attacker writes it, whom no library keeps from it."""
    parts = [json.dumps(head).encode(), json.dumps(said).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts)


def _with_public_key_as_secret() -> str:
    """HS256, whose secret is what all know: the public key."""
    public = FIRST.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, said = _unsigned({"alg": "HS256", "kid": "first", "typ": "JWT"}, claims()).split(".")[:2]
    signature = hmac.new(public, f"{head}.{said}".encode(), hashlib.sha256).digest()
    return f"{head}.{said}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


GOOD: Mapping[str, Callable[[], str]] = {
    "as Keycloak makes it": token,
    "of RFC 9068": lambda: FIRST.signed(claims(typ=None), typ="at+jwt"),
    "with a scope": lambda: token(typ=None, scope="openid"),
    "for several": lambda: token(aud=["account", CLIENT], azp="another"),
    "by the client that it was given to": lambda: token(aud="account"),
    "of an elliptic curve": lambda: token(signer=ELLIPTIC),
    "of a clock that is ahead": lambda: token(iat=int(time.time()) + 5),
}
NOW = int(time.time())
BAD: Mapping[str, Callable[[], str]] = {
    "expired": lambda: token(exp=NOW - 60),
    "of tomorrow": lambda: token(nbf=NOW + 3600),
    "made tomorrow": lambda: token(iat=NOW + 3600),
    "endless": lambda: token(exp=None),
    "of no time": lambda: token(exp="tomorrow"),
    "of a huge time": lambda: token(exp=10**400),
    "of times that are texts": lambda: token(iat=str(NOW), exp=str(NOW + 300)),
    "of a time that is a switch": lambda: token(nbf=True),
    "of a year": lambda: token(exp=NOW + 365 * 86_400),
    "of no subject": lambda: token(sub=None),
    "of a subject that is no text": lambda: token(sub=17),
    "of another key": lambda: token(signer=FOREIGN),
    "of a key that is not there": lambda: token(signer=SECOND),
    "of another issuer": lambda: token(iss="https://evil.example/realms/site"),
    "of an issuer that only begins alike": lambda: token(iss=f"{ISSUER}/"),
    "for another audience": lambda: token(aud="account", azp="another"),
    "for no audience": lambda: token(aud=None, azp=None),
    "unsigned": lambda: _unsigned({"alg": "none", "typ": "JWT"}, claims()),
    "unsigned by another name": lambda: _unsigned({"alg": "NoNe", "kid": "first"}, claims()),
    "without a signature": lambda: token().rpartition(".")[0] + ".",
    "of a list of algorithms": lambda: _unsigned({"alg": ["RS256"], "kid": "first"}, claims(), b"x"),
    "signed with the public key": _with_public_key_as_secret,
    "with a secret": lambda: jwt.encode(claims(), "a-secret-of-thirty-two-bytes-at-least", "HS256"),
    "by another algorithm of the key": lambda: Signer("first", "RS512", FIRST).signed(claims()),
    "with a key of its own": lambda: Signer("x", "RS256", SECOND).signed(claims(), jwk=SECOND.public),
    "with the address of a key": lambda: SECOND.signed(claims(), jku="https://evil.example/keys"),
    "with a critical head": lambda: FIRST.signed(claims(), crit=["exp"]),
    "of a kid that is a number": lambda: _unsigned({"alg": "RS256", "kid": 7}, claims(), b"x"),
    "ID, by its type": lambda: token(typ="ID"),
    "ID, by its nonce": lambda: token(typ=None, scope="openid", nonce="n"),
    "ID, without a mark": lambda: token(typ=None),
    "refresh": lambda: token(typ="Refresh"),
    "offline": lambda: token(typ="Offline"),
    "logout": lambda: FIRST.signed(claims(typ="Logout", events={}), typ="logout+jwt"),
    "of a million signs": lambda: token() + "A" * 1_000_000,
    "of a million signs inside": lambda: token(groups=["g" * 1_000_000]),
    "no token": lambda: "opaque-token-of-another-kind",
    "two parts": lambda: "e30.e30",
    "empty": lambda: "",
    "no JSON": lambda: "aaaa.bbbb.cccc",
    "nested": lambda: ".".join([base64.urlsafe_b64encode(b"[" * 3000).decode().rstrip("=")] * 3),
    "changed": lambda: token().replace(token().split(".")[1], _unsigned({}, claims("x")).split(".")[1]),
}


@pytest.mark.parametrize("made", GOOD.values(), ids=GOOD)
async def test_an_access_token_of_the_provider_is_taken(desk: Desk, made: Callable[[], str]) -> None:
    """In each form in which providers make them."""
    async with desk.open() as client:
        answer = await client.get(ME, headers=bearer(made()))

    assert answer.json() == {"subject": ADMIN, "issuer": ISSUER, "channel": "bearer"}


async def test_every_other_text_is_refused_and_changes_nothing(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """With the same status, and without a word of the token in answer or log."""
    answers = {}
    async with desk.with_learners().open() as client:
        for name, made in BAD.items():
            given = made()
            answer = await client.get(ME, headers=bearer(given))
            answers[name] = answer.status_code
            assert answer.headers.get("www-authenticate", "Bearer").startswith("Bearer")
            assert not given or given not in answer.text + caplog.text
        good = await client.get(ME, headers=bearer(token()))

    expected = dict.fromkeys(BAD, 401) | dict.fromkeys(["of a million signs", "of a million signs inside"], 413)
    assert answers == expected
    assert good.status_code == 200
    assert ADMIN not in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
        {"Authorization": "Bearer"},
        {"Cookie": "__Host-retirement=x.y"},
    ],
    ids=["none", "basic", "word", "cookie"],
)
async def test_without_a_token_nothing_is_told(desk: Desk, headers: dict[str, str]) -> None:
    """401, and how to do better."""
    async with desk.open() as client:
        answer = await client.get(ME, headers=headers)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="retirement"')


async def test_two_tokens_are_none(desk: Desk) -> None:
    """Two programs on the way could each take another one."""
    async with desk.open() as client:
        given = [("Authorization", f"Bearer {token()}"), ("Authorization", f"Bearer {token('other')}")]
        answer = await client.get(ME, headers=given)

    assert answer.status_code == 401


async def test_a_key_that_is_new_is_fetched_and_one_that_is_gone_is_refused(desk: Desk) -> None:
    """Rotation: an unknown key asks the provider again, not more often than allowed."""
    async with desk.open() as client:
        before = (await client.get(ME, headers=bearer(token()))).status_code
        desk.provider.keys = [SECOND]
        at_once = (await client.get(ME, headers=bearer(token(signer=SECOND)))).status_code
        desk.clock.seconds += PAUSE_SECONDS + 1
        later = (await client.get(ME, headers=bearer(token(signer=SECOND)))).status_code
        gone = (await client.get(ME, headers=bearer(token()))).status_code
        asked = len(desk.provider.asked)
        for _ in range(20):
            await client.get(ME, headers=bearer(token(signer=Signer("unknown", "RS256", SECOND))))

    assert (before, at_once, later, gone) == (200, 401, 200, 401)
    assert len(desk.provider.asked) == asked


async def test_a_provider_that_is_down_is_bridged_for_a_while(desk: Desk) -> None:
    """Known keys go on for the hours of the configuration; then no token is taken, and that is no 401."""
    async with desk.open() as client:
        found = [(await client.get(ME, headers=bearer(token()))).status_code]
        desk.provider.is_down = True
        for seconds in (FRESH_SECONDS + 1, 3 * 3600, 3600, 60):
            desk.clock.seconds += seconds
            found.append((await client.get(ME, headers=bearer(token()))).status_code)
        desk.provider.is_down = False
        desk.clock.seconds += PAUSE_SECONDS + 1
        found.append((await client.get(ME, headers=bearer(token()))).status_code)

    assert found == [200, 200, 200, 503, 503, 200]


LIES: Mapping[str, dict[str, Any]] = {
    "another issuer": {"issuer": "https://evil.example"},
    "no issuer": {"issuer": None},
    "keys elsewhere": {"jwks_uri": "https://evil.example/certs"},
    "keys in the clear": {"jwks_uri": "http://sso.example.com/certs"},
    "keys of another scheme": {"jwks_uri": "ftp://sso.example.com/certs"},
    "keys with a user": {"jwks_uri": "https://sso.example.com@evil.example/certs"},
    "tokens elsewhere": {"token_endpoint": "https://evil.example/token"},
    "sign-in elsewhere": {"authorization_endpoint": "https://sso.example.com.evil.example/auth"},
    "a long address": {"jwks_uri": f"{ISSUER}/{'c' * 3000}"},
    "no address": {"jwks_uri": None},
    "a list": {"jwks_uri": [f"{ISSUER}/certs"]},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_discovery_that_lies_is_not_followed(desk: Desk, lie: dict[str, Any]) -> None:
    """No key is fetched, and no token is taken."""
    desk.provider.said |= lie
    async with desk.open() as client:
        answer = await client.get(ME, headers=bearer(token()))

    assert answer.status_code == 503
    assert [each for each in desk.provider.asked if "openid-configuration" not in each] == []


async def test_endpoints_on_a_host_that_is_named_are_taken(desk: Desk) -> None:
    """Some providers have their keys on another host than their name."""
    desk.provider.said["jwks_uri"] = "https://keys.example.net/certs?p=site"
    desk.settings["endpoint_hosts"] = ["keys.example.net"]
    async with desk.open() as client:
        assert (await client.get(ME, headers=bearer(token()))).status_code == 200


async def test_a_learners_token_of_the_lms_is_taken_for_that_learner(desk: Desk) -> None:
    """Signed with the LMS' own key; without the setting it is a stranger's."""
    async with desk.open() as client:
        before = await client.get(ME, headers=bearer(learner_token()))
    async with desk.with_learners().open() as client:
        answers = [await client.get(ME, headers={"Authorization": f"{word} {learner_token()}"}) for word in WORDS]
        told = {answer.json()["subject"] for answer in answers}

    assert (before.status_code, told) == (401, {"c4ca4238a0b923820dcc509a6f75849b"})


WORDS = ("Bearer", "JWT")
NOT_OF_LEARNERS: Mapping[str, dict[str, Any]] = {
    "of a program": {"grant_type": "client-credentials"},
    "of no grant": {"grant_type": None},
    "for another": {"aud": "another"},
    "without a learner": {"user_id": None},
    "of a text": {"user_id": "17"},
    "of true": {"user_id": True},
    "of zero": {"user_id": 0},
    "restricted": {"filters": ["content_org:edX"]},
    "of a restricted application": {"is_restricted": True, "filters": ["user:me"]},
    "expired": {"exp": 1},
    "ID": {"nonce": "n"},
}


@pytest.mark.parametrize("differing", NOT_OF_LEARNERS.values(), ids=NOT_OF_LEARNERS)
async def test_a_token_of_the_lms_that_is_no_learners_own_is_refused(desk: Desk, differing: dict[str, Any]) -> None:
    """It may be good for the LMS all the same."""
    async with desk.with_learners().open() as client:
        answer = await client.get(ME, headers=bearer(learner_token(**differing)))

    assert answer.status_code == 401


async def test_neither_issuer_signs_for_the_other(desk: Desk) -> None:
    """A key of the LMS makes no operator, and one of the provider no learner."""
    async with desk.with_learners().open() as client:
        made = [token(signer=Signer("lms", "RS256", LMS_KEY)), learner_token(signer=FIRST)]
        found = [(await client.get(ME, headers=bearer(each))).status_code for each in made]

    assert found == [401, 401]


async def test_a_set_with_keys_that_are_none_still_has_its_others(desk: Desk) -> None:
    """What a provider has among them is left out, whatever it is."""
    odd: list[Any] = [{"kty": []}, {"kty": {}}, {"kty": "oct", "k": "AAAA"}, {"kty": "RSA", "n": 7}, None, "key"]
    desk.provider.more_keys = odd
    async with desk.open() as client:
        assert (await client.get(ME, headers=bearer(token()))).status_code == 200


async def test_a_slow_provider_keeps_one_request_waiting_and_not_all() -> None:
    """The others go on with the keys that are known."""
    clock, answers = Clock(), asyncio.Event()

    async def fetch() -> Mapping[str, Any]:
        await answers.wait()
        return {"keys": [FIRST.public]}

    keys = Keys(fetch, 3600, clock)
    answers.set()
    await keys.fitting("first", "RS256")
    answers.clear()
    clock.seconds += FRESH_SECONDS + 1
    waiting = asyncio.create_task(keys.fitting("first", "RS256"))
    await asyncio.sleep(0)
    assert [each.id for each in await keys.fitting("first", "RS256")] == ["first"]
    assert not waiting.done()
    answers.set()
    assert len(await waiting) == 1
