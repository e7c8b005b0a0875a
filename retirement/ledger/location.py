"""Where a ledger is: the address of its database, the anchor of its chain, the key of its digests."""

import os
import re
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from retirement.errors import ConfigError, LedgerError
from retirement.ledger.signing import Signing

#: Seconds to wait for a process that has the ledger locked; a transaction takes milliseconds.
LOCK_SECONDS = 30
#: Seconds after which PostgreSQL drops the transaction of a machine that froze in the midst of one.
IDLE_SECONDS = 60
CONNECT_SECONDS = 10

_SQLITE = "sqlite+pysqlite"
#: Statements of SQLite ledgers, which a process compiles once and not for each time that it opens one: a command that
#: signs or verifies opens several. As many as our code has.
_COMPILED: dict[Any, Any] = {}


@dataclass(frozen=True)
class LedgerLocation:
    """Where a ledger is. Nothing is opened or made by saying so.

    `url` is an address, or the path of a SQLite file, in which no sign means anything but itself. `key` is a file
    that is made for a new ledger, or the key itself; left out, it stands beside a SQLite file. `keys` are keys that
    the ledger had before, for look-ups. `signing` is the key by which heads are signed, None: they are not.
    `site` names the site that it has to belong to, None: any. `schema` is the schema of PostgreSQL that holds the
    tables, None: the one that the account finds; in a database with one for each site each has a chain of its own.
    Raises `ConfigError` for an address that no ledger can have.
    """

    url: str | Path = field(repr=False)
    anchor: Path | None = None
    key: Path | bytes | None = field(default=None, repr=False)
    keys: tuple[Path, ...] = field(default=(), repr=False)
    signing: Signing | None = field(default=None, repr=False)
    site: str | None = None
    schema: str | None = None

    def __post_init__(self) -> None:
        if self.file and self.schema:
            raise ConfigError(f"{self.file}: a ledger in SQLite has no schema; give each site a file of its own")
        if not self.file and self.key is None:
            raise ConfigError(f"{self}: a ledger in PostgreSQL needs the path of a file for the key of its digests")

    def __str__(self) -> str:
        if self.file:
            return str(self.file)
        database = self.address.render_as_string(hide_password=True)
        return f"{database} (schema {self.schema})" if self.schema else database

    @property
    def address(self) -> URL:
        """The address with the driver that we use."""
        if isinstance(self.url, Path):
            return URL.create(_SQLITE, database=str(self.url))
        try:
            url = make_url(self.url)
        except (ArgumentError, ValueError):
            # The parser's own words quote the address, which may hold a password.
            raise ConfigError("the ledger's url cannot be read: give sqlite:///… or postgresql://…") from None
        return _with_our_driver(url)

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

    @property
    def older_key_files(self) -> list[Path]:
        """The files of earlier keys: those that `keys` names, and those that a rotation left beside the key."""
        file = self.key_file
        if file is None or not file.parent.is_dir():
            return list(self.keys)
        beside = re.compile(re.escape(file.name) + r"\.[0-9a-f]{8}")
        return [*self.keys, *sorted(each for each in file.parent.iterdir() if beside.fullmatch(each.name))]


def _with_our_driver(url: URL) -> URL:
    """Raises `ConfigError` for a database of another kind, and for one that is only in memory."""
    kind = url.drivername.partition("+")[0]
    if kind == "sqlite" and url.database not in (None, "", ":memory:"):
        return url.set(drivername=_SQLITE)
    if kind in ("postgresql", "postgres"):
        query = {("sslmode" if name == "ssl" else name): value for name, value in url.query.items()}
        return url.set(drivername="postgresql+psycopg", query=query)
    raise ConfigError("the ledger's url names no database we know: give sqlite:///… or postgresql://…")


