"""The simulated platform: the services over one world."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from retirement.sandbox import lms
from retirement.sandbox.planting.seeding import plant, prepared
from retirement.sandbox.routing import Service
from retirement.sandbox.services import credentials, discovery, ecommerce, license_manager, notes
from retirement.sandbox.vendors import VENDORS, drive
from retirement.sandbox.wire import Answer, Request
from retirement.sandbox.world import World
from retirement.sandbox.world.faults import Lost
from retirement.sandbox.world.people import People
from retirement.sandbox.world.settings import Settings, settings_of
from retirement.sandbox.world.states import DEFAULT_STATES, States

ROUTES = {
    "lms": lms.ROUTES,
    "credentials": credentials.ROUTES,
    "license_manager": license_manager.ROUTES,
    "notes": notes.ROUTES,
    "ecommerce": ecommerce.ROUTES,
    "discovery": discovery.ROUTES,
}


@dataclass(frozen=True)
class Snapshot:
    """A seeded platform: what its seed configures, its learners, and the rows of all services."""

    settings: Settings
    states: States
    people: People
    image: bytes = field(repr=False)


class Platform:
    """Composes the services. `seed` empties the world and fills it anew."""

    def __init__(self, databases: Path | None = None) -> None:
        self.world = World(databases)
        self.services = {name: Service(name, self.world, routes, self._send) for name, routes in ROUTES.items()}
        for vendor in VENDORS.values():
            service = Service(vendor.name, self.world, vendor.routes, self._send, vendor.manners, vendor.settle)
            self.services[vendor.name] = service
        # No learner is erased there: partner reports are delivered to it.
        self.services[drive.NAME] = Service(drive.NAME, self.world, drive.ROUTES, self._send, drive.MANNERS)
        self._background: set[asyncio.Task[Any]] = set()
        self.seed({})

    def seed(self, seed: dict[str, Any]) -> None:
        """Raises `ValueError` with the reason for a seed that cannot be; all stays as it was then."""
        settings = settings_of(seed)
        states = States(seed.get("states", DEFAULT_STATES))
        people, rows = prepared(states, seed.get("learners", []))
        with self.world.database.emptied() as db:
            plant(db, rows)
        self._begin(settings, states, people)

    def snapshot(self) -> Snapshot:
        """The seed and all rows as they are now; only of a platform in memory."""
        world = self.world
        return Snapshot(world.settings, world.states, world.people, world.database.image())

    def restore(self, snapshot: Snapshot) -> None:
        """Makes the platform as its seed made it, with the rows of the snapshot; plants nothing."""
        self.world.database.restore(snapshot.image)
        with self.world.database.transaction() as db:
            for vendor in VENDORS.values():
                vendor.restored(db)
        self._begin(snapshot.settings, snapshot.states, snapshot.people)

    def _begin(self, settings: Settings, states: States, people: People) -> None:
        for task in self._background:
            task.cancel()
        self.world.begin(settings, states, people)

    async def serve(self, request: Request) -> Answer | Lost:
        """Answers a request, or loses the answer: the fault that is armed for it happens here."""
        service = self.services[request.service]
        fault = self.world.faults.take(request)
        if fault is None:
            return await service.answer(request)
        await asyncio.sleep(fault.delay_s)
        request.stops_half_way = fault.partial
        done = await service.answer(request) if fault.works else Lost()
        answer = Lost() if fault.drop else fault.answer or done
        return Lost(answer) if fault.truncate and isinstance(answer, Answer) else answer

    def subject(self, request: Request) -> int | None:
        """The user id of the learner that a request is about, if it is about one."""
        found = self.services[request.service].find(request.path)
        return self.world.subjects.of(request, found[1] if found else {})

    def settle(self, db: Connection) -> None:
        """Runs the delayed work of every vendor that is due by now."""
        for vendor in VENDORS.values():
            vendor.settle(db, self.world.now())

    def _send(self, request: Request) -> asyncio.Task[Answer | Lost]:
        """Serves a request of one service to another; the next seed ends it."""
        task = asyncio.get_running_loop().create_task(self.serve(request))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task
