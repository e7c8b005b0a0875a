"""The request log: every request, in order of arrival, with the learner it is about."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from .conftest import Delay
from .world import ACCOUNTS, World

pytestmark = pytest.mark.anyio

ANA = {"username": "ana.gomez+x", "state": "PENDING", "credentials": True}


def _entries(world: World) -> list[tuple[Any, ...]]:
    return [(e["service"], e["method"], e["status"], e["user_id"]) for e in world.sandbox.requests]


async def test_requests_name_their_learner_by_whatever_key_they_use(world: World) -> None:
    """Path, body, user id, mapping of one pair; null for lists and tokens."""
    world.seed(ANA, {"username": "bram"})
    ana = world.ids["ana.gomez+x"]
    user_id = ana["user_id"]
    retired = world.state("ana.gomez+x")["retirement"]["retired_username"]

    await world.call("GET", f"{ACCOUNTS}/ana.gomez%2Bx/retirement_status/")
    await world.move("ana.gomez+x", "RETIRING_FORUMS")
    await world.call("POST", f"/api/edx_proctoring/v1/retire_user/{user_id}/")
    mapping = {"username_mappings": [{"ana.gomez+x": retired}]}
    await world.call("POST", "/api/v2/replace_usernames/", service="credentials", json=mapping)
    body = {"lms_user_id": user_id, "original_username": "ana.gomez+x"}
    await world.call("POST", "/api/v1/retire_user", service="license_manager", json=body)
    await world.call("GET", f"{ACCOUNTS}/retirement_queue/")
    await world.call("POST", f"{ACCOUNTS}/retirement_cleanup/", json={"usernames": ["ana.gomez+x"]})
    await world.call("POST", "/oauth2/access_token", auth=None, data={"username": "unknown"})
    await world.call("GET", f"{ACCOUNTS}/unknown/retirement_status/")

    assert _entries(world) == [
        ("lms", "GET", 200, user_id),
        ("lms", "PATCH", 204, user_id),
        ("lms", "POST", 204, user_id),
        ("credentials", "POST", 200, user_id),
        ("license_manager", "POST", 404, user_id),
        ("lms", "GET", 400, None),
        ("lms", "POST", 400, None),
        ("lms", "POST", 400, None),
        ("lms", "GET", 404, None),
    ]


async def test_lost_and_late_answers_stay_in_order_of_arrival(world: World, delay: Delay) -> None:
    """A dropped request has no status; a delayed one gets it when it is answered."""
    world.seed(ANA)
    world.sandbox.arm([{"path": "/retire/", "drop": True}, {"path": "/retire_misc/", "delay_s": 0.1}])
    body = {"username": "ana.gomez+x"}

    with pytest.raises(httpx.TransportError):
        await world.call("POST", f"{ACCOUNTS}/retire/", json=body)
    late = asyncio.create_task(world.call("POST", f"{ACCOUNTS}/retire_misc/", json=body))
    await delay.begun.wait()
    await world.call("GET", "/heartbeat", auth=None)
    meanwhile = [entry["status"] for entry in world.sandbox.requests]
    delay.may_begin.set()
    await late

    assert meanwhile == [None, None, 200]
    assert [entry["status"] for entry in world.sandbox.requests] == [None, 400, 200]


async def test_control_calls_are_not_logged_and_reset_empties_the_log(world: World) -> None:
    """The log is what the system under test did."""
    await world.call("GET", "/heartbeat", auth=None)
    shown = await world.call("GET", "/_sandbox/requests", auth=None)
    on_own_port = await world.call("GET", "/_sandbox/requests", service="control", auth=None)
    await world.call("POST", "/_sandbox/reset", auth=None)

    expected = {"service": "lms", "method": "GET", "path": "/heartbeat", "status": 200, "user_id": None}
    assert shown.json() == on_own_port.json() == {"requests": [expected]}
    assert world.sandbox.requests == []
