"""Sessions that can only read: how each kind of database is told so, and what its errors are called.

MySQL: https://dev.mysql.com/doc/refman/8.4/en/set-transaction.html; PostgreSQL: `default_transaction_read_only`;
SQLite: `mode=ro` and `query_only`. An error never repeats an address, a statement or a value.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from retirement.errors import ConfigError, Transient

#: Seconds that a connection and that one statement may take.
CONNECT_SECONDS, STATEMENT_SECONDS = 10, 30
#: Drivers by the scheme of an address, and the package that an operator installs for each.
_DRIVERS = {
    "mysql": ("mysql+pymysql", "pymysql"),
    "mysql+pymysql": ("mysql+pymysql", "pymysql"),
    "mysql+mysqldb": ("mysql+mysqldb", "mysqlclient"),
    "postgresql": ("postgresql+psycopg", "psycopg"),
    "postgresql+psycopg": ("postgresql+psycopg", "psycopg"),
    "sqlite": ("sqlite", ""),
}
_TIMEOUTS = {"57014", "3024", "1969", "SQLITE_INTERRUPT"}
_DENIED = {"42501", "1142", "1143", "SQLITE_AUTH", "SQLITE_PERM"}


@contextmanager
def session(name: str, address: str) -> Iterator[Connection]:
    """A connection that cannot write, each statement of which is a transaction of its own.

    `name` is what the configuration calls the database. Raises `ConfigError` where the address or a package has
    to be changed, and `Transient` where the database does not answer.
    """
    engine = _engine(name, address)
    try:
        try:
            connection = engine.connect()
        except (SQLAlchemyError, OSError) as error:
            raise Transient(f"database {name}", "connect", None, told(error)) from None
        with connection:
            yield connection
    finally:
        engine.dispose()


def _engine(name: str, address: str) -> Engine:
    try:
        url = make_url(address)
        driver, package = _DRIVERS[url.drivername]
    except (ArgumentError, KeyError, ValueError):
        raise ConfigError(f"databases.{name}: give sqlite:///…, mysql://… or postgresql://…") from None
    url = url.set(drivername=driver)
    options: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS}
    if driver == "sqlite":
        location = Path(url.database or "").expanduser().absolute().as_uri()
        url = url.set(database=location, query={"mode": "ro", "uri": "true"})
        options = {"timeout": CONNECT_SECONDS}
    try:
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=options)
    except (ModuleNotFoundError, NoSuchModuleError):
        raise ConfigError(f"databases.{name}: needs a driver: pip install {package}") from None
    event.listen(engine, "connect", _READ_ONLY[driver.partition("+")[0]])
    return engine


def _sqlite(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA query_only=ON")


def _postgresql(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        cursor.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
    connection.commit()


def _mysql(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("SET SESSION TRANSACTION READ ONLY")
    cursor.execute("SELECT VERSION()")
    if "mariadb" in str(cursor.fetchone()[0]).lower():
        cursor.execute(f"SET SESSION max_statement_time = {STATEMENT_SECONDS}")
    else:
        cursor.execute(f"SET SESSION max_execution_time = {STATEMENT_SECONDS * 1000}")
    cursor.close()


_READ_ONLY = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mysql}


@contextmanager
def in_time(connection: Connection) -> Iterator[None]:
    """One statement, as a transaction that is rolled back, ended by the server or, for SQLite, by us."""
    raw: Any = connection.connection.driver_connection
    if isinstance(raw, sqlite3.Connection):
        end = time.monotonic() + STATEMENT_SECONDS
        raw.set_progress_handler(lambda: int(time.monotonic() > end), 10_000)
    try:
        yield
    finally:
        connection.rollback()


def told(error: Exception) -> str:
    """What a database or its driver said, as a sentence that is safe to show."""
    origin: Any = error.orig if isinstance(error, DBAPIError) else error
    code = _code_of(origin)
    if code in _TIMEOUTS:
        return f"it took longer than {STATEMENT_SECONDS} seconds"
    if code in _DENIED:
        return "the database's user may not read it"
    return f"the database failed ({code or type(origin).__name__})"


def _code_of(origin: Any) -> str:
    """PostgreSQL's SQLSTATE, SQLite's name of an error or MySQL's number; empty where there is none."""
    numbers = (each for each in getattr(origin, "args", ()) if isinstance(each, int))
    named = getattr(origin, "sqlstate", None) or getattr(origin, "sqlite_errorname", None)
    return str(named or next(numbers, ""))
