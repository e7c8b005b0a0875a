"""SQL: declared statements in one transaction, rows that are counted, and a driver whose words stay inside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import exc

from retirement.connectors import Erasure, Identity, Outcome, Verdict
from retirement.connectors.sql import GenericSql, GenericSqlSettings
from retirement.connectors.sql.declared_statements import translated
from retirement.errors import Misconfigured, Refused, RetirementError, ServiceError, Transient
from tests.unit.doubles import EMAIL, NAME, USERNAME, holder, names_nobody
from tests.vendors.conftest import Desk

pytestmark = pytest.mark.anyio

VENDOR = "plugin_table"
DELETE = "DELETE FROM t WHERE email = :email"


@pytest.fixture
def table(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database of this test's, with a table `t`."""
    with closing(sqlite3.connect(tmp_path / "own.sqlite", isolation_level=None)) as db:
        db.execute(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, user_id INTEGER, email TEXT, name TEXT CHECK (name != 'x'))"
        )
        yield db


def own(tmp_path: Path, *statements: str, **settings: Any) -> dict[str, Any]:
    """Settings that lead to that database."""
    url = f"sqlite:///{tmp_path / 'own.sqlite'}"
    return {"database": url, "statements": statements or (DELETE,), "probe": "SELECT 1", "ask": None, **settings}


def refusal(**changes: Any) -> str:
    """Why these settings are refused."""
    with pytest.raises(ValidationError) as caught:
        GenericSqlSettings(**{"database": "sqlite:///x.sqlite", "statements": [DELETE], **changes})
    return str(caught.value)


async def test_a_row_is_erased_counted_and_absent_the_next_time(desk: Desk) -> None:
    """The count is what asks, also when the LMS has forgotten the learner."""
    user_id = str(desk.world.user_ids[USERNAME])
    connector = desk.connector()
    assert desk.left()
    assert Verdict.PRESENT is await connector.ask("erase", user_id, None)

    assert Erasure(Outcome.ERASED, user_id) == await desk.perform("erase")
    assert desk.left() == []
    assert Verdict.GONE is await connector.ask("erase", user_id, None)
    assert Erasure(Outcome.ABSENT) == await desk.perform("erase")
    await connector.close()


async def test_a_renaming_shows_in_what_is_left(desk: Desk) -> None:
    """UPDATE touches what it binds, and nothing else of the row."""
    update = "UPDATE badge SET username = :retired_username WHERE user_id = :user_id AND username = :username"
    await desk.perform("erase", statements=[update])

    assert {"email", "name"} == {place["what"] for place in desk.left()}


async def test_whom_the_lms_has_forgotten_nobody_can_count_by_address(desk: Desk) -> None:
    """A person has to look."""
    connector = desk.connector(ask="SELECT count(*) FROM badge WHERE email = :email")

    assert Verdict.FAILED is await connector.ask("erase", "101", None)
    assert Verdict.PRESENT is await connector.ask("erase", "101", await desk.learner())
    with pytest.raises(LookupError):
        await desk.connector(ask=None).ask("erase", "101", None)
    with pytest.raises(Misconfigured):
        await desk.connector(ask="SELECT username FROM badge WHERE user_id = :user_id").ask("erase", "101", None)


@pytest.mark.parametrize("email", ["o'brien+x@mail.example", "ñ/ü@mail.example", f"{'e' * 241}@mail.example", ":email"])
async def test_awkward_identities_are_values_and_never_sql(
    desk: Desk, tmp_path: Path, table: sqlite3.Connection, email: str
) -> None:
    """Quotes and colons included; another account with that address goes too, a longer one stays."""
    desk.seed(holder("ana", email=email))
    table.executemany("INSERT INTO t (user_id, email) VALUES (?, ?)", [(1, email), (2, email), (3, email + "x")])
    done = await desk.connector(**own(tmp_path)).perform("erase", await desk.learner("ana"))

    assert Erasure(Outcome.ERASED) == done
    assert [(3,)] == table.execute("SELECT user_id FROM t").fetchall()


