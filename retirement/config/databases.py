"""Where the ledger is: which database addresses can be meant, and how one is shown without its password."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

SQLITE = "sqlite:///"
_POSTGRESQL = re.compile(r"postgresql(\+psycopg|\+asyncpg)?://[^ ]*")
_FORM = "write it as sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"
#: Nothing in such a text can be a password.
HARMLESS = re.compile(r"sqlite:///.*|postgresql(\+\w+)?://(?!.*pass)([^@:/]*@)?[^@]*", re.IGNORECASE)


def problem_of(url: str) -> str | None:
    """Why this is no address of a ledger, None where it is one. Repeats nothing of it: it may hold a password."""
    if not url.isprintable() or url != url.strip():
        return "must be one line without space at its ends"
    return _problem_of_file(url) if url.startswith(SQLITE) else _problem_of_server(url)


def _problem_of_file(url: str) -> str | None:
    path = url.removeprefix(SQLITE)
    lasting = path.strip("/") and path != ":memory:" and "?" not in path
    return None if lasting else f"names no file that lasts; {_FORM}"


def _problem_of_server(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return f"is no address of a database; {_FORM}"
    if not _POSTGRESQL.fullmatch(url):
        return f"is no address of a database that a ledger can be in; {_FORM}"
    if not parts.path.strip("/"):
        return f"names no database; {_FORM}"
    if "password" in unquote(parts.query).lower():
        return "must have its password before the @, where it is masked"
    if parts.fragment:
        return "has a # in it; write %23 where a password holds one"
    return None


_READABLE = re.compile(r"(mysql(\+pymysql|\+mysqldb)?|postgresql(\+psycopg)?)://\S+")


def problem_of_reading(url: str) -> str | None:
    """Why there is no looking for residue at this address; MySQL is among those that can be read. Repeats nothing."""
    if url.startswith(SQLITE):
        return problem_of(url)
    if url.startswith("mysql"):
        problem = problem_of(url.replace(url.partition("://")[0], "postgresql", 1)) if _READABLE.fullmatch(url) else ""
        return None if problem is None else "is no address of MySQL; write it as mysql://USER:PASSWORD@HOST/DATABASE"
    return problem_of(url) if _READABLE.fullmatch(url) else f"is no address of a database to read; {_FORM}"


def is_file(url: str) -> bool:
    """Whether the address is of a SQLite file."""
    return url.startswith(SQLITE)


def absolute(url: str, folder: Path) -> str:
    """The address with the path of a SQLite file made absolute; relative ones start at `folder`."""
    return f"{SQLITE}{folder / Path(url.removeprefix(SQLITE)).expanduser()}" if url.startswith(SQLITE) else url


def without_password(url: str, instead: str, text: Callable[[str], str] = str) -> str:
    """The address with another text in the place of its password; `text` writes the rest."""
    if url.startswith(SQLITE):
        return text(url)
    parts = urlsplit(url)
    user, colon, _ = parts.netloc.rpartition("@")[0].partition(":")
    if not colon:
        return text(url)
    host = parts.netloc.rpartition("@")[2]
    rest = urlunsplit(("", "", parts.path, parts.query, ""))
    return f"{text(f'{parts.scheme}://{user}')}:{instead}@{text(f'{host}{rest}')}"
