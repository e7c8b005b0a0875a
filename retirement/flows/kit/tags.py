"""The tags of a run that has done its work, for the filters of the UI: what came of it, and where it failed."""

from collections.abc import Iterable

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from retirement.pipeline import Pipeline
from retirement.pipeline.endings import Report


async def tag_run(reports: Iterable[Report], pipeline: Pipeline) -> None:
    """Adds to the run that this is called in `outcome:…` of each report, and `service:…` where a step failed."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("only a flow run has tags")
    run, tags = context.flow_run, set[str]()
    for report in reports:
        tags.add(f"outcome:{report.ending.value}")
        if report.failed_step:
            tags.add(f"service:{pipeline.step(report.failed_step).service}")
    async with get_client() as client:
        await client.update_flow_run(run.id, tags=sorted({*run.tags, *tags}))
