"""The simulated platform: the services over one database, with what a seed configures."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from retirement.sandbox import credentials, discovery, ecommerce, license_manager, lms, notes
from retirement.sandbox.database import Database
from retirement.sandbox.faults import Faults, Lost
from retirement.sandbox.journal import Journal, Subjects
from retirement.sandbox.lms.enrollments import Throttle
from retirement.sandbox.lms.token import RateLimit
from retirement.sandbox.routing import Service
from retirement.sandbox.seeding import People, plant
from retirement.sandbox.states import DEFAULT_STATES, States
from retirement.sandbox.tokens import Authenticator
from retirement.sandbox.vendors import VENDORS
from retirement.sandbox.wire import Answer, Request

ROUTES = {
    "lms": lms.ROUTES,
    "credentials": credentials.ROUTES,
    "license_manager": license_manager.ROUTES,
    "notes": notes.ROUTES,
    "ecommerce": ecommerce.ROUTES,
    "discovery": discovery.ROUTES,
}
DEFAULT_TOKEN_LIFETIME_S = 3600
#: Of the format, and two of ours: the worker is staff, and the lists of enrollments have their limit of requests.
_SETTINGS = {"token_lifetime_s", "token_rate_per_minute", "forum", "worker_is_staff", "enrollment_throttle"}
#: The generations of the forum (contract lms.md 4.16).
FORUMS = ("legacy", "v2", "v2-new")


class Platform:
    """Everything that a request may touch. `seed` empties it and fills it anew."""

    def __init__(self, databases: Path | None = None) -> None:
        self.database = Database(databases)
        self.authenticator = Authenticator()
        self.services = {name: Service(name, self, routes) for name, routes in ROUTES.items()}
        for vendor in VENDORS.values():
            self.services[vendor.name] = Service(vendor.name, self, vendor.routes, vendor.manners, vendor.settle)
        self._ahead = timedelta()
        self._background: set[asyncio.Task[Any]] = set()
        self.seed({})

    def seed(self, seed: dict[str, Any]) -> None:
        for task in self._background:
            task.cancel()
        self.people: People = {}
        self._ahead = timedelta()
        settings = _checked(seed)
        self.token_lifetime_s = int(settings.get("token_lifetime_s", DEFAULT_TOKEN_LIFETIME_S))
        self.token_rate = RateLimit(settings.get("token_rate_per_minute"))
        self.enrollment_throttle = Throttle(bool(settings.get("enrollment_throttle", True)))
        self.authenticator.worker_is_staff = bool(settings.get("worker_is_staff", False))
        self.forum: str = settings.get("forum", FORUMS[0])
        self.states = States(seed.get("states", DEFAULT_STATES))
        self.faults = Faults()
        self.journal = Journal()
        self.subjects = Subjects()
        self.database.clear()
        with self.database.transaction() as db:
            self.people = plant(db, self.states, seed.get("learners", []))
        for person in self.people.values():
            names = (person.username, person.retired_username)
            self.subjects.add(person.user_id, names, person.anonymous_id, person.retirement_id)

    async def serve(self, request: Request) -> Answer | Lost:
        """Answers a request, or does not: whatever fault is armed for it happens here."""
        service = self.services[request.service]
        fault = self.faults.take(request)
        if fault is None:
            return await service.answer(request)
        await asyncio.sleep(fault.delay_s)
        request.stops_half_way = fault.partial
        done = await service.answer(request) if fault.works else Lost()
        answer = Lost() if fault.drop else fault.answer or done
        return Lost(answer) if fault.truncate and isinstance(answer, Answer) else answer

    def now(self) -> datetime:
        """The time at the vendors, who do much of their work days later."""
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        """Lets time pass at the vendors."""
        self._ahead += timedelta(seconds=seconds)

    def settle(self, db: Connection) -> None:
        """Has every vendor do what is due by now."""
        for vendor in VENDORS.values():
            vendor.settle(db, self.now())

    def in_background(self, work: Coroutine[Any, Any, Answer | Lost]) -> asyncio.Task[Answer | Lost]:
        """Work that goes on when the request that began it is over; the next seed ends it."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


def _checked(seed: dict[str, Any]) -> dict[str, Any]:
    """The settings of a seed; what is misspelt must not pass for a default."""
    settings: dict[str, Any] = seed.get("settings", {})
    unknown = {*seed} - {"states", "settings", "learners"}
    unknown |= {*settings} - _SETTINGS
    if unknown:
        raise ValueError(f"unknown key of a seed: {', '.join(sorted(unknown))}")
    if settings.get("forum", FORUMS[0]) not in FORUMS:
        raise ValueError(f"forum must be one of {', '.join(FORUMS)}")
    return settings