async def test_a_statement_that_is_too_wide_undoes_everything(
    desk: Desk, tmp_path: Path, table: sqlite3.Connection
) -> None:
    """A WHERE that finds everybody never empties a table, nor what statements before it touched."""
    table.executemany(
        "INSERT INTO t (user_id, email) VALUES (?, ?)", [(n, EMAIL if n == 1 else "z") for n in range(12)]
    )
    wide = "DELETE FROM t WHERE user_id = :user_id OR 1 = 1"
    reason = "the table of a test"
    error = await desk.error("erase", **own(tmp_path, DELETE, wide, most_rows=5, allow_broad=reason))

    assert isinstance(error, Refused)
    assert "statement 2: it would touch more than 5 rows" in str(error)
    assert (12,) == table.execute("SELECT count(*) FROM t").fetchone()


async def test_ten_rows_are_enough_unless_more_are_written(
    desk: Desk, tmp_path: Path, table: sqlite3.Connection
) -> None:
    """They are counted before one is touched: a trigger that forbids it does not even begin."""
    table.execute("CREATE TRIGGER never BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'touched'); END")
    table.executemany("INSERT INTO t (email) VALUES (?)", [(EMAIL,)] * 11)

    error = await desk.error("erase", **own(tmp_path))
    assert "it would touch more than 10 rows (most_rows)" in str(error)
    table.execute("DROP TRIGGER never")
    assert Erasure(Outcome.ERASED) == await desk.perform("erase", **own(tmp_path, most_rows=11))


@pytest.mark.parametrize("column", ["username", "email"])
async def test_what_the_database_takes_for_the_same_is_another_learners(
    desk: Desk, tmp_path: Path, table: sqlite3.Connection, column: str
) -> None:
    """A table without case finds `ANA` for `ana`; whether that is the same person takes a reason."""
    desk.seed(holder("ana", email="ana@mail.example"))
    table.execute("CREATE TABLE s (username TEXT COLLATE NOCASE, email TEXT COLLATE NOCASE)")
    table.execute("INSERT INTO s VALUES ('ANA', 'ANA@mail.example')")
    learner, statement = await desk.learner("ana"), " ".join(["DELETE FROM s WHERE", f"{column} = :{column}"])

    with pytest.raises(Refused, match="takes another value for the learner's"):
        await desk.connector(**own(tmp_path, statement)).perform("erase", learner)
    assert (1,) == table.execute("SELECT count(*) FROM s").fetchone()
    broad = desk.connector(**own(tmp_path, statement, allow_broad="the plug-in ignores case"))
    assert Erasure(Outcome.ERASED) == await broad.perform("erase", learner)


@pytest.mark.parametrize("email", ["%@mail.example", "a_b@mail.example", "o'b@mail.example"])
async def test_a_wildcard_in_an_address_is_never_a_pattern(
    desk: Desk, tmp_path: Path, table: sqlite3.Connection, email: str
) -> None:
    """Where the configuration says why there has to be LIKE."""
    desk.seed(holder("ana", email=email))
    table.execute("INSERT INTO t (email) VALUES ('another@mail.example')")
    settings = own(tmp_path, "DELETE FROM t WHERE email LIKE :email", allow_broad="addresses in capitals")
    with pytest.raises(Refused, match="the learner's email means more than itself"):
        await desk.connector(**settings).perform("erase", await desk.learner("ana"))

    assert (1,) == table.execute("SELECT count(*) FROM t").fetchone()


async def test_a_request_in_a_table_is_accepted(desk: Desk, tmp_path: Path, table: sqlite3.Connection) -> None:
    """Somebody else erases; the count says when. With a DELETE beside it, its rows do not count."""
    insert = "INSERT INTO t (user_id) VALUES (:user_id)"
    user_id = str(desk.world.user_ids[USERNAME])

    assert Erasure(Outcome.ACCEPTED, user_id) == await desk.perform("erase", **own(tmp_path, insert))
    assert Erasure(Outcome.ABSENT) == await desk.perform("erase", **own(tmp_path, insert, DELETE))
    assert (2,) == table.execute("SELECT count(*) FROM t").fetchone()


async def test_a_constraint_concerns_this_learner_only(desk: Desk, tmp_path: Path, table: sqlite3.Connection) -> None:
    """Refused, in words without the row."""
    table.execute("INSERT INTO t (user_id, email, name) VALUES (101, ?, ?)", (EMAIL, NAME))
    error = await desk.error("erase", **own(tmp_path, "UPDATE t SET name = 'x' WHERE email = :email"))

    assert isinstance(error, Refused)
    assert error.__cause__ is None
    assert error.__suppress_context__


