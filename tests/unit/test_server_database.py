"""What our Prefect server sends to its database in another way: it writes what it would have written."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    JSON,
    DateTime,
    Integer,
    UniqueConstraint,
    Uuid,
    create_engine,
    event,
    func,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert as insert_into_postgresql
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from retirement.flows.kit.server_database import prepare_once, send_plain_times
from tests import databases


class _Base(DeclarativeBase):
    pass


class _Record(_Base):
    __tablename__ = "records"

    id: Mapped[int] = mapped_column(primary_key=True)
    told: Mapped[Any] = mapped_column("told_by", JSON)
    number: Mapped[int] = mapped_column(Integer, default=lambda: next(_numbers))


_numbers = iter(range(1, 10_000))


class _Prepared(Session):
    pass


prepare_once(_Prepared)


@pytest.fixture
def statements() -> Iterator[tuple[Session, list[tuple[str, bool]]]]:
    """A session on an empty table, and the statements that it sends, each with whether it is sent for many rows."""
    engine, sent = create_engine("sqlite://"), list[tuple[str, bool]]()
    _Base.metadata.create_all(engine)

    @event.listens_for(engine, "before_cursor_execute")
    def _(_connection: Any, _cursor: Any, statement: str, _values: Any, _context: Any, many: bool) -> None:
        sent.append((statement, many))

    with _Prepared(engine) as session:
        yield session, sent
    engine.dispose()


def _told(session: Session) -> list[tuple[int, Any]]:
    return [(each.id, each.told) for each in session.scalars(select(_Record).order_by(_Record.id))]


def test_any_number_of_rows_is_inserted_by_the_same_statement(statements: Any) -> None:
    """So each connection prepares it once, and it has few values to be compiled."""
    session, sent = statements

    session.execute(insert(_Record).values([{"id": 1, "told": {"a": 1}}, {"id": 2, "told": None}]))
    session.execute(insert(_Record).values([{"id": number, "told": []} for number in range(3, 9)]))

    assert len({statement for statement, _ in sent}) == 1
    assert [many for _, many in sent] == [True, True]
    assert _told(session) == [(1, {"a": 1}), (2, None), *((number, []) for number in range(3, 9))]


def test_each_row_has_a_default_of_its_own(statements: Any) -> None:
    """As the ids of records, which Prefect's tables make themselves."""
    session, _ = statements

    session.execute(insert(_Record).values([{"id": 1, "told": 1}, {"id": 2, "told": 2}, {"id": 3, "told": 3}]))

    assert len(set(session.scalars(select(_Record.number)))) == 3


def test_a_row_that_is_there_already_stays_and_the_others_are_inserted(statements: Any) -> None:
    """A state that is told of twice is written once."""
    session, _ = statements
    session.execute(insert(_Record).values([{"id": 2, "told": "first"}]))

    again = [{"id": number, "told": "again"} for number in (1, 2, 3)]
    session.execute(insert(_Record).values(again).on_conflict_do_nothing(index_elements=["id"]))

    assert _told(session) == [(1, "again"), (2, "first"), (3, "again")]


def test_an_insert_that_asks_for_its_rows_gets_them(statements: Any) -> None:
    """Row by row there would be no answer."""
    session, sent = statements

    made = session.scalars(insert(_Record).values([{"id": 7, "told": 1}, {"id": 8, "told": 1}]).returning(_Record.id))

    assert sorted(made) == [7, 8]
    assert [many for _, many in sent] == [False]


def test_an_expression_among_the_values_is_the_databases(statements: Any) -> None:
    """It is no value that could be sent beside the statement."""
    session, sent = statements

    session.execute(insert(_Record).values([{"id": func.abs(-4), "told": 1}, {"id": func.abs(-5), "told": 1}]))

    assert _told(session) == [(4, 1), (5, 1)]
    assert not sent[0][1]


def test_a_row_that_is_inserted_by_itself_is_as_before(statements: Any) -> None:
    """As are rows that come beside the statement already."""
    session, sent = statements

    session.execute(insert(_Record).values(id=1, told=1))
    session.execute(insert(_Record), [{"id": 2, "told": 1}, {"id": 3, "told": 1}])

    assert [each for each, _ in _told(session)] == [1, 2, 3]
    assert [many for _, many in sent][:2] == [False, True]


