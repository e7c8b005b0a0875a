"""Ledgers to play with, on SQLite and on PostgreSQL, and what an outsider reads in their tables.

The questions are plain SQL, so that the ledger's own code is not asked whether the ledger is right.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from sqlalchemy import Engine, NullPool, create_engine, inspect, text

from retirement.ledger import LedgerLocation, migrate, verify
from tests import databases

DATABASES = ("sqlite", "postgresql")
#: The first ledger of each database, which nobody writes to.
TEMPLATE = "template_of_ledgers"
LONG_AGO = "2000-01-01T00:00:00.000000+00:00"

_PROVED = text("SELECT step FROM attempt WHERE user_id = :user_id AND outcome IS NOT NULL AND voided_at IS NULL")
_OUTCOMES = text("SELECT user_id, step FROM attempt WHERE outcome IS NOT NULL AND voided_at IS NULL")
_ENDINGS = text("SELECT user_id, ending FROM learner")
_LIVE = text("SELECT scope FROM lease WHERE expires_at > :now")
_AGE = text("UPDATE lease SET expires_at = :then WHERE holder = :holder OR :holder = ''")


@dataclass
class Evidence:
    """One ledger, seen from outside."""

    settings: dict[str, str]
    engine: Engine

    def proved(self, user_id: int) -> frozenset[str]:
        """The steps of a learner that have an outcome right now."""
        return frozenset(row.step for row in self._rows(_PROVED, user_id=user_id))

    def outcomes(self) -> dict[int, Counter[str]]:
        """How many outcomes each step of each learner has."""
        found: dict[int, Counter[str]] = {}
        for row in self._rows(_OUTCOMES):
            found.setdefault(row.user_id, Counter())[row.step] += 1
        return found

    def endings(self) -> dict[int, str | None]:
        """How the last run of each learner ended; None: nobody knows."""
        return {row.user_id: row.ending for row in self._rows(_ENDINGS)}

    def age(self, holder: str = "") -> None:
        """Lets the leases of a dead holder run out, as time would; without a name those of everybody.

        A lease is no evidence, so the chain does not know of it.
        """
        with self.engine.begin() as connection:
            connection.execute(_AGE, {"then": LONG_AGO, "holder": holder})

    def leases(self, now: str) -> list[str]:
        """The scopes that somebody has at that time."""
        return [row.scope for row in self._rows(_LIVE, now=now)]

    def content(self) -> bytes:
        """Every row of every table, as text: what a dump of the database would hold."""
        with self.engine.connect() as connection:
            quoted = [
                connection.dialect.identifier_preparer.quote(name) for name in inspect(connection).get_table_names()
            ]
            rows = [row for name in quoted for row in connection.execute(text(f"SELECT * FROM {name}"))]  # noqa: S608
        return "\n".join(map(str, rows)).encode()

    def broken(self) -> list[str]:
        """What `retirement ledger verify` finds wrong with the chain."""
        verdict = verify(
            LedgerLocation(self.settings["url"], Path(self.settings["anchor"]), Path(self.settings["key"]))
        )
        return [] if verdict.ok else [f"the ledger does not verify: {verdict.problem}"]

    def _rows(self, query: Any, **values: Any) -> Sequence[Any]:
        with self.engine.connect() as connection:
            return connection.execute(query, values).all()


class Ledgers:
    """Makes empty ledgers, one after the other, as copies of a first one."""

    def __init__(self, folder: Path, databases: Sequence[str], key: str) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._key = folder / "digests.key"
        self._key.write_text(key, encoding="ascii")
        self._key.chmod(0o600)
        self._made = 0
        self._served = ""
        self._stack = ExitStack()
        self._uri = self._stack.enter_context(_postgresql(folder)) if "postgresql" in databases else ""
        self._engine: Engine | None = None
        for database in databases:
            if database == "postgresql":
                # Processes die here, and the machine does not: what was written need not be on the disk.
                self._say("ALTER SYSTEM SET fsync = off")
                self._say("SELECT pg_reload_conf()")
                self._say(f"CREATE DATABASE {TEMPLATE}")
            migrate(LedgerLocation(self._url(database, TEMPLATE), key=self._key))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_away()
        self._stack.close()

    def fresh(self, database: str) -> Evidence:
        """An empty ledger; the one before is nobody's any more."""
        self._put_away()
        self._made += 1
        name = f"ledger_{self._made:05}"
        if database == "postgresql":
            self._say(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
            self._served = name
        else:
            shutil.copy(self._folder / f"{TEMPLATE}.sqlite", self._folder / f"{name}.sqlite")
        url = self._url(database, name)
        # Machines reach the one LMS by doors of their own, so its address is no name for it.
        settings = {"url": url, "anchor": str(self._folder / f"{name}.anchor"), "key": str(self._key), "site": "chaos"}
        address = url.replace("postgresql:", "postgresql+psycopg:", 1)
        self._engine = create_engine(address, poolclass=NullPool)
        return Evidence(settings, self._engine)

    def _url(self, database: str, name: str) -> str:
        if database == "postgresql":
            return self._uri.replace("/postgres?", f"/{name}?")
        return f"sqlite:///{self._folder / name}.sqlite"

    def _say(self, order: str) -> None:
        with psycopg.connect(self._uri, autocommit=True) as connection:
            connection.execute(order.encode())

    def _put_away(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
        if self._served:
            self._say(f"DROP DATABASE {self._served} WITH (FORCE)")
            self._served = ""
        for path in self._folder.glob("ledger_*"):
            path.unlink()


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    """A PostgreSQL of our own, as it comes with pip."""
    with databases.running(folder) as uri:
        yield uri
