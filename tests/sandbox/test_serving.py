"""The sandbox on sockets: ports, many connections, shutdown."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event

from retirement.sandbox import Sandbox, seeds, serving
from tests.patient import PATIENCE

pytestmark = pytest.mark.anyio


def _free_range(count: int, first: int) -> int:
    """The first of so many neighbouring ports that are free, from this one on: each test has ports of its own."""
    for base in range(first, first + 4_000, count):
        taken: list[socket.socket] = []
        try:
            taken.extend(socket.create_server(("127.0.0.1", port)) for port in range(base, base + count))
        except OSError:
            continue
        finally:
            for listener in taken:
                listener.close()
        if len(taken) == count:
            return base
    pytest.fail("no free ports")


#: One for each service, and the control endpoints.
PORTS = len(Sandbox().apps)


async def test_ports_count_up_from_the_base_port() -> None:
    """An operator can write them into a configuration file beforehand."""
    base = _free_range(PORTS, 21_000)

    async with serving(Sandbox(), base) as urls:
        ports = [int(url.rpartition(":")[2]) for url in urls.values()]

    assert ports == list(range(base, base + PORTS))


async def test_a_port_that_is_taken_is_one_clear_line() -> None:
    """And none of the other ports stays bound."""
    base = _free_range(PORTS, 25_000)
    message = rf"^\[Errno \d+\] cannot listen on 127\.0\.0\.1:{base + 2}: .+$"
    with socket.create_server(("127.0.0.1", base + 2)), pytest.raises(OSError, match=message):
        async with serving(Sandbox(), base):
            pass

    async with serving(Sandbox(), base) as urls:
        assert len(urls) == PORTS


async def test_control_endpoints_are_served_on_loopback_only() -> None:
    """Elsewhere they are neither on the LMS nor on a port of their own."""
    async with serving(Sandbox(), host="0.0.0.0") as urls, httpx.AsyncClient(timeout=PATIENCE) as client:  # noqa: S104  # the point
        port = urls["lms"].rpartition(":")[2]
        answer = await client.get(f"http://127.0.0.1:{port}/_sandbox/state")

    assert "control" not in urls
    assert answer.status_code == 404


async def test_shutdown_does_not_wait_for_hanging_connections(caplog: pytest.LogCaptureFixture) -> None:
    """A request in a long delay loses its connection, and nothing is logged or raised."""
    sandbox = Sandbox()
    sandbox.arm([{"path": "/heartbeat", "delay_s": 10 * PATIENCE}])
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        async with serving(sandbox) as urls:
            hanging = asyncio.create_task(client.get(urls["lms"] + "/heartbeat"))
            await _arrived(sandbox, 1)
        # The client that waits for it gets its answer.
        with pytest.raises(httpx.RemoteProtocolError):
            await hanging

    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


async def test_two_hundred_connections_are_served_at_once() -> None:
    """Each of them has been read before the first one is answered."""
    sandbox = Sandbox()
    sandbox.arm([{"path": "/heartbeat", "delay_s": 10 * PATIENCE, "times": 200}])
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(limits=limits, timeout=PATIENCE) as client:
        async with serving(sandbox) as urls:
            waiting = [asyncio.create_task(client.get(urls["lms"] + "/heartbeat")) for _ in range(200)]
            entries = await _arrived(sandbox, 200)
        ends = await asyncio.gather(*waiting, return_exceptions=True)

    assert [entry for entry in entries if entry["status"] is not None] == []
    assert {type(end) for end in ends} == {httpx.RemoteProtocolError}


def test_a_thousand_learners_are_seeded_with_as_many_statements_as_two() -> None:
    """A benchmark resets often: rows are written a table at a time. `make bench` says how long it takes."""

    def statements(learners: int) -> int:
        sandbox, seen = Sandbox(), Counter[str]()

        def count(*_: object) -> None:
            seen["statements"] += 1

        event.listen(Engine, "before_cursor_execute", count)
        try:
            sandbox.reset(seeds.learners(learners))
        finally:
            event.remove(Engine, "before_cursor_execute", count)
        return seen["statements"]

    assert 0 < statements(1000) <= statements(2)


async def _arrived(sandbox: Sandbox, count: int) -> list[dict[str, Any]]:
    """The requests so far, as soon as there are so many."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if len(sandbox.requests) >= count:
            return list(sandbox.requests)
        await asyncio.sleep(0.01)
    pytest.fail(f"only {len(sandbox.requests)} of {count} requests came")
