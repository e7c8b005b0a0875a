"""Drills: one story told on purpose, instead of by a seed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from retirement.connectors.openedx import Forum
from retirement.errors import Ending
from retirement.pipeline import COMPLETE, ERRORED, Pipeline
from retirement.pipeline.endings import Report
from retirement.sandbox import pipelines

from .cast import steps
from .processes import Plan
from .setting import HOUR, Setting
from .story import Story
from .virtual import Life, clear_graves
from .weather import Outage, Weather

LEARNERS = 200
#: The service that is down, and the step that calls it.
DOWN, STEP = "credentials", "RETIRING_CREDENTIALS"


class OutageStory(Story):
    """One service is down for an hour while 200 learners are retired; the schedule is all that helps."""

    def __init__(self, folder: Path) -> None:
        pipeline = Pipeline(tuple(steps(pipelines.PIPELINES["dag"])))
        weather = Weather(outages=(Outage(DOWN, "503", 30.0, 30.0 + HOUR),), clears=2 * HOUR)
        super().__init__(-1, folder, Setting(pipeline, "legacy", _crowd(), weather, _plan(pipeline)))
        self.reports: list[tuple[float, Report]] = []
        #: Steps that were proved beside the one that was down, as counted at the end of the outage.
        self.progress = 0
        self.loop.call_at(30.0 + HOUR, self._look)

    def disturb(self) -> None:
        """Nothing else happens."""

    def storm(self, random: Random) -> bool:
        """Nobody dies."""
        return False

    def reported(self, life: Life, report: Report) -> None:
        super().reported(life, report)
        self.reports.append((self.loop.time(), report))

    def _look(self) -> None:
        query = (
            "SELECT count(*) FROM attempt WHERE outcome IS NOT NULL AND step IN ('RETIRING_NOTES', 'RETIRING_FORUMS')"
        )
        ((self.progress,),) = self.witness.evidence.rows(query)


def _crowd() -> list[dict[str, Any]]:
    return [
        {
            "username": f"zoe-canary-{number}",
            "email": f"canary.{number}@canary-mail.example",
            "name": f"Zoë Canary{number}",
            "state": "PENDING",
            "requested_days_ago": 12 + number / 100,
            "enrollments": [{"org": "OrgA", "active": True}],
            "notes": 1,
            "proctoring": 1,
            "credentials": True,
            "licenses": ["activated"],
        }
        for number in range(LEARNERS)
    ]


def _plan(pipeline: Pipeline) -> Plan:
    return Plan(
        pipeline=pipeline,
        forum=Forum.AUTO,
        at_once=10,
        lease_seconds=120.0,
        attempts=4,
        task_retries=0,
        task_delay=60.0,
        breaker_learners=3,
        breaker_seconds=300.0,
        queue_period=HOUR,
        reconcile_period=HOUR,
    )


def outage() -> list[str]:
    """0 ERRORED, the other lanes progress, and everybody is COMPLETE without a command; what was not so."""
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        story = OutageStory(Path(folder))
        result = story.run()
        problems = list(result.problems)
        endings = [report.ending for _, report in story.reports]
        retired = sum(ending is Ending.RETIRED for ending in endings)
        if Ending.ERRORED in endings or any(f"-> {ERRORED}" in line for line in result.trace):
            problems.append("learners became ERRORED for a service that was down")
        if Ending.PARKED not in endings:
            problems.append("nobody met the outage: the drill proves nothing")
        if not story.progress:
            problems.append("no other step went on during the outage")
        if retired != LEARNERS:
            problems.append(f"{retired} of {LEARNERS} learners are {COMPLETE}")
    del story
    clear_graves()
    return problems


DRILLS: dict[str, Callable[[], list[str]]] = {"outage": outage}
