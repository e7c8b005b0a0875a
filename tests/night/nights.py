"""The nights: what schedules, people and accidents do to a site, and what has to be so in the end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from prefect.server.schemas.schedules import CronSchedule

from retirement.config.cron import timed
from retirement.errors import Defect, ExitCode
from retirement.ledger import LearnerRecord, opened, verify
from tests import patient
from tests.flows.conftest import Platform
from tests.night.service import FINAL, Service, Watch

#: In the first night; the learners of each later one have asked a day later.
COOL_OFF_DAYS = 10
#: Seconds after which what is waited for will not come any more, on a machine that is ten times slower than ours.
PATIENCE = 3000.0
QUEUE = "retire-queue"
LEASE = "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION"
#: What has to have run by itself, and ended well.
BY_THEMSELVES = (QUEUE, "reconcile", "verify-erasure", "cleanup", "partner-report")
#: A queue of this run is long enough to be asked about.
UNUSUAL = {"threshold": 2}
WHO = ("--by", "night shift", "--reason", "as rehearsed")


@dataclass(frozen=True)
class Length:
    """How long a rehearsal is: learners who become due each night, and seconds until a question is answered.

    `lease` is the time in seconds after which Prefect's server takes a place back that no run has renewed.
    """

    nights: int
    each_night: int
    answer_after: float
    lease: int

    @property
    def learners(self) -> int:
        return self.nights * self.each_night


WHOLE = Length(nights=3, each_night=20, answer_after=360.0, lease=300)
#: Thirty seconds are the least that Prefect takes.
SHORT = Length(nights=1, each_night=4, answer_after=32.0, lease=30)


def seed(length: Length) -> dict[str, Any]:
    """The learners of each night have made their request a day after those of the night before."""
    people = [
        {
            "username": f"night-canary-{night}-{number}",
            "email": f"night.canary.{night}.{number}@mail{number % 3}.example",
            "name": f"Canary{night} Night{number}",
            "state": "PENDING",
            "requested_days_ago": COOL_OFF_DAYS + 0.5 - night,
            "enrollments": [{"org": "OrgA", "active": True}],
            "notes": 1,
            "credentials": True,
            "licenses": ["activated"],
        }
        for night in range(length.nights)
        for number in range(length.each_night)
    ]
    return {"learners": people}


@dataclass
class Nights:
    """One rehearsal under way."""

    platform: Platform
    service: Service
    watch: Watch
    length: Length
    folder: Path
    night: int = 0

    def say(self, text: str) -> None:
        self.service.timeline.say(text)

    def until(self, reached: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        return self.watch.until(reached, what, seconds)

    def command(self, *words: str) -> Any:
        """What an operator types; its document."""
        given = [sys.executable, "-m", "retirement", *words, "--json", "--config", str(self.platform.config)]
        done = subprocess.run(given, env=self.service.environment, capture_output=True, text=True, check=False)
        self.say(f"$ retirement {' '.join(words)}   (exit code {done.returncode})")
        return json.loads(done.stdout)

    def begin(self, **settings: Any) -> None:
        """Schedules of each minute, and one for the partner report, which a person adds in the UI."""
        (self.folder / "reports").mkdir(mode=0o700)
        self.platform.configure(
            schedule="* * * * *",
            reconcile_schedule="*/2 * * * *",
            verify_schedule="*/2 * * * *",
            cleanup_schedule="*/3 * * * *",
            cleanup_days=0,
            partner_reports=str(self.folder / "reports"),
            cool_off_days=COOL_OFF_DAYS,
            lease_seconds=15,
            breaker={"seconds": 20, "longest_seconds": 60},
            retry={"task_retries": 0},
            **settings,
        )
        self._set_lease()
        self.service.start()
        name = f"{self.service.api}/deployments/name/partner-report/partner-report-here"
        report = patient.get(name).raise_for_status().json()
        schedule = {"schedule": {"cron": "*/3 * * * *", "timezone": "UTC"}, "active": True}
        patient.post(f"{self.service.api}/deployments/{report['id']}/schedules", json=[schedule]).raise_for_status()
        self.say("a person has added a schedule for the partner report")

    def _set_lease(self) -> None:
        """The way of Prefect's own: our server gets no variable that is meant for another one."""
        folder = self.folder / "engine" / "prefect"
        folder.mkdir(parents=True)
        lease = f'{LEASE} = "{self.length.lease}"'
        (folder / "profiles.toml").write_text(f'active = "night"\n\n[profiles.night]\n{lease}\n')

    def retired(self) -> int:
        """Learners whose retirement the ledger proves."""
        return sum(each.retired_at is not None for each in asyncio.run(self._records()))

    async def _records(self) -> list[LearnerRecord]:
        async with opened(self.platform.ledger) as ledger:
            return await ledger.learners.find()

    def until_retired(self, nights: int) -> None:
        wanted = nights * self.length.each_night
        self.until(lambda: self.retired() == wanted, f"{wanted} learners are retired")
        self.say(f"{wanted} learners are retired")

    def next_night(self) -> None:
        """The next learners are due: the cool-off is a day shorter, since no clock is moved here."""
        self.night += 1
        self.platform.configure(cool_off_days=COOL_OFF_DAYS - self.night)
        self.say(f"night {self.night + 1}: {self.length.each_night} more learners are due")

    def outage_and_a_dead_worker(self) -> None:
        """A service is down when the first run comes, and its worker is killed; later runs retire all the same."""
        self.platform.arm({"service": "credentials", "path": "", "status": 503, "times": 100_000})
        self.say("CREDENTIALS is down")
        self.until(lambda: self.platform.moves() > 5, "a scheduled queue run is at work")
        self.service.kill_run(self._running())
        self.until(lambda: len(self.watch.of(QUEUE, *FINAL)) >= 2, "a queue run after the one that was killed")
        self.platform.arm()
        self.say("CREDENTIALS is back")
        self.until_retired(1)

    def _running(self) -> str:
        def found() -> Any:
            self.watch.look()
            return self.watch.of(QUEUE, "RUNNING")

        return str(self.until(found, "a running queue run")[0]["id"])

    def question(self) -> None:
        """A guard asks; server and database die while the run waits; the answer counts, hours of Prefect later."""
        self.platform.configure(queue=UNUSUAL)
        self.next_night()
        asking, _ = self._asked()
        before = self.retired()
        self.watch.for_seconds(self.length.answer_after / 4)
        self.service.kill_server()
        self.until(self._answers, "the server is started again")
        self.watch.for_seconds(self.length.answer_after / 4)
        self.service.kill_database()
        self.until(self._answers, "server and database are started again")
        self.watch.for_seconds(self.length.answer_after / 4)
        self._approve(asking, before)
        self.until_retired(2)
        self.platform.configure(queue={"threshold": 300})

    def question_and_a_dead_worker(self) -> None:
        """A guard asks for longer than a lease is; the worker dies over the first learner, and the next run goes on.

        One learner after the other: a yes of whose learners each was begun is used up, and the next run would ask anew.
        """
        asking, run = self._asked()
        self.watch.for_seconds(self.length.answer_after)
        # The run would be gone when it is to be killed, were all services quick.
        self.platform.arm({"service": "credentials", "path": "", "times": 100_000, "delay_s": 60})
        self._approve(asking, 0)
        self.until(lambda: self.platform.moves() > 0, "the run goes on after the answer")
        self.service.kill_run(run)
        self.platform.arm()
        self.until_retired(1)

    def _asked(self) -> tuple[int, str]:
        """The number of the question that a scheduled queue run asks, and the id of that run."""

        def asks() -> Any:
            self.watch.look()
            return self._questions() and self.watch.of(QUEUE, "PAUSED")

        run = str(self.until(asks, "a queue run asks")[0]["id"])
        question = self._questions()[0]
        self.say(f"question {question} is open")
        # Prefect kills a run that has lost its place while it waited, later than a short night goes.
        held = [each["state_details"]["deployment_concurrency_lease_id"] for each in self.watch.history(run)]
        assert not any(held), "a run that may ask holds a place of Prefect's"
        settings = patient.get(f"{self.service.api}/admin/settings").raise_for_status().json()
        assert settings["server"]["concurrency"]["initial_deployment_lease_duration"] == self.length.lease
        return question, run

    def _approve(self, question: int, before: int) -> None:
        assert self.retired() == before, "a learner was retired without an answer"
        self.command("approve", str(question), "--approver", "night shift", "--reason", "as rehearsed")

    def _questions(self) -> list[int]:
        async def open_ones() -> list[int]:
            async with opened(self.platform.ledger) as ledger:
                return [each.id for each in await ledger.decisions.current() if each.is_open(ledger.now())]

        return asyncio.run(open_ones())

    def _answers(self) -> bool:
        """Whether the server answers with its database."""
        try:
            return httpx.get(f"{self.service.api}/ready", timeout=20).status_code == 200
        except httpx.HTTPError:
            return False

    def pause_over_a_restart(self, *, more_learners: bool) -> None:
        """What a person has paused stays paused when the service starts again, also for learners who come then."""
        self.command("pause", "queue", *WHO)
        if more_learners:
            self.next_night()
        assert self.service.stop() == 0, "serve did not end well"
        self.say("serve was stopped")
        self.service.start()
        before = self.retired()
        paused = "SchedulePaused"
        self.until(lambda: paused in (each["state"]["name"] for each in self.watch.of(QUEUE, "CANCELLED")), paused)
        assert self.retired() == before, "a paused schedule has retired a learner"
        self.command("resume", "queue", *WHO)

    def summer_time(self) -> None:
        """At the two changes of the clock in Madrid, each night has one run, on the night that `config show` says.

        At half past two, which one night lacks and one night has twice, the two may say another hour of that night.
        """
        zone = ZoneInfo("Europe/Madrid")
        for start in (datetime(2027, 3, 27, 12, tzinfo=UTC), datetime(2027, 10, 30, 12, tzinfo=UTC)):
            for cron in ("30 1 * * *", "30 2 * * *", "30 3 * * *"):
                ours = timed(cron, zone.key).next_times(start)
                theirs = asyncio.run(CronSchedule(cron=cron, timezone=zone.key).get_dates(2, start))
                said, planned = ([each.astimezone(zone) for each in times] for times in (ours, theirs))
                if cron.startswith("30 2"):
                    said, planned = ([each.date() for each in times] for times in (said, planned))
                assert said == planned, f"{cron} from {start}: we say {said}, Prefect plans {planned}"
        self.say("both changes of summer time: each night has one run, on the night that we say")

    def everyone_is_where_they_should_be(self) -> list[str]:
        """What is wrong in the end, a sentence each."""
        self.until(lambda: not self._lacking(), f"scheduled runs that ended well of {', '.join(BY_THEMSELVES)}")
        wrong = [f"{name} is {state}" for name, state in self.platform.states().items() if state != "COMPLETE"]
        wrong += [f"left of a learner: {each}" for each in self.platform.residue()]
        if problem := verify(self.platform.ledger).problem:
            wrong.append(f"the ledger: {problem.sentence}")
        if (retired := self.retired()) != self.length.learners:
            wrong.append(f"{retired} of {self.length.learners} are retired")
        # Loss of the server or of its database is an error of its own, and no defect.
        wrong += [f"serve has ended with {code}" for code in self.service.ends if code != ExitCode.MISCONFIGURED]
        wrong += [f"{each['name']}: {each['state']['message']}" for each in self.watch.in_state(Defect.__name__)]
        if self.service.tracebacks:
            wrong.append(f"serve has printed {self.service.tracebacks} tracebacks")
        status = self.command("status")
        wrong += [f"{name}: {status[name]}" for name in ("errored", "paused_schedules", "overdue") if status[name]]
        wrong += [f"open: {each}" for each in status["questions"] if each["answer"] == "open"]
        return wrong

    def _lacking(self) -> list[str]:
        """Flows of which no scheduled run has ended well."""
        ended = {self.watch.flow(each) for each in self.watch.runs.values() if each["auto_scheduled"] and _well(each)}
        return [flow for flow in BY_THEMSELVES if flow not in ended]


def _well(run: dict[str, Any]) -> bool:
    return bool(run["state"]) and run["state"]["type"] == "COMPLETED"
