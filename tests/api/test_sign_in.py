"""Signing in by the provider, and everything that could sign in another person, or keep one signed in."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from retirement.api.logout import NEWS_SECONDS
from retirement.api.once import MOST_NAMES, Once
from retirement.api.pace import SIGN_INS_OF_ALL, SIGN_INS_OF_ONE
from retirement.api.people import Person
from retirement.api.sessions import MOST_OF_ONE, MOST_SESSIONS, Sessions
from retirement.api.sign_in import PENDING_SECONDS, challenge
from retirement.ledger import Action, Area, Holder

from .desk import ADMIN, CLIENT, ELLIPTIC, FIRST, FOREIGN, ISSUER, STRANGER, URL, Clock, Desk, bearer, claims, token

pytestmark = pytest.mark.anyio

SESSION, BROWSER = "__Host-retirement", "__Host-retirement-sign-in"
EVENT = {"http://schemas.openid.net/event/backchannel-logout": {}}


async def begun(client: httpx.AsyncClient, page: str = "/") -> dict[str, str]:
    """What the provider is asked."""
    answer = await client.get("/sign-in", params={"next": page})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{ISSUER}/auth?")
    return {name: value for name, (value,) in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def id_token(nonce: str, **more: Any) -> dict[str, Any]:
    """The claims of an ID token for the door."""
    return claims(**{"typ": "ID", "nonce": nonce, "azp": None, "sid": "provider-session-1", **more})


async def signed_in(desk: Desk, client: httpx.AsyncClient, page: str = "/", **more: Any) -> httpx.Response:
    """The answer with which a person comes back from the provider."""
    asked = await begun(client, page)
    desk.provider.tokens = {"id_token": FIRST.signed(id_token(asked["nonce"], **more)), "access_token": "opaque"}
    return await client.get("/sign-in/callback", params={"code": "c0de", "state": asked["state"]})


async def status(client: httpx.AsyncClient) -> int:
    return (await client.get("/api/me")).status_code


async def test_a_person_signs_in_and_out(desk: Desk) -> None:
    """By code, with PKCE; the cookie is seen by no script and sent by no other site."""
    desk.settings["client_secret"] = "s3cret/+"
    async with desk.open() as client:
        asked = await begun(client, "/api?x=1")
        desk.provider.tokens = {"id_token": FIRST.signed(id_token(asked["nonce"]))}
        back = await client.get("/sign-in/callback", params={"code": "c0de", "state": asked["state"]})
        me = (await client.get("/api/me")).json()
        front = await client.get("/")
        kept = client.cookies[SESSION]
        out = await client.post("/sign-out", headers={"Origin": URL})
        gone = await status(client)
        stolen = await client.get("/api/me", headers={"Cookie": f"{SESSION}={kept}"})

    (form,) = desk.provider.forms
    assert (form["code"], form["redirect_uri"]) == ("c0de", f"{URL}/sign-in/callback")
    assert challenge(form["code_verifier"]) == asked["code_challenge"]
    assert {asked[name] for name in ("response_type", "code_challenge_method", "client_id")} == {"code", "S256", CLIENT}
    assert (back.status_code, back.headers["location"]) == (303, "/api?x=1")
    (cookie,) = [each for each in back.headers.get_list("set-cookie") if each.startswith(f"{SESSION}=")]
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
    assert me == {"subject": ADMIN, "issuer": ISSUER, "channel": "session"}
    assert ADMIN in front.text
    assert out.headers["location"].startswith(f"{ISSUER}/logout?client_id={CLIENT}")
    assert (gone, stolen.status_code) == (401, 401)


async def test_a_session_ends_by_itself(desk: Desk) -> None:
    """After the minutes of the configuration, and a number that was made up has never been one."""
    async with desk.open() as client:
        await signed_in(desk, client)
        found = [await status(client)]
        desk.clock.seconds += 59 * 60
        found.append(await status(client))
        desk.clock.seconds += 60
        found.append(await status(client))
        number, _, signature = client.cookies[SESSION].partition(".")
        for forged in (number, f"{number}.", f"{number}.{'0' * 64}", f".{signature}", "é.é"):
            answer = await client.get("/api/me", headers=[(b"Cookie", f"{SESSION}={forged}".encode())])
            found.append(answer.status_code)

    assert found == [200, 200, 401, 401, 401, 401, 401, 401]


async def test_an_answer_is_good_once_and_in_the_browser_that_asked(desk: Desk) -> None:
    """A replayed `state`, one of another browser, one that was made up, one that is old."""
    async with desk.open() as client:
        asked = await begun(client)
        desk.provider.tokens = {"id_token": FIRST.signed(id_token(asked["nonce"]))}
        answer = {"code": "c0de", "state": asked["state"]}
        first = await client.get("/sign-in/callback", params=answer)
        replayed = await client.get("/sign-in/callback", params=answer)
        made_up = await client.get("/sign-in/callback", params={"code": "c0de", "state": "x"})
        asked = await begun(client)
        client.cookies.delete(BROWSER)
        foreign = await client.get("/sign-in/callback", params={"code": "c0de", "state": asked["state"]})
        asked = await begun(client)
        desk.clock.seconds += PENDING_SECONDS
        old = await client.get("/sign-in/callback", params={"code": "c0de", "state": asked["state"]})
        twice = await client.get(f"/sign-in/callback?state={asked['state']}&state=x&code=c")

    assert [each.status_code for each in (first, replayed, made_up, foreign, old, twice)] == [303, *[400] * 5]
    assert len(desk.provider.forms) == 1


BAD: Mapping[str, Callable[[str], object]] = {
    "of another sign-in": lambda nonce: FIRST.signed(id_token("another")),
    "of no sign-in": lambda nonce: FIRST.signed(id_token(nonce) | {"nonce": None}),
    "for another client": lambda nonce: FIRST.signed(id_token(nonce, aud="another")),
    "given to another client": lambda nonce: FIRST.signed(id_token(nonce, azp="another")),
    "for two clients": lambda nonce: FIRST.signed(id_token(nonce, aud=[CLIENT, "another"])),
    "of another issuer": lambda nonce: FIRST.signed(id_token(nonce, iss="https://evil.example")),
    "of another key": lambda nonce: FOREIGN.signed(id_token(nonce)),
    "expired": lambda nonce: FIRST.signed(id_token(nonce, exp=int(time.time()) - 60)),
    "an access token": lambda nonce: FIRST.signed(id_token(nonce, typ="Bearer")),
    "missing": lambda nonce: None,
}


@pytest.mark.parametrize("made", BAD.values(), ids=BAD)
async def test_an_id_token_that_is_not_the_answer_signs_no_person_in(desk: Desk, made: Callable[[str], object]) -> None:
    """Whatever the provider's answer looks like otherwise."""
    async with desk.open() as client:
        asked = await begun(client)
        desk.provider.tokens = {"id_token": made(asked["nonce"])}
        answer = await client.get("/sign-in/callback", params={"code": "c0de", "state": asked["state"]})

        assert answer.status_code == 401
        assert await status(client) == 401


