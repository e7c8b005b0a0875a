"""Where a ledger is: the address of its database, the anchor of its chain, the key of its digests."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from retirement.errors import ConfigError, LedgerError

#: Seconds to wait for a process that has the ledger locked; a transaction takes milliseconds.
LOCK_SECONDS = 30
#: Seconds after which PostgreSQL drops the transaction of a machine that froze in the midst of one.
IDLE_SECONDS = 60
CONNECT_SECONDS = 10


@dataclass(frozen=True)
class LedgerPlace:
    """Where a ledger is. Nothing is opened or made by saying so.

    `key` is a file that is made when it is missing, or the key itself; left out, it stands beside a SQLite
    file. Raises `ConfigError` for an address that no ledger can have.
    """

    url: str = field(repr=False)
    anchor: Path | None = None
    key: Path | bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.file and self.key is None:
            raise ConfigError(f"{self}: a ledger in PostgreSQL needs the path of a file for the key of its digests")

    def __str__(self) -> str:
        return str(self.file) if self.file else self.address.render_as_string(hide_password=True)

    @property
    def address(self) -> URL:
        """The address with the driver that we use."""
        try:
            url = make_url(self.url)
        except (ArgumentError, ValueError):
            # The parser's own words quote the address, which may hold a password.
            raise ConfigError("the ledger's url cannot be read: give sqlite:///… or postgresql://…") from None
        kind = url.drivername.partition("+")[0]
        if kind == "sqlite" and url.database not in (None, "", ":memory:"):
            return url.set(drivername="sqlite+pysqlite")
        if kind in ("postgresql", "postgres"):
            query = {("sslmode" if name == "ssl" else name): value for name, value in url.query.items()}
            return url.set(drivername="postgresql+psycopg", query=query)
        raise ConfigError("the ledger's url names no database we know: give sqlite:///… or postgresql://…")

    @property
    def file(self) -> Path | None:
        """The SQLite file, None in PostgreSQL."""
        url = self.address
        return Path(url.database or "") if url.drivername.startswith("sqlite") else None

    @property
    def key_file(self) -> Path | None:
        """The file of the key, None where the key itself was given."""
        if isinstance(self.key, bytes):
            return None
        if self.key is None and self.file:
            return self.file.with_name(self.file.name + ".key")
        return self.key


def engine_of(place: LedgerPlace, *, reading: str | None = None, creator: Callable[[], Any] | None = None) -> Engine:
    """An engine of one connection, which takes the write lock when a transaction begins. Connects later.

    `reading` opens a SQLite file without the right to change it: "mode=ro", or "immutable=1" where nobody can.
    `creator` makes its connections itself.
    """
    pool = {"pool_size": 1, "max_overflow": 0, "hide_parameters": True}
    if place.file is None:
        engine = create_engine(
            place.address,
            isolation_level="READ COMMITTED",
            connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "retirement"},
            **pool,
        )
        event.listen(engine, "connect", _prepare_postgresql)
        return engine
    options: dict[str, Any] = {"poolclass": QueuePool, **pool}
    if creator:
        options["creator"] = creator
    url = place.address
    if reading:
        location = place.file.resolve().as_uri()
        name, _, value = reading.partition("=")
        url = url.set(database=location, query={name: value, "uri": "true"})
    engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS, "check_same_thread": False}, **options)
    event.listen(engine, "connect", _prepare_reading if reading or creator else _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_postgresql(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
        cursor.execute("SET synchronous_commit = 'on'")
    connection.commit()


def _prepare_reading(connection: Any, _record: object) -> None:
    # SQLAlchemy's page on SQLite: the driver begins transactions late, so we begin them ourselves.
    connection.isolation_level = None


def _prepare_sqlite(connection: Any, record: object) -> None:
    _prepare_reading(connection, record)
    # FULL: what was acknowledged survives a power failure. A WAL needs a local disk, as its authors say.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def make_file(place: LedgerPlace) -> None:
    """Makes the SQLite file and its folder for this account only; raises `LedgerError`."""
    if place.file is None:
        return
    try:
        place.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not place.file.exists():
            os.close(os.open(place.file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise LedgerError(f"{place}: the file cannot be made: {error.strerror}") from None
