"""The ledger's file as the witness reads it: past our code, also where it was moved or replaced under a run."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .realm import Standing
from .virtual import Life

OUTCOMES = frozenset({"erased", "absent", "accepted", "manual", "retained"})
#: Device and inode of a file.
Place = tuple[int, int]


@dataclass
class Evidence:
    """What a ledger's file says; `place` None: the file that is in the ledger's place now."""

    path: Path
    place: Place | None = None
    #: A connection to each file that was ever there, and the last entry of those that were taken away.
    opened: dict[Place, sqlite3.Connection] = field(default_factory=dict)
    taken: dict[Place, int] = field(default_factory=dict)

    def here(self) -> Place | None:
        """The file that is in the ledger's place now; None where there is none."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        place = found.st_dev, found.st_ino
        if place not in self.opened:
            self.opened[place] = sqlite3.connect(self.path, isolation_level=None)
        return place

    def of(self, life: Life) -> Evidence:
        """What the file says that a process has opened."""
        return Evidence(self.path, life.ledger if life.ledger in self.opened else None, self.opened, self.taken)

    def take(self) -> None:
        """Notes that the file is taken away: what is written to it from now on is no evidence."""
        if place := self.here():
            self.taken[place] = self.head()

    def put(self) -> None:
        """Notes that the ledger is in its place again."""
        if place := self.here():
            self.taken.pop(place, None)

    def rows(self, query: str, *values: object) -> list[Any]:
        """What a query finds; nothing where there is no ledger."""
        place = self.place or self.here()
        if place is None:
            return []
        try:
            return self.opened[place].execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # a process of ours has made the file, and refused to begin
                return []
            raise

    def head(self) -> int:
        """The number of the last entry."""
        ((number,),) = self.rows("SELECT coalesce(max(seq), 0) FROM event") or [(0,)]
        return int(number)

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
            " AND ended_at IS NULL AND id <= ? ORDER BY id DESC LIMIT 1",
            row.user_id,
            row.retirement_id,
            step,
            self.taken.get(self.place or (0, 0), 2**62),
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

    def leased(self, life: Life, user_id: int, now: str) -> bool:
        """Whether a process has the lease of a learner."""
        query = "SELECT 1 FROM lease WHERE scope = ? AND holder = ? AND expires_at > ?"
        return bool(self.rows(query, f"learner:{user_id}", f"holder-{life.name}", now))

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
        """The user ids of learners whom a run has a lease on."""
        found = self.rows("SELECT scope FROM lease WHERE scope LIKE 'learner:%' AND expires_at > ?", now)
        return {int(scope.partition(":")[2]) for (scope,) in found}

    def open_breakers(self) -> set[str]:
        """Services that are known to be down."""
        return {service for (service,) in self.rows("SELECT service FROM breaker WHERE state = 'open'")}

    def last_failure(self, user_id: int) -> str | None:
        """The service at which the last attempt of this learner failed; None where it answered with a refusal."""
        query = "SELECT service, error FROM attempt WHERE user_id = ? AND error IS NOT NULL ORDER BY id DESC LIMIT 1"
        found = self.rows(query, user_id)
        return found[0][0] if found and found[0][1] != "Refused" else None

    def retired(self) -> set[tuple[int, int]]:
        """The retirements that the ledger calls retired, as user id and retirement."""
        return {
            (row[0], row[1]) for row in self.rows("SELECT user_id, retirement_id FROM learner WHERE ending = 'retired'")
        }

    def close(self) -> None:
        """Lets the files go."""
        for connection in self.opened.values():
            connection.close()
        self.opened.clear()