@pytest.mark.usefixtures("table")
async def test_a_missing_table_or_folder_stops_the_run(desk: Desk, tmp_path: Path) -> None:
    """Every learner would stumble over it."""
    away = own(tmp_path, "DELETE FROM nowhere WHERE email = :email")
    assert isinstance(await desk.error("erase", **away), Misconfigured)
    nowhere = own(tmp_path) | {"database": f"sqlite:///{tmp_path / 'none' / 'x.sqlite'}"}
    assert isinstance(await desk.error("erase", **nowhere), Misconfigured)
    with pytest.raises(Misconfigured):
        await desk.connector(**own(tmp_path, probe="SELECT 1 FROM nowhere")).probe("erase")
    await desk.connector(**own(tmp_path)).probe("erase")


async def test_a_locked_database_is_tried_again_and_changed_by_nobody_who_gave_up(
    desk: Desk, tmp_path: Path, table: sqlite3.Connection
) -> None:
    """The time is over before the lock is; what ends later undoes itself."""
    table.execute("INSERT INTO t (user_id, email) VALUES (1, ?)", (EMAIL,))
    table.execute("BEGIN EXCLUSIVE")
    connector = desk.connector(**own(tmp_path, seconds=1))
    with pytest.raises(Transient) as caught:
        await connector.perform("erase", await desk.learner())
    table.execute("COMMIT")
    await connector.close()

    assert "no answer in time" in str(caught.value)


async def test_a_blank_identity_is_never_bound(desk: Desk, tmp_path: Path, table: sqlite3.Connection) -> None:
    """Rows without a name are those of many people, and even with one the user id has to choose."""
    desk.seed(holder(name=""))
    table.execute("INSERT INTO t (user_id, name) VALUES (1, '')")
    error = await desk.error("erase", **own(tmp_path, "DELETE FROM t WHERE user_id = :user_id AND name = :name"))

    assert "the learner has no name" in str(error)
    assert (1,) == table.execute("SELECT count(*) FROM t").fetchone()


async def test_an_ask_or_a_probe_keeps_nothing(desk: Desk, tmp_path: Path, table: sqlite3.Connection) -> None:
    """Whatever a SELECT does on the side is undone."""
    connector = desk.connector(**own(tmp_path, ask="SELECT count(*) FROM t WHERE user_id = :user_id"))

    assert Verdict.GONE is await connector.ask("erase", "1", None)
    assert (0,) == table.execute("SELECT count(*) FROM t").fetchone()


