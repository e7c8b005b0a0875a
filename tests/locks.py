"""The credentials of the servers that tests have started: each request of a test is signed with that of its server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from retirement.flows.kit import lock
from retirement.flows.kit.environment import changed

_CREDENTIALS: dict[str, str] = {}


def learn(api: str, home: Path | str) -> str:
    """Remembers the credential of the server that was started in a home; its address."""
    _CREDENTIALS[urlsplit(api).netloc] = lock.found(Path(home) / "engine")
    return api


def auth(url: str) -> tuple[str, str] | None:
    """User and password for a request, None where the server is none of ours."""
    credential = _CREDENTIALS.get(urlsplit(url).netloc)
    if credential is None:
        return None
    user, _, password = credential.partition(":")
    return user, password


def variables(api: str) -> dict[str, str]:
    """What makes Prefect in another process a client of the server."""
    return {"PREFECT_API_URL": api, **lock.of_client(_CREDENTIALS[urlsplit(api).netloc])}


@contextmanager
def client(api: str) -> Iterator[None]:
    """Makes Prefect in this process, and our own looks at the server, clients of the server."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    settings = {PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: _CREDENTIALS[urlsplit(api).netloc]}
    with changed(variables(api)), temporary_settings(settings):
        yield
