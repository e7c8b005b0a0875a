"""Any database that SQLAlchemy knows, by statements that the configuration declares.

No contract names this service: rows of plug-ins and warehouses have no API of their own. The statements of
a learner are one transaction. Values are bound, never written into the text. Rows are counted and looked at before a
statement touches them; one that chooses more than a learner can have, or rows of others, undoes all of them.
Nothing of a driver's words travels further, since they quote values.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, Self, TypeVar

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from retirement.connectors import (
    Connector,
    Erasure,
    FollowUp,
    Identity,
    Operation,
    Outcome,
    ServiceSettings,
    Verdict,
    offline,
    operation,
)
from retirement.connectors.shared.placeholders import first_blank, first_unfit, identities
from retirement.connectors.sql.chosen_rows import ChosenRows, chosen_rows
from retirement.connectors.sql.declared_statements import (
    backend_of,
    bound,
    only_bound,
    require_driver,
    require_form,
    translated,
    url_of,
    verb_of,
)
from retirement.errors import Transient
from retirement.learner import Learner
from retirement.wire.wiring import Wiring

#: Transactions of this process at the same time.
AT_ONCE = 4

Done = TypeVar("Done")


class GenericSqlSettings(ServiceSettings):
    """What stands below `services.SQL`."""

    url: str = Field(default="", max_length=0, description="Not used: `database` says where it is.")
    database: SecretStr = Field(
        description="SQLAlchemy URL, such as `postgresql+psycopg://USER:PASSWORD@HOST/NAME` or `sqlite:////PATH`."
    )
    allow_broad: str | None = Field(
        default=None,
        min_length=8,
        description="Reason why statements may choose by more than `COLUMN = :identity` joined by AND: OR, NOT, LIKE, "
        "inequalities, IS NULL or a query inside, and by values that the database takes for the same. It is for all "
        "statements of this section.",
    )
    statements: tuple[str, ...] = Field(
        min_length=1,
        description="What erases, in one transaction: UPDATE, DELETE or INSERT with `:user_id`, `:username`, "
        "`:email`, `:name`, `:retired_username`, `:retired_email` as values, for one table each, which chooses by "
        "`COLUMN = :user_id` or another identity but the name.",
    )
    probe: str = Field(default="SELECT 1", description="SELECT that shows that address and password work.")
    ask: str | None = Field(
        default=None, description="SELECT that counts what is left of a learner, such as `SELECT count(*) …`."
    )
    most_rows: int = Field(
        default=10,
        ge=1,
        le=1_000_000,
        description="Rows that one statement may touch; they are counted first, and more undo the transaction.",
    )
    seconds: float = Field(default=120, ge=1, le=3600, description="Longest time for one transaction.")
    ask_every_hours: float = Field(default=24, gt=0, le=8760, description="Pause before each count by `ask`.")
    overdue_days: int = Field(default=30, ge=1, le=365, description="Days in which that count should be 0.")

    @field_validator("database")
    @classmethod
    def _can_be_reached(cls, database: SecretStr) -> SecretStr:
        require_driver(database)
        return database

    @field_validator("statements")
    @classmethod
    def _change_one_learner(cls, statements: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        # Without an address that could be read there is no dialect; the address is what is told then.
        database = info.data.get("database")
        for number, statement in enumerate(statements, 1):
            require_form(f"statement {number}", statement, "UPDATE", "DELETE", "INSERT")
            if database is None:
                continue
            try:
                rows = chosen_rows(statement, backend_of(database))
            except ValueError as error:
                raise ValueError(f"statement {number} {error}") from None
            if rows.breadth and not info.data.get("allow_broad"):
                raise ValueError(
                    f"statement {number} may touch others: it has {rows.breadth}; choose with COLUMN = :user_id "
                    "and AND only, or say why it has to be so with allow_broad: REASON"
                )
        return statements

    @field_validator("probe", "ask")
    @classmethod
    def _only_looks(cls, query: str | None) -> str | None:
        if query is not None:
            require_form("it", query, "SELECT")
        return query

    @property
    def used(self) -> frozenset[str]:
        """The placeholders in the statements."""
        return frozenset[str]().union(*map(bound, self.statements))

    @property
    def rows(self) -> tuple[ChosenRows, ...]:
        """What each statement chooses."""
        return tuple(chosen_rows(each, backend_of(self.database)) for each in self.statements)

    @property
    def verbs(self) -> frozenset[str]:
        """What the statements do."""
        return frozenset(map(verb_of, self.statements))

    @model_validator(mode="after")
    def _asks_about_one_learner(self) -> Self:
        if bound(self.probe):
            raise ValueError("probe must not name a learner; remove its parameters")
        if self.ask is not None and not bound(self.ask):
            raise ValueError("ask has to count rows of one learner; choose with WHERE … = :user_id")
        return self


class GenericSql(Connector[GenericSqlSettings]):
    """Any SQL database, by declared statements; a service of another name says `connector: SQL`."""

    service = "SQL"

    def __init__(self, settings: GenericSqlSettings, api: Any) -> None:
        super().__init__(settings, api)
        self._engine: Engine | None = None
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sql-connector")
        self._places = asyncio.Semaphore(AT_ONCE)

    @classmethod
    def connected(cls, service: str, settings: GenericSqlSettings, wiring: Wiring) -> Self:
        return cls(settings, offline(service, wiring))

    async def close(self) -> None:
        """Closes the connections; whatever still runs in a thread undoes itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._engine is not None:
            self._engine.dispose()

    @classmethod
    def declared(cls, settings: GenericSqlSettings | None) -> dict[str, Operation]:
        erase = cls.operations()["erase"]
        if settings is not None:
            erase = replace(erase, needs=frozenset(map(Identity, settings.used)))
            if settings.ask:
                pause, late = timedelta(hours=settings.ask_every_hours), timedelta(days=settings.overdue_days)
                erase = replace(erase, asks="is_left", follow_up=FollowUp(first=pause, every=pause, overdue=late))
        return {"erase": erase}

    @operation(*Identity)
    async def erase(self, learner: Learner) -> Erasure:
        """Run the statements that the settings declare, in one transaction."""
        values = identities(learner)
        if blank := first_blank(self.settings.used, values):
            raise self.api.refused("SQL", f"the learner has no {blank}")
        touched = await self._patiently("statements", lambda link: self._run(link, values))
        receipt = str(learner.user_id)
        if self.settings.verbs == {"INSERT"}:
            # A request in a table; another program erases.
            return Erasure(Outcome.ACCEPTED, receipt)
        if not touched:
            return Erasure(Outcome.ABSENT)
        return Erasure(Outcome.ERASED, receipt if self.settings.ask else None)

    async def is_left(self, receipt: str, learner: Learner | None) -> Verdict:
        """Whether the declared count still finds rows; FAILED where the LMS has no names of the learner any more."""
        ask = self.settings.ask
        if ask is None:
            raise LookupError(f"{self.api.service} erase cannot be asked about")
        values = {Identity.USER_ID.value: int(receipt), **identities(learner)}
        if not bound(ask) <= values.keys():
            return Verdict.FAILED

        def counted(link: Connection) -> Any:
            return link.execute(text(ask), only_bound(ask, values)).scalar()

        count = await self._patiently("ask", counted, keep=False)
        try:
            left = int(count)
        except (TypeError, ValueError):
            raise self.api.misconfigured("SQL ask", "ask answers no number; let it count") from None
        return Verdict.PRESENT if left else Verdict.GONE

    async def probe(self, name: str) -> None:
        """Runs the declared harmless query."""
        await self._patiently("probe", lambda link: link.execute(text(self.settings.probe)).first(), keep=False)

    def _run(self, link: Connection, values: Mapping[str, Any]) -> int:
        """The rows that UPDATE and DELETE touched. Raises `Refused` where a statement touches too many, or others."""
        touched = 0
        for number, (statement, rows) in enumerate(zip(self.settings.statements, self.settings.rows, strict=True), 1):
            request = f"SQL statement {number}"
            if rows.condition:
                self._look(link, request, rows, values)
            done = link.execute(text(statement), only_bound(statement, values)).rowcount
            if done < 0:
                raise self.api.misconfigured(request, "its driver counts no rows, so nothing is kept")
            self._require_few(request, done)
            touched += 0 if verb_of(statement) == "INSERT" else done
        return touched

    def _look(self, link: Connection, request: str, rows: ChosenRows, values: Mapping[str, Any]) -> None:
        """Counts the rows and compares them before a statement touches them. Raises `Refused`."""
        if unfit := first_unfit(rows.within, values, wildcards="_"):
            raise self.api.refused(request, f"the learner's {unfit} means more than itself within a pattern")
        self._require_few(request, link.execute(text(rows.count), only_bound(rows.count, values)).scalar_one())
        if rows.proof is None or self.settings.allow_broad:
            return
        found = link.execute(text(rows.proof), only_bound(rows.proof, values)).fetchmany(self.settings.most_rows)
        if not all(rows.are_of(tuple(row), values) for row in found):
            why = "its database takes another value for the learner's (case, accents, type); all was undone"
            raise self.api.refused(request, why)

    def _require_few(self, request: str, rows: int) -> None:
        if rows > self.settings.most_rows:
            why = f"it would touch more than {self.settings.most_rows} rows (most_rows); all was undone"
            raise self.api.refused(request, why)

    async def _patiently(self, what: str, work: Callable[[Connection], Done], *, keep: bool = True) -> Done:
        """Work in a transaction, again while that is useful. Raises `ServiceError`."""
        async for attempt in self.api.retry():
            with attempt:
                done = await self._in_thread(what, work, keep=keep)
        return done

    async def _in_thread(self, what: str, work: Callable[[Connection], Done], *, keep: bool) -> Done:
        engine, late = self._opened(), threading.Event()
        async with self._places:
            running = asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: self._transaction(engine, f"SQL {what}", work, late, keep=keep)
            )
            try:
                return await asyncio.wait_for(running, self.settings.seconds)
            except TimeoutError:
                late.set()
                raise Transient(self.api.service, f"SQL {what}", None, "no answer in time", keep) from None
            except asyncio.CancelledError:
                late.set()
                raise

    def _transaction(
        self, engine: Engine, what: str, work: Callable[[Connection], Done], late: threading.Event, *, keep: bool
    ) -> Done:
        stage = "connect"
        try:
            with engine.connect() as link, link.begin() as transaction:
                stage = "execute"
                self._limit(link)
                done = work(link)
                stage = "commit"
                if not keep or late.is_set():
                    # The caller has stopped waiting: the next try finds the rows as they were.
                    transaction.rollback()
                return done
        except SQLAlchemyError as error:
            raise translated(self.api.service, what, stage, error) from None

    def _opened(self) -> Engine:
        if self._engine is None:
            url = url_of(self.settings.database)
            pool = {} if url.get_backend_name() == "sqlite" else {"pool_size": AT_ONCE, "pool_pre_ping": True}
            self._engine = create_engine(url, hide_parameters=True, **pool)
        return self._engine

    def _limit(self, link: Connection) -> None:
        """Has the server itself end what takes too long, where it has a word for that."""
        if link.dialect.name == "postgresql":
            link.execute(
                text("SELECT set_config('statement_timeout', :limit, true)"), {"limit": f"{self.settings.seconds:.0f}s"}
            )
