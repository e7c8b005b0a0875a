"""Faults happen alike on sockets and in process (docs/contract/sandbox.md)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest

from retirement.sandbox import Sandbox, serving
from retirement.sandbox.world.faults import Fault
from retirement.sandbox.world.identity import CLIENTS
from retirement.sandbox.world.settings import Settings
from retirement.sandbox.world.tokens import access_token
from tests.patient import PATIENCE

from .conftest import Delay

pytestmark = pytest.mark.anyio

CONTRACT = Path(__file__).parents[2] / "docs" / "contract" / "sandbox.md"
RETIRE = "/api/user/v1/accounts/retire/"


@asynccontextmanager
async def _client(sandbox: Sandbox, *, sockets: bool) -> AsyncIterator[httpx.AsyncClient]:
    # Made for each test: one made on import is too old when these tests come late in a long run.
    headers = {"Authorization": f"JWT {access_token(CLIENTS['worker'], 600, 'read')}"}
    if not sockets:
        transport = httpx.ASGITransport(sandbox.apps["lms"])
        async with httpx.AsyncClient(transport=transport, base_url="http://lms", headers=headers) as client:
            yield client
        return
    async with (
        serving(sandbox) as urls,
        httpx.AsyncClient(base_url=urls["lms"], headers=headers, timeout=PATIENCE) as client,
    ):
        yield client


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox({"learners": [{"username": "zoe-canary", "state": "RETIRING_LMS"}]})


def test_every_field_of_a_fault_is_in_the_contract() -> None:
    """The paragraph is the format, by which others arm faults over HTTP."""
    (told,) = re.findall(r"^A fault: .*?\n\n", CONTRACT.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)

    assert {each.name for each in fields(Fault)} - set(re.findall(r"`(\w+)`", told)) == set()


def test_every_setting_of_a_seed_is_in_the_contract() -> None:
    """In its table, by which others write seeds."""
    told = re.findall(r"^\| settings\.(\w+) \|", CONTRACT.read_text(encoding="utf-8"), flags=re.MULTILINE)

    assert sorted(told) == sorted(each.name for each in fields(Settings))


def _retired(sandbox: Sandbox) -> bool:
    active: bool = sandbox.state()["learners"]["zoe-canary"]["account"]["is_active"]
    return not active


both = pytest.mark.parametrize("sockets", [True, False], ids=["sockets", "in-process"])


@both
@pytest.mark.parametrize("after", [True, False], ids=["done", "not-done"])
async def test_a_dropped_answer_is_a_transport_error(sandbox: Sandbox, sockets: bool, after: bool) -> None:
    """The work is done only with `after`; the next request is served."""
    sandbox.arm([{"path": "/retire/", "drop": True, "after": after}])
    async with _client(sandbox, sockets=sockets) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(RETIRE, json={"username": "zoe-canary"})
        done = _retired(sandbox)
        repeat = await client.post(RETIRE, json={"username": "zoe-canary"})

    assert (done, repeat.status_code) == (after, 204)


@both
async def test_a_truncated_answer_is_a_transport_error(sandbox: Sandbox, sockets: bool) -> None:
    """Half of the real body comes, then the connection closes."""
    sandbox.arm([{"path": "/retirement_status/", "truncate": True}])
    path = "/api/user/v1/accounts/zoe-canary/retirement_status/"
    async with _client(sandbox, sockets=sockets) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(path)
        repeat = await client.get(path)

    assert repeat.status_code == 200


@both
@pytest.mark.parametrize("after", [True, False], ids=["done", "not-done"])
async def test_a_foreign_answer_comes_as_often_as_armed(sandbox: Sandbox, sockets: bool, after: bool) -> None:
    """Status, headers and body are those of a proxy; then the service answers itself again."""
    fault: dict[str, Any] = {"path": "/retire/", "status": 503, "times": 2, "after": after}
    sandbox.arm([{**fault, "headers": {"Retry-After": "3"}, "body": "<html>busy</html>"}])
    async with _client(sandbox, sockets=sockets) as client:
        first = await client.post(RETIRE, json={"username": "zoe-canary"})
        done = _retired(sandbox)
        others = [await client.post(RETIRE, json={"username": "zoe-canary"}) for _ in range(2)]

    assert (first.status_code, first.headers["retry-after"], first.text) == (503, "3", "<html>busy</html>")
    assert first.headers["content-type"].startswith("text/html")
    assert done is after
    assert [answer.status_code for answer in others] == [503, 204]


@both
async def test_a_delay_holds_up_only_its_own_request(sandbox: Sandbox, sockets: bool, delay: Delay) -> None:
    """Others are served meanwhile; the work is done when the delay is over."""
    sandbox.arm([{"path": "/retire/", "delay_s": 1}])
    async with _client(sandbox, sockets=sockets) as client:
        began = time.monotonic()
        slow = asyncio.create_task(client.post(RETIRE, json={"username": "zoe-canary"}))
        await delay.begun.wait()
        await client.get("/heartbeat")
        held_up = slow.done()
        delay.may_begin.set()
        answer = await slow

    assert not held_up
    assert time.monotonic() - began >= 1
    assert answer.status_code == 204


async def test_faults_hit_only_their_service_method_and_path(sandbox: Sandbox) -> None:
    """The first that fits is used up by one."""
    sandbox.arm(
        [
            {"path": "/retire/", "method": "GET", "status": 418},
            {"path": "/retire/", "service": "notes", "status": 418},
            {"path": "/elsewhere/", "status": 418},
            {"path": "/retire/", "method": "POST", "status": 503},
        ]
    )
    async with _client(sandbox, sockets=False) as client:
        answers = [await client.post(RETIRE, json={"username": "zoe-canary"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [503, 204]


async def test_a_mistyped_fault_is_refused(sandbox: Sandbox) -> None:
    """The control endpoint says which key it does not know."""
    async with _client(sandbox, sockets=False) as client:
        answer = await client.post("/_sandbox/faults", json=[{"pth": "/retire/"}])

    assert answer.status_code == 400
    assert "pth" in answer.json()["detail"]
