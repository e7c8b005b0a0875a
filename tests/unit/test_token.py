"""The token of the worker: fetched when needed, shared, renewed in time, and never somebody's `not found`."""

from __future__ import annotations

import asyncio
import json
import traceback
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import SecretStr

from retirement.connectors import Connector, ServiceSettings
from retirement.connectors.license_manager import LicenseManager
from retirement.errors import Misconfigured, RateLimited, ServiceError, Transient
from retirement.learner import Learner
from retirement.lms import Lms
from retirement.wire.api import Api, Retry
from retirement.wire.auth import TokenAuth, lms_tokens
from retirement.wire.pool import Pool

from .doubles import Clock, Naps

pytestmark = pytest.mark.anyio

SECRET = "worker-secret-1"


def grant(number: int, lifetime: float = 3600) -> httpx.Response:
    return httpx.Response(200, json={"access_token": f"t{number}", "expires_in": lifetime, "token_type": "JWT"})


class Platform:
    """A token endpoint, and a service that takes the tokens which are still good."""

    def __init__(self, *, lifetime: float = 3600, refusal: int = 401) -> None:
        self.lifetime, self.refusal = lifetime, refusal
        self.forms: list[dict[str, list[str]]] = []
        self.seen: list[str] = []
        self.good: set[str] = set()
        self.instead: httpx.Response | None = None
        self.naps, self.clock = Naps(), Clock()
        client = Pool("https://lms.example", httpx.MockTransport(self))
        retry = Retry(sleep=self.naps)
        self.lms = Api("LMS", client, retry=retry)
        now = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
        self.tokens = lms_tokens(self.lms, "worker", SecretStr(SECRET), clock=self.clock, now=lambda: now)
        self.api = Api("SVC", client, auth=TokenAuth(self.tokens), retry=retry)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        if request.url.path == "/oauth2/access_token":
            return self._token(request)
        self.seen.append(request.headers["authorization"])
        await asyncio.sleep(0)
        word, _, token = self.seen[-1].partition(" ")
        return httpx.Response(204 if word == "JWT" and token in self.good else self.refusal)

    def _token(self, request: httpx.Request) -> httpx.Response:
        self.forms.append(parse_qs(request.content.decode()))
        if self.instead is not None:
            return self.instead
        self.good.add(f"t{len(self.forms)}")
        return grant(len(self.forms), self.lifetime)


async def test_no_token_is_fetched_before_it_is_needed() -> None:
    """Opening a site sends nothing."""
    platform = Platform()
    assert platform.forms == []

    await platform.api.post("/x/")
    expected = {
        "grant_type": ["client_credentials"],
        "client_id": ["worker"],
        "client_secret": [SECRET],
        "token_type": ["jwt"],
    }
    assert [expected] == platform.forms
    assert platform.seen == ["JWT t1"]


async def test_fifty_requests_at_once_share_one_token() -> None:
    """The endpoint is limited per address (contract, section 1.3)."""
    platform = Platform()

    await asyncio.gather(*(platform.api.post("/x/") for _ in range(50)))

    assert (len(platform.forms), len(platform.seen)) == (1, 50)


@pytest.mark.parametrize(("lifetime", "good_for"), [(3600, 3540), (100, 50), (10, 5), (0.5, 0.25)])
async def test_a_token_is_renewed_before_it_ends(lifetime: float, good_for: float) -> None:
    """A minute before, or at half of a short life."""
    platform = Platform(lifetime=lifetime)
    await platform.api.post("/x/")

    platform.clock.now += good_for - 0.01
    await platform.api.post("/x/")
    assert len(platform.forms) == 1

    platform.clock.now += 0.01
    await platform.api.post("/x/")
    assert (len(platform.forms), platform.seen[-1]) == (2, "JWT t2")


async def test_a_refused_token_is_renewed_once() -> None:
    """The service had a reason to forget it: same request, new token, success."""
    platform = Platform()
    await platform.tokens.current()
    platform.good.clear()

    reply = await platform.api.post("/x/")

    assert (reply.status, platform.seen) == (204, ["JWT t1", "JWT t2"])


async def test_a_second_refusal_ends_it() -> None:
    """Then it is not the token's age."""
    platform = Platform()
    platform.good = frozenset()  # type: ignore[assignment]  # nothing can be added: no token is ever good
    platform.instead = grant(1)

    with pytest.raises(Misconfigured) as caught:
        await platform.api.post("/x/")

    assert (caught.value.status, len(platform.seen), len(platform.forms)) == (401, 2, 2)


