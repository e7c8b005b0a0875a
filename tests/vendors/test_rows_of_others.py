"""No statement that loads touches a row of another learner: tried on real databases, with names that mean patterns."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from sqlalchemy import Engine, create_engine, make_url, text

from retirement.connectors.sql import GenericSql, GenericSqlSettings
from retirement.errors import RetirementError
from retirement.learner import Learner
from retirement.wire.api import Api, Retry
from retirement.wire.auth import lms_tokens
from retirement.wire.pool import pool
from retirement.wire.wiring import Wiring
from tests.ledger.conftest import administered, postgresql
from tests.unit.test_privacy import NOBODY

__all__ = ["postgresql"]

#: Usernames, addresses and names that are patterns, nearly the same, or another learner's in part.
USERNAMES = ("ana_x", "anaBx", "ANA_X", "ana-x", "an", "%", "018", "17abc", "josé", "jose", "o'b")
DOMAINS = ("%@gmail.example", "a@gmail.example", "A@gmail.example", "_@gmail.example", "b@x.example", "o'b@x.example")
NAMES = ("Ana", "Ana", "%", "x) OR (1=1")

WIDE = "DELETE FROM badge WHERE "
COLUMNS = st.sampled_from(["user_id", "username", "email", "full_name", "'x'", "lower(username)", "1"])
VALUES = st.sampled_from(
    [
        *(":user_id", ":username", ":email", ":name", ":retired_username", "'%'", "1", "NULL"),
        *("CAST(:user_id AS TEXT)", "lower(:username)", "':username'"),
        "(SELECT username FROM badge WHERE user_id = :user_id)",
    ]
)
OPERATORS = st.sampled_from(["=", "=", "=", "=", "!=", "<>", "LIKE", "NOT LIKE", ">=", "<", "IS NOT"])
ATOMS = st.one_of(
    st.builds(lambda *parts: " ".join(parts), COLUMNS, OPERATORS, VALUES),
    st.builds(lambda column, value: f"{column} IN ({value})", COLUMNS, VALUES),
    st.sampled_from(["full_name IS NULL", ":email IS NOT NULL", "1 = 1", "kind IN ('a', 'b')", "kind = 'a'"]),
)
#: What loads where one part of it is an identity, and what seldom does.
PLAIN = st.sampled_from(
    [
        *("user_id = :user_id", "username = :username", ":email = email", "(full_name = :name)", "kind = 'a'"),
        *("user_id = :username", "username = CAST(:user_id AS TEXT)", "email = :username", "username = :email"),
    ]
)
CONJUNCTIONS = st.lists(PLAIN, min_size=1, max_size=3).map(" AND ".join)
MIXED = st.lists(PLAIN | ATOMS, min_size=1, max_size=3).map(" AND ".join)
CONDITIONS = st.one_of(
    CONJUNCTIONS,
    CONJUNCTIONS,
    CONJUNCTIONS,
    CONJUNCTIONS,
    MIXED,
    st.builds(lambda one, two: f"{one} OR {two}", CONJUNCTIONS, MIXED),
    st.builds(lambda one, two: f"({one}) AND NOT ({two})", MIXED, MIXED),
)
STATEMENTS = st.builds(
    lambda head, condition, tail: head + condition + tail,
    st.sampled_from(
        [
            *["DELETE FROM badge WHERE "] * 5,
            "DELETE FROM badge b WHERE ",
            *["UPDATE badge SET username = 'gone' WHERE "] * 5,
            "UPDATE badge SET username = 'gone', kind = (SELECT max(kind) FROM badge WHERE user_id = :user_id) WHERE ",
            "DELETE FROM badge USING badge other WHERE ",
            "UPDATE badge SET kind = 'gone' FROM badge other WHERE ",
        ]
    ),
    CONDITIONS,
    st.sampled_from([*[""] * 18, " RETURNING user_id", " LIMIT 1"]),
)
TABLE = (
    "CREATE TABLE badge (user_id {number}, username {text}, email {text}, full_name TEXT, kind TEXT)",
    "INSERT INTO badge VALUES (:user_id, :username, :email, :full_name, :kind)",
)


def people() -> list[dict[str, Any]]:
    """One row of each; user ids, usernames and addresses are of one learner each."""
    names = itertools.cycle(NAMES)
    return [
        {"user_id": 16 + n, "username": username, "email": email, "full_name": next(names), "kind": "ab"[n % 2]}
        for n, (username, email) in enumerate(zip(USERNAMES, itertools.chain(DOMAINS, _more()), strict=False))
    ]


def _more() -> Iterator[str]:
    return (f"m{n}@gmail.example" for n in itertools.count())


PEOPLE = people()


def learner(row: dict[str, Any]) -> Learner:
    """The learner of a row, as the LMS describes them."""
    own = {"user_id": row["user_id"], "username": row["username"], "email": row["email"], "name": row["full_name"]}
    return replace(NOBODY, **own, retired_username=f"retired__user_{row['user_id']}")


def wiring() -> Wiring:
    """For a connector that sends nothing."""
    nowhere = Api("LMS", pool("http://offline.invalid", 1), retry=Retry())
    return Wiring(lambda url: pool(url, 1), lms_tokens(nowhere, "id", SecretStr("made-up")))


@pytest.fixture(
    params=[
        "sqlite",
        "sqlite without case",
        # One worker has the server.
        "postgresql",
    ]
)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An address of an empty table; one SQLite takes all cases for the same, and `17` for 17."""
    kind = request.param
    if kind != "postgresql":
        sloppy = {"number": "TEXT", "text": "TEXT COLLATE NOCASE"}
        types = sloppy if "case" in kind else {"number": "INTEGER", "text": "TEXT"}
        with sqlite3.connect(tmp_path / "plugin.sqlite") as db:
            db.execute(TABLE[0].format(**types))
        yield f"sqlite:///{tmp_path / 'plugin.sqlite'}"
        return
    server = request.getfixturevalue("postgresql")
    with administered(server) as connection:
        connection.execute(text("CREATE DATABASE plugin"))
        yield make_url(server).set(database="plugin").render_as_string(hide_password=False)
        connection.execute(text("DROP DATABASE plugin WITH (FORCE)"))


