"""Statements that a configuration declares: their form, the address they go to, and what drivers say about them.

A part of the connector SQL. Here a database's own words end: they quote addresses, statements and values.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr
from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from retirement.connectors import Identity
from retirement.connectors.shared.placeholders import NAMES
from retirement.errors import Misconfigured, Refused, ServiceError, Transient

#: Classes of SQLSTATE, numbers of MySQL and codes of SQLite that say: wrong password, database, table or right.
_LASTING_CODES = {
    *(("SQLSTATE", each) for each in ("28", "3D", "42")),
    *(("MySQL", each) for each in (1044, 1045, 1049, 1054, 1142, 1143, 1146, 1227, 1305, 1364)),
    *(("SQLite", each) for each in (1, 8, 14, 23, 26)),
}
#: What PostgreSQL's client library says without a code when a connection is refused for good.
_LASTING_WORDS = ("authentication failed", "does not exist", "no pg_hba.conf entry")


def url_of(database: SecretStr) -> URL:
    """The address with its driver."""
    url = make_url(database.get_secret_value())
    # Which driver a bare name means depends on the release of SQLAlchemy; ours is the one that is installed.
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def backend_of(database: SecretStr) -> str:
    """What kind of database it is, as SQLAlchemy calls it, such as `postgresql`."""
    return url_of(database).get_backend_name()


def require_driver(database: SecretStr) -> None:
    """Whether the address can be read and its driver is there. Raises `ValueError`, which quotes nothing of it."""
    try:
        dialect = url_of(database).get_dialect()
    except NoSuchModuleError:
        raise ValueError("names a database without dialect here; install its package for SQLAlchemy") from None
    except (ArgumentError, ValueError):
        raise ValueError("is no address of a database; write DIALECT+DRIVER://USER:PASSWORD@HOST/NAME") from None
    if dialect.is_async:
        raise ValueError("names a driver for asyncio; name another, such as postgresql+psycopg")
    try:
        dialect.import_dbapi()
    except ImportError as error:
        raise ValueError(f"needs the package {error.name or 'of its driver'}, which is not installed") from None


def verb_of(statement: str) -> str:
    """Its first word, such as DELETE."""
    return statement.split(None, 1)[0].upper() if statement.strip() else ""


def bound(statement: str) -> frozenset[str]:
    """The names of the values that are bound."""
    return frozenset(text(statement).compile().params)


def only_bound(statement: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that a statement binds; drivers refuse others."""
    return {name: values[name] for name in bound(statement)}


def require_form(which: str, statement: str, *verbs: str) -> None:
    """Raises `ValueError` for anything but one statement of these kinds with values that we have."""
    if verb_of(statement) not in verbs:
        raise ValueError(f"{which} has to begin with {' or '.join(verbs)}")
    if ";" in statement:
        raise ValueError(f"{which} has a semicolon; write one statement without it")
    if re.search(r"--|/\*|#", statement):
        raise ValueError(f"{which} has a comment; what stands behind it would not count")
    if unknown := bound(statement) - NAMES:
        known = ", ".join(f":{each.value}" for each in Identity)
        raise ValueError(f"{which} binds {', '.join(map(':{}'.format, sorted(unknown)))}; there are {known}")


def translated(service: str, what: str, stage: str, error: SQLAlchemyError) -> ServiceError:
    """The error of ours; the driver's quotes statement and values, so it never travels further."""
    if isinstance(error, PoolTimeout):
        return Transient(service, what, None, "no free connection in time")
    if isinstance(error, IntegrityError | DataError):
        return Refused(service, what, None, "the database keeps the row as it is: a constraint or a type")
    if isinstance(error, DBAPIError) and (error.connection_invalidated or isinstance(error, InterfaceError)):
        return Transient(service, what, None, "the connection broke", stage == "commit")
    if isinstance(error, OperationalError) and not _is_lasting(error.orig, stage):
        reason = "no connection" if stage == "connect" else "the database could not do it now"
        return Transient(service, what, None, reason, stage == "commit")
    return Misconfigured(
        service, what, None, f"the database refused to {stage}: its address, a right or the SQL is wrong"
    )


def _is_lasting(raised: BaseException | None, stage: str) -> bool:
    if stage == "connect" and any(words in str(raised) for words in _LASTING_WORDS):
        return True
    return not _LASTING_CODES.isdisjoint(_codes(raised))


def _codes(raised: BaseException | None) -> Iterator[tuple[str, object]]:
    """What a driver's error says in codes of its kind of database, and not in words."""
    yield "SQLSTATE", str(getattr(raised, "sqlstate", None) or getattr(raised, "pgcode", None))[:2]
    # The code of a kind is the low byte, which its variants share.
    yield "SQLite", (getattr(raised, "sqlite_errorcode", None) or 0) & 0xFF
    for number in getattr(raised, "args", ())[:1]:
        yield "MySQL", number
