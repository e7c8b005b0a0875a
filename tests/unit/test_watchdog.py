"""The watchdog of `serve`: what it calls wrong, that it says so once, and when it starts the engine again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from retirement.errors import EngineLost
from retirement.flows.kit.watchdog import LOOKS_BEFORE_RESTART, EngineLog, Seen, Watchdog
from retirement.flows.kit.watchdog import seen as seen_at

from .answering import answering

NOW = datetime(2026, 3, 1, 4, 0, 30, tzinfo=UTC)
SOON, JUST, LONG_AGO = NOW + timedelta(hours=1), NOW - timedelta(seconds=30), NOW - timedelta(minutes=5)


def schedule(**changes: object) -> Seen:
    values = {
        "name": "retire-queue/queue-here",
        "active": True,
        "schedule": "0 4 * * * UTC",
        "last": LONG_AGO,
        "last_state": "Retired",
        "next": SOON,
        "waiting": None,
    }
    return Seen(**{**values, **changes})  # type: ignore[arg-type] # each test changes what it is about


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (schedule(), None),
        (schedule(waiting=JUST), None),
        (schedule(next=None, waiting=JUST), None),
        (schedule(active=False, next=None, waiting=LONG_AGO), None),
        (schedule(next=None), "retire-queue/queue-here: no next run is planned"),
        (schedule(waiting=LONG_AGO), "the run planned for 2026-03-01 03:55 UTC has not begun"),
        (schedule(waiting=LONG_AGO, next=None), "the run planned for 2026-03-01 03:55 UTC has not begun"),
    ],
)
def test_a_schedule_lives_while_a_next_run_is_planned_and_the_last_one_began(seen: Seen, words: str | None) -> None:
    """A paused one is left alone."""
    problem = seen.problem(NOW)

    assert (problem or "").endswith(words or "")
    assert (problem is None) == (words is None)


class Stage:
    """A watchdog whose looks and whose clock a test sets."""

    def __init__(self, folder: Path, *, ours: bool = True) -> None:
        self.seen: list[Seen] | None = [schedule()]
        self.said: list[str] = []
        self.restarts: list[datetime] = []
        self.now = NOW
        self.healthy = folder / "healthy"
        restart = self.restart if ours else None
        self.dog = Watchdog(self.look, self.said.append, self.healthy, restart, clock=lambda: self.now)

    async def look(self, _now: datetime) -> list[Seen]:
        if self.seen is None:
            raise EngineLost("the Prefect server does not answer")
        return self.seen

    async def restart(self) -> None:
        self.restarts.append(self.now)


@pytest.mark.anyio
async def test_a_problem_is_said_once_and_its_end_as_well(tmp_path: Path) -> None:
    """And the file for probes is there only while all is well."""
    stage = Stage(tmp_path, ours=False)
    await stage.dog.turn()
    assert (stage.said, stage.healthy.exists()) == ([], True)

    stage.seen = [schedule(next=None)]
    for _ in range(10):
        await stage.dog.turn()
    assert stage.said == ["SCHEDULES DO NOT RUN: retire-queue/queue-here: no next run is planned"]
    assert not stage.healthy.exists()

    stage.seen = None
    await stage.dog.turn()
    assert "SCHEDULES DO NOT RUN: the Prefect server does not answer" in stage.said

    stage.seen = [schedule()]
    await stage.dog.turn()
    assert stage.said[-1].startswith("over: ")
    assert stage.healthy.exists()


@pytest.mark.anyio
async def test_our_own_engine_is_started_again_and_not_over_and_over(tmp_path: Path) -> None:
    """Once the runs are missing for some looks in a row, and once an hour at most."""
    stage = Stage(tmp_path)
    stage.seen = [schedule(next=None)]
    for _ in range(LOOKS_BEFORE_RESTART - 1):
        await stage.dog.turn()
    assert stage.restarts == []
    for _ in range(20):
        await stage.dog.turn()
    assert stage.restarts == [NOW]
    stage.now += timedelta(hours=2)
    await stage.dog.turn()
    assert stage.restarts == [NOW, stage.now]


@pytest.mark.anyio
async def test_our_own_engine_that_was_killed_is_started_again(tmp_path: Path) -> None:
    """Sooner than one that plans no runs, since nothing works without it; and what is slow once is left alone."""
    stage = Stage(tmp_path)
    for _ in range(3):
        stage.seen = None
        for _ in range(LOOKS_BEFORE_RESTART - 1):
            await stage.dog.turn()
        stage.seen = [schedule()]
        await stage.dog.turn()
    assert stage.restarts == []
    stage.seen = None
    for _ in range(20):
        await stage.dog.turn()
    assert stage.restarts == [NOW]
    assert "Prefect's server does not answer and is started again" in stage.said
    stage.now += timedelta(minutes=4)
    for _ in range(LOOKS_BEFORE_RESTART):
        await stage.dog.turn()
    assert stage.restarts == [NOW, stage.now]


@pytest.mark.anyio
async def test_operators_are_told_since_when_a_schedule_is_silent_and_once_a_minute(tmp_path: Path) -> None:
    """A server that does not take it is a line more, and the watchdog goes on."""
    stage, told = Stage(tmp_path, ours=False), list[tuple[dict[str, datetime], datetime]]()

    async def notify(silent: Mapping[str, tuple[datetime, str]], now: datetime) -> None:
        told.append(({name: since for name, (since, _) in silent.items()}, now))
        if len(told) > 2:
            raise EngineLost("the Prefect server does not answer")

    stage.dog.notify = notify
    await stage.dog.turn()
    stage.seen = [schedule(next=None)]
    for _ in range(9):
        await stage.dog.turn()
        stage.now += timedelta(seconds=15)

    minutes = [NOW + timedelta(minutes=each) for each in range(3)]
    assert told == [({"retire-queue/queue-here": NOW}, minute) for minute in minutes]
    assert stage.said[-1] == "operators are not told: the Prefect server does not answer"
    assert stage.restarts == []


def test_errors_of_the_engine_are_said_once_each_and_counted(tmp_path: Path) -> None:
    """Those of before the start are not news, and neither is half a line."""
    file = tmp_path / "engine.log"
    line = "04:00:01.123 | ERROR   | prefect.server.scheduler - run {} failed\n"
    file.write_text(line.format(1))
    log = EngineLog(file)
    with file.open("a") as output:
        output.write(line.format(2) + "Traceback\n04:00:02.000 | INFO    | prefect - well\n" + line.format(3))
        output.write("04:00:03.000 | ERROR   | half a")
    assert log.news() == ["engine: prefect.server.scheduler - run 2 failed"]
    with file.open("a") as output:
        output.write(" line\n" + "".join(line.format(number) for number in range(8)))
    assert log.news() == ["engine: half a line", "engine: prefect.server.scheduler - run 7 failed (10 times)"]
    assert log.news() == []
    assert EngineLog(tmp_path / "none.log").news() == []


@pytest.mark.anyio
async def test_our_schedules_are_found_on_a_server_with_more_flows_than_it_lists_at_a_time() -> None:
    """One of the operators' own, with flows of others."""
    ids = [str(number) for number in range(300)]
    planned = [{"active": True, "schedule": {"cron": "0 4 * * *"}}]
    ours = {"id": "d", "flow_id": ids[-1], "name": "queue", "paused": False, "schedules": planned}

    def prefect(path: str, body: Any) -> Any:
        if path == "/flows/filter":
            wanted = body.get("flows", {}).get("id", {}).get("any_", ids)
            return [{"id": each, "name": f"flow-{each}"} for each in wanted][:200]
        return [ours] if path == "/deployments/filter" else []

    with answering(prefect) as url:
        (found,) = await seen_at(url, NOW)

    assert (found.name, found.schedule) == ("flow-299/queue", "0 4 * * * UTC")
