"""What `retirement serve` keeps on offer: queue, reconciler and follow-up on schedules, one learner on request."""

import asyncio
from typing import Any

from prefect.runner import Runner

from flows.dead_runs import watch_for_silence
from flows.reconcile import reconcile
from flows.retire_learner import retire_learner
from flows.retire_queue import retire_queue
from flows.verify_erasure import verify_erasure


async def serve_all(schedule: str | None, reconcile_schedule: str | None, verify_schedule: str | None) -> None:
    """Serves all deployments until it is cancelled; the schedules are cron lines, or None for none.

    Their names differ from those in prefect.yaml, whose runs belong to a work pool. A cancellation tells the
    runs to stop and waits until they have put their learners away; one that takes longer than the thirty
    seconds that Prefect's runner gives is killed, and its learners are left to the reconciler.
    """
    await watch_for_silence()
    runner = Runner(pause_on_shutdown=True)
    offered = (
        (retire_queue, "queue-here", schedule),
        (reconcile, "reconcile-here", reconcile_schedule),
        (verify_erasure, "verify-here", verify_schedule),
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
