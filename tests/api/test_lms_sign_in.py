"""The LMS signs people in, on a site that has no other provider: with a browser, by code, and what that is good for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from retirement.errors import ConfigError
from retirement.sandbox.world.tokens import AUDIENCE, ISSUER, learner_token, public_keys
from retirement.wire.pool import Pool
from tests.unit.doubles import holder, shipped

from .desk import URL, Desk, bearer

pytestmark = pytest.mark.anyio

LMS = "https://courses.example.com"


class Lms:
    """The simulated LMS, as the provider that the door asks; its answers can be changed on the way."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.answer: dict[str, Any] | None = None

    @property
    def transport(self) -> httpx.AsyncBaseTransport:
        assert self.desk.world is not None
        return httpx.ASGITransport(self.desk.world.sandbox.apps["lms"])

    def pool(self, url: str) -> Pool:
        """Connections to it."""
        assert url.startswith(LMS)
        if self.answer is not None:
            return Pool(url, httpx.MockTransport(self._told))
        return Pool(url, self.transport)

    def _told(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=self.answer)

    async def back(self, place: str, username: str, password: str | None = None) -> Mapping[str, str]:
        """Signs in there as a browser does; with what the browser comes back to the door."""
        assert self.desk.world is not None
        form = {"username": username, "password": password or f"password-of-{self.desk.world.user_ids[username]}"}
        async with httpx.AsyncClient(transport=self.transport) as browser:
            page = await browser.get(place)
            answer = await browser.post(place, data=form)
        assert (page.status_code, "<form" in page.text) == (200, True)
        if answer.status_code == 200:
            return {}
        target = urlsplit(answer.headers["location"])
        assert f"{target.scheme}://{target.netloc}{target.path}" == f"{URL}/sign-in/callback"
        return {name: value for name, (value,) in parse_qs(target.query).items()}


@pytest.fixture
async def lms(desk: Desk) -> Lms:
    """A door whose provider is the LMS; ana and ben have accounts."""
    async with desk.site(desk.configuration):
        assert desk.world is not None
        desk.world.seed(*(holder(each, state=None) for each in ("ana", "ben")), states=shipped("default").lms_states)
        client = desk.world.sandbox.clients["door"]
    lms = Lms(desk)
    desk.provider = lms  # type: ignore[assignment] # as much of one as the desk asks
    desk.settings = {
        "url": URL,
        "provider": "lms",
        "issuer": f"{LMS}/oauth2",
        **client,
        "administrators": ["nobody-yet"],
        "learners_keys": "keys-of-the-lms.json",
        "learners_audience": AUDIENCE,
        "learners_issuer": ISSUER,
    }
    (desk.folder / "keys-of-the-lms.json").write_text(json.dumps(public_keys()))
    return lms


async def begun(client: httpx.AsyncClient) -> str:
    """Where the door sends a browser."""
    answer = await client.get("/sign-in", params={"next": "/api/me"})
    return str(answer.headers["location"])


async def signed_in(lms: Lms, client: httpx.AsyncClient, username: str) -> httpx.Response:
    """A person signs in at the LMS, and comes back."""
    told = await lms.back(await begun(client), username)
    return await client.get("/sign-in/callback", params=told)


async def test_a_learner_signs_in_at_the_lms_and_sees_what_is_their_own(lms: Lms) -> None:
    """By number, with PKCE, and without name or address; of another learner there is nothing to see."""
    assert lms.desk.world is not None
    ids = lms.desk.world.user_ids
    async with lms.desk.open() as client:
        asked = parse_qs(urlsplit(await begun(client)).query)
        back = await signed_in(lms, client, "ana")
        me = (await client.get("/api/me")).json()
        front = (await client.get("/")).text
        found = [(await client.get(f"/api/learners/{ids[each]}")).json() for each in ("ana", "ben")]
        denied = [(await client.get(f"/api/{each}")).status_code for each in ("queue", "permissions/system")]
        out = await client.post("/sign-out", headers={"Origin": URL})

    assert (asked["scope"], asked["code_challenge_method"], "nonce" in asked) == (["user_id"], ["S256"], False)
    assert (back.status_code, back.headers["location"]) == (303, "/api/me")
    assert (me["issuer"], me["channel"], len(me["subject"])) == (ISSUER, "session", 32)
    assert f"/api/learners/{ids['ana']}" in front
    assert found == [{"detail": "no retirement of this learner is known"}] * 2
    assert (denied, out.headers["location"].partition("?")[0]) == ([403, 404], f"{LMS}/logout")
    assert "ana" not in f"{me}{front}"


