"""A simulated Open edX platform: a real server, written from the contract, to rehearse and to test against.

The LMS and the services around it answer on ports of their own over one database, so that "the data is gone"
is a question to tables. Nothing here imports the pipeline: else the tests would agree with themselves.

    sandbox = Sandbox(seeds.demo(pipelines.states("default")))
    async with serving(sandbox) as urls:
        ...

In a test the applications run without sockets, `httpx.ASGITransport(sandbox.apps["lms"])`; a fault that
closes the connection then raises `httpx.RemoteProtocolError`, as the real thing does.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from retirement.sandbox import report, residue
from retirement.sandbox.asgi import ASGIApp, service_app
from retirement.sandbox.control import control_app
from retirement.sandbox.identity import CLIENTS, NOTES_CLIENT
from retirement.sandbox.platform import Platform
from retirement.sandbox.serving import serving
from retirement.sandbox.tokens import access_token

__all__ = ["Sandbox", "serving"]

_EXPIRED_S = -3600


class Sandbox:
    """The platform, its applications, and what the control endpoints do; `databases` is a folder for their files."""

    def __init__(
        self, seed: dict[str, Any] | None = None, *, latency_ms: float = 0, databases: Path | None = None
    ) -> None:
        self._platform = Platform(databases)
        self._seeded: dict[str, Any] = {}
        self.services: dict[str, ASGIApp] = {
            name: service_app(self._platform, name, latency_ms / 1000) for name in self._platform.services
        }
        lms = control_app(self, otherwise=self.services["lms"])
        self.apps: dict[str, ASGIApp] = {**self.services, "lms": lms, "control": control_app(self)}
        self.reset(seed or {})

    def reset(self, seed: dict[str, Any]) -> dict[str, Any]:
        """Empties everything, faults and the request log included, and seeds; answers ids and credentials."""
        self._platform.seed(seed)
        self._seeded = {
            "learners": {
                name: {
                    "user_id": person.user_id,
                    "retirement_id": person.retirement_id,
                    "anonymous_id": person.anonymous_id,
                }
                for name, person in self._platform.people.items()
            },
            "clients": {
                name: {"client_id": client.client_id, "client_secret": client.client_secret}
                for name, client in {**CLIENTS, "notes": NOTES_CLIENT}.items()
            },
            "tokens": {"expired": access_token(CLIENTS["worker"], _EXPIRED_S, "read write email profile")},
        }
        return self._seeded

    @property
    def clients(self) -> dict[str, dict[str, str]]:
        """OAuth credentials by client: `worker`, `plain`, `support`, `notes`."""
        clients: dict[str, dict[str, str]] = self._seeded["clients"]
        return clients

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Every request since the last reset, in order of arrival."""
        return self._platform.journal.entries

    def state(self) -> dict[str, Any]:
        """The truth per learner, with the places that survive by contract."""
        with self._platform.database.transaction() as db:
            self._platform.settle(db)
            return report.state(db, self._platform.states, self._platform.people)

    def residue(self, username: str | None = None) -> list[dict[str, str]]:
        """Every place that still holds a learner's original identity; without a name, of all in COMPLETE."""
        people = self._platform.people
        with self._platform.database.transaction() as db:
            self._platform.settle(db)
            if username is None:
                done = report.complete(db, self._platform.states)
                wanted = [person for person in people.values() if person.user_id in done]
            elif username in people:
                wanted = [people[username]]
            else:
                raise LookupError("the seed has no learner of this name")
            return [place for places in residue.residue(db, wanted).values() for place in places]

    def advance(self, seconds: float) -> None:
        """Lets time pass at the vendors, who do much of their work later."""
        self._platform.advance(seconds)

    def arm(self, faults: Iterable[dict[str, Any]]) -> None:
        """Replaces the faults for the next requests."""
        self._platform.faults.arm(faults)