class _OfALibrary(datetime):
    """A time that cannot be subtracted from, as asyncpg does."""

    def __sub__(self, _other: Any) -> Any:
        raise AssertionError("subtracted")


class _Timed(_Base):
    __tablename__ = "timed"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


AT = _OfALibrary(2026, 11, 28, 22, 30, 1, 5, tzinfo=timezone(timedelta(hours=2)), fold=1)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The folder of a PostgreSQL server of the engine's kind."""
    with databases.open_folder("server-postgresql-") as found:
        yield found


@pytest.fixture(scope="module")
def postgresql(folder: Path) -> Iterator[str]:
    """The address of that server, by the driver that Prefect's server has."""
    with databases.running(folder) as uri:
        yield uri.replace("postgresql:", "postgresql+asyncpg:", 1)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url)
    try:
        yield engine
    finally:
        await engine.dispose()


@pytest.mark.anyio
@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("asks", [True, False], ids=["returning", "plain"])
async def test_times_are_sent_as_those_of_python_are_and_stay_the_same(postgresql: str, rows: int, asks: bool) -> None:
    """Of one execution, of many, and of many in one statement, which SQLAlchemy makes of rows that are asked for."""
    async with _connected(postgresql) as engine, AsyncSession(engine) as session:
        send_plain_times(engine.sync_engine)
        await (await session.connection()).run_sync(_Base.metadata.create_all)

        made = insert_into_postgresql(_Timed)
        given = [{"id": number, "at": AT} for number in range(rows)]
        await session.execute(made.returning(_Timed.id) if asks else made, given)
        await session.execute(made.values(id=rows, at=AT))

        stored = (await session.scalars(select(_Timed.at))).all()
    assert stored == [datetime.fromisoformat(AT.isoformat())] * (rows + 1)


@pytest.mark.anyio
async def test_any_number_of_rows_that_are_asked_for_is_one_statement_of_few(postgresql: str) -> None:
    """PostgreSQL keeps each statement that it has prepared, and one of hundreds of rows is a megabyte."""
    statements = set[str]()
    async with _connected(postgresql) as engine, AsyncSession(engine, sync_session_class=_Prepared) as session:
        await (await session.connection()).run_sync(_Base.metadata.create_all)
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *told: statements.add(told[2]))
        made = insert_into_postgresql(_Timed).returning(_Timed.id).execution_options(dml_strategy="raw")
        for rows in (25, 100, 800):
            given = [{"id": 1000 * rows + row, "at": datetime(2026, 1, 1, tzinfo=UTC)} for row in range(rows)]
            assert len((await session.scalars(made, given)).all()) == rows

    assert len(statements) == 1


class _Step(_Base):
    __tablename__ = "steps"
    __table_args__ = (UniqueConstraint("run", "key", "count"),)

    id: Mapped[UUID] = mapped_column(Uuid(as_uuid=True), primary_key=True, default=uuid4)
    run: Mapped[UUID | None] = mapped_column(Uuid(as_uuid=True))
    key: Mapped[str]
    count: Mapped[int]


_together = tuple_(_Step.run, _Step.key, _Step.count)
RUN = uuid4()
#: A third of the steps has no run.
STEPS = [{"id": uuid4(), "run": RUN if n % 3 else None, "key": f"step-{n}", "count": n} for n in range(3_000)]


def _keys(numbers: Iterable[int]) -> list[tuple[Any, ...]]:
    return [(STEPS[number]["run"], STEPS[number]["key"], number) for number in numbers]


@asynccontextmanager
async def _steps(url: str, sessions: type[Session]) -> AsyncIterator[tuple[AsyncSession, list[str]]]:
    """A session on a database with the steps, and the statements that it sends."""
    sent = list[str]()
    async with _connected(url) as engine, AsyncSession(engine, sync_session_class=sessions) as session:
        await (await session.connection()).run_sync(_Base.metadata.create_all)
        await session.execute(insert_into_postgresql(_Step), STEPS)
        await session.execute(text("ANALYZE steps"))
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *told: sent.append(told[2]))
        yield session, sent


