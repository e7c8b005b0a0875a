"""From a seed (FORMAT.md) to rows: what each learner holds in every service.

A learner with a request gets the rows as they are after it, so seeding is one bulk insert for each table.
Beyond the format a learner may have `ecommerce` and `discovery` (true: a user there), `proctoring_backends`
(vendor to whether it obeys a deletion), `country` (of the profile; null: not given), `is_staff` (of the account;
no API tells it of others), `vendors` (names of those who know the learner, or "all"), `residue` (what a
finished retirement has left, and nothing else; see `remains`), and `why` (a sentence for readers).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table

from retirement.sandbox import holdings, remains, schema
from retirement.sandbox.database import timestamp
from retirement.sandbox.erasure import UNUSABLE
from retirement.sandbox.identity import CLIENTS, anonymous_id, retired_email, retired_username
from retirement.sandbox.rows import created_text
from retirement.sandbox.states import States

#: Accounts, profiles and retirement rows are numbered apart: whoever takes one id for another is found out.
FIRST_USER_ID, FIRST_PROFILE_ID, FIRST_RETIREMENT_ID = 101, 40001, 7001
_KEYS = frozenset(
    (
        *("username", "email", "name", "state", "last_state", "requested_days_ago", "account_retired", "why"),
        *("enrollments", "forum", "notes", "proctoring", "proctoring_backends", "partner_report"),
        *("credentials", "licenses", "license_user", "ecommerce", "discovery"),
        *("country", "is_staff", "vendors", "residue"),
    )
)


@dataclass(frozen=True)
class Person:
    """A learner as seeded: the identity that residue is looked for by, and the ids the server gave."""

    username: str
    email: str
    name: str
    user_id: int
    retirement_id: int | None
    seed: dict[str, Any] = field(repr=False)

    @property
    def requested(self) -> bool:
        return self.retirement_id is not None

    @property
    def account_retired(self) -> bool:
        return bool(self.seed.get("account_retired", "residue" in self.seed))

    @property
    def retired_username(self) -> str:
        return retired_username(self.username)

    @property
    def retired_email(self) -> str:
        return retired_email(self.email)

    @property
    def current_username(self) -> str:
        return self.retired_username if self.account_retired else self.username

    @property
    def anonymous_id(self) -> str:
        return anonymous_id(self.user_id)


People = dict[str, Person]
Rows = dict[Table, list[dict[str, Any]]]


def plant(db: Connection, states: States, learners: Sequence[dict[str, Any]]) -> People:
    """Inserts the platform's own accounts, its states, and all learners in the order of the seed."""
    rows: Rows = defaultdict(list)
    people = {}
    retirements = 0
    for number, seed in enumerate(learners):
        if unknown := seed.keys() - _KEYS:
            raise ValueError(f"unknown key of a learner: {', '.join(sorted(unknown))}")
        username, retirement_id = seed["username"], None
        if seed.get("state"):
            retirement_id = FIRST_RETIREMENT_ID + retirements
            retirements += 1
        email = seed.get("email", f"{username}@example.com")
        name = seed.get("name", "Some Learner")
        person = Person(username, email, name, FIRST_USER_ID + number, retirement_id, seed)
        people[username] = person
        _account(rows, person)
        if person.requested:
            _request(rows, person, states)
        for table, row in holdings.of(person):
            rows[table].append({"learner": person.user_id, **row})
    _platform_accounts(rows)
    _states(rows, states)
    for table, planted in rows.items():
        db.execute(table.insert(), planted)
    return people


def _account(rows: Rows, person: Person) -> None:
    retired = person.account_retired
    name = "" if "residue" in person.seed else person.name
    rows[schema.user].append(
        {
            "id": person.user_id,
            "learner": person.user_id,
            "username": person.current_username,
            "email": person.retired_email if person.requested or retired else person.email,
            "first_name": "" if retired else "First",
            "last_name": "" if retired else "Last",
            "password": UNUSABLE if person.requested else f"password-of-{person.user_id}",
            "is_active": not retired,
            "is_staff": bool(person.seed.get("is_staff")),
            "date_joined": timestamp(days_ago=400),
        }
    )
    rows[schema.profile].append(
        {
            "id": FIRST_PROFILE_ID + person.user_id,
            "learner": person.user_id,
            "name": name,
            "meta": json.dumps({"nickname": name}, ensure_ascii=False),
            "location": "Springfield, Ohio",
            "year_of_birth": 1990,
            "gender": "o",
            "mailing_address": f"{name}, 1 Main Street",
            "city": "Springfield",
            "country": person.seed.get("country", "ES"),
            "bio": f"I am {name}.",
            "phone_number": "+34600000000",
            "goals": "learn",
            "level_of_education": "m",
            "language": "es",
            "profile_image_uploaded_at": timestamp(days_ago=300),
        }
    )


def _request(rows: Rows, person: Person, states: States) -> None:
    created = timestamp(days_ago=float(person.seed.get("requested_days_ago", 30)))
    identity = {
        "learner": person.user_id,
        "original_username": person.username,
        "original_email": person.email,
        "original_name": person.name,
        "created": created,
    }
    rows[schema.retirement].append(
        {
            **identity,
            "id": person.retirement_id,
            "retired_username": person.retired_username,
            "retired_email": person.retired_email,
            "current_state": states.named(person.seed["state"]).id,
            "last_state": states.named(person.seed.get("last_state", states.all[0].name)).id,
            "responses": created_text(states) + _told(person),
            "modified": created,
        }
    )
    rows[schema.retirement_request].append({"learner": person.user_id, "created": created})
    if report := person.seed.get("partner_report"):
        rows[schema.partner_report].append({**identity, "is_being_processed": report == "taken"})


def _told(person: Person) -> str:
    """What a driver wrote into the row that stores what services answer."""
    named = remains.RESPONSES in person.seed.get("residue", ())
    return f"\n404: no such user {person.email}" if named else ""


def _platform_accounts(rows: Rows) -> None:
    """The accounts that own the OAuth clients; nobody's learner. The password is the client's secret."""
    for client in CLIENTS.values():
        rows[schema.user].append(
            {
                "id": client.user_id,
                "learner": client.user_id,
                "username": client.username,
                "email": f"{client.username}@example.org",
                "first_name": "",
                "last_name": "",
                "password": client.client_secret,
                "is_active": True,
                "is_staff": client.is_superuser,
                "date_joined": timestamp(days_ago=1000),
            }
        )


def _states(rows: Rows, states: States) -> None:
    for state in states.all:
        rows[schema.retirement_state].append(
            {
                "id": state.id,
                "state_name": state.name,
                "state_execution_order": state.order,
                "is_dead_end_state": state.dead_end,
                "required": state.required,
            }
        )