async def test_requests_that_are_refused_at_once_share_the_renewal() -> None:
    """Fifty learners hold the same stale token."""
    platform = Platform()
    await platform.tokens.current()
    platform.good.clear()

    await asyncio.gather(*(platform.api.post("/x/") for _ in range(50)))

    assert (len(platform.forms), len(platform.seen)) == (2, 100)


@pytest.mark.parametrize(("renew_on", "requests"), [({401, 403}, 2), ({401}, 1)])
async def test_403_is_a_stale_token_only_where_it_says_so(renew_on: set[int], requests: int) -> None:
    """Proctoring answers 403 where others answer 401 (contract, section 1.1)."""
    platform = Platform(refusal=403)
    await platform.tokens.current()
    platform.good.clear()

    if requests == 2:
        assert (await platform.api.post("/x/", renew_on=frozenset(renew_on))).status == 204
    else:
        with pytest.raises(Misconfigured):
            await platform.api.post("/x/", renew_on=frozenset(renew_on))
    assert (requests, requests) == (len(platform.seen), len(platform.forms))


UNUSABLE = {
    "secret": httpx.Response(401, json={"error": "invalid_client"}),
    "grant": httpx.Response(400, json={"error": "unauthorized_client"}),
    "page": httpx.Response(200, html="<p>log in</p>"),
    "missing": httpx.Response(404, html="<p>no</p>"),
    "opaque": httpx.Response(200, json={"access_token": "x", "expires_in": 36000, "token_type": "Bearer"}),
    "array": httpx.Response(200, json=["t1"]),
    "no-token": httpx.Response(200, json={"expires_in": 3600, "token_type": "JWT"}),
    "no-lifetime": httpx.Response(200, json={"access_token": "t1", "token_type": "JWT"}),
    "number": httpx.Response(200, json={"access_token": 1, "expires_in": 3600, "token_type": "JWT"}),
    "nothing": httpx.Response(200),
    "no-content": httpx.Response(204),
    "400-digits": httpx.Response(
        200,
        content=b'{"access_token": "t1", "token_type": "JWT", "expires_in": 1' + b"0" * 400 + b"}",
        headers={"content-type": "application/json"},
    ),
    "endless": httpx.Response(200, json={"access_token": "t1", "expires_in": 1e300, "token_type": "JWT"}),
    "no-number": httpx.Response(
        200,
        content=b'{"access_token": "t1", "token_type": "JWT", "expires_in": NaN}',
        headers={"content-type": "application/json"},
    ),
    "half-a-character": httpx.Response(
        200,
        content=b'{"access_token": "t\\ud800", "expires_in": 3600, "token_type": "JWT"}',
        headers={"content-type": "application/json"},
    ),
    "two-lines": httpx.Response(200, json={"access_token": "t1\nX-Y: z", "expires_in": 60, "token_type": "JWT"}),
    "no-ascii": httpx.Response(200, json={"access_token": "tä", "expires_in": 60, "token_type": "JWT"}),
    "redirect": httpx.Response(302, headers={"location": "/login"}),
}


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_an_endpoint_that_gives_no_jwt_is_misconfigured(answer: httpx.Response) -> None:
    """Every learner would fail alike; asking again would not help; the secret is shown to nobody."""
    platform = Platform()
    platform.instead = answer

    with pytest.raises(Misconfigured) as caught:
        await platform.api.post("/x/")

    assert (caught.value.service, caught.value.request) == ("LMS", "POST /oauth2/access_token")
    assert (len(platform.forms), platform.seen, platform.naps.taken) == (1, [], [])
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(404), httpx.Response(404, json={}), httpx.Response(409), httpx.Response(418, json={})],
    ids=["404-empty", "404-json", "409", "418"],
)
async def test_any_refusal_of_the_endpoint_is_misconfigured(answer: httpx.Response) -> None:
    """A gateway without a route answers an empty 404: no learner is `not found` for that."""
    platform = Platform()
    platform.instead = answer

    with pytest.raises(ServiceError) as caught:
        await platform.api.post("/x/")

    assert type(caught.value) is Misconfigured


async def test_no_token_does_not_mean_that_nothing_is_held(ana: Learner) -> None:
    """`absent_on_404` is about the operation's own 404, never about the token endpoint's."""
    platform = Platform()
    platform.instead = httpx.Response(404)
    connector: Connector = LicenseManager(ServiceSettings(url="https://svc.example"), platform.api)

    with pytest.raises(Misconfigured):
        await connector.perform("retire_learner", ana)