def rows_of(engine: Engine) -> set[tuple[Any, ...]]:
    with engine.connect() as link:
        return {tuple(row) for row in link.execute(text("SELECT * FROM badge"))}


def filled_again(engine: Engine) -> set[tuple[Any, ...]]:
    """The table with one row of each learner, and a second one of the first."""
    with engine.begin() as link:
        link.execute(text("DELETE FROM badge"))
        link.execute(text(TABLE[1]), [*PEOPLE, {**PEOPLE[0], "kind": "b"}])
    return rows_of(engine)


def of(rows: set[tuple[Any, ...]], user_id: int, *, others: bool) -> set[tuple[Any, ...]]:
    return {row for row in rows if (int(row[0]) != user_id) is others}


def run(address: str, row: dict[str, Any], statement: str, **more: Any) -> bool:
    """Performs the statement for the learner of a row; False where the settings do not load."""
    try:
        own = GenericSqlSettings(database=SecretStr(address), statements=(statement,), **more)
    except ValidationError:
        return False

    async def perform() -> None:
        connector = GenericSql.connected("PLUGIN", own, wiring())
        try:
            await connector.perform("erase", learner(row))
        finally:
            await connector.close()

    # A statement that its database does not take is told, and one that reaches too far is refused.
    with suppress(RetirementError):
        asyncio.run(perform())
    return True


def test_no_statement_that_loads_touches_a_row_of_another_learner(database: str) -> None:
    """Whatever the condition says, and whatever the learner is called."""
    engine = create_engine(database)
    if engine.dialect.name == "postgresql":
        with engine.begin() as link:
            link.execute(text(TABLE[0].format(number="BIGINT", text="TEXT")))
    loaded = itertools.count()

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(STATEMENTS, st.sampled_from(PEOPLE))
    def holds(statement: str, row: dict[str, Any]) -> None:
        before = filled_again(engine)
        if run(database, row, statement):
            next(loaded)
        assert of(rows_of(engine), row["user_id"], others=True) == of(before, row["user_id"], others=True)

    holds()
    engine.dispose()
    assert next(loaded) > 10


@pytest.mark.parametrize(
    "condition",
    [
        "email LIKE :email",
        "username LIKE :username",
        "username != :username",
        "username NOT IN (:username)",
        "user_id >= :user_id",
        "user_id = :user_id OR 1=1",
        ":email IS NOT NULL",
        "user_id = :user_id AND NOT kind = 'a'",
        "user_id = :user_id AND full_name IS NULL",
        "user_id IN (SELECT user_id FROM badge WHERE username = :username)",
        "lower(username) = lower(:username)",
    ],
)
def test_a_wide_condition_needs_its_reason(condition: str) -> None:
    """The line says which part it is; with a reason it loads."""
    broad: Callable[..., GenericSqlSettings] = GenericSqlSettings
    own = {"database": "sqlite:///x.sqlite", "statements": [WIDE + condition]}
    with pytest.raises(ValidationError, match=r"statement 1 may touch others: it has .*allow_broad: REASON"):
        broad(**own)
    assert broad(**own, allow_broad="child rows have no other key").rows[0].breadth