async def test_a_provider_that_refuses_or_is_down_signs_no_person_in(desk: Desk) -> None:
    """A person who says no there, a code that it does not know, and no answer."""
    async with desk.open() as client:
        refused = await client.get(
            "/sign-in/callback", params={"error": "access_denied", "state": (await begun(client))["state"]}
        )
        mixed = await client.get(
            "/sign-in/callback",
            params={"code": "c", "iss": "https://evil.example", "state": (await begun(client))["state"]},
        )
        unknown = await client.get("/sign-in/callback", params={"code": "c", "state": (await begun(client))["state"]})
        state = (await begun(client))["state"]
        desk.provider.is_down = True
        down = await client.get("/sign-in/callback", params={"code": "c", "state": state})

    assert [each.status_code for each in (refused, mixed, unknown, down)] == [403, 400, 401, 503]


@pytest.mark.parametrize(
    "page", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a b", "", "/x\n"]
)
async def test_no_sign_in_ends_on_a_page_of_another_site(desk: Desk, page: str) -> None:
    """A link to the sign-in may stand anywhere."""
    async with desk.open() as client:
        answer = await signed_in(desk, client, page)

    assert answer.headers["location"] == "/"


async def test_a_page_of_another_site_does_nothing_with_a_session(desk: Desk) -> None:
    """Neither by its origin, nor by hiding it."""
    body = {"userId": STRANGER, "domainId": "system", "actions": ["view"]}
    async with desk.open() as client:
        await signed_in(desk, client)
        foreign = ({"Origin": "https://evil.example"}, {"Origin": "null"}, {}, {"Sec-Fetch-Site": "cross-site"})
        found = [(await client.post("/api/permissions", json=body, headers=each)).status_code for each in foreign]
        found.append((await client.post("/sign-out", headers={"Origin": "https://evil.example"})).status_code)
        own = [{"Origin": URL}, {"Sec-Fetch-Site": "same-origin"}]
        found += [(await client.post("/api/permissions", json=body, headers=each)).status_code for each in own]

    assert found == [403, 403, 403, 403, 403, 204, 204]


async def test_groups_come_from_either_token(desk: Desk) -> None:
    """Some providers put them into the access token only, below another claim; another person's do not count."""
    desk.settings["groups_claim"] = "realm_access.roles"
    found = []
    async with desk.open() as client:
        for subject in (STRANGER, "another"):
            asked = await begun(client)
            beside = token(subject, realm_access={"roles": ["operators"]})
            said = FIRST.signed(id_token(asked["nonce"], sub=STRANGER))
            desk.provider.tokens = {"id_token": said, "access_token": beside}
            await client.get("/sign-in/callback", params={"code": "c0de", "state": asked["state"]})
            found.append((await client.get("/api/permissions/system")).status_code)

    assert found == [200, 404]