class Raised(Exception):
    """What a driver raises."""

    def __init__(self, *args: Any, sqlstate: str | None = None) -> None:
        super().__init__(*args)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("raised", "stage", "kind"),
    [
        (exc.OperationalError("s", {}, Raised("timeout expired")), "connect", Transient),
        (exc.OperationalError("s", {}, Raised("password authentication failed for user")), "connect", Misconfigured),
        (exc.OperationalError("s", {}, Raised(1045, "denied")), "connect", Misconfigured),
        (exc.OperationalError("s", {}, Raised("shutdown", sqlstate="57P01")), "execute", Transient),
        (exc.OperationalError("s", {}, Raised("deadlock", sqlstate="40P01")), "commit", Transient),
        (exc.ProgrammingError("s", {}, Raised("no right", sqlstate="42501")), "execute", Misconfigured),
        (exc.InterfaceError("s", {}, Raised("closed")), "execute", Transient),
        (exc.DataError("s", {}, Raised("too long")), "execute", Refused),
        (exc.IntegrityError("s", {}, Raised("fk")), "execute", Refused),
        (exc.TimeoutError("pool"), "connect", Transient),
        (exc.ArgumentError("x"), "execute", Misconfigured),
    ],
)
def test_what_drivers_say_becomes_one_of_our_errors(
    raised: exc.SQLAlchemyError, stage: str, kind: type[ServiceError]
) -> None:
    """By what happens next; only a commit is in doubt."""
    error = translated("SQL", "SQL statements", stage, raised)

    assert isinstance(error, kind)
    assert stage != "commit" or (isinstance(error, Transient) and error.in_doubt)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"statements": ["DELETE FROM t WHERE id = :user_id; DROP TABLE t"]}, "statement 1 has a semicolon"),
        ({"statements": [DELETE, "DROP TABLE t"]}, "statement 2 has to begin with UPDATE or DELETE or INSERT"),
        ({"statements": ["/* x */ DELETE FROM t WHERE id = :user_id"]}, "has to begin with"),
        ({"statements": [""]}, "has to begin with"),
        ({"statements": []}, "statements"),
        ({"statements": ["DELETE FROM t"]}, "would touch others"),
        ({"statements": ["UPDATE t SET email = :retired_email"]}, "would touch others"),
        ({"statements": ["UPDATE t SET email = :retired_email WHERE 1 = 1"]}, "would touch others"),
        ({"statements": ["DELETE FROM t WHERE name = :name"]}, "would touch others"),
        ({"statements": ["DELETE FROM t -- WHERE id = :user_id"]}, "has a comment"),
        ({"statements": ["UPDATE t SET a = (SELECT b FROM m WHERE m.id = :user_id)"]}, "would touch others"),
        ({"statements": ["DELETE FROM t WHERE id = :user_id LIMIT 1"]}, "statement 1 has LIMIT"),
        ({"statements": ["DELETE FROM t USING m WHERE t.id = :user_id"]}, "statement 1 has USING"),
        ({"statements": ["UPDATE t SET a = 1 FROM m WHERE t.id = :user_id"]}, "statement 1 has FROM"),
        ({"statements": ["DELETE FROM t WHERE email = ':email' AND a = :email"]}, "has a value in quotes"),
        ({"statements": ["DELETE FROM t WHERE id = :user_id AND a = ?"]}, "has a value without a name"),
        ({"statements": ["DELETE FROM t WHERE email REGEXP :email"]}, "has a regular expression"),
        ({"statements": ["DELETE FROM t WHERE WHERE email = :email"]}, "cannot be read as one statement of sqlite"),
        ({"statements": ["INSERT INTO t (name) VALUES (:name)"]}, "would touch others"),
        ({"statements": ["INSERT OR REPLACE INTO t VALUES (:user_id)"]}, "more than INSERT … VALUES"),
        ({"statements": ["INSERT INTO t SELECT a FROM m WHERE id = :user_id"]}, "more than INSERT … VALUES"),
        ({"allow_broad": "x"}, "allow_broad"),
        ({"statements": ["DELETE FROM t WHERE email = :mail"]}, "binds :mail; there are :user_id, :username"),
        ({"probe": "DELETE FROM t"}, "has to begin with SELECT"),
        ({"probe": "SELECT 1 WHERE 1 = :user_id"}, "must not name a learner"),
        ({"ask": "SELECT count(*) FROM t"}, "one learner"),
        ({"ask": "UPDATE t SET x = 1"}, "has to begin with SELECT"),
        ({"database": "not an address"}, "is no address of a database"),
        ({"database": "nosuch://u:hunter2@h/d"}, "without dialect"),
        ({"database": "postgresql+asyncpg://u:hunter2@h/d"}, "driver for asyncio"),
        ({"database": "mysql+pymysql://u:hunter2@h/d"}, "needs the package pymysql"),
        ({"url": "https://x.example"}, "url"),
        ({"statment": "x"}, "statment"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes: dict[str, Any], words: str) -> None:
    """At load, without a word of the address."""
    said = refusal(**changes)

    assert words in said
    assert "hunter2" not in said


def test_an_address_is_masked_and_a_bare_postgresql_has_our_driver() -> None:
    """Needs are what the statements bind; asking exists only where it is declared."""
    settings = GenericSqlSettings(
        database="postgresql://u:hunter2@h/d",
        statements=[DELETE, "DELETE FROM x WHERE a IN (SELECT b FROM c WHERE d = :user_id)"],
        allow_broad="rows of x have no other key",
    )
    declared = GenericSql.declared(settings)["erase"]

    assert "hunter2" not in repr(settings)
    assert (declared.needs, declared.asks) == ({Identity.EMAIL, Identity.USER_ID}, None)
    assert GenericSql.declared(settings.model_copy(update={"ask": "SELECT 1 WHERE 1 = :user_id"}))["erase"].follow_up


async def test_errors_name_nobody(desk: Desk, tmp_path: Path) -> None:
    """Not even where the learner's address is the name of the file."""
    settings = own(tmp_path) | {"database": f"sqlite:///{tmp_path / EMAIL / 'x.sqlite'}"}
    with pytest.raises(RetirementError) as caught:
        await desk.connector(**settings).perform("erase", await desk.learner())

    assert names_nobody(repr(caught.value) + str(caught.value))