ASKED = {
    "by keys": lambda numbers: _together.in_(_keys(numbers)),
    "by keys or keys": lambda numbers: or_(
        _together.in_(_keys(numbers)),
        tuple_(_Step.count, _Step.key).in_([(each + 5, f"step-{each + 5}") for each in numbers]),
    ),
    "by ids or keys": lambda numbers: or_(
        _Step.id.in_([STEPS[number + 1_000]["id"] for number in numbers]), _together.in_(_keys(numbers))
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED.keys())
async def test_any_number_of_keys_is_asked_for_by_the_same_statement(postgresql: str, asked: Any) -> None:
    """With the answer of a session of SQLAlchemy's own, also of keys that are given twice or are in no row."""
    numbers = [1, 1, 2, 3, 400, 999]
    given = [asked(numbers[:each]) for each in range(1, len(numbers) + 1)]
    found = list[Any]()
    for sessions in (Session, _Prepared):
        async with _steps(postgresql, sessions) as (session, sent):
            rows = [(await session.execute(select(_Step.count, _Step.id).where(each))).all() for each in given]
            found.append([sorted(map(tuple, each)) for each in rows])

    assert found[0] == found[1]
    assert all(found[1])
    assert len(set(sent)) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["by keys", "by ids or keys"])
@pytest.mark.parametrize("plan_of", ["custom", "generic"])
async def test_steps_are_found_by_an_index_however_many_there_are(postgresql: str, kind: str, plan_of: str) -> None:
    """A table of a year of runs is never read as a whole; after five times PostgreSQL may keep one plan for all."""
    async with _steps(postgresql, _Prepared) as (session, sent):
        await session.execute(select(_Step.id).where(ASKED[kind]([1, 2])))
        await session.execute(text(f"SET LOCAL plan_cache_mode = force_{plan_of}_plan"))
        values = [[STEPS[1]["id"]]] if sent[0].count("$") == 4 else []
        values += [[RUN, RUN], ["step-1", "step-2"], [1, 2]]
        raw = (await (await session.connection()).get_raw_connection()).driver_connection
        plan = "\n".join(row[0] for row in await raw.fetch(f"EXPLAIN {sent[0]}", *values))

    assert "Seq Scan" not in plan, plan


@pytest.mark.anyio
async def test_another_question_is_asked_as_it_is(postgresql: str) -> None:
    """Of a column that is no key, of a key and something else, of two tables, of no key at all."""
    questions = [
        (_Step.key.in_(["step-1", "step-2"]),),
        (_together.in_(_keys([1, 2])), _Step.key == "step-2"),
        (or_(_together.in_(_keys([1, 2])), _Step.key == "step-4"),),
        (_together.in_([]),),
        (_Step.id.in_([STEPS[1]["id"]]),),
    ]
    async with _steps(postgresql, _Prepared) as (session, sent):
        found = [(await session.scalars(select(_Step.count).where(*each))).all() for each in questions]
        of_two = select(_Step.count).join(_Timed, _Timed.id == _Step.count, isouter=True)
        found.append((await session.scalars(of_two.where(or_(_together.in_(_keys([2])), _Timed.id.in_([1]))))).all())

    assert [sorted(each) for each in found] == [[1, 2], [2], [1, 2, 4], [], [1], [2]]
    assert not [each for each in sent if "unnest" in each or "ANY" in each]


def test_another_database_is_asked_as_it_was() -> None:
    """SQLite has no arrays."""
    engine = create_engine("sqlite://")
    _Base.metadata.create_all(engine)
    with _Prepared(engine) as session:
        session.execute(insert(_Step).values([STEPS[1], STEPS[2]]))

        assert session.scalars(select(_Step.count).where(_together.in_(_keys([2, 3])))).all() == [2]
    engine.dispose()


@pytest.mark.anyio
async def test_the_database_has_our_settings_and_keeps_them_once(postgresql: str, folder: Path) -> None:
    """Also where it is started again, or found running."""
    databases.address(folder)
    async with _connected(postgresql) as engine, engine.connect() as connection:
        assert (await connection.exec_driver_sql("SHOW default_statistics_target")).scalar() == "10"

    assert (folder / "postgres" / "postgresql.conf").read_text("utf-8").count("retirement") == 1


def test_values_by_name_and_none_at_all_are_sent_as_they_are() -> None:
    """A statement in words may have either."""
    engine = create_engine("sqlite://")
    send_plain_times(engine)

    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT :a", {"a": 1}).scalar() == 1
        assert connection.exec_driver_sql("SELECT 2").scalar() == 2
    engine.dispose()