async def test_an_operator_of_the_lms_has_what_was_granted_in_a_session_only(lms: Lms) -> None:
    """A token of the LMS names no client, so one that another application was given would do here as well."""
    async with lms.desk.open() as client:
        await signed_in(lms, client, "ana")
        subject = (await client.get("/api/me")).json()["subject"]
    lms.desk.settings["administrators"] = [subject]
    assert lms.desk.world is not None
    user_id = lms.desk.world.user_ids["ana"]
    token = learner_token(user_id, "ana", "ana@example.com", 60, "user_id", asymmetric=True)
    async with lms.desk.open() as client:
        by_token = (await client.get("/api/queue", headers=bearer(token))).status_code
        await signed_in(lms, client, "ana")
        by_session = (await client.get("/api/queue")).status_code
        named = await client.post(
            "/api/permissions",
            json={"userId": "another", "domainId": "system", "actions": ["view"]},
            headers={"Origin": URL},
        )
        listed = (await client.get("/api/permissions/system/all")).json()

    assert (by_token, by_session, named.status_code) == (403, 200, 204)
    assert {(each["userId"], each["issuer"]) for each in listed} >= {(subject, ISSUER), ("another", ISSUER)}


async def test_a_wrong_password_brings_no_browser_back(lms: Lms) -> None:
    """And an answer that the door has not asked for signs none in."""
    async with lms.desk.open() as client:
        place = await begun(client)
        wrong = await lms.back(place, "ana", "password-of-0")
        right = await lms.back(place, "ana")
        other = await lms.back(await begun(client), "ben")
        foreign = await client.get("/sign-in/callback", params=right)
        good = await client.get("/sign-in/callback", params=other)
        replayed = await client.get("/sign-in/callback", params=other)

    assert wrong == {}
    assert [each.status_code for each in (foreign, good, replayed)] == [400, 303, 400]


async def test_a_code_without_its_verifier_is_refused_by_the_lms(lms: Lms) -> None:
    """So one that was seen on its way is good for nothing, even with the client's secret."""
    async with lms.desk.open() as client:
        told = await lms.back(await begun(client), "ana")
    form = {
        "grant_type": "authorization_code",
        "code": told["code"],
        "redirect_uri": f"{URL}/sign-in/callback",
        "code_verifier": "guessed",
        **lms.desk.world.sandbox.clients["door"],  # type: ignore[union-attr] # the desk has its site
    }
    async with httpx.AsyncClient(transport=lms.transport, base_url=LMS) as client:
        answer = await client.post("/oauth2/access_token", data=form)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_grant"})


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": 17},
        {"access_token": "opaque"},
        {"access_token": learner_token(17, "ana", "a@b.example", 60, "user_id", asymmetric=True)},
        {"access_token": learner_token(17, "ana", "", 60, "email", asymmetric=True, grant="authorization-code")},
        {"access_token": learner_token(17, "ana", "", 60, "user_id", asymmetric=False, grant="authorization-code")},
        {"access_token": learner_token(17, "ana", "", -60, "user_id", asymmetric=True, grant="authorization-code")},
    ],
    ids=("nothing", "a-number", "opaque", "by-password", "without-number", "by-secret", "expired"),
)
async def test_an_answer_of_the_lms_that_is_not_what_was_asked_for_signs_no_person_in(
    lms: Lms, answer: dict[str, Any]
) -> None:
    """401, and no session."""
    async with lms.desk.open() as client:
        told = await lms.back(await begun(client), "ana")
        lms.answer = answer
        back = await client.get("/sign-in/callback", params=told)
        assert (back.status_code, (await client.get("/api/me")).status_code) == (401, 401)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"learners_keys": None}, r"door\.provider: needs door\.learners_keys and door\.learners_audience"),
        ({"groups": {"operators": ["view"]}}, r"door\.groups: is of no use with door\.provider: lms"),
        ({"organizations": {"edX": {}}}, r"door\.organizations: is of no use"),
        ({"provider": "saml"}, r"door\.provider: "),
    ],
    ids=str,
)
async def test_what_an_lms_cannot_do_is_said_with_the_key(lms: Lms, change: dict[str, Any], told: str) -> None:
    """Before anything listens."""
    lms.desk.settings |= change
    lms.desk.settings = {name: value for name, value in lms.desk.settings.items() if value is not None}
    with pytest.raises(ConfigError, match=told):
        async with lms.desk.open():
            pass
