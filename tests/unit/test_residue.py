"""Residue: every place of the catalogue is found where it is planted, on the databases of the sandbox and others."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine

from retirement.errors import ConfigError, Transient
from retirement.residue import DATABASES, PLACES, Finding, State, Who, search, searching, sessions
from retirement.sandbox import Sandbox
from retirement.sandbox.planting.remains import PLANTED, RESPONSES
from retirement.sandbox.world.database import FILES, files
from retirement.sandbox.world.identity import retired_email, retired_username
from tests.ledger.conftest import postgresql  # noqa: F401 - a fixture

from .doubles import names_nobody

EVERYTHING = [*PLANTED, RESPONSES]
#: The sandbox has no such service.
ELSEWHERE = {place.name for place in PLACES if place.database == "enterprise_access"}
AWKWARD = [
    ("zoe-canary", "zoe@canary.example", "Zoe Canarysdottir"),
    ("ana.gomez+x", 'o\'brien+"x"/%_@exämple.com', "Ana \\ O'Brien; DROP TABLE auth_user --"),
    ("Ünï©ode", f"{'a' * 240}@example.com", "名前 姓"),
]


def who(username: str, email: str, name: str, user_id: int = 101) -> Who:
    """A learner of the sandbox, as the LMS describes them."""
    return Who(user_id, username, email, name, (retired_username(username), retired_email(email)))


def found_of(folder: Path, wanted: Who) -> list[Finding]:
    """What all databases of a sandbox say."""
    return [finding for name, url in files(folder).items() for finding in search(name, url, wanted)]


def names(findings: list[Finding], state: State = State.FOUND) -> set[str]:
    return {finding.place.name for finding in findings if finding.state is state}


def planted(folder: Path, *residue: str, person: tuple[str, str, str] = AWKWARD[0]) -> Who:
    """A sandbox with one retired learner who left this, and another one who left everything."""
    username, email, name = person
    learner = {"username": username, "email": email, "name": name, "state": "COMPLETE", "residue": list(residue)}
    other = {"username": "other", "email": "other@example.com", "name": "Other", "state": "COMPLETE"}
    Sandbox({"learners": [learner, {**other, "residue": EVERYTHING}]}, databases=folder)
    return who(username, email, name)


def test_the_sandbox_can_plant_the_whole_catalogue() -> None:
    """But for the services that it does not simulate; names are unique."""
    assert {place.name for place in PLACES} - ELSEWHERE == set(EVERYTHING)
    assert len({place.name for place in PLACES}) == len(PLACES)
    assert set(FILES) == set(DATABASES) - {"enterprise_access"}


@pytest.mark.parametrize("person", AWKWARD)
def test_every_planted_residue_is_named(tmp_path: Path, person: tuple[str, str, str]) -> None:
    """One row of each, whatever the learner is called."""
    wanted = planted(tmp_path / "db", *EVERYTHING, person=person)

    findings = found_of(tmp_path / "db", wanted)

    assert names(findings) == set(EVERYTHING)
    assert {finding.count for finding in findings} == {1}
    assert names_nobody(repr(findings) + repr(wanted))
    assert not any(word and word in repr(findings) for word in person)


def test_an_unplanted_database_gives_none(tmp_path: Path) -> None:
    """Though another learner has left something everywhere."""
    findings = found_of(tmp_path / "db", planted(tmp_path / "db"))

    assert names(findings) == set()
    assert names(findings, State.CLEAN) == set(EVERYTHING)


@pytest.mark.sweep
@pytest.mark.parametrize("name", EVERYTHING)
def test_each_residue_is_found_alone(tmp_path: Path, name: str) -> None:
    """So no place stands in for another one."""
    assert names(found_of(tmp_path / "db", planted(tmp_path / "db", name))) == {name}


def test_a_learner_whom_the_lms_forgot_is_looked_for_by_id(tmp_path: Path) -> None:
    """What only a name or an address finds is said to be not asked; a retired name is no residue."""
    planted(tmp_path / "db", *EVERYTHING)

    findings = found_of(tmp_path / "db", Who(101))

    assert {"social-auth", "certificate-name-history", "forum-edit-history"} <= names(findings)
    assert "credit-eligibility" in names(findings, State.NOT_ASKED)
    assert names(findings) | names(findings, State.NOT_ASKED) == set(EVERYTHING)


def _tables(url: str, database: str) -> None:
    """Empty tables of a service, as the catalogue describes them."""
    metadata = MetaData()
    for place in PLACES:
        if place.database == database and place.table not in metadata.tables:
            columns = dict.fromkeys([*place.columns, *(column for column, _ in place.found_by)])
            kinds = [Column(each, Integer if each.endswith("_id") else String) for each in columns]
            Table(place.table, metadata, *kinds)
    engine = create_engine(url)
    metadata.create_all(engine)
    with engine.begin() as connection:
        for table in metadata.tables.values():
            connection.execute(table.insert(), [{} for _ in range(2)])
    engine.dispose()


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest) -> str:
    """A PostgreSQL server with the tables of two services, of which the LMS has a row of the learner."""
    url: str = request.getfixturevalue("postgresql")
    _tables(url, "lms")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO student_pendingemailchange (user_id, new_email) VALUES (101, 'new@example.com');"
            "INSERT INTO credit_crediteligibility (username) VALUES ('zoe-canary');"
            "ALTER TABLE social_auth_usersocialauth ALTER COLUMN extra_data TYPE jsonb USING '{}'::jsonb;"
            "INSERT INTO social_auth_usersocialauth (user_id, uid, extra_data) VALUES (101, '', '{}');"
        )
    engine.dispose()
    return url


@pytest.mark.processes
def test_postgresql_is_searched_alike_and_cannot_be_written(postgresql_url: str) -> None:
    """With numbers, texts and JSON of their own kinds."""
    findings = list(search("lms", postgresql_url.replace("+psycopg", ""), who(*AWKWARD[0])))

    assert names(findings) == {"pending-email-change", "credit-eligibility"}
    assert names(findings, State.UNANSWERED) == set()
    with sessions.session("lms", postgresql_url) as connection, pytest.raises(Exception, match="read-only"):
        connection.exec_driver_sql("DELETE FROM credit_crediteligibility")


def test_a_table_that_a_release_lacks_is_no_error(tmp_path: Path) -> None:
    """Nor is a column; the other places are looked into."""
    file = tmp_path / "lms.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE certificates_generatedcertificate (user_id INTEGER, name TEXT)")
        connection.execute("CREATE TABLE student_accountrecovery (user_id INTEGER)")
        connection.executemany(
            "INSERT INTO certificates_generatedcertificate VALUES (101, ?)", [("A",), ("",), (None,)]
        )

    findings = list(search("lms", f"sqlite:///{file}", Who(101)))

    assert names(findings) == {"certificate-name"}
    assert names(findings, State.CLEAN) == set()
    assert "recovery-email" in names(findings, State.NOT_THERE)


def test_the_moderated_posts_of_a_learner_have_a_history_too(tmp_path: Path) -> None:
    """What a moderator edited is the learner's text; a comment's number is not taken for that of a thread."""
    file = tmp_path / "lms.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(
            "CREATE TABLE django_content_type (id INTEGER, app_label TEXT, model TEXT);"
            "INSERT INTO django_content_type VALUES (1, 'forum', 'comment'), (2, 'forum', 'commentthread');"
            "CREATE TABLE forum_comment (id INTEGER, author_id INTEGER);"
            "CREATE TABLE forum_commentthread (id INTEGER, author_id INTEGER);"
            "INSERT INTO forum_comment VALUES (5, 101); INSERT INTO forum_commentthread VALUES (5, 7);"
            "CREATE TABLE forum_edithistory (original_body TEXT, editor_id INTEGER, content_type_id INTEGER,"
            " content_object_id INTEGER);"
            "INSERT INTO forum_edithistory VALUES ('mine', 9, 1, 5), ('theirs', 9, 2, 5), ('[deleted]', 9, 1, 5);"
        )

    (finding,) = [each for each in search("lms", f"sqlite:///{file}", Who(101)) if each.state is State.FOUND]

    assert (finding.place.name, finding.count) == ("forum-edit-history", 1)


def test_rows_are_counted_up_to_a_limit(tmp_path: Path) -> None:
    """Nobody waits for the rest, nor needs to know."""
    file = tmp_path / "lms.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE credit_crediteligibility (username TEXT)")
        rows = [("zoe-canary",)] * (searching.LIMIT + 5)
        connection.executemany("INSERT INTO credit_crediteligibility VALUES (?)", rows)

    findings = list(search("lms", f"sqlite:///{file}", who(*AWKWARD[0])))

    assert [each.count for each in findings if each.state is State.FOUND] == [searching.LIMIT]


def test_a_text_names_somebody_by_whole_words_only() -> None:
    """A learner called `an` is not in every sentence."""
    someone = Who(1, "an", "an@example.com", "A. N.")

    assert not someone.named_in("404: another answer than wanted")
    assert someone.named_in("no such user AN")
    assert not Who(1).named_in("anything")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with one row."""
    path = tmp_path / "some.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE credit_crediteligibility (username TEXT)")
        connection.execute("INSERT INTO credit_crediteligibility VALUES ('CanaryUser')")
    return path


