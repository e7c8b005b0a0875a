"""From a seed (docs/contract/sandbox.md) to rows: what each learner holds in every service.

A learner with a request gets the rows as they are after it, so seeding is one bulk insert for each table.
Beyond the format a learner may have `ecommerce` and `discovery` (true: the learner has a user there),
`proctoring_backends` (vendor to whether it obeys a deletion), `country` (of the profile; null: not given),
`is_staff` (of the account; no API shows it of others), `vendors` (names of the vendors that have data of the
learner, or "all"), `residue` (what a finished retirement has left, and nothing else; see `remains`), and `why`
(a sentence for readers).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.exc import StatementError

from retirement.sandbox.lms.erasure import UNUSABLE
from retirement.sandbox.lms.rows import created_text
from retirement.sandbox.planting import holdings, limits, remains
from retirement.sandbox.vendors import drive
from retirement.sandbox.world import schema
from retirement.sandbox.world.database import timestamp
from retirement.sandbox.world.identity import CLIENTS
from retirement.sandbox.world.people import People, Person
from retirement.sandbox.world.states import State, States

#: Accounts, profiles and retirement rows are numbered apart: code that takes one id for another fails.
FIRST_USER_ID, FIRST_PROFILE_ID, FIRST_RETIREMENT_ID = 101, 40001, 7001
_KEYS = frozenset(
    (
        *("username", "email", "name", "profile", "country", "is_staff", "account_retired"),
        *("state", "last_state", "requested_days_ago", "residue", "why"),
        *("enrollments", "forum", "notes", "proctoring", "proctoring_backends", "partner_report"),
        *("credentials", "licenses", "license_user", "ecommerce", "discovery"),
        "vendors",
    )
)
#: Of the platform's own accounts.
_EMPTY_PROFILE = dict.fromkeys(column.name for column in schema.profile.c if column.computed is None)


Rows = dict[Table, list[dict[str, Any]]]


def prepared(states: States, learners: Sequence[dict[str, Any]]) -> tuple[People, Rows]:
    """The learners in the order of the seed, and the rows of all, the platform's own accounts and states included.

    Raises `ValueError` with the reason for a seed that the database of a site would refuse.
    """
    people = _people(learners)
    limits.check_accounts(people)
    limits.check_states([state.name for state in states.all])
    rows: Rows = defaultdict(list)
    for person in people:
        _account(rows, person)
        if person.has_profile:
            rows[schema.profile].append(_profile(person))
        if person.requested:
            _request(rows, person, states)
        for table, row in holdings.of(person):
            rows[table].append({"learner": person.user_id, **row})
    for table, row in drive.holds(people):
        rows[table].append(row)
    _platform_accounts(rows)
    _states(rows, states)
    return {person.username: person for person in people}, rows


def plant(db: Connection, rows: Rows) -> None:
    """Inserts prepared rows; raises `ValueError` with the database's reason for one that it does not take."""
    for table, planted in rows.items():
        try:
            db.execute(table.insert(), planted)
        except StatementError as error:
            raise ValueError(f"{table.name} does not take a row of the seed: {error.orig}") from None


def _people(learners: Sequence[dict[str, Any]]) -> list[Person]:
    people: list[Person] = []
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
        people.append(Person(username, email, name, FIRST_USER_ID + number, retirement_id, seed))
    return people


def _account(rows: Rows, person: Person) -> None:
    retired = person.account_retired
    rows[schema.user].append(
        {
            "id": person.user_id,
            "learner": person.user_id,
            "username": person.current_username,
            "email": person.current_email,
            "first_name": "" if retired else "First",
            "last_name": "" if retired else "Last",
            "password": UNUSABLE if person.requested else f"password-of-{person.user_id}",
            "is_active": not retired,
            "is_staff": bool(person.seed.get("is_staff")),
            "date_joined": timestamp(days_ago=400),
        }
    )


def _profile(person: Person) -> dict[str, Any]:
    name = "" if "residue" in person.seed else person.name
    return {
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
            "current_state": _state(states, person.seed["state"]).id,
            "last_state": _state(states, person.seed.get("last_state", states.all[0].name)).id,
            "responses": created_text(states) + _told(person),
            "modified": created,
        }
    )
    rows[schema.retirement_request].append({"learner": person.user_id, "created": created})
    if report := person.seed.get("partner_report"):
        rows[schema.partner_report].append({**identity, "is_being_processed": report == "taken"})


def _state(states: States, name: str) -> State:
    try:
        return states.named(name)
    except KeyError:
        raise ValueError(f"unknown state of a learner: {name}") from None


def _told(person: Person) -> str:
    """What a driver wrote into the row that stores what services answer."""
    named = remains.RESPONSES in person.seed.get("residue", ())
    return f"\n404: no such user {person.email}" if named else ""


def _platform_accounts(rows: Rows) -> None:
    """The accounts that own the OAuth clients; they belong to no learner. The password is the client's secret."""
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
        rows[schema.profile].append(
            {**_EMPTY_PROFILE, "id": FIRST_PROFILE_ID + client.user_id, "learner": client.user_id, "name": ""}
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
