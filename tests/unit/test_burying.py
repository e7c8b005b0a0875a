"""Runs of learners that were started without a user id, since a form asks for it: which of them are taken for dead."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from retirement.flows.kit.dead_runs import UNLEASED, bury

from .answering import answering

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(number: int, name: str, parameters: dict[str, Any], *, silent: timedelta) -> dict[str, Any]:
    """A run of a learner that has not changed for a while."""
    of = {"id": str(UUID(int=number)), "flow_id": str(UUID(int=99)), "state": {"type": "RUNNING"}}
    return {**of, "name": name, "parameters": parameters, "updated": (NOW - silent).isoformat()}


async def test_a_run_whose_form_asked_for_the_learner_ends_no_reconciliation() -> None:
    """Its name has the learner once that is known; before, hours have to pass. The others are buried as ever."""
    hour = timedelta(hours=1)
    runs = [
        run(1, "learner-101", {"user_id": 101}, silent=hour),
        run(2, "learner-102", {"user_id": None}, silent=hour),
        run(3, "learner-103", {}, silent=hour),
        run(4, "learner-2026-03-01-11-00", {}, silent=hour),
        run(5, "learner-2026-03-01-04-00", {"user_id": None}, silent=UNLEASED + hour),
        run(6, "learner-104", {"user_id": "of someone"}, silent=hour),
    ]
    ended: list[str] = []

    def prefect(path: str, body: Any) -> Any:
        if path.endswith("/set_state"):
            ended.append(path.split("/")[2])
            return {"status": "ACCEPT", "details": {}, "state": {"type": "CRASHED"}}
        return runs if body["flows"]["name"]["any_"] == ["retire-learner"] and not body["offset"] else []

    with answering(prefect):
        buried = await bury(lambda user_id: user_id == 103, live=("queue",), now=lambda: NOW)

    assert buried == [101, 102]
    assert [UUID(each).int for each in ended] == [1, 2, 5]
