"""What `retirement serve` keeps on offer: the queue on its schedule, and one learner on request."""

from typing import Any

from prefect import aserve

from flows.retire_learner import retire_learner
from flows.retire_queue import retire_queue


async def serve_all(schedule: str | None) -> None:
    """Serves both deployments until it is cancelled; `schedule` is a cron line, or None for no schedule.

    Their names differ from those in prefect.yaml, whose runs belong to a work pool.
    """
    options: dict[str, Any] = {"cron": schedule} if schedule else {}
    queue = await retire_queue.ato_deployment(name="queue-here", concurrency_limit=1, **options)
    learner = await retire_learner.ato_deployment(name="learner-here")
    await aserve(queue, learner)
