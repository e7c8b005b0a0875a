"""The simulated platform in virtual time, and what people other than us do to it.

The sandbox stamps rows with the machine's clock; here every stamp is moved into virtual time, because our code
compares it with its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Table, select

from retirement.sandbox import residue
from retirement.sandbox.lms.rows import create_request
from retirement.sandbox.platform import Platform
from retirement.sandbox.wire import Answer, Request
from retirement.sandbox.world import schema
from retirement.sandbox.world.identity import CLIENTS
from retirement.sandbox.world.tokens import access_token

from .virtual import EPOCH, VirtualLoop

_YEAR = 366 * 24 * 3600
#: The tables that come back with a backup of the LMS.
_LMS_TABLES = [table for table in schema.metadata.sorted_tables if table.info["service"] == "lms"]


@cache
def platform() -> Platform:
    """One platform for all seeds of this process: making its tables takes longer than a whole seed."""
    return Platform()


@cache
def _driver() -> sqlite3.Connection:
    """The connection below SQLAlchemy: rows are looked at so often that its price counts."""
    with platform().world.database.transaction() as db:
        connection = db.connection.driver_connection
    assert isinstance(connection, sqlite3.Connection)
    return connection


@cache
def _token(lifetime: int) -> str:
    return access_token(CLIENTS["worker"], lifetime, "read write email profile")


def stamp(moment: datetime) -> str:
    """A moment as the APIs write it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class Standing:
    """A retirement row as it is now."""

    user_id: int
    retirement_id: int
    state: str
    username: str


class Realm:
    """The platform of one seed."""

    def __init__(self, loop: VirtualLoop, learners: Sequence[Mapping[str, Any]], states: Sequence[str], forum: str):
        self.loop = loop
        self.platform = platform()
        self.platform.seed(
            {"learners": [dict(each) for each in learners], "states": list(states), "settings": {"forum": forum}}
        )
        self.order = {state.name: state.order for state in self.platform.world.states.all}
        self.names = {person.user_id: person.username for person in self.platform.world.people.values()}
        self._retirements = 9000
        self._backup: dict[Table, list[dict[str, Any]]] = {}
        self._tokens: dict[str, float] = {}
        for person in self.platform.world.people.values():
            asked = EPOCH - timedelta(days=float(person.seed.get("requested_days_ago", 30)))
            self._sql(
                "UPDATE user_api_userretirementstatus SET created = ?, modified = ? WHERE learner = ?",
                asked,
                asked,
                person.user_id,
            )

    def _sql(self, statement: str, *values: object) -> list[Any]:
        prepared = tuple(stamp(value) if isinstance(value, datetime) else value for value in values)
        return _driver().execute(statement, prepared).fetchall()

    @property
    def now(self) -> datetime:
        """The platform's own clock, which nobody sets."""
        return EPOCH + timedelta(seconds=self.loop.time())

    # -- answering -----------------------------------------------------------------------------------------

    async def answer(self, app: str, request: Request) -> Answer:
        """Does a request, with tokens that grow old in virtual time."""
        word, _, number = request.headers.get("authorization", "").partition(" ")
        if word == "JWT":
            good = self._tokens.get(number, 0.0) > self.loop.time()
            request.headers["authorization"] = f"JWT {_token(_YEAR if good else -3600)}"
        answer = await self.platform.services[app].answer(request)
        if request.method == "PATCH":
            # Whatever the machine's clock wrote lies far ahead of virtual time.
            self._sql(
                "UPDATE user_api_userretirementstatus SET modified = ? WHERE modified > ?",
                self.now,
                EPOCH + timedelta(days=365),
            )
        return answer

    def grant(self, lifetime: float) -> dict[str, Any]:
        """A token in place of the one that the sandbox gave out."""
        number = str(len(self._tokens) + 1)
        self._tokens[number] = self.loop.time() + lifetime
        return {"access_token": number, "expires_in": lifetime, "token_type": "JWT", "scope": "read write"}

    def revoke(self) -> None:
        """Every token that is out is worth nothing any more."""
        self._tokens.clear()

    # -- the truth -----------------------------------------------------------------------------------------

    def rows(self) -> dict[int, Standing]:
        """Every retirement row, by user id."""
        found = self._sql("SELECT learner, id, current_state, original_username FROM user_api_userretirementstatus")
        states = self.platform.world.states
        return {row[0]: Standing(row[0], row[1], states[row[2]].name, row[3]) for row in found}

    def residue(self) -> dict[int, list[str]]:
        """What is left of learners in COMPLETE, by user id, as `table.column`."""
        done = {row.user_id for row in self.rows().values() if row.state == "COMPLETE"}
        people = [person for person in self.platform.world.people.values() if person.user_id in done]
        with self.platform.world.database.transaction() as db:
            found = residue.residue(db, people)
        return {
            user_id: sorted({f"{place['table']}.{place['column']}" for place in places})
            for user_id, places in found.items()
            if places
        }

    # -- what others do ------------------------------------------------------------------------------------

    def cancel(self, user_id: int) -> bool:
        """The learner takes the request back, as `cancel_retirement` does; only in PENDING."""
        row = self.rows().get(user_id)
        if row is None or row.state != "PENDING":
            return False
        email = next(each.email for each in self.platform.world.people.values() if each.user_id == user_id)
        self._sql("UPDATE auth_user SET email = ? WHERE id = ?", email, user_id)
        self._sql("DELETE FROM user_api_userretirementstatus WHERE learner = ?", user_id)
        self._sql("DELETE FROM user_api_userretirementrequest WHERE learner = ?", user_id)
        return True

    def ask_again(self, user_id: int) -> bool:
        """Somebody who took their request back makes another, with a row of its own number."""
        if user_id in self.rows():
            return False
        with self.platform.world.database.transaction() as db:
            create_request(db, self.platform.world.states, user_id)
        self._retirements += 1
        asked = self.now
        self._sql(
            "UPDATE user_api_userretirementstatus SET id = ?, created = ?, modified = ? WHERE learner = ?",
            self._retirements,
            asked,
            asked,
            user_id,
        )
        return True

    def force(self, user_id: int, state: str) -> None:
        """An operator sets a row's state in the LMS' admin, past everything."""
        number = self.platform.world.states.named(state).id
        self._sql(
            "UPDATE user_api_userretirementstatus SET last_state = current_state, current_state = ?, modified = ?"
            " WHERE learner = ?",
            number,
            self.now,
            user_id,
        )

    def back_up(self) -> None:
        """Keeps a copy of everything that the LMS holds."""
        with self.platform.world.database.transaction() as db:
            stored = {table: [column for column in table.c if column.computed is None] for table in _LMS_TABLES}
            self._backup = {
                table: [dict(row) for row in db.execute(select(*columns)).mappings()]
                for table, columns in stored.items()
            }

    def restore(self) -> bool:
        """The LMS comes back from the copy; the other services know nothing of it."""
        if not self._backup:
            return False
        with self.platform.world.database.transaction() as db:
            for table, rows in self._backup.items():
                db.execute(table.delete())
                if rows:
                    db.execute(table.insert(), rows)
        return True
