"""Looks for what is left of a learner in every text column of every service.

What is found is either residue, or a survivor: a place of which the contract says that no call of the
pipeline clears it, or not before the cleanup of the queues.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, RowMapping, Select, String, Table, bindparam, select

from retirement.sandbox.vendors import VENDORS
from retirement.sandbox.world import schema
from retirement.sandbox.world.people import Person

#: A service, a table, a column, and what it holds: username, email or name.
Place = dict[str, str]


def _always(row: RowMapping) -> bool:
    return True


def _never_activated(row: RowMapping) -> bool:
    return row["lms_user_id"] is None


_COPIES = ("original_username", "original_email", "original_name")
#: Column, and the condition under which its rows survive by contract.
SURVIVORS: dict[Column[Any], Callable[[RowMapping], bool]] = {
    # Until retirement_cleanup and the partner cleanup (lms.md 5.5).
    **{schema.retirement.c[name]: _always for name in _COPIES},
    **{schema.partner_report.c[name]: _always for name in _COPIES},
    # "Never erased", and a handler that looks for the wrong e-mail (lms.md 5.2, 5.3).
    schema.credit_eligibility.c.username: _always,
    schema.pending_enterprise_user.c.user_email: _always,
    # Replacing a username leaves these (services.md A1.3, A2.2, A3.2).
    schema.credentials_user.c.email: _always,
    schema.ecommerce_user.c.email: _always,
    schema.ecommerce_user.c.full_name: _always,
    schema.sdn_failure.c.full_name: _always,
    schema.discovery_user.c.email: _always,
    schema.discovery_user.c.full_name: _always,
    # The gap: licences assigned by e-mail, with their histories (services.md A4).
    schema.license_.c.user_email: _never_activated,
    schema.license_history.c.user_email: _never_activated,
    **{column: when for vendor in VENDORS.values() for column, when in vendor.survivors.items()},
}


@cache
def _searched() -> list[tuple[Table, list[Column[Any]]]]:
    """Every table with its columns of text; asked late, when all tables are known."""
    return [
        (table, [column for column in table.c if isinstance(column.type, String)])
        for table in schema.metadata.sorted_tables
        if table is not schema.retirement_state
    ]


@cache
def _of_one(table: Table) -> Select[Any]:
    """One learner's rows of a table; building a hundred queries anew takes longer than asking them."""
    return select(table).where(table.c.learner == bindparam("wanted"))


class Search:
    """Finds one learner's username, e-mail and name, in any case, but not inside of longer words."""

    def __init__(self, person: Person) -> None:
        # The e-mail first: it often contains the username, and one place is then named once.
        wanted = {"email": person.email, "name": person.name, "username": person.username}
        words = "|".join(f"(?P<{what}>{re.escape(text)})" for what, text in wanted.items() if text)
        self._pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)

    def kinds(self, text: str) -> list[str]:
        return list(dict.fromkeys(match.lastgroup or "" for match in self._pattern.finditer(text)))


def residue(db: Connection, people: Sequence[Person], service: str | None = None) -> dict[int, list[Place]]:
    """By user id: the places, of all services or of one, that a finished retirement should have cleared."""
    searched = [(table, columns) for table, columns in _searched() if service in (None, table.info["service"])]
    return _found(db, people, lambda column, row: not _survives(column, row), searched)


def survivors(db: Connection, people: Sequence[Person]) -> dict[int, list[Place]]:
    """By user id: the places that hold the learner's identity although the contract lets them."""
    kept = [(table, [column for column in columns if column in SURVIVORS]) for table, columns in _searched()]
    return _found(db, people, _survives, [(table, columns) for table, columns in kept if columns])


def _survives(column: Column[Any], row: RowMapping) -> bool:
    return column in SURVIVORS and SURVIVORS[column](row)


def _found(
    db: Connection,
    people: Sequence[Person],
    counts: Callable[[Column[Any], RowMapping], bool],
    searched: Sequence[tuple[Table, list[Column[Any]]]],
) -> dict[int, list[Place]]:
    """One query for each table, each place once."""
    searches = {person.user_id: Search(person) for person in people}
    found: dict[int, list[Place]] = {user_id: [] for user_id in searches}
    for table, columns in searched:
        for row in _rows(db, table, searches):
            places = found[row["learner"]]
            for column in columns:
                text = row[column.name]
                if not text or not counts(column, row):
                    continue
                for what in searches[row["learner"]].kinds(text):
                    place = {"service": table.info["service"], "table": table.name, "column": column.name}
                    if (named := place | {"what": what}) not in places:
                        places.append(named)
    return found


def _rows(db: Connection, table: Table, wanted: Collection[int]) -> Iterator[RowMapping]:
    if len(wanted) == 1:
        found = db.execute(_of_one(table), {"wanted": next(iter(wanted))})
    else:
        found = db.execute(select(table))
    return (row for row in found.mappings() if row["learner"] in wanted)
