"""What the processes of the engine see of our environment, and what this process' Prefect sees while it is used.

Variables of Prefect that are meant for another server would change ours, and the environment of a command holds
the secrets of a site: server and PostgreSQL get what is listed here and nothing else.
"""

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from retirement.errors import ConfigError
from retirement.wire.urls import problem_of

#: What a child may take over. Names that end with a star stand for all that begin so.
ALLOWED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "TEMP", "TMP"),
    *("LD_LIBRARY_PATH", "DYLD_*", "XDG_RUNTIME_DIR", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "SYSTEMROOT"),
)

#: Variables of Prefect that say how a client reaches another server, or how that server behaves.
FOREIGN = (
    *("PREFECT_SERVER_", "PREFECT_API_", "PREFECT_CLOUD_", "PREFECT_CLIENT_", "PREFECT_WORKER_"),
    *("PREFECT_PROFILE", "PREFECT_LOGGING_CONFIG", "PREFECT_LOGGING_SETTINGS", "PREFECT_LOGGING_TO_API"),
)

#: Nothing about a site's runs goes to a third party, beside any server.
PRIVACY_SETTINGS = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}

#: How our Prefect server works, where that is not as it comes.
SERVER_SETTINGS = {
    # Prefect's own batches lose records in a long burst of task runs; these keep all of them.
    # A step that ends within the second is written once, and not twice.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    # The feed of events is written in few large batches, its cheapest form; an operator reads it seconds later.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "10",
    # A connection to PostgreSQL for each of the 16 requests that Prefect's client sends at a time. Of Prefect's five
    # those beyond are closed after each use; a new one is a new process that knows no statement yet.
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "16",
    # What a connection has prepared stays on both sides, also one for so many rows that never comes again: with a
    # hundred statements each, 20 connections let the server grow by 100 MB in ten minutes.
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_PREPARED_STATEMENT_CACHE_SIZE": "40",
    # `/` is the UI whose pages our links and tests open. The newer one below /v2 signs a browser out that leaves one of
    # its pages while the credential is being checked.
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
}

#: Set to a reason it permits a server of one's own whose address is http:// and another machine. It is a variable since
#: the address is one as well, and the server may be asked for secrets while the configuration is read.
ALLOW_INSECURE = "RETIREMENT_ENGINE_ALLOW_INSECURE"

#: Hosts that are this machine: no request to them takes a proxy.
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def of_a_child(folder: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process of the engine; `folder` is its home where the account has none."""
    found = {name: value for name, value in _given(environ).items() if _is_allowed(name)}
    if not has_an_account():
        # As on OpenShift, which gives a container any number for its user.
        found |= {"HOME": str(folder), "USER": "retirement", "LOGNAME": "retirement"}
    return found


def _given(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    """The variables of this process, unless others are given."""
    return os.environ if environ is None else environ


def _is_allowed(name: str) -> bool:
    return any(fnmatchcase(name, each) for each in ALLOWED)


def has_an_account() -> bool:
    """Whether the user of this process has a name on this machine; PostgreSQL does not start without."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def foreign(environ: Mapping[str, str] | None = None) -> set[str]:
    """The variables of another Prefect server."""
    return {name for name in _given(environ) if name.startswith(FOREIGN)}


def operators_server(environ: Mapping[str, str] | None = None) -> str | None:
    """The API of the operator's own server, PREFECT_API_URL, None where there is none.

    Raises `ConfigError` where credentials and runs would go to another machine in clear.
    """
    given = _given(environ)
    address = given.get("PREFECT_API_URL", "")
    if not address:
        return None
    permitted = bool(given.get(ALLOW_INSECURE, "").strip())
    remedy = f"set {ALLOW_INSECURE} to the reason why no stranger can listen there"
    if problem := problem_of(address, allow_insecure=permitted, remedy=remedy):
        raise ConfigError(f"PREFECT_API_URL: {problem}")
    return address.rstrip("/")


def without_proxy(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """`NO_PROXY` with this machine in it, in both spellings."""
    given = _given(environ)
    known = [each.strip() for each in (given.get("NO_PROXY") or given.get("no_proxy") or "").split(",") if each.strip()]
    text = ",".join(dict.fromkeys([*known, *LOOPBACK]))
    return {"NO_PROXY": text, "no_proxy": text}


@contextmanager
def changed(values: Mapping[str, str | None]) -> Iterator[None]:
    """Sets variables of this process for the length of the block; None takes one away."""
    before = {name: os.environ.get(name) for name in values}
    _put(values)
    try:
        yield
    finally:
        _put(before)


def _put(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
