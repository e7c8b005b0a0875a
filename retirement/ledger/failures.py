"""What a failing database says, as one sentence that is safe to show.

Never SQL, a parameter or a driver's own words: those may quote a value. The codes are those of
https://www.sqlite.org/rescode.html and https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from retirement.errors import LedgerError, RetirementError

_SQLITE = {
    "SQLITE_READONLY": "it cannot be written: the file, its folder or its disk is read-only",
    "SQLITE_FULL": "it cannot be written: the disk is full",
    "SQLITE_NOTADB": "the file is not a ledger, or its beginning is damaged",
    "SQLITE_CORRUPT": "the file is damaged; `retirement ledger verify` says where",
    "SQLITE_BUSY": "another process kept it locked for too long",
    "SQLITE_LOCKED": "another process kept it locked for too long",
    "SQLITE_CANTOPEN": "the file cannot be opened: look at the folder and its permissions",
    "SQLITE_PERM": "the file cannot be opened: look at its permissions",
    "SQLITE_AUTH": "the file cannot be opened: look at its permissions",
    "SQLITE_IOERR": "the disk reports an error",
    # The index of the write-ahead log is made anew by the process that opens the file first.
    "SQLITE_IOERR_SHMSIZE": "it cannot be written: the disk is full",
    "SQLITE_TOOBIG": "a value is too long to be stored",
}
_POSTGRESQL = {
    "08": "the connection to the database failed",
    "25006": "it cannot be written: the database is read-only",
    "28": "the database does not accept the user or the password",
    "3D000": "the database does not exist",
    "40": "transactions of other processes collided with ours again and again",
    "42501": "the database user may not do this",
    "53100": "it cannot be written: the disk is full",
    "53300": "the database takes no more connections",
    "53": "the database is out of resources",
    "55P03": "another process kept it locked for too long",
    "57P": "the database is shutting down or starting up",
    "57014": "the database took too long",
    "XX": "the database reports damage",
}


def failure(ledger: str, error: Exception) -> LedgerError:
    """The error to raise, `from None`, for what the database, its driver or the disk raised."""
    return LedgerError(f"{ledger}: {_sentence(error)}")


@contextmanager
def translated(ledger: str) -> Iterator[None]:
    """Raises `failure` for what the database, its driver or the disk raise in the block; errors of ours pass."""
    try:
        yield
    except RetirementError:
        raise
    except Exception as error:  # noqa: BLE001 - a driver's words may quote the address
        raise failure(ledger, error) from None


def collides(error: BaseException) -> bool:
    """Whether the same transaction may well succeed when it is done again, and has not been done now."""
    return isinstance(error, DBAPIError) and (_is_lost(error) or _state(error.orig).startswith("40"))


def concerns_one(error: SQLAlchemyError) -> bool:
    """Whether only the statement is at fault, and not the database: the transaction may go on without it."""
    return isinstance(error, IntegrityError) or not isinstance(error, DBAPIError)


def _sentence(error: Exception) -> str:
    origin = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, NoSuchModuleError):
        return "this kind of database is not supported: give sqlite:///… or postgresql://…"
    if isinstance(origin, sqlite3.Error):
        return _of_sqlite(origin)
    if isinstance(origin, OSError):
        return f"the disk says {origin.strerror or type(origin).__name__}"
    return _of_postgresql(origin, lost=_is_lost(error))


def _of_sqlite(origin: sqlite3.Error) -> str:
    name = getattr(origin, "sqlite_errorname", "") or ""
    return _longest(_SQLITE, name) or f"the database failed ({name or type(origin).__name__})"


def _of_postgresql(origin: BaseException | None, *, lost: bool) -> str:
    """By its SQLSTATE; an error of the connection has none."""
    state = _state(origin)
    if said := _longest(_POSTGRESQL, state):
        return said
    if lost:
        return "the connection to the database was lost"
    kind = type(origin).__name__
    if kind in ("OperationalError", "ConnectionTimeout"):
        return f"the database cannot be reached{f' ({state})' if state else ''}"
    return f"the database failed ({state or kind})"


def _state(origin: BaseException | None) -> str:
    """The SQLSTATE of a driver's error, "" where it has none."""
    return getattr(origin, "sqlstate", None) or ""


def _is_lost(error: Exception) -> bool:
    """Whether the connection is gone with the error."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _longest(sentences: dict[str, str], code: str) -> str | None:
    found = [prefix for prefix in sentences if code.startswith(prefix)]
    return sentences[max(found, key=len)] if found else None
