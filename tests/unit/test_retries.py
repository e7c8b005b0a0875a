"""Trying again: only what may pass by itself, so many times, so long, and as the service asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retirement.errors import Misconfigured, NotFound, RateLimited, Refused, ServiceError, Transient
from retirement.wire.api import Retry
from retirement.wire.reply import retry_after

from .doubles import Naps, Script

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
OK = httpx.Response(204)
DOWN = httpx.Response(503)


def limited(value: str, status: int = 429) -> httpx.Response:
    return httpx.Response(status, headers={"retry-after": value})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("9" * 20, 1e20),
        ("9" * 400, float("inf")),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 13:00:30 +0100", 30.0),
        ("Saturday, 21-Nov-26 12:00:30 GMT", 30.0),
        ("Sat Nov 21 12:00:30 2026", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_a_pause_is_given_in_seconds_or_as_a_date(value: str, expected: float) -> None:
    """All forms of RFC 9110; what is past is no pause."""
    assert expected == retry_after(value, NOW)


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "soon", "-5", "1.5", "0x10", "1e3", "5 seconds", "nan", "inf", "²", "Sat, 99 Nov 2026 12:00:00 GMT"),
        "Sat, 21 Nov 2026 10:00:00 +99999999999999999999",
        "Sat, 21 Nov 99999999999999 10:00:00 GMT",
    ],
)
def test_what_is_no_pause_is_ignored(value: str) -> None:
    """A service's nonsense is no defect of ours."""
    assert retry_after(value, NOW) is None


@given(st.one_of(st.text(max_size=60), st.from_regex(r"\w{3}, \d{1,3} (Nov|Feb) \d{1,25} \d+:\d+:\d+ [+-]?\d{0,25}")))
def test_no_header_breaks_the_reading_of_a_pause(value: str) -> None:
    """It is a number that is not negative, or nothing."""
    found = retry_after(value, NOW)

    assert found is None or found >= 0


async def test_what_passes_is_tried_again() -> None:
    """Two failures, then success: three requests, two waits."""
    naps = Naps()
    script = Script(DOWN, httpx.ReadTimeout("slow"), OK)

    reply = await script.api(naps).post("/x/")

    assert (reply.status, len(script.requests), len(naps.taken)) == (204, 3, 2)


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_the_attempts_are_bounded(attempts: int) -> None:
    """The last error is raised as it is."""
    naps = Naps()
    script = Script(DOWN)

    with pytest.raises(Transient) as caught:
        await script.api(retry=Retry(attempts=attempts, sleep=naps)).post("/x/")

    assert (attempts, attempts - 1) == (len(script.requests), len(naps.taken))
    assert (caught.value.status, caught.value.request) == (503, "POST /x/")


async def test_the_waits_grow_and_are_bounded() -> None:
    """Half a second and doubled each time, with a little chance, up to the longest."""
    naps = Naps()

    with pytest.raises(Transient):
        await Script(DOWN).api(retry=Retry(attempts=6, first_wait=0.5, longest_wait=3, sleep=naps)).post("/x/")

    bounds = [(0.5, 1.0), (1.0, 1.5), (2.0, 2.5), (3.0, 3.0), (3.0, 3.0)]
    assert all(least <= nap <= most for (least, most), nap in zip(bounds, naps.taken, strict=True))


async def test_no_wait_is_begun_that_would_end_too_late() -> None:
    """The time is bounded as well as the number."""
    naps = Naps()
    script = Script(DOWN)

    with pytest.raises(Transient):
        await script.api(retry=Retry(seconds=0.1, first_wait=0.5, sleep=naps)).post("/x/")

    assert (len(script.requests), naps.taken) == (1, [])


@pytest.mark.parametrize("status", [429, 503])
async def test_a_pause_that_the_service_asks_for_is_taken(status: int) -> None:
    """As long as it says, not as long as we would."""
    naps = Naps()

    await Script(limited("7", status), limited("11", status), OK).api(naps).post("/x/")

    assert naps.taken == [7.0, 11.0]


@pytest.mark.parametrize("value", ["46", "3600", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_pause_longer_than_our_time_is_left_to_others(value: str) -> None:
    """The task or the next queue run waits minutes; nobody sleeps here."""
    naps = Naps()
    script = Script(limited(value))

    with pytest.raises(RateLimited) as caught:
        await script.api(naps).post("/x/")

    assert (len(script.requests), naps.taken) == (1, [])
    assert caught.value.retry_after > 45


async def test_a_date_is_waited_for() -> None:
    """The other form of the header, with the clock of this machine."""
    naps = Naps()
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)

    await Script(limited(soon), OK).api(naps).post("/x/")

    assert 15 < naps.taken[0] <= 20


@pytest.mark.parametrize("value", ["soon", "-5", "Sat, 21 Nov 2026 10:00:00 +99999999999999999999"])
async def test_a_pause_that_cannot_be_read_is_ours_to_choose(value: str) -> None:
    """The answer is still one that passes."""
    naps = Naps()

    await Script(limited(value), OK).api(naps).post("/x/")

    assert 0.5 <= naps.taken[0] <= 1.0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(400, json="no"), Refused),
        (httpx.Response(409), Refused),
        (httpx.Response(404), NotFound),
        (httpx.Response(403), Misconfigured),
        (httpx.Response(301, headers={"location": "/y/"}), Misconfigured),
        (httpx.Response(501), Misconfigured),
        (httpx.UnsupportedProtocol("no"), Misconfigured),
    ],
)
async def test_what_will_not_pass_is_tried_once(
    answer: httpx.Response | BaseException, expected: type[ServiceError]
) -> None:
    """A retry would only hide it, or do it twice."""
    naps = Naps()
    script = Script(answer)

    with pytest.raises(expected):
        await script.api(naps).post("/x/")

    assert (len(script.requests), naps.taken) == (1, [])


@pytest.mark.parametrize("answer", [DOWN, limited("1"), httpx.ConnectError("no"), httpx.ReadTimeout("no")])
async def test_once_means_one_request(answer: httpx.Response | BaseException) -> None:
    """Whoever asks for it owns the retry."""
    naps = Naps()
    script = Script(answer, OK)

    with pytest.raises(Transient):
        await script.api(naps).patch("/x/", once=True)

    assert (len(script.requests), naps.taken) == (1, [])


async def test_every_attempt_sends_the_whole_request() -> None:
    """The body is there again."""
    script = Script(DOWN, OK)

    await script.api().post("/x/", json={"username": "ana"})

    assert [request.content for request in script.requests] == [b'{"username":"ana"}'] * 2


async def test_a_judge_is_asked_at_every_attempt() -> None:
    """It may take what the table would refuse, and raise what the table would take."""
    script = Script(DOWN, httpx.Response(409, json={"done": True}))

    reply = await script.api().post("/x/", judge=lambda reply: reply.status == 409)

    assert (reply.status, len(script.requests)) == (409, 2)