def test_sessions_cannot_write(file: Path) -> None:
    """Not even where the user of the database could."""
    with (
        sessions.session("lms", f"sqlite:///{file}") as connection,
        pytest.raises(Exception, match="readonly") as caught,
    ):
        connection.exec_driver_sql("DELETE FROM credit_crediteligibility")

    assert "CanaryUser" not in str(caught.value)


def test_a_statement_has_an_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that takes too long is unanswered, and the rest goes on."""
    monkeypatch.setattr(sessions, "STATEMENT_SECONDS", 0)
    with closing(sqlite3.connect(file)) as connection, connection:
        rows = [("someone",)] * 100_000
        connection.executemany("INSERT INTO credit_crediteligibility VALUES (?)", rows)

    findings = {each.place.name: each for each in search("lms", f"sqlite:///{file}", who(*AWKWARD[0]))}

    assert findings["credit-eligibility"].state is State.UNANSWERED
    assert findings["credit-eligibility"].text == "it took longer than 0 seconds"
    assert len(findings) == sum(place.database == "lms" for place in PLACES)


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("mysql+mysqldb://canary:secret@db/lms", ConfigError, "databases.lms: needs a driver: pip install mysqlclient"),
        ("oracle://canary:secret@db/lms", ConfigError, "databases.lms: give sqlite"),
        ("no address at all: secret", ConfigError, "databases.lms: give sqlite"),
        ("sqlite:///no/such/secret.sqlite", Transient, "SQLITE_CANTOPEN"),
        ("postgresql://canary:secret@127.0.0.1:1/lms", Transient, "the database failed"),
    ],
)
def test_what_is_wrong_is_said_without_the_address(address: str, error: type[Exception], said: str) -> None:
    """A missing driver, another kind of database, and one that does not answer."""
    with pytest.raises(error) as caught:
        list(search("lms", address, Who(101)))

    assert said in str(caught.value)
    assert not any(word in str(caught.value) for word in ("secret", "canary", "127.0.0.1"))


def test_the_page_lists_the_catalogue() -> None:
    """Every place with what survives there, why, and what to do."""
    page = (Path(__file__).parents[2] / "docs" / "residue.md").read_text(encoding="utf-8")

    for place in PLACES:
        columns = ", ".join(f"`{column}`" for column in place.columns)
        assert f"| `{place.name}` | `{place.table}` | {columns} | {place.why} | {place.remedy} |" in page
