"""Retirements as the door sees them: where a learner stands, taking a request back, and starting a run."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

from retirement import certificate as certificates
from retirement.api.permissions import NO_LEARNER
from retirement.api.refusals import Conflict, Missing
from retirement.config import Configuration
from retirement.followup.cancel import can_be_cancelled, cancel
from retirement.followup.standing import standing
from retirement.learner import Learner
from retirement.ledger import learner_scope
from retirement.retire.preview import cool_off_end
from retirement.site import Site
from retirement.site.watch import ENDED, locate

#: Opens the site of a configuration.
Sites = Callable[[Configuration], AbstractAsyncContextManager[Site]]
#: Starts the run of a learner; the second says why the cool-off is not waited for.
Start = Callable[[int, str | None], Awaitable[None]]


class Retirements:
    """Answers about one learner at a time. Each method raises `ServiceError` and `LedgerError`, and `Missing`."""

    def __init__(self, configuration: Configuration, sites: Sites, start: Start) -> None:
        self._configuration, self._sites, self._start = configuration, sites, start

    async def standing(self, user_id: int) -> dict[str, Any]:
        """For operators: what `retirement status` says."""
        async with self._sites(self._configuration) as site:
            found = await standing(site, user_id)
        if not found.pop("found"):
            raise Missing(NO_LEARNER)
        return found

    async def own(self, user_id: int) -> dict[str, Any]:
        """For the learner: how far their request is, and until when it can be taken back."""
        async with self._sites(self._configuration) as site:
            found = await standing(site, user_id)
            learner = await locate(site, user_id)
            kept = learner is not None and await can_be_cancelled(site, learner)
            end = cool_off_end(site, learner, self._cool_off) if learner else None
        if not found["found"]:
            raise Missing(NO_LEARNER)
        ledger = found["ledger"] or {}
        return {
            "user_id": user_id,
            "state": found["state"],
            "requested_at": found.get("requested_at") or ledger.get("requested_at"),
            "due_at": found.get("due_at") or ledger.get("due_at"),
            "retired_at": ledger.get("retired_at"),
            "begins_after": end.isoformat() if end else None,
            "can_be_taken_back": kept,
        }

    async def take_back(self, user_id: int, by: str) -> None:
        """Takes a request back that has not begun. Raises `StateConflict` where it has."""
        async with self._sites(self._configuration) as site:
            await self._learner(site, user_id)
            await cancel(site, user_id, by)

    async def start(self, user_id: int, early: str | None) -> None:
        """Starts the retirement of a learner whose request is there; `early` says why the cool-off is not waited for.

        Raises `Conflict` where there is nothing to start, or the cool-off is not over.
        """
        async with self._sites(self._configuration) as site:
            learner = await self._learner(site, user_id)
            if learner.state in ENDED:
                raise Conflict(f"the request of this learner is {learner.state}")
            if learner_scope(user_id) in await site.ledger.leases.live():
                raise Conflict("a run has this learner already")
            end = cool_off_end(site, learner, self._cool_off)
            if end is not None and early is None:
                raise Conflict(f"the cool-off of this learner lasts until {end:%Y-%m-%d %H:%M} UTC")
            asked = await site.ledger.learners.ask_for_run(user_id)
            try:
                await self._start(user_id, early)
            except Exception:  # raised again; whatever it was, no run has the place
                await site.ledger.learners.unask_for_run(user_id, asked)
                raise

    async def certificate(self, user_id: int) -> certificates.Certificate:
        """The certificate of the newest retirement. Raises `Missing` where the ledger has none."""
        async with self._sites(self._configuration) as site:
            location = site.ledger.location
            if await site.ledger.learners.newest(user_id) is None:
                raise Missing(NO_LEARNER)
        return await asyncio.to_thread(certificates.issue, location, user_id)

    @property
    def _cool_off(self) -> timedelta:
        return timedelta(days=self._configuration.cool_off_days)

    async def _learner(self, site: Site, user_id: int) -> Learner:
        learner = await locate(site, user_id)
        if learner is None:
            raise Missing(NO_LEARNER)
        return learner
