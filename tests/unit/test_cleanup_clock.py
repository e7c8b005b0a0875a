"""Cleanup by two clocks: ours, and that of the LMS, whose rows have its time."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from retirement.errors import Misconfigured
from retirement.followup.clearance import CleanupResult

from .cleaning import cleaned_up, retired, whats
from .doubles import USERNAME, Forward, World

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("days", "ends"), [(-2, "raises"), (2, "raises"), (-0.9, "nobody"), (0.9, "cleared")])
async def test_the_earlier_of_two_clocks_counts(world: World, days: float, ends: str) -> None:
    """The rows have the time of the LMS; a clock that is days off is nobody's to guess about."""
    site = await retired(world, USERNAME, days=30.5)

    async def dated(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await forward(request)
        answer.headers["date"] = format_datetime(datetime.now(UTC) + timedelta(days=days), usegmt=True)
        return answer

    world.around = dated
    if ends == "raises":
        with pytest.raises(Misconfigured, match=r"its Date header is [12] days from our time"):
            await cleaned_up(site)
    else:
        assert whats(await cleaned_up(site)) == ([CleanupResult.CLEARED] if ends == "cleared" else [])


async def test_a_row_of_this_second_is_due_where_no_days_are_asked_for(world: World) -> None:
    """The LMS says its time in whole seconds, and late when it is busy."""
    site = await retired(world, USERNAME, days=0)

    async def late(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await forward(request)
        answer.headers["date"] = format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True)
        return answer

    world.around = late
    assert whats(await cleaned_up(site, days=0)) == [CleanupResult.CLEARED]
