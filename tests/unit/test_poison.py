"""Learners whom one service always fails do not keep others waiting, night after night, and are named in the end."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from retirement.errors import Ending
from retirement.pipeline import ABORTED, COMPLETE, ERRORED, PENDING
from retirement.pipeline.endings import Report
from retirement.retire.engine import retire

from .batches import take_in
from .doubles import Forward, World, holder, line, names_nobody
from .test_intake import configuration

pytestmark = pytest.mark.anyio

CREDENTIALS = ("CREDENTIALS", "CREDENTIALS", "replace_usernames")
MISC = ("LMS_MISC", "LMS", "retirement_lms_retire_misc")
LINE = line(CREDENTIALS, MISC, ("LMS", "LMS", "retirement_lms_retire"))
SICK = ["a-1", "b-2", "c-3", "d-4"]


def crowd(world: World, count: int) -> list[str]:
    """Four whose requests are the oldest, and so many behind them."""
    others = [f"o-{number:02}" for number in range(count)]
    rows = [holder(name, requested_days_ago=40 - place) for place, name in enumerate([*SICK, *others])]
    world.seed(*rows, states=LINE.lms_states)
    return others


def fail(world: World, names: Collection[str] | None = None, service: str = "credentials", status: int = 500) -> None:
    """Has a service answer so to each call about these learners, to calls about all for None; reads are answered."""

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        text = request.content.decode()
        is_meant = names is None or any(name in text for name in names)
        if (
            request.method == "POST"
            and request.url.host == f"{service}.sandbox"
            and is_meant
            and "grant_type" not in text
        ):
            return httpx.Response(status)
        return await forward(request)

    world.around = around


async def night(world: World, folder: Path, limit: int, nights: int = 5) -> dict[str, Report]:
    """One queue run of one learner at a time, and the day after it."""
    site = replace(world.site(LINE), nights=nights)
    batch = site.batch()
    intake = await take_in(site, configuration(folder), 0)
    batch.learners = {each.user_id: each for each in intake.batch(limit)}
    reports = {each.username: await retire(site, batch, each) for each in batch.learners.values()}
    world.calendar.pass_by(days=1)
    return reports


def endings(reports: dict[str, Report]) -> dict[str, str]:
    return {name: report.ending.value for name, report in reports.items()}


def retired(names: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(names, "retired")


async def test_four_learners_whom_a_service_always_fails_do_not_stop_those_behind_them(
    world: World, tmp_path: Path
) -> None:
    """From the second night on the others pass; what fails for four alone is a matter of these four."""
    others = crowd(world, 15)
    newcomers = others[-2:]
    for name in newcomers:
        await world.force(name, ABORTED)
    fail(world, SICK)

    first = endings(await night(world, tmp_path, 6, nights=2))
    second = endings(await night(world, tmp_path, 6, nights=2))
    third = endings(await night(world, tmp_path, 6, nights=2))
    fourth = endings(await night(world, tmp_path, 6, nights=2))
    await world.force(newcomers[0], PENDING)
    fifth = await night(world, tmp_path, 6, nights=2)

    assert first == dict.fromkeys([*SICK, *others[:2]], "parked")
    assert second == {"d-4": "parked"} | retired(others[:5])
    assert third == retired(others[5:11])
    assert fourth == retired(others[11:13]) | dict.fromkeys(SICK[:3], "parked") | {"d-4": "errored"}
    assert [each.state for each in await world.ledger.breakers.all()] == ["closed"]
    assert endings(fifth) == retired(newcomers[:1]) | dict.fromkeys(SICK[:3], "errored")
    assert {world.state(name) for name in SICK} == {ERRORED}
    reason = fifth["a-1"].reason
    assert "CREDENTIALS: POST /api/v2/replace_usernames/ answered 500" in reason
    assert "it failed this learner on 2 nights, and other learners passed on each of them: " in reason
    assert names_nobody(reason)
    assert not any(name in reason for name in SICK)


async def test_a_run_of_one_learner_gets_past_them(world: World, tmp_path: Path) -> None:
    """With `queue.limit: 1` each is tried once, and then the others, until a week is over."""
    others = crowd(world, 5)
    fail(world, SICK)

    nights = [endings(await night(world, tmp_path, 1)) for _ in range(8)]

    assert nights[:4] == [{name: "parked"} for name in SICK]
    assert nights[4:7] == [retired([name]) for name in others[:3]]
    assert nights[7] == {"a-1": "parked"}


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("names", "service", "status"),
    [(None, "credentials", 500), (None, "credentials", 503), (SICK, "credentials", 429)],
    ids=["down-for-all", "away-for-all", "no-room"],
)
async def test_no_learner_is_errored_for_what_all_meet(
    world: World, tmp_path: Path, names: list[str] | None, service: str, status: int
) -> None:
    """A service that is down, or has no room, says nothing of a learner, however many nights it takes."""
    crowd(world, 1)
    fail(world, names, service, status)

    for _ in range(6):
        assert {each.ending for each in (await night(world, tmp_path, 9, nights=2)).values()} <= {
            Ending.PARKED,
            Ending.RETIRED,
        }

    assert {world.state(name) for name in SICK} == {PENDING}
    world.around = None
    world.calendar.pass_by(days=1)
    await night(world, tmp_path, 9)
    assert {world.state(name) for name in SICK} == {COMPLETE}


async def test_a_learner_who_is_brought_back_begins_anew(world: World, tmp_path: Path) -> None:
    """The nights before count no more: one bad answer after the cause is mended is no verdict."""
    others = crowd(world, 3)
    fail(world, ["a-1"])
    for name in others:
        await world.force(name, ABORTED)
    for name in ("b-2", "c-3", "d-4"):
        await world.force(name, ABORTED)
    for name, ending in zip(others, ("parked", "errored", "parked"), strict=True):
        await world.force(name, PENDING)
        assert endings(await night(world, tmp_path, 9, nights=2)) == {name: "retired", "a-1": ending}
        if ending == "errored":
            await world.force("a-1", PENDING)


async def test_the_lms_itself_may_be_what_fails_for_one(world: World, tmp_path: Path) -> None:
    """A step of the LMS, and not only one of another service."""
    others = crowd(world, 3)
    fail(world, ["a-1"], "lms")
    for name in ("b-2", "c-3", "d-4", *others):
        await world.force(name, ABORTED)
    for name, ending in zip(others[:2], ("parked", "errored"), strict=True):
        await world.force(name, PENDING)
        assert endings(await night(world, tmp_path, 9, nights=2)) == {name: "retired", "a-1": ending}


async def test_learners_for_whom_the_lms_fails_do_not_close_it_for_all(world: World, tmp_path: Path) -> None:
    """While the breaker of the LMS is open no learner is begun: three such learners would stop each night."""
    others = crowd(world, 5)
    fail(world, SICK, "lms")

    first = endings(await night(world, tmp_path, 9))
    second = endings(await night(world, tmp_path, 9))

    assert set(first.values()) == {"parked"}
    assert second == dict.fromkeys(SICK, "parked") | retired(others)
    assert [(each.service, each.state) for each in await world.ledger.breakers.down()] == []
