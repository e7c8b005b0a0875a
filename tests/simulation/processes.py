"""Our processes as the simulation runs them: a queue run, one learner, a reconciler, each with a site of its own.

They do what the commands do, without Prefect: everything below `flows` is the real code.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from retirement.connectors import Connector, ServiceSettings
from retirement.connectors.credentials import Credentials
from retirement.connectors.license_manager import LicenseManager
from retirement.connectors.openedx import Forum, OpenEdx, OpenEdxSettings
from retirement.errors import Interrupted, RetirementError, Transient
from retirement.followup.adopt import adopt
from retirement.followup.reconcile import reconcile
from retirement.followup.redrive import Choice, redrive
from retirement.learner import Learner
from retirement.ledger import LedgerLocation, opened
from retirement.lms import Lms
from retirement.pipeline import Moves, Pipeline, Step
from retirement.pipeline.endings import Report, StepReport
from retirement.queue.forecast import by_slack
from retirement.retire.engine import Perform, retire
from retirement.retire.learner_run import LearnerRun
from retirement.sandbox.world.identity import CLIENTS
from retirement.site import Batch, Site
from retirement.site.watch import watch
from retirement.wire.api import Api, Retry
from retirement.wire.auth import lms_tokens
from retirement.wire.pool import Pool
from retirement.wire.wiring import Wiring

from .virtual import Inline, Life, VirtualLoop
from .wire import Transport, Wire

SERVICES: dict[str, tuple[type[Connector], str]] = {
    "LMS": (OpenEdx, "lms"),
    "CREDENTIALS": (Credentials, "credentials"),
    "LICENSE_MANAGER": (LicenseManager, "license_manager"),
}


#: What a process does with its site, and what it then says.
Work = Callable[["Life", Site, Batch], Awaitable[str]]


@dataclass(frozen=True)
class Plan:
    """How the site of a seed is set up; seconds are virtual."""

    pipeline: Pipeline
    forum: Forum
    at_once: int
    lease_seconds: float
    attempts: int
    task_retries: int
    task_delay: float
    breaker_learners: int
    breaker_seconds: float
    queue_period: float
    reconcile_period: float
    moves: Moves = Moves.EACH


@dataclass
class Office:
    """Opens sites for the processes of one seed."""

    loop: VirtualLoop
    plan: Plan
    place: LedgerLocation
    wire: Wire
    clock: Callable[[], Any]
    disk: Callable[[Callable[[], Any]], Any]
    note: Callable[[str], None]
    reported: Callable[[Life, Report], None]
    named: set[int] | None = None  #: user ids that the last status named

    @asynccontextmanager
    async def site(self, life: Life) -> AsyncIterator[Site]:
        """A site as a process of its own opens it."""
        plan = self.plan
        async with opened(
            self.place,
            clock=self.clock,
            steady=self.loop.time,
            executor=Inline(self.loop, life, self.wire.gate, self.disk),
            lease_seconds=plan.lease_seconds,
            breaker_learners=plan.breaker_learners,
            breaker_seconds=plan.breaker_seconds,
            holder=f"holder-{life.name}",
        ) as ledger:
            retry = Retry(attempts=plan.attempts)
            pools = {app: Pool(f"http://{app}.sandbox", Transport(self.wire, app)) for _, app in SERVICES.values()}
            worker = CLIENTS["worker"]
            secret = SecretStr(worker.client_secret)
            lms = Api("LMS", pools["lms"], retry=retry)
            tokens = lms_tokens(lms, worker.client_id, secret, clock=self.loop.time, now=self.clock)
            wiring = Wiring(lambda url: pools[urlsplit(url).netloc.removesuffix(".sandbox")], tokens, retry=retry)
            yield Site(
                plan.pipeline,
                Lms(wiring.api("LMS", "http://lms.sandbox", auth=wiring.jwt), plan.pipeline.lms_states),
                tokens,
                {
                    name: kind.connected(name, self._settings(name, app), wiring)
                    for name, (kind, app) in SERVICES.items()
                },
                ledger,
                has_old_forum=plan.forum is Forum.V2,
                moves=plan.moves,
                clock=self.loop.time,
            )

    def _settings(self, service: str, app: str) -> ServiceSettings:
        url = f"http://{app}.sandbox"
        return OpenEdxSettings(url=url, forum=self.plan.forum) if service == "LMS" else ServiceSettings(url=url)

    async def run(
        self, life: Life, work: Callable[[Site, Batch], Awaitable[str]], *, interrupted_after: float = 0
    ) -> None:
        """A process from its first line to its exit; whatever ends it early is noted."""
        try:
            async with self.site(life) as site:
                batch = site.batch()
                if interrupted_after:
                    self.loop.call_later(interrupted_after, self._interrupt, life, batch)
                said = await work(site, batch)
        except RetirementError as error:
            said = f"{type(error).__name__}: {error}"
        self.note(f"{life.name} ends: {said}")

    def _interrupt(self, life: Life, batch: Batch) -> None:
        life.told_to_stop = self.clock().isoformat(timespec="microseconds")
        self.note(f"{life.name} is told to stop")
        batch.stop.set(Interrupted("the run was told to stop"))

    async def queue(self, life: Life, site: Site, batch: Batch) -> str:
        """Retires everybody who waits, least slack first."""
        lease = await site.ledger.leases.take("queue", what="the queue")
        try:
            await site.preflight()
            waiting = (await site.lms.rows.queue(site.pipeline.queue_states, 7)).learners
            listed = by_slack(waiting, {learner.user_id: batch.due_at(learner) for learner in waiting})
            batch.learners = {learner.user_id: learner for learner in listed}
            lanes = iter(listed)

            async def lane() -> None:
                for learner in lanes:
                    if batch.stop:
                        return
                    await self._retire(life, site, batch, learner)

            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.plan.at_once, len(listed))):
                    group.create_task(lane())
            return f"{len(listed)} learners; {batch.stop.reason or 'done'}"
        finally:
            await site.ledger.leases.release(lease)

    async def one(self, life: Life, site: Site, batch: Batch, user_id: int) -> str:
        """Retires one learner, as an operator asks for them."""
        learner = await batch.learner(user_id)
        if learner is None:
            return "no such retirement"
        return (await self._retire(life, site, batch, learner)).ending.value

    async def _retire(self, life: Life, site: Site, batch: Batch, learner: Learner) -> Report:
        report = await retire(site, batch, learner, self._patiently if self.plan.task_retries else None)
        self.note(f"{life.name} {report.user_id} {report.ending.value}: {report.reason}")
        self.reported(life, report)
        return report

    def _patiently(self, run: LearnerRun) -> Perform:
        """The minutes of a step's retry, which belong to its Prefect task."""

        async def perform(step: Step) -> StepReport:
            for _ in range(self.plan.task_retries):
                try:
                    return await run.step(step)
                except Transient:
                    if run.batch.stop:
                        raise
                    await asyncio.sleep(self.plan.task_delay)
            return await run.step(step)

        return perform

    async def reconcile(self, life: Life, site: Site, _: Batch) -> str:
        """Brings back whom nobody has."""
        found = [finding async for finding in reconcile(site)]
        return "; ".join(f"{each.user_id} {each.verdict.value} {each.state} {each.target}" for each in found)

    async def redrive(self, life: Life, site: Site, _: Batch) -> str:
        """Brings ERRORED learners back."""
        found = [finding async for finding in redrive(site, Choice(), limit=1000)]
        return "; ".join(f"{each.user_id} {each.verdict.value} {each.state} {each.target}" for each in found)

    async def status(self, life: Life, site: Site, _: Batch) -> str:
        """Names the learners whose retirement has not ended, as `retirement status` does."""
        watched = await watch(site)
        self.named = {each.user_id for each in watched.learners} | {each.record.user_id for each in watched.unseen}
        return watched.standing

    async def adopt(self, life: Life, site: Site, _: Batch) -> str:
        """Moves rows whose state no step has."""
        found = [finding async for finding in adopt(site)]
        return "; ".join(f"{each.user_id} {each.verdict.value} {each.state} {each.target}" for each in found)

    async def hold(self, life: Life, site: Site, _: Batch, user_id: int, until: Any) -> str:
        """Registers a hold."""
        number = await site.ledger.holds.add(
            user_id=user_id, org=None, service=None, basis="a court asked", until=until, by="the legal team"
        )
        return f"hold {number}"

    async def release(self, life: Life, site: Site, _: Batch, user_id: int) -> str:
        """Releases every hold of a learner."""
        holds = [hold for hold in await site.ledger.holds.find() if hold.user_id == user_id]
        for hold in holds:
            await site.ledger.holds.release(hold.id, by="the legal team", reason="the case is closed")
        return f"{len(holds)} holds released"
