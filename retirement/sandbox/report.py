"""The truth per learner, straight from the database: what `GET /_sandbox/state` answers (docs/contract/sandbox.md)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, select

from retirement.sandbox.lms.erasure import UNUSABLE
from retirement.sandbox.residue import survivors
from retirement.sandbox.world import schema
from retirement.sandbox.world.people import People, Person
from retirement.sandbox.world.states import States

_PROFILE = (
    *("name", "meta", "location", "year_of_birth", "gender", "mailing_address"),
    *("city", "country", "bio", "phone_number", "goals", "level_of_education"),
)
_ORIGINAL = ("original_username", "original_email", "original_name")
_RETIREMENT = (*_ORIGINAL, "retired_username", "retired_email", "responses")


class Tables:
    """All rows of the tables that the report reads, by learner; each table is read once."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._read: dict[str, dict[int, list[RowMapping]]] = {}

    def rows(self, table: Table, person: Person) -> list[RowMapping]:
        if table.name not in self._read:
            grouped: dict[int, list[RowMapping]] = defaultdict(list)
            for row in self._db.execute(select(table).order_by(table.c.id)).mappings():
                grouped[row["learner"]].append(row)
            self._read[table.name] = grouped
        return self._read[table.name].get(person.user_id, [])

    def row(self, table: Table, person: Person) -> RowMapping | None:
        return next(iter(self.rows(table, person)), None)

    def has(self, table: Table, person: Person) -> bool:
        return bool(self.rows(table, person))


def state(db: Connection, states: States, people: People) -> dict[str, Any]:
    tables = Tables(db)
    kept = survivors(db, list(people.values()))
    return {
        "learners": {
            name: _learner(tables, states, person) | {"survives": kept[person.user_id]}
            for name, person in people.items()
        }
    }


def _learner(tables: Tables, states: States, person: Person) -> dict[str, Any]:
    return {
        "user_id": person.user_id,
        "account": _account(tables, person),
        "profile": _some(tables.row(schema.profile, person), _PROFILE),
        "retirement": _retirement(tables, states, person),
        "retirement_request": tables.has(schema.retirement_request, person),
        "partner_report": _some(tables.row(schema.partner_report, person), ("is_being_processed", *_ORIGINAL)),
        "enrollments": [
            {"org": row["org"], "active": row["is_active"]} for row in tables.rows(schema.enrollment, person)
        ],
        "forum": {"retired": any(row["retired"] for row in tables.rows(schema.forum_user, person))},
        "notes": len(tables.rows(schema.note, person)),
        "proctoring": [row["value"] for row in tables.rows(schema.allowance, person)],
        "credentials": _credentials(tables, person),
        "license_manager": _license_manager(tables, person),
    }


def _some(row: RowMapping | None, names: tuple[str, ...]) -> dict[str, Any] | None:
    return None if row is None else {name: row[name] for name in names}


def _account(tables: Tables, person: Person) -> dict[str, Any]:
    row = tables.rows(schema.user, person)[0]
    return {
        **{name: row[name] for name in ("username", "email", "is_active", "first_name", "last_name")},
        "usable_password": row["password"] != UNUSABLE,
        "registration": tables.has(schema.registration, person),
        "recovery_email": tables.has(schema.account_recovery, person),
        "pending_email": tables.has(schema.pending_email_change, person),
        "pending_name": tables.has(schema.pending_name_change, person),
        "social_links": len(tables.rows(schema.social_link, person)),
    }


def _retirement(tables: Tables, states: States, person: Person) -> dict[str, Any] | None:
    row = tables.row(schema.retirement, person)
    if row is None:
        return None
    return {
        "current_state": states[row["current_state"]].name,
        "last_state": states[row["last_state"]].name,
        **{name: row[name] for name in _RETIREMENT},
    }


def _credentials(tables: Tables, person: Person) -> dict[str, Any] | None:
    user = tables.row(schema.credentials_user, person)
    if user is None:
        return None
    awards = tables.rows(schema.user_credential, person)
    names = ("username", "email", "full_name", "first_name", "last_name")
    held = sum(award["username"] == user["username"] for award in awards)
    return {**{name: user[name] for name in names}, "awards": held}


def _license_manager(tables: Tables, person: Person) -> dict[str, Any]:
    history = tables.rows(schema.license_history, person)
    licenses = [
        {
            "status": row["status"],
            "email": row["user_email"],
            "lms_user_id": row["lms_user_id"],
            "emails_in_history": sum(
                past["license_id"] == row["id"] and past["user_email"] is not None for past in history
            ),
        }
        for row in tables.rows(schema.license_, person)
    ]
    return {"user": tables.has(schema.license_user, person), "licenses": licenses}


def complete(db: Connection, states: States) -> set[int]:
    """The user ids of all learners whose retirement is COMPLETE."""
    row = schema.retirement.c
    return set(db.execute(select(row.learner).where(row.current_state == states.named("COMPLETE").id)).scalars())
