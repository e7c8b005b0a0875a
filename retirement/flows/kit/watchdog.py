"""Whether schedules live: each has a next run planned, and the last one planned has begun.

Prefect's scheduler may die without a word to anybody but its own log, and then no run is ever made. This module asks
the server's API only and imports nothing of Prefect, so that `retirement status` asks as well.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from retirement.errors import EngineLost, RetirementError
from retirement.flows.kit.counted import Counted
from retirement.flows.kit.health import asked

#: Seconds between two looks, and how late a planned run may begin: Prefect plans and polls in its own time.
LOOK_SECONDS = 15.0
LATE = timedelta(seconds=60)
#: So often in a row a schedule has no next run, or no answer comes, before our own server is started again; and how
#: rarely that is, for a server that plans no runs, and for one that does not answer.
LOOKS_BEFORE_RESTART = 4
RESTART_EVERY = timedelta(hours=1)
#: Between two events of the same silence; an operator is told of them more rarely.
TELL_EVERY = timedelta(minutes=1)
GONE_EVERY = timedelta(minutes=3)

_ERROR = re.compile(r"^[\d:.]+ \| (?:ERROR|CRITICAL)\s*\| (?P<words>.*)")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server has of one deployment with a schedule."""

    name: str  #: of flow and deployment
    active: bool  #: False: paused, by hand or since its `serve` has ended
    schedule: str
    last: datetime | None  #: when the last scheduled run began
    last_state: str | None
    next: datetime | None
    waiting: datetime | None  #: for when the oldest run was planned that has not begun

    @property
    def row(self) -> dict[str, Any]:
        """For `retirement status`."""
        return {
            "name": self.name,
            "schedule": self.schedule if self.active else f"{self.schedule} (paused)",
            "last": self.last.isoformat(timespec="seconds") if self.last else None,
            "last_state": self.last_state,
            "next": self.next.isoformat(timespec="seconds") if self.next else None,
        }

    def problem(self, now: datetime) -> str | None:
        """Why the schedule does not live, None where it does or is paused."""
        if not self.active:
            return None
        if self.waiting and now - self.waiting > LATE:
            return f"{self.name}: the run planned for {self.waiting:%Y-%m-%d %H:%M} UTC has not begun"
        return None if self.next or self.waiting else f"{self.name}: no next run is planned"


async def seen(api_url: str, now: datetime, only: str = "") -> list[Seen]:
    """Our deployments with a schedule; `only` those whose name ends so. Raises `EngineLost`."""
    found = await asked(api_url, "deployments/filter", {"deployments": {"tags": {"all_": ["retirement"]}}})
    scheduled = [each for each in found if each["schedules"] and each["name"].endswith(only)]
    # By their ids: a server lists so many flows at a time, and one of the operators' may have more than that.
    ours = {"flows": {"id": {"any_": sorted({each["flow_id"] for each in scheduled})}}}
    flows = {each["id"]: each["name"] for each in await asked(api_url, "flows/filter", ours)}
    return [await _seen(api_url, each, f"{flows[each['flow_id']]}/{each['name']}", now) for each in scheduled]


async def next_runs(api_url: str) -> list[str]:
    """The schedules of our deployments and their next runs, in sentences; why that is not known, where it is not."""
    try:
        found = await seen(api_url, datetime.now(UTC))
    except EngineLost as error:
        return [str(error)]
    return [f"{each.name}: {each.row['schedule']}, next {_minute(each.next)}" for each in found]


