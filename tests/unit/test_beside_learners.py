"""What a queue run shows beside its learners, their place in its graph and its progress, where that is not taken."""

import json
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.settings import (
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    temporary_settings,
)

from retirement.config import RetrySettings
from retirement.errors import Ending, Misconfigured
from retirement.flows.kit.tasks import QueueTasks
from retirement.flows.retire_learner import _place
from retirement.flows.retire_queue import QueueRun, _show_progress, _through
from retirement.pipeline.endings import Report
from retirement.site.watch import watch

from .answering import answering
from .batches import batch_of
from .doubles import World, holder, shipped

pytestmark = pytest.mark.anyio


async def test_a_place_that_was_not_made_keeps_no_queue_run_from_its_table(world: World) -> None:
    """The next learner asks for it again, and only one that is there is ended."""
    site = world.site(shipped("default"))
    codes, asked, made = [500], list[str](), str(uuid4())

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path.endswith("set_state"):
            return httpx.Response(
                201, json={"status": "ACCEPT", "details": {}, "state": json.loads(request.content)["state"]}
            )
        body = json.loads(request.content)
        return httpx.Response(codes.pop(0) if codes else 201, json={**body, "id": made, "state": None})

    settings = {PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False, PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False}
    transport = httpx.MockTransport(answer)
    with temporary_settings(settings):
        async with PrefectClient("http://127.0.0.1:9/api", httpx_settings={"transport": transport}) as client:
            tasks = QueueTasks(site, batch_of(site), RetrySettings())
            with pytest.raises(httpx.HTTPStatusError):
                await tasks.place(client, _place, uuid4())
            await tasks.leave(client)
            assert len(asked) == 1
            assert str(await tasks.place(client, _place, uuid4())) == made
            await tasks.leave(client)

    assert asked[-1] == f"/api/task_runs/{made}/set_state"


async def test_a_queue_run_keeps_the_report_of_a_learner_and_not_the_row(world: World) -> None:
    """Of ten thousand who wait the rows would be most of its memory."""
    line = shipped("default")
    world.seed(holder(), holder("bo"), states=line.lms_states)
    site = world.site(line)
    batch, run = site.batch(), QueueRun()
    batch.learners = {each.user_id: each for each in (await site.lms.rows.queue(line.queue_states, 0)).learners}
    first, second = batch.learners

    _through(QueueTasks(site, batch, RetrySettings()), run, Report(first, Ending.RETIRED, "", (), 0.0))

    assert (list(batch.learners), [each.user_id for each in run.reports]) == ([second], [first])
    # What the last of them alone meets is no reason to stop the run, as it would be where one learner is all there is.
    batch.note_failure(Misconfigured("LMS", "POST /x", 403, "no permission"), second)
    assert not batch.stop


async def test_what_was_seen_of_a_learner_who_was_taken_can_be_let_go(world: World) -> None:
    """The first look keeps everyone who waits; of those who are taken nothing is left of it."""
    line = shipped("default")
    world.seed(holder(), holder("bo"), states=line.lms_states)
    seen = await watch(world.site(line))
    first, second = (each.user_id for each in seen.learners)

    rest = seen.without({first: None})

    assert ([each.user_id for each in rest.learners], rest.order) == ([second], seen.order)


async def test_a_progress_bar_that_is_not_taken_ends_no_queue_run(caplog: pytest.LogCaptureFixture) -> None:
    """The run waits for its end; a line says why it is not shown."""
    with answering(lambda *_: 500):
        await _show_progress(QueueRun())

    assert "does not take the progress of the run" in caplog.text
