"""What `retirement serve` keeps on offer: four flows on schedules, and one learner on request."""

import asyncio
from dataclasses import dataclass
from typing import Any

from prefect.runner import Runner

from flows.archive import archive
from flows.dead_runs import watch_for_silence
from flows.reconcile import reconcile
from flows.retire_learner import retire_learner
from flows.retire_queue import retire_queue
from flows.verify_erasure import verify_erasure


@dataclass(frozen=True, slots=True)
class Schedules:
    """When each flow runs by itself, as cron lines; None: only on request."""

    queue: str | None
    reconcile: str | None
    verify: str | None
    archive: str | None


async def serve_all(schedules: Schedules) -> None:
    """Serves all deployments until it is cancelled.

    Their names differ from those in prefect.yaml, whose runs belong to a work pool. A cancellation tells the
    runs to stop and waits until they have put their learners away; one that takes longer than the thirty
    seconds that Prefect's runner gives is killed, and its learners are left to the reconciler.
    """
    await watch_for_silence()
    runner = Runner(pause_on_shutdown=True)
    offered = (
        (retire_queue, "queue-here", schedules.queue),
        (reconcile, "reconcile-here", schedules.reconcile),
        (verify_erasure, "verify-here", schedules.verify),
        (archive, "archive-here", schedules.archive),
    )
    for flow, name, cron in offered:
        options: dict[str, Any] = {"cron": cron} if cron else {}
        await runner.aadd_deployment(await flow.ato_deployment(name=name, concurrency_limit=1, **options))
    await runner.aadd_deployment(await retire_learner.ato_deployment(name="learner-here"))
    serving = asyncio.ensure_future(runner.start())
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
