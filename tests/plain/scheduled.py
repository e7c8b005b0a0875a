"""What each deployment is scheduled with, and what came of its scheduled run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from retirement.flows.deployments import OFFERS
from tests import patient
from tests.flows.conftest import Platform
from tests.night.service import FINAL, Watch
from tests.plain.server import Plain

#: Seconds that all scheduled runs may take to come and to end on a machine that is busy.
PATIENCE = 1200.0
#: Prefect plans the runs of a new schedule within a minute; the first ones are due after that.
LEAD = timedelta(seconds=75)
BASIS = {"go_on": True, "by": "night shift", "reason": "as rehearsed"}
EARLY = "the account is a test account"


def seed() -> dict[str, Any]:
    """Three learners are due; the others are in the cool-off, each for one deployment."""

    def learner(name: str, number: int, days: int) -> dict[str, Any]:
        return {
            "username": f"{name}-canary-{number}",
            "email": f"{name}.canary.{number}@mail{number % 3}.example",
            "name": f"{name.title()} Canary{number}",
            "state": "PENDING",
            "requested_days_ago": days,
            "enrollments": [{"org": "OrgA", "active": True}],
            "notes": 1,
            "credentials": True,
            "licenses": ["activated"],
        }

    due = [learner("due", number, 15) for number in range(3)]
    return {"learners": [*due, *(learner(name, 1, 1) for name in ("early", "held", "errored"))]}


@dataclass(frozen=True)
class Plan:
    """When a deployment runs, in minutes after the first ones, and with what."""

    minute: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    form: Mapping[str, Any] | None = None  #: what a person submits to a run that asks


def plans(ids: Callable[[str], int]) -> dict[str, Plan]:
    """One for each deployment; `ids` knows a learner's user id by the username."""
    early = {"user_id": ids("early-canary-1"), "before_cool_off_is_over": EARLY, "ask_first": False}
    return {
        "doctor": Plan(0),
        "digest": Plan(0),
        "queue": Plan(1),
        "reconcile": Plan(1),
        "learner": Plan(1, early),
        "request": Plan(1),
        "redrive": Plan(2, {"user_id": ids("errored-canary-1"), "dry_run": False}),
        "bulk-update": Plan(2, {"initial_state": "ABORTED"}),
        "replace-usernames": Plan(2),
        "replay": Plan(2),
        "backfill": Plan(2),
        "hold": Plan(2, {"user_id": ids("held-canary-1"), "until": "2999-12-31"}, form=BASIS),
        "breaker": Plan(2, {"service": "CREDENTIALS", "stop_calling": False}, form=BASIS),
        "partner-report": Plan(2),
        "expire-reports": Plan(2),
        "expire-texts": Plan(2),
        "verify": Plan(2),
        "cleanup": Plan(3),
    }


@dataclass
class Rehearsal:
    """The scheduled runs of one server."""

    plain: Plain
    platform: Platform
    watch: Watch
    plans: Mapping[str, Plan]
    _asked: set[str] = field(default_factory=set)
    _deployments: dict[str, str] = field(default_factory=dict)  #: the short name of each, by its id

    def schedule(self) -> None:
        """A cron line for each deployment, whose minute comes once an hour; the first ones first."""
        for offer in sorted(OFFERS, key=lambda each: self.plans[each.name].minute):
            plan = self.plans[offer.name]
            name = f"{offer.flow.name}/{offer.name}"
            # By the clock of now: on a busy machine the commands take minutes.
            due = datetime.now(UTC) + LEAD + timedelta(minutes=1 + plan.minute)
            self.plain.schedule(name, f"{due.minute} * * * *", plan.parameters)
            self._deployments[self.plain.deployment(name)["id"]] = offer.name

    def play(self) -> None:
        """Looks on, and answers what runs ask, until a scheduled run of each deployment has ended."""
        self.watch.until(self._all_ended, "a scheduled run of each deployment that has ended", PATIENCE)

    def _all_ended(self) -> bool:
        for run in self._scheduled():
            form = self.plans[self._deployments[run["deployment_id"]]].form
            if form and run["state"]["type"] == "PAUSED" and run["id"] not in self._asked:
                self._answer(run, form)
        return all(run and run["state"]["type"] in FINAL for run in self.ends().values())

    def _answer(self, run: Mapping[str, Any], form: Mapping[str, Any]) -> None:
        body = {"run_input": dict(form)}
        taken = patient.post(f"{self.plain.api}/flow_runs/{run['id']}/resume", json=body)
        if taken.is_success and taken.json()["status"] == "ACCEPT":
            self._asked.add(run["id"])
            self.plain.timeline.say(f"a person has submitted the form of {run['name']}")
        else:
            # SQLite is locked for a moment, or the form is not there yet; a person presses the button again.
            self.plain.timeline.say(f"the form of {run['name']} is not taken: {taken.text[-200:]}")

    def _scheduled(self) -> list[dict[str, Any]]:
        """The runs that Prefect's scheduler has made of our deployments and that have begun."""
        found = [each for each in self.watch.runs.values() if each["deployment_id"] in self._deployments]
        begun = [each for each in found if each["state"] and each["start_time"]]
        return [each for each in begun if (each["created_by"] or {}).get("type") == "SCHEDULE"]

    def ends(self) -> dict[str, dict[str, Any] | None]:
        """The scheduled run of each deployment: one that was completed, else the one that came furthest."""
        order = ("COMPLETED", *FINAL)

        def place(run: Mapping[str, Any]) -> int:
            kind = run["state"]["type"]
            return order.index(kind) if kind in order else len(order)

        found = sorted(self._scheduled(), key=place)
        of = self._deployments
        return {name: next((each for each in found if of[each["deployment_id"]] == name), None) for name in self.plans}

    def wrong(self) -> list[str]:
        """The deployments of which no scheduled run was completed, and learners who are not where they should be."""
        bad = [name for name, run in self.ends().items() if not run or run["state"]["type"] != "COMPLETED"]
        states = self.platform.states()
        left = [name for name, state in states.items() if name.startswith(("due", "early")) and state != "COMPLETE"]
        return [
            *(f"no scheduled run of {name} is COMPLETED" for name in bad),
            *(f"{name} is {states[name]}" for name in left),
        ]

    def table(self) -> list[str]:
        """A line for each deployment."""
        rows = [("deployment", "made by", "planned", "began", "type", "name", "message")]
        for name, run in self.ends().items():
            if run is None:
                rows.append((name, "", "", "", "none", "", ""))
                continue
            maker, state = run["created_by"], run["state"]
            message = (state["message"] or "")[:60]
            times = (run["expected_start_time"][11:19], run["start_time"][11:19])
            rows.append(
                (name, f"{maker['type']} {maker['display_value']}", *times, state["type"], state["name"], message)
            )
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