def logout_token(**more: Any) -> dict[str, str]:
    """The provider's word that a person has signed out."""
    said = claims(**{"typ": "Logout", "events": EVENT, "azp": None, "jti": secrets.token_hex(8), **more})
    return {"logout_token": ELLIPTIC.signed(said, typ="logout+jwt")}


@pytest.mark.parametrize("number", ["17", None], ids=["with-a-number", "without-one"])
async def test_a_logout_token_is_good_once(desk: Desk, number: str | None) -> None:
    """Or its copy would sign the person out for as long as it is news."""
    told = logout_token(jti=number)
    async with desk.open() as client:
        found = []
        for _ in range(2):
            await signed_in(desk, client)
            answer = await client.post("/sign-out/back-channel", data=told)
            found.append((answer.status_code, await status(client)))

    assert found == [(200, 401), (400, 200)]


def test_what_is_good_once_is_remembered_for_its_time_and_within_bounds() -> None:
    """A name that could not be given any more takes no memory."""
    now = [0.0]
    once = Once(10, lambda: now[0], most=2)
    found = [once.is_first(each) for each in ("a", "a", "b")]
    now[0] = 10.0
    found += [once.is_first(each) for each in ("a", "b", "c", "b", "a")]

    assert found == [True, False, True, True, True, True, False, True]


async def test_the_provider_ends_a_session(desk: Desk) -> None:
    """By the session, or by the person; a token that is not for that ends none."""
    told = logout_token
    wrong = [
        told(sid="another"),
        {"logout_token": "x"},
        {},
        told(events=None),
        told(nonce="n"),
        told(aud="another"),
        told(iat=int(time.time()) - NEWS_SECONDS - 60),
        told(sub=None),
        {"logout_token": FOREIGN.signed(claims(events=EVENT))},
    ]
    async with desk.open() as client:
        await signed_in(desk, client)
        for each in wrong:
            answer = await client.post("/sign-out/back-channel", data=each)
            assert (answer.status_code, await status(client)) == (200 if each is wrong[0] else 400, 200)
        right = await client.post("/sign-out/back-channel", data=told(sub=None, sid="provider-session-1", exp=None))
        by_session = await status(client)
        await signed_in(desk, client)
        again = await status(client)
        await client.post("/sign-out/back-channel", data=told())

        assert (right.status_code, by_session, again, await status(client)) == (200, 401, 200, 401)


async def test_browsers_are_sent_to_the_sign_in_and_programs_are_not(desk: Desk) -> None:
    """And come back to the page that they wanted."""
    async with desk.open() as client:
        browser = await client.get("/api?x=1", headers={"Accept": "text/html,*/*"})
        program = await client.get("/api")
        page = await client.get("/")
        await signed_in(desk, client, sub=STRANGER)
        shown = await client.get("/api", headers={"Accept": "text/html"})
        refused = await client.get("/api/permissions/system/all", headers={"Accept": "text/html"})

    assert (browser.status_code, browser.headers["location"]) == (303, "/sign-in?next=%2Fapi%3Fx%3D1")
    assert (program.status_code, page.status_code) == (401, 200)
    assert "GET /api/permissions/{domain}/all" in shown.text
    assert (refused.status_code, "<script" in refused.text + page.text + shown.text) == (403, False)


async def test_a_session_and_a_token_are_not_mixed(desk: Desk) -> None:
    """A bad token is not made good by a cookie beside it."""
    async with desk.open() as client:
        await signed_in(desk, client)
        answer = await client.get("/api/me", headers=bearer("nonsense"))

    assert answer.status_code == 401


async def test_a_person_who_signs_in_anew_has_one_session(desk: Desk) -> None:
    """A copy of the cookie before is good for nothing."""
    async with desk.open() as client:
        await signed_in(desk, client)
        before = client.cookies[SESSION]
        await signed_in(desk, client)
        now = client.cookies[SESSION]
        client.cookies.clear()
        statuses = [
            (await client.get("/api/me", headers={"Cookie": f"{SESSION}={each}"})).status_code for each in (before, now)
        ]
    assert statuses == [401, 200]


