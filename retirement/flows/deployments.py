"""What is on offer: each flow as a deployment of `retirement serve` and of `prefect.yaml`, by one declaration."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner

from retirement.config import SCHEDULED, Timed
from retirement.flows.backfill import backfill
from retirement.flows.breaker import breaker
from retirement.flows.bulk_update import bulk_update
from retirement.flows.cleanup import cleanup
from retirement.flows.digest import digest
from retirement.flows.doctor import doctor
from retirement.flows.expire_reports import expire_reports
from retirement.flows.expire_texts import expire_texts
from retirement.flows.hold import hold
from retirement.flows.kit.loss import loss_told
from retirement.flows.kit.names import TAG
from retirement.flows.kit.runner import ServingRunner
from retirement.flows.kit.schedules import Schedules as KeptSchedules
from retirement.flows.kit.watchdog import Watchdog
from retirement.flows.partner_report import partner_report
from retirement.flows.reconcile import reconcile
from retirement.flows.redrive import redrive
from retirement.flows.replace_usernames import replace_usernames
from retirement.flows.replay import replay
from retirement.flows.request import request
from retirement.flows.retire_learner import retire_learner
from retirement.flows.retire_queue import retire_queue
from retirement.flows.verify_erasure import verify_erasure
from retirement.process import waiting

#: Ends the names of the deployments of `retirement serve`.
HERE = "-here"

#: Deployments of earlier releases, whose schedules would go on planning runs that no process takes.
FORMER = ("archive/archive-here",)


@dataclass(frozen=True, slots=True)
class Offer:
    """One deployment. `cron` is the schedule of `prefect.yaml`, in UTC; `serve` takes the configuration's."""

    name: str
    flow: Flow[..., Any]
    description: str
    cron: str | None = None

    @property
    def tags(self) -> list[str]:
        """For the filters of the UI."""
        return [TAG, self.name]

    @property
    def document(self) -> dict[str, Any]:
        """The entry of `prefect.yaml`, for a work pool of type process."""
        # By the slug Prefect finds the schedule again, and leaves it switched off where a person has done so.
        schedules = {"schedules": [{"cron": self.cron, "timezone": "UTC", "slug": self.name}]} if self.cron else {}
        function = self.flow.fn.__name__
        return {
            "name": self.name,
            "description": self.description,
            "tags": self.tags,
            "entrypoint": f"flows/{function}.py:{function}",
            **schedules,
            "work_pool": {"name": "retirement"},
        }

    @property
    def form(self) -> dict[str, Any]:
        """The schema of its parameters, closed: Prefect's own takes any other parameter as well."""
        return {**self.flow.parameters.model_dump_for_openapi(), "additionalProperties": False}


OFFERS = (
    Offer("queue", retire_queue, "Retires the learners whose cool-off is over, one flow run each.", "0 4 * * *"),
    Offer("reconcile", reconcile, "Gives learners whose run died back to the queue.", "7 * * * *"),
    Offer(
        "verify",
        verify_erasure,
        "Checks pending erasures with each service, and repeats those whose data is there again.",
        "37 * * * *",
    ),
    Offer("cleanup", cleanup, "Has the LMS delete what it keeps of learners whose certificate is complete."),
    Offer("partner-report", partner_report, "Writes a file for each organisation with its learners who were retired."),
    Offer("expire-reports", expire_reports, "Deletes delivered files of partner reports; tells partners days before."),
    Offer("expire-texts", expire_texts, "Takes old reasons, bases and evidence out of the ledger; the proofs stay."),
    Offer("learner", retire_learner, "Retires one learner on request: finds, shows and confirms the learner first."),
    Offer("request", request, "Has the LMS make a request to retire for accounts; shows them first."),
    Offer("redrive", redrive, "Brings ERRORED learners back to the last proved state; shows them first."),
    Offer("bulk-update", bulk_update, "Moves the rows of one state and some days at once; shows them first."),
    Offer("replace-usernames", replace_usernames, "Gives accounts new usernames in every service; shows them first."),
    Offer("replay", replay, "Erases again what services have back from a backup; shows the learners first."),
    Offer("backfill", backfill, "Does an added step for learners who went through without it; shows them first."),
    Offer(
        "hold", hold, "Keeps a learner, an organisation's learners or one service's data until a day; or ends a hold."
    ),
    Offer("breaker", breaker, "Stops calling a service, or calls it again."),
    Offer("doctor", doctor, "Checks what would go wrong; changes nothing."),
    Offer("digest", digest, "Writes the page of the day: who waits and how long, and what waits for a person."),
)


async def _pause_former() -> None:
    async with get_client() as client:
        for name in FORMER:
            with suppress(ObjectNotFound):
                await client.pause_deployment((await client.read_deployment_by_name(name)).id)


async def serve_all(schedules: Mapping[str, Timed], tell: Callable[[str], None], watchdog: Watchdog) -> None:
    """Serves all deployments until it is cancelled; `tell` is given a line when they are ready.

    `schedules` are those of the configuration, by their keys.

    Their names differ from those in prefect.yaml, whose runs belong to a work pool. A cancellation tells the
    runs to stop and waits until they have put their learners away; one that takes longer than the thirty
    seconds that Prefect's runner gives is killed, and its learners are left to the reconciler.

    No deployment has a concurrency limit: Prefect takes a paused run's place away after five minutes and then
    kills the run. The ledger's leases do the job. Raises `EngineLost` where the server or its database is gone.
    """
    # It would pause them as well, and nobody could tell that from a pause by hand.
    runner = ServingRunner(pause_on_shutdown=False)
    async with get_client() as client:
        with waiting("Prefect's server to take the deployments"):
            await _pause_former()
            kept = await KeptSchedules.read(client)
            served = await _offer_all(client, runner, kept, schedules, tell)
        serving, watching = asyncio.ensure_future(runner.start()), asyncio.ensure_future(watchdog.run())
        tell(f"ready: {len(served)} deployments")
        async with loss_told():
            await _served(runner, serving, watching, lambda: kept.stop(served))


async def _served(
    runner: Runner,
    serving: "asyncio.Future[None]",
    watching: "asyncio.Future[None]",
    stop: Callable[[], Awaitable[None]],
) -> None:
    """Waits until the runner ends or this is cancelled; then `stop`, which asks the server, in any case."""
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        # Cancelled like any other work, the runner would kill the processes of its runs where they are.
        if runner.started:
            await runner.astop()
        else:
            serving.cancel()
        await serving
        raise
    finally:
        watching.cancel()
        await stop()


async def _offer_all(
    client: PrefectClient,
    runner: Runner,
    kept: KeptSchedules,
    schedules: Mapping[str, Timed],
    tell: Callable[[str], None],
) -> dict[str, UUID]:
    """Writes each deployment; their ids by full name."""
    served = {}
    for offer in OFFERS:
        name = f"{offer.flow.name}/{offer.name}{HERE}"
        chosen = await kept.choose(name, schedules.get(SCHEDULED.get(offer.name, "")))
        if chosen.by_hand:
            tell(f"{offer.name}: {chosen.by_hand} in Prefect, and stays so")
        options: dict[str, Any] = {"description": offer.description, "tags": offer.tags, "paused": chosen.paused}
        if chosen.schedules:
            options["schedules"] = chosen.schedules
        served[name] = await runner.aadd_deployment(
            await offer.flow.ato_deployment(name=f"{offer.name}{HERE}", **options)
        )
        await client.update_deployment(served[name], DeploymentUpdate(parameter_openapi_schema=offer.form))
    await kept.keep()
    return served
