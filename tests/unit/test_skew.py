"""A clock that differs from that of the LMS by more than leases bear is said by `doctor` and by each run."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest

from retirement.site.doctor import Verdict, clock

from .doubles import Forward, World, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("minimal")


def dated(world: World, header: str | None) -> None:
    """Has the LMS send this `Date`, None: no such header."""

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await forward(request)
        await answer.aread()
        headers = {key: value for key, value in answer.headers.items() if key.lower() != "date"}
        dates = {} if header is None else {"Date": header}
        return httpx.Response(answer.status_code, headers=headers | dates, content=answer.content)

    world.around = around


@pytest.mark.parametrize("seconds", [45, -45, 3600, -86_400, 400 * 86_400, -9000 * 86_400])
async def test_a_clock_beyond_a_quarter_of_a_lease_is_said(
    world: World, caplog: pytest.LogCaptureFixture, seconds: int
) -> None:
    """A lease of two minutes bears half of one; a time zone, a wrong year and a machine without a battery do not."""
    world.seed(states=LINE.lms_states)
    site = world.site(LINE)
    dated(world, format_datetime(world.ledger.now() - timedelta(seconds=seconds), usegmt=True))

    with caplog.at_level(logging.WARNING, "retirement.site"):
        await site.preflight()
    check = await clock(site)

    (warning,) = caplog.messages
    assert warning.startswith("this machine's clock is ")
    assert ("+" in warning) is (seconds > 0)
    assert (check.verdict, check.fix) == (Verdict.FAILURE, "set both clocks by NTP")


@pytest.mark.parametrize("seconds", [0, 25, -25])
async def test_a_clock_within_a_quarter_of_a_lease_is_well(
    world: World, caplog: pytest.LogCaptureFixture, seconds: int
) -> None:
    """The header has whole seconds, and an answer takes its time."""
    world.seed(states=LINE.lms_states)
    site = world.site(LINE)
    dated(world, format_datetime(world.ledger.now() - timedelta(seconds=seconds), usegmt=True))

    await site.preflight()

    assert caplog.messages == []
    assert (await clock(site)).verdict is Verdict.OK


@pytest.mark.parametrize("header", [None, "", "yesterday", "Thu, 99 Jan 1970 00:00:00 GMT"])
async def test_an_lms_that_tells_no_time_is_no_wrong_clock(
    world: World, caplog: pytest.LogCaptureFixture, header: str | None
) -> None:
    """Proxies take the header away, or write what is no date into it."""
    world.seed(states=LINE.lms_states)
    site = world.site(LINE)
    dated(world, header)

    await site.preflight()

    assert caplog.messages == []
    assert (await clock(site)).verdict is Verdict.WARNING


@pytest.mark.parametrize(("ahead", "wrong"), [(50, False), (-25, False), (95, True), (-35, True)])
async def test_a_slow_answer_is_no_wrong_clock(
    world: World, caplog: pytest.LogCaptureFixture, ahead: int, wrong: bool
) -> None:
    """The header is of any moment of the minute that the answer takes; a clock beyond that is wrong all the same."""
    world.seed(states=LINE.lms_states)
    steps = itertools.count(step=60)
    site = replace(world.site(LINE), clock=lambda: float(next(steps)))
    dated(world, format_datetime(world.ledger.now() - timedelta(seconds=ahead), usegmt=True))

    await site.preflight()

    assert bool(caplog.messages) is wrong
    assert ((await clock(site)).verdict is Verdict.FAILURE) is wrong
