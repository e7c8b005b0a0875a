"""What the control endpoints do: seeds, faults, the clock, and looks at the truth."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from retirement.sandbox import report, residue
from retirement.sandbox.platform import Platform, Snapshot
from retirement.sandbox.world.identity import CLIENTS, DOOR_CLIENT, NOTES_CLIENT
from retirement.sandbox.world.tokens import access_token

_EXPIRED_S = -3600


class Controls:
    """A platform and the handles on it; `databases` is a folder for the files of its databases."""

    def __init__(self, seed: dict[str, Any], databases: Path | None) -> None:
        self._platform = Platform(databases)
        self._seeded: dict[str, Any] = {}
        self.reset(seed)

    def reset(self, seed: dict[str, Any]) -> dict[str, Any]:
        """Empties everything, faults and the request log included, and seeds; answers ids and credentials."""
        self._platform.seed(seed)
        self._seeded = self._describe()
        return self._seeded

    def snapshot(self) -> Snapshot:
        """The seed and all rows as they are now, for `restore`; only of a platform in memory."""
        return self._platform.snapshot()

    def restore(self, snapshot: Snapshot) -> dict[str, Any]:
        """As `reset` with the seed of the snapshot, but with its rows, and twenty times as fast."""
        self._platform.restore(snapshot)
        self._seeded = self._describe()
        return self._seeded

    def _describe(self) -> dict[str, Any]:
        return {
            "learners": {
                name: {
                    "user_id": person.user_id,
                    "retirement_id": person.retirement_id,
                    "anonymous_id": person.anonymous_id,
                }
                for name, person in self._platform.world.people.items()
            },
            "clients": {
                name: {"client_id": client.client_id, "client_secret": client.client_secret}
                for name, client in {**CLIENTS, "notes": NOTES_CLIENT, "door": DOOR_CLIENT}.items()
            },
            "tokens": {"expired": access_token(CLIENTS["worker"], _EXPIRED_S, "read write email profile")},
        }

    @property
    def clients(self) -> dict[str, dict[str, str]]:
        """OAuth credentials by client: `worker`, `plain`, `support`, `notes`, `door`."""
        clients: dict[str, dict[str, str]] = self._seeded["clients"]
        return clients

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Every request since the last reset, in order of arrival."""
        return self._platform.world.journal.entries

    def state(self) -> dict[str, Any]:
        """The truth per learner, with the places that survive by contract."""
        with self._platform.world.database.transaction() as db:
            self._platform.settle(db)
            return report.state(db, self._platform.world.states, self._platform.world.people)

    def residue(self, username: str | None = None, service: str | None = None) -> list[dict[str, str]]:
        """Every place, of all services or of one, that still holds a learner's original identity.

        Without a username: of all learners in COMPLETE. Raises `LookupError` for a username that the seed lacks.
        """
        people = self._platform.world.people
        with self._platform.world.database.transaction() as db:
            self._platform.settle(db)
            if username is None:
                done = report.complete(db, self._platform.world.states)
                wanted = [person for person in people.values() if person.user_id in done]
            elif username in people:
                wanted = [people[username]]
            else:
                raise LookupError("the seed has no learner of this name")
            return [place for places in residue.residue(db, wanted, service).values() for place in places]

    def advance(self, seconds: float) -> None:
        """Lets time pass at the vendors, which do much of their work later."""
        self._platform.world.advance(seconds)

    def arm(self, faults: Iterable[dict[str, Any]]) -> None:
        """Replaces the faults for the next requests."""
        self._platform.world.faults.arm(faults)