def _minute(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else "not planned"


async def _seen(api_url: str, deployment: dict[str, Any], name: str, now: datetime) -> Seen:
    planned = await _runs(api_url, deployment["id"], {"type": {"any_": ["SCHEDULED"]}}, "EXPECTED_START_TIME_ASC")
    begun = await _runs(api_url, deployment["id"], {"type": {"not_any_": ["SCHEDULED"]}}, "START_TIME_DESC")
    times = sorted(datetime.fromisoformat(each["expected_start_time"]) for each in planned if each["auto_scheduled"])
    began, state = _last(begun)
    active = [each for each in deployment["schedules"] if each["active"]]
    return Seen(
        name,
        bool(active) and not deployment["paused"],
        "; ".join(_words(each["schedule"]) for each in active or deployment["schedules"]),
        began,
        state,
        next((each for each in times if each > now), None),
        next((each for each in times if each <= now), None),
    )


def _last(begun: list[dict[str, Any]]) -> tuple[datetime | None, str | None]:
    """When the newest run of a schedule began, and the name of its state."""
    for run in begun:
        if run["auto_scheduled"] and run["start_time"]:
            return datetime.fromisoformat(run["start_time"]), run["state"]["name"]
    return None, None


async def _runs(api_url: str, deployment: str, state: dict[str, Any], sort: str) -> list[dict[str, Any]]:
    body = {"deployments": {"id": {"any_": [deployment]}}, "flow_runs": {"state": state}, "sort": sort, "limit": 20}
    found: list[dict[str, Any]] = await asked(api_url, "flow_runs/filter", body)
    return found


def _words(schedule: dict[str, Any]) -> str:
    if "cron" in schedule:
        return f"{schedule['cron']} {schedule.get('timezone') or 'UTC'}"
    return f"every {schedule['interval']:.0f} s" if "interval" in schedule else str(schedule.get("rrule"))


class EngineLog:
    """The errors in the log of our server since this was made: each message once, and again as it gets many."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = file.stat().st_size if file.exists() else 0
        self._counted = Counted()

    def news(self) -> list[str]:
        """What is new, without the times; empty where there is no log."""
        said: list[str] = []
        with suppress(OSError), self._file.open("rb") as log:
            log.seek(self._read)
            complete = log.read().rpartition(b"\n")[0]
            self._read += len(complete)
            found = filter(None, map(_ERROR.match, complete.decode(errors="replace").splitlines()))
            said += [f"engine: {words}" for each in found if (words := self._counted.said(each["words"]))]
        return said


@dataclass(frozen=True, slots=True)
class Cause:
    """Why our server is started again, and how much time is between two starts for it."""

    words: str
    every: timedelta


_GONE = Cause("does not answer", GONE_EVERY)
_IDLE = Cause("plans no runs", RESTART_EVERY)


@dataclass
class Watchdog:
    """Looks at the schedules of one `serve` and tells what is wrong, each problem once as long as it lasts.

    `healthy` is a file that is written anew at each look that finds nothing wrong, and is missing otherwise.
    """

    look: Callable[[datetime], Awaitable[Sequence[Seen]]]
    tell: Callable[[str], None]
    healthy: Path
    restart: Callable[[], Awaitable[None]] | None = None  #: None: the server is not ours
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    log: EngineLog | None = None
    #: Told the schedules by name that are silent, since when and why, and the time now. Raises `EngineLost`.
    notify: Callable[[Mapping[str, tuple[datetime, str]], datetime], Awaitable[None]] | None = None
    _silent: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    _notified: datetime | None = None
    _told: set[str] = field(default_factory=set)
    _bad_looks: int = 0
    _restarted: datetime | None = None

    async def run(self) -> None:
        """Looks until it is cancelled; the first look is a minute after the start."""
        try:
            await asyncio.sleep(LATE.total_seconds())
            while True:
                await self.turn()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self.healthy.unlink(missing_ok=True)

    async def turn(self) -> None:
        """One look."""
        for line in self.log.news() if self.log else ():
            self.tell(line)
        now = self.clock()
        problems, cause = await self._found(now)
        self._say(problems)
        if problems:
            self.healthy.unlink(missing_ok=True)
        else:
            self.healthy.write_text(f"{now.isoformat()}\n")
        await self._mend(now, cause)

    async def _found(self, now: datetime) -> tuple[list[str], Cause | None]:
        """What is wrong, and why our server would be started again for it."""
        try:
            found = await self.look(now)
        except RetirementError as error:
            return [str(error)], _GONE
        silent = {each.name: problem for each in found if (problem := each.problem(now))}
        problems = list(silent.values())
        await self._pass_on(silent, now)
        return problems, _IDLE if any("no next run" in each for each in problems) else None

    async def _pass_on(self, silent: Mapping[str, str], now: datetime) -> None:
        """Has operators told of what is silent, and since when."""
        self._silent = {name: (self._silent.get(name, (now, ""))[0], text) for name, text in silent.items()}
        if self.notify and self._silent and (self._notified is None or now - self._notified >= TELL_EVERY):
            self._notified = now
            try:
                await self.notify(self._silent, now)
            except RetirementError as error:
                self.tell(f"operators are not told: {error}")

    def _say(self, problems: Sequence[str]) -> None:
        """Says what is wrong since this look, and what is over."""
        for problem in problems:
            if problem not in self._told:
                self.tell(f"SCHEDULES DO NOT RUN: {problem}")
        for problem in self._told - set(problems):
            self.tell(f"over: {problem}")
        self._told = set(problems)

    async def _mend(self, now: datetime, cause: Cause | None) -> None:
        self._bad_looks = self._bad_looks + 1 if cause else 0
        if cause is None or not self.restart or self._bad_looks < LOOKS_BEFORE_RESTART:
            return
        if self._restarted is None or now - self._restarted > cause.every:
            self._restarted, self._bad_looks = now, 0
            self.tell(f"Prefect's server {cause.words} and is started again")
            try:
                await self.restart()
            except RetirementError as error:
                self.tell(str(error))