async def test_no_number_of_strangers_ends_a_sign_in_that_has_begun(desk: Desk) -> None:
    """Beginning one asks for nothing, so pages of other sites could have browsers begin thousands."""
    async with desk.open() as client:
        asked = await begun(client, "/runs?state=a.b&c=%2F.d")
        sign_in = desk.application.state.sign_in
        for _ in range(MOST_NAMES + 1):
            await sign_in.begin("/")
        desk.provider.tokens = {"id_token": FIRST.signed(id_token(asked["nonce"]))}
        answer = await client.get("/sign-in/callback", params={"code": "c0de", "state": asked["state"]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?state=a.b&c=%2F.d")


@pytest.mark.parametrize(
    "change", [lambda each: each[:-1], lambda each: f"x{each}", lambda each: "é.é", lambda _: "..."]
)
async def test_a_cookie_of_a_sign_in_that_was_changed_is_none(desk: Desk, change: Callable[[str], str]) -> None:
    """Nor does the provider hear of it."""
    async with desk.open() as client:
        asked = await begun(client)
        cookie = change(client.cookies[BROWSER])
        client.cookies.clear()
        headers = [("Cookie", f"{BROWSER}={cookie}".encode("latin-1"))]
        answer = await client.get(
            "/sign-in/callback", params={"code": "c0de", "state": asked["state"]}, headers=headers
        )
    assert (answer.status_code, desk.provider.forms) == (400, [])


def test_a_person_with_many_sessions_ends_their_own_only() -> None:
    """Who may do nothing can sign in as well."""
    sessions = Sessions(60, lambda: 0.0)
    ana, ben = (Person(each, ISSUER, frozenset(), "session") for each in ("ana", "ben"))
    first = sessions.open(ben, None)
    opened = [sessions.open(ana, None) for _ in range(MOST_SESSIONS + 1)]
    assert sessions.found(first) is not None
    assert [each for each in opened if sessions.found(each)] == opened[-MOST_OF_ONE:]


def test_no_number_of_people_who_may_do_nothing_signs_an_operator_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any learner can sign in where the LMS signs people in; operators make room where there are only such."""
    monkeypatch.setattr("retirement.api.sessions.MOST_SESSIONS", 3)
    clock = Clock()
    sessions = Sessions(60, clock)

    def opened(name: str, *, is_permitted: bool) -> str:
        return sessions.open(Person(name, ISSUER, frozenset(), "session"), None, is_permitted=is_permitted)

    operators = [opened(f"operator-{each}", is_permitted=True) for each in range(2)]
    learners = [opened(f"learner-{each}", is_permitted=False) for each in range(5)]
    assert all(map(sessions.found, operators))
    assert [each for each in learners if sessions.found(each)] == learners[-1:]
    more = [opened(f"more-{each}", is_permitted=True) for each in range(2)]
    late = opened("late", is_permitted=False)
    assert [bool(sessions.found(each)) for each in (*operators, *more, late)] == [False, True, True, True, False]
    clock.seconds += 60
    assert sessions.found(opened("learner", is_permitted=False))


@pytest.mark.parametrize(
    ("groups", "granted", "found"),
    [([], (), False), (["operators"], (), True), (["edx-staff"], (), True), (["others"], (), False), ([], "edX", True)],
)
async def test_a_session_knows_whether_its_person_may_do_anything(
    desk: Desk, groups: list[str], granted: str, found: bool
) -> None:
    """In the system or in an organisation, granted or by a group."""
    desk.settings["organizations"] = {"edX": {"edx-staff": ["report"]}}
    async with desk.open() as client, desk.ledger() as ledger:
        if granted:
            await ledger.permissions.set(Holder(ISSUER, STRANGER), Area.ORGANIZATION, granted, [Action.REPORT])
        await signed_in(desk, client, sub=STRANGER, groups=groups)
        session = desk.application.state.gate.sessions.found(client.cookies[SESSION])
    assert session.is_permitted is found


async def test_codes_that_are_made_up_reach_the_provider_so_often_only(desk: Desk) -> None:
    """An LMS counts those that it refuses, together with the tokens of the runs, and answers none of them then."""

    async def back(client: httpx.AsyncClient, address: str = "192.0.2.1") -> httpx.Response:
        answer = {"code": "made-up", "state": (await begun(client))["state"]}
        return await client.get("/sign-in/callback", params=answer, headers={"X-Forwarded-For": address})

    desk.settings["trusted_proxies"] = ["192.0.2.7"]

    async with desk.open() as client:
        statuses = [(await back(client)).status_code for _ in range(SIGN_INS_OF_ONE + 5)]
        late = await back(client)
        here = len(desk.provider.forms)
        one_line = [(await back(client, f"2001:db8::{each}")).status_code for each in range(1, SIGN_INS_OF_ONE)]
        for each in range(30):
            await back(client, f"198.51.100.{each}")
        everywhere = len(desk.provider.forms)
        desk.clock.seconds += float(late.headers["retry-after"])
        again = [(await back(client, "203.0.113.9")).status_code for _ in range(3)]

    assert (statuses, set(one_line)) == ([401] * SIGN_INS_OF_ONE + [429] * 5, {401})
    assert (here, everywhere, again) == (SIGN_INS_OF_ONE, SIGN_INS_OF_ALL, [401, 401, 429])