def open_to_others(location: LedgerLocation) -> list[Path]:
    """The files of a ledger and of its keys, where other accounts of the machine may read or write them."""
    signing = location.signing.key if location.signing else None
    every = (location.file, location.key_file, *location.older_key_files, signing)
    files = [file for file in every if file and file.is_file()]
    return [file for file in files if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]


def engine_of(
    location: LedgerLocation, *, reading: str | None = None, creator: Callable[[], Any] | None = None
) -> Engine:
    """An engine of one connection, which takes the write lock when a transaction begins. Connects later.

    `reading` opens a SQLite file without the right to change it: "mode=ro", or "immutable=1" for
    one that no process can change. `creator` makes its connections itself.
    """
    pool = {"pool_size": 1, "max_overflow": 0, "hide_parameters": True}
    if location.file is None:
        connect_args: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "application_name": "retirement"}
        if location.schema:
            # From the first moment of a connection on: SQLAlchemy asks for tables before our own listener is called.
            given = str(location.address.query.get("options", ""))
            connect_args["options"] = f"{given} -csearch_path={location.schema}".strip()
        engine = create_engine(location.address, isolation_level="READ COMMITTED", connect_args=connect_args, **pool)
        event.listen(engine, "connect", _prepare_postgresql)
        return engine
    options: dict[str, Any] = {"poolclass": QueuePool, **pool}
    if creator:
        options["creator"] = creator
    url = location.address
    if reading:
        file = location.file.resolve().as_uri()
        name, _, value = reading.partition("=")
        url = url.set(database=file, query={name: value, "uri": "true"})
    options["execution_options"] = {"compiled_cache": _COMPILED}
    engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS, "check_same_thread": False}, **options)
    engine.dialect = _sqlite_dialect()
    event.listen(engine, "connect", _prepare_reading if reading or creator else _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@cache
def _sqlite_dialect() -> Dialect:
    """One for all ledgers of a process in SQLite: it knows the library, not the file, and what is compiled is its."""
    with create_engine(f"{_SQLITE}://").connect() as connection:
        return connection.dialect


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
    # Of pages of 4 kB a tenth stayed empty behind entries, of 8 kB a twentieth. A file that is there keeps its own.
    # What is deleted is overwritten, whatever the library was built with.
    # FULL: what was acknowledged survives a power failure. A WAL needs a local disk, as its authors say.
    for pragma in ("page_size=8192", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def empty_log(engine: Engine, seconds: int = LOCK_SECONDS) -> None:
    """Leaves nothing of what was deleted in SQLite's log; a reader that is at work longer keeps it until the next time.

    Outside of a transaction. Raises `sqlite3.Error`.
    """
    if engine.dialect.name != "sqlite":
        return
    with closing(engine.raw_connection()) as raw:
        raw.execute(f"PRAGMA busy_timeout={seconds * 1000}")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        raw.execute(f"PRAGMA busy_timeout={LOCK_SECONDS * 1000}")


def make_file(location: LedgerLocation) -> None:
    """Makes the SQLite file and its folder for this account only; raises `LedgerError`."""
    if location.file is None:
        return
    try:
        location.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not location.file.exists():
            os.close(os.open(location.file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise LedgerError(f"{location}: the file cannot be made: {error.strerror}") from None


class OpenFile:
    """The file of a SQLite ledger and its log, as they were when the ledger was opened; in PostgreSQL there is none.

    What is written to a file that is no longer at its path is found by no later run, so nothing is written there.
    """

    def __init__(self, location: LedgerLocation) -> None:
        file = location.file
        paths = (file, file.with_name(file.name + "-wal")) if file else ()
        self._paths = {path: _identity(path) for path in paths}

    def require_in_place(self) -> None:
        """Raises `LedgerError` where another file, or none, is at a path by now."""
        for path, identity in self._paths.items():
            if identity and _identity(path) != identity:
                raise LedgerError(
                    f"{path}: was moved, replaced or deleted while it was open; nothing more is written to it: put "
                    "the file back before the next run, or it begins without the evidence"
                )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