async def test_no_token_does_not_mean_that_a_request_was_taken_back(ana: Learner) -> None:
    """Else a run without credentials ends as `rescinded` for everybody, with exit code 0."""
    platform = Platform()
    platform.instead = httpx.Response(404)
    lms = Lms(platform.api, ["PENDING", "COMPLETE"])

    with pytest.raises(Misconfigured):
        await lms.rows.status(ana.username)
    with pytest.raises(Misconfigured):
        await lms.rows.move(ana, "COMPLETE", "text", since="PENDING")


@pytest.mark.parametrize("answer", [httpx.Response(503), httpx.Response(429, html="<p>Too many</p>")])
async def test_a_busy_endpoint_is_transient(answer: httpx.Response) -> None:
    """The rate limit answers 429 with a page and no Retry-After (contract, section 1.3)."""
    platform = Platform()
    platform.instead = answer

    with pytest.raises(Transient) as caught:
        await platform.api.post("/x/")

    assert (answer.status_code, []) == (caught.value.status, platform.seen)


async def test_a_busy_endpoint_is_asked_no_more_often_than_a_retry_allows() -> None:
    """One owner of the wait: the retries of the token and those of the call do not multiply."""
    platform = Platform()
    platform.instead = httpx.Response(503)

    with pytest.raises(Transient):
        await platform.api.post("/x/")

    assert len(platform.forms) <= Retry().attempts


async def test_learners_at_once_share_one_refusal_too() -> None:
    """Refused requests count against the limit of the address (contract, section 1.3)."""
    platform = Platform()
    platform.instead = UNUSABLE["secret"]

    found: list[Any] = await asyncio.gather(*(platform.api.post("/x/") for _ in range(50)), return_exceptions=True)

    assert {Misconfigured} == {type(each) for each in found}
    assert len(platform.forms) == 1


async def test_a_pause_of_the_endpoint_is_waited_for() -> None:
    """When it is short; a longer one is somebody else's."""
    platform = Platform()
    platform.instead = httpx.Response(429, headers={"retry-after": "3600"})

    with pytest.raises(RateLimited):
        await platform.api.post("/x/")

    assert (len(platform.forms), platform.naps.taken) == (1, [])


async def test_the_token_comes_back_after_a_failure() -> None:
    """A failure is not remembered."""
    platform = Platform()
    platform.instead = httpx.Response(400, content=json.dumps({"error": "x"}).encode())
    with pytest.raises(Misconfigured):
        await platform.api.post("/x/")

    platform.instead = None
    assert (await platform.api.post("/x/")).status == 204


async def test_a_token_endpoint_that_counts_is_waited_for_and_then_says_until_when() -> None:
    """It answers 429 without a Retry-After, and counts by the minute (contract, section 1.3)."""
    platform = Platform()
    platform.instead = httpx.Response(429, html="<p>Too many</p>")

    with pytest.raises(RateLimited) as caught:
        await platform.api.post("/x/")

    assert platform.naps.taken
    assert min(platform.naps.taken) >= 20
    assert "counts by the minute: again at 12:02 UTC" in str(caught.value)


async def test_a_token_endpoint_that_counts_a_little_only_is_no_failure() -> None:
    """The first wait within `retry.seconds` is enough."""
    platform = Platform()
    platform.instead = httpx.Response(429, html="<p>Too many</p>")

    async def passes(seconds: float) -> None:
        platform.naps.taken.append(seconds)
        platform.instead = None

    platform.api.retry = Retry(sleep=passes)
    assert (await platform.api.post("/x/")).status == 204
    assert platform.naps.taken == [20]


@pytest.mark.parametrize(
    ("pause", "said"),
    [("3600", "again at 13:01 UTC"), ("9" * 400, "not before tomorrow"), ("90", "again at 12:02 UTC")],
)
async def test_the_pause_of_a_token_endpoint_is_said_as_a_time_of_day(pause: str, said: str) -> None:
    """Whatever it asks for."""
    platform = Platform()
    platform.instead = httpx.Response(429, headers={"retry-after": pause})

    with pytest.raises(RateLimited, match=said):
        await platform.tokens.current()


async def test_a_short_patience_still_waits_for_the_endpoint() -> None:
    """Two waits fit into `retry.seconds`, however few those are."""
    platform = Platform()
    platform.instead = httpx.Response(429)
    platform.lms.retry = Retry(seconds=10)

    with pytest.raises(RateLimited) as caught:
        await platform.tokens.current()

    assert caught.value.retry_after == pytest.approx(4.5)
