"""The invariants, watched from outside: on the wire, in the LMS' rows, and in the ledger's file.

Nothing here asks our code what it thinks: rows are read from the platform's database and evidence from the
ledger's own tables.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from retirement.pipeline import COMPLETE, ERRORED, PENDING, Pipeline

from .realm import Realm, Standing
from .virtual import Life, MachineClock

OUTCOMES = frozenset({"erased", "absent", "accepted", "manual", "retained"})


class Violation(Exception):
    """An invariant does not hold; the first argument is its name."""


class Evidence:
    """The ledger's file, read past our code."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def rows(self, query: str, *values: object) -> list[Any]:
        """What a query finds; nothing before there is a ledger."""
        if self._connection is None:
            if not self.path.exists():
                return []
            self._connection = sqlite3.connect(self.path, isolation_level=None)
        return self._connection.execute(query, values).fetchall()

    def proved(self, row: Standing) -> set[str]:
        """The steps of this retirement that have an outcome which still counts."""
        found = self.rows(
            "SELECT step, outcome FROM attempt WHERE user_id = ? AND retirement_id = ? AND voided_at IS NULL",
            row.user_id,
            row.retirement_id,
        )
        return {step for step, outcome in found if outcome in OUTCOMES}

    def intended(self, row: Standing, step: str) -> tuple[str, str] | None:
        """When the step was announced last, if it has come to nothing yet, and the service that it calls."""
        found = self.rows(
            "SELECT began_at, service FROM attempt WHERE user_id = ? AND retirement_id = ? AND step = ?"
            " AND ended_at IS NULL ORDER BY id DESC LIMIT 1",
            row.user_id,
            row.retirement_id,
            step,
        )
        return (found[0][0], found[0][1]) if found else None

    def kept(self, user_id: int) -> bool:
        """Whether the last run of a learner began although a hold kept them."""
        query = (
            "SELECT 1 FROM hold JOIN learner USING (user_id) WHERE user_id = ? AND hold.service IS NULL"
            " AND released_at IS NULL AND placed_at < began_at"
            " AND began_at = (SELECT max(began_at) FROM learner WHERE user_id = hold.user_id)"
        )
        return bool(self.rows(query, user_id))

    def down_since(self, service: str) -> str | None:
        """When the breaker of a service opened; None while it is closed."""
        found = self.rows("SELECT since FROM breaker WHERE state = 'open' AND service = ?", service)
        return found[0][0] if found else None

    def announced(self, user_id: int, before: str, after: str) -> int:
        """How many moves from one state to another were written down."""
        found = self.rows("SELECT body FROM event WHERE user_id = ? AND kind = 'learner.moved'", user_id)
        facts = [json.loads(body)["facts"] for (body,) in found]
        return sum(fact.get("before") == before and fact.get("after") == after for fact in facts)

    def live(self, now: str) -> set[int]:
        """The user ids of learners whom somebody has a lease on."""
        found = self.rows("SELECT scope FROM lease WHERE scope LIKE 'learner:%' AND expires_at > ?", now)
        return {int(scope.partition(":")[2]) for (scope,) in found}

    def open_breakers(self) -> set[str]:
        """Services that are known to be down."""
        return {service for (service,) in self.rows("SELECT service FROM breaker WHERE state = 'open'")}

    def last_failures(self, user_id: int) -> list[str]:
        """The services of the attempts of this learner that failed, the last one last."""
        found = self.rows("SELECT service FROM attempt WHERE user_id = ? AND error IS NOT NULL ORDER BY id", user_id)
        return [service for (service,) in found]

    def close(self) -> None:
        """Lets the file go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass
class Call:
    """One request of a process of ours that erases something."""

    life: Life
    user_id: int
    step: str


@dataclass
class Witness:
    """Watches one seed."""

    realm: Realm
    pipeline: Pipeline
    evidence: Evidence
    clock: MachineClock
    may_refuse: bool
    #: Steps that lay behind a learner when we first saw their row, by retirement; restored and moved rows too.
    given: dict[tuple[int, int], set[str]] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    #: Announced calls that were sent once; `http` sends them again by itself, within seconds.
    sent: set[tuple[str, int, str, str]] = field(default_factory=set)
    #: The ledger could not be written for a while, so leases may have run out under a run that works.
    disk_was_full: bool = False
    announced: dict[tuple[int, str, str], int] = field(default_factory=dict)

    def accept(self, rows: Iterable[Standing]) -> None:
        """Takes rows as they are for given: the seed, an operator or a restored backup put them there."""
        for row in rows:
            finished = self.pipeline.finished_at(row.state)
            place = next((n for n, step in enumerate(self.pipeline) if step.start == row.state), 0)
            behind = finished if finished is not None else {step.name for step in self.pipeline.steps[:place]}
            if row.state == COMPLETE:
                behind = frozenset(step.name for step in self.pipeline)
            self.given[row.user_id, row.retirement_id] = set(behind)

    # -- on the wire ---------------------------------------------------------------------------------------

    def begins(self, life: Life, user_id: int, step: str) -> Call:
        """A call that erases something is about to arrive."""
        call = Call(life, user_id, step)
        row = self.realm.rows().get(user_id)
        if user_id in self.cancelled and row is None:
            raise Violation("I2", f"{life.name} calls {step} for {user_id}, who took the request back")
        if self.evidence.kept(user_id):
            raise Violation("hold", f"{life.name} calls {step} for {user_id}, whom a hold keeps")
        for other in self.calls:
            if other.user_id == user_id and other.life is not life and not other.life.dead:
                raise Violation("one live run", f"{life.name} and {other.life.name} call for {user_id} at once")
            if other.user_id == user_id and other.life is life and other.step == step:
                raise Violation("one live call", f"{life.name} calls {step} for {user_id} twice at once")
        if row is not None:
            self._in_the_ledger(life, row, step)
        self.calls.append(call)
        return call

    def _in_the_ledger(self, life: Life, row: Standing, step: str) -> None:
        what = f"{life.name} calls {step} for {row.user_id}"
        intent = self.evidence.intended(row, step)
        if intent is None:
            raise Violation("intent", f"{what} and the ledger knows of no intent")
        if step in self.evidence.proved(row):
            raise Violation("done twice", f"{what}, which is proved already")
        at, service = intent
        if (first := (life.name, row.user_id, step, at)) not in self.sent:
            self.sent.add(first)
            self._leased(life, row.user_id, what)
        since = self.evidence.down_since(service)
        if since is not None and since < at:
            raise Violation("breaker", f"{what} although {service} is known to be down")
        if life.told_to_stop is not None and life.told_to_stop < at:
            raise Violation("stop", f"{what} after it was told to stop")

    def _leased(self, life: Life, user_id: int, what: str) -> None:
        now = self.clock().isoformat(timespec="microseconds")
        mine = self.evidence.rows(
            "SELECT 1 FROM lease WHERE scope = ? AND holder = ? AND expires_at > ?",
            f"learner:{user_id}",
            f"holder-{life.name}",
            now,
        )
        if not mine and not self.disk_was_full:
            raise Violation("lease", f"{what} without the lease")

    def ends(self, call: Call) -> None:
        """The call is over, for the one who made it."""
        self.calls.remove(call)

    def moved(self, life: Life, before: Standing, after: Standing) -> None:
        """A row was moved by a process of ours."""
        user_id, order = before.user_id, self.realm.order
        if order[after.state] < order[before.state]:
            key = (user_id, before.state, after.state)
            self.announced[key] = self.announced.get(key, 0) + 1
            if self.evidence.announced(*key) < self.announced[key]:
                raise Violation("I3", f"{life.name} took {user_id} from {before.state} back to {after.state} unlogged")
        if after.state == ERRORED:
            self._errored(life, user_id)
        elif after.state != PENDING:
            self._not_ahead(life, after)

    def _errored(self, life: Life, user_id: int) -> None:
        if not self.may_refuse:
            raise Violation("transient", f"{life.name} sets {user_id} to ERRORED although nothing refused")
        down = self.evidence.open_breakers()
        if any(service in down for service in self.evidence.last_failures(user_id)[-1:]):
            raise Violation("I10", f"{life.name} sets {user_id} to ERRORED while the breaker is open")

    def _not_ahead(self, life: Life, row: Standing) -> None:
        place = next((n for n, step in enumerate(self.pipeline) if step.start == row.state), None)
        if row.state == COMPLETE:
            needed = {step.name for step in self.pipeline}
        elif place is not None:
            needed = {step.name for step in self.pipeline.steps[:place]}
        else:
            needed = set(self.pipeline.finished_at(row.state) or ())
        lacking = needed - self.evidence.proved(row) - self.given.get((row.user_id, row.retirement_id), set())
        if lacking:
            name = "I1" if row.state == COMPLETE else "not ahead"
            raise Violation(name, f"{life.name} moves {row.user_id} to {row.state} without {sorted(lacking)}")

    # -- in between and at the end -------------------------------------------------------------------------

    def orphans(self) -> list[Standing]:
        """Rows in a working state that nobody has a lease on."""
        live = self.evidence.live(self.clock().isoformat(timespec="microseconds"))
        working = set(self.pipeline.working_states)
        return [row for row in self.realm.rows().values() if row.state in working and row.user_id not in live]

    def order(self, life: Life) -> None:
        """I9: a run takes its learners on in the order of their slack."""
        query = "SELECT user_id, body FROM event WHERE kind = 'run.began' ORDER BY seq"
        mine = [
            user_id
            for user_id, body in self.evidence.rows(query)
            if json.loads(body)["facts"]["holder"] == f"holder-{life.name}"
        ]
        due = dict(self.evidence.rows("SELECT user_id, max(due_at) FROM learner GROUP BY user_id"))
        if mine != sorted(mine, key=lambda user_id: due[user_id]):
            raise Violation("I9", f"{life.name} began with {mine}, which is not the order of their deadlines")

    def runs(self, lease_seconds: float) -> None:
        """One live run for each learner, and nothing from a run that was overtaken, by the ledger's own entries."""
        fences: dict[int, int] = {}
        open_since: dict[int, datetime] = {}
        for at, kind, user_id, body in self.evidence.rows("SELECT at, kind, user_id, body FROM event ORDER BY seq"):
            facts, time = json.loads(body)["facts"], datetime.fromisoformat(at)
            if kind == "run.began":
                before = open_since.get(user_id)
                if before is not None and time < before + timedelta(seconds=lease_seconds):
                    raise Violation("one live run", f"a run began with {user_id} at {at}, in the lease of another one")
                open_since[user_id] = time
            elif kind in ("run.ended", "run.closed"):
                open_since.pop(user_id, None)
            if user_id is not None and "fence" in facts:
                if facts["fence"] < fences.get(user_id, 0):
                    raise Violation("fence", f"{kind} of {user_id} is from a run that was overtaken")
                fences[user_id] = facts["fence"]

    def canaries(self, texts: Sequence[str], names: Iterable[str]) -> None:
        """I8: nothing of any learner's identity in the ledger's files, the log or what was reported."""
        written = b"".join(path.read_bytes() for path in self.evidence.path.parent.glob(f"{self.evidence.path.name}*"))
        everything = written.lower() + b"\n".join(text.encode().lower() for text in texts)
        for name in names:
            for form in (name, json.dumps(name)[1:-1]):
                if form.lower().encode() in everything:
                    raise Violation("I8", "a learner's identity is in the ledger, the log or a report")
