"""Braze: counts of what was queued, ids as texts, and the export that proves."""

from __future__ import annotations

import asyncio

import pytest

from retirement.connectors import Erasure, Outcome, Verdict
from retirement.connectors.braze import BrazeSettings
from retirement.errors import Misconfigured, Refused
from tests.unit.doubles import USERNAME, holder
from tests.vendors.conftest import Desk

pytestmark = pytest.mark.anyio

VENDOR = "braze"


async def test_a_profile_is_queued_and_gone_some_minutes_later(desk: Desk) -> None:
    """Accepted, not erased; the export says when it is."""
    erasure = await desk.perform("delete_user")
    user_id = desk.world.user_ids[USERNAME]
    connector = desk.connector()

    assert Erasure(Outcome.ACCEPTED, str(user_id)) == erasure
    assert Verdict.PRESENT is await connector.ask("delete_user", str(user_id), None)
    desk.pass_by(minutes=6)
    assert Verdict.GONE is await connector.ask("delete_user", str(user_id), None)
    assert desk.left() == []


async def test_nobody_of_that_id_is_absent(desk: Desk) -> None:
    """The count is 0."""
    desk.seed(holder())

    assert Erasure(Outcome.ABSENT) == await desk.perform("delete_user")


async def test_learners_of_a_run_share_a_call(desk: Desk) -> None:
    """Fifty at most; each has a receipt of their own."""
    desk.seed(*(holder(f"ana-{number}", vendors=["braze"]) for number in range(7)))
    connector = desk.connector(batch_size=5, batch_seconds=0)
    learners = [await desk.learner(f"ana-{number}") for number in range(7)]
    erasures = await asyncio.gather(*(connector.perform("delete_user", learner) for learner in learners))

    assert [each.receipt for each in erasures] == [str(each.user_id) for each in learners]
    assert desk.sent() == [("POST", "/users/delete")] * 2


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({"instance": "iad-06"}, "https://rest.iad-06.braze.com"),
        ({"instance": "fra-02"}, "https://rest.fra-02.braze.eu"),
        ({"instance": "fra-02", "url": "https://braze.example"}, "https://braze.example"),
    ],
)
def test_the_instance_says_the_host(settings: dict[str, str], host: str) -> None:
    """European instances are not below braze.com."""
    assert host == BrazeSettings(**{"api_key": "k", **settings}).base_url


async def test_a_wrong_key_is_nobodys_fault(desk: Desk) -> None:
    """401 stops the run."""
    error = await desk.error("delete_user", api_key="wrong")

    assert isinstance(error, Misconfigured)


async def test_a_success_without_a_count_is_refused(desk: Desk) -> None:
    """200 with something else inside proves nothing."""
    error = await desk.error("delete_user", {"path": "/users/delete", "status": 200, "body": {"message": "success"}})

    assert isinstance(error, Refused)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/users/delete", {"deleted": 0, "message": "Internal problem", "errors": ["queue unavailable"]}),
        ("/users/export", {"users": [], "message": "success", "errors": ["bad"]}),
    ],
)
async def test_a_failure_inside_of_a_success_is_neither_absent_nor_gone(desk: Desk, path: str, body: object) -> None:
    """Its count and its list say nothing then."""
    connector, learner = desk.connector(), await desk.learner()
    asked = {
        "/users/delete": connector.perform("delete_user", learner),
        "/users/export": connector.ask("delete_user", "101", None),
    }
    desk.arm({"path": path, "status": 200, "body": body})
    asked.pop("/users/export" if path == "/users/delete" else "/users/delete").close()
    with pytest.raises(Refused, match="reports a failure"):
        await asked[path]


async def test_a_404_is_a_wrong_path_or_a_missing_permission(desk: Desk) -> None:
    """An unknown id is no error there, so it says nothing about the learner."""
    error = await desk.error("delete_user", {"path": "/users/delete", "status": 404, "body": {"message": "Not Found"}})

    assert isinstance(error, Misconfigured)
