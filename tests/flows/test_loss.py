"""Prefect's server or its PostgreSQL killed in the middle of a queue run: learners end, and the table comes."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError

from retirement.errors import EngineLost
from retirement.flows.kit import loss
from retirement.site import Stop
from tests.flows.conftest import Platform, sandbox, the_server, without_ours
from tests.patient import PATIENCE, until

pytestmark = pytest.mark.dear(seconds=180)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def the_database(home: Path) -> int:
    return int((home / "engine" / "postgres" / "postmaster.pid").read_text().splitlines()[0])


@pytest.mark.parametrize("victim", [the_server, pytest.param(the_database, marks=pytest.mark.nightly)])
def test_a_queue_run_whose_engine_is_killed_says_what_it_knows(
    tmp_path: Path, own_home: Path, victim: Callable[[Path], int]
) -> None:
    """Within our own patience: learners under way are through, and the rest waits untouched."""
    environment = {**without_ours(os.environ), "RETIREMENT_HOME": str(own_home)}
    with sandbox(tmp_path, "--learners", "6", "--latency-ms", "300") as platform:
        platform.configure(queue={"at_once": 2})
        command = [sys.executable, "-m", "retirement", "retire-queue", "--json", "--config", str(platform.config)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=environment, text=True, **pipes) as run:
            until(lambda: run.poll() is not None or (moved(platform) > 3 and under_way(platform) == 2))
            assert run.poll() is None, run.communicate()
            os.kill(victim(own_home), signal.SIGKILL)
            out, err = run.communicate(timeout=PATIENCE)
        states = set(platform.states().values())

    document = json.loads(out)
    assert run.returncode == 2, err
    assert "Prefect's server" in err
    assert "defect" not in err + out
    assert document["outcomes"].get("retired", 0) >= 2
    assert not [state for state in states if state.startswith("RETIRING")]


def under_way(platform: Platform) -> int:
    """How many learners have been moved: on a busy machine the second begins long after the first."""
    return len({each["user_id"] for each in platform.requests() if each["method"] == "PATCH"})


def moved(platform: Platform) -> int:
    return sum(each["method"] == "PATCH" for each in platform.requests())


@pytest.mark.anyio
async def test_a_server_that_comes_back_in_time_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart of the engine takes some seconds."""
    monkeypatch.setattr(loss, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(loss, "PATIENCE_SECONDS", 0.5)
    answers = iter([False, False, True])
    stop, asked = Stop(), asyncio.Event()

    async def ask() -> bool:
        if (answer := next(answers, None)) is None:
            asked.set()
        return answer is not False

    async def work() -> str:
        await asked.wait()
        return "done"

    assert await loss.unless_lost(work(), stop, lambda: True, ask) == "done"
    assert not stop


@pytest.mark.anyio
async def test_learners_under_way_end_before_the_loss_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work itself, which waits for Prefect, is left alone."""
    monkeypatch.setattr(loss, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(loss, "PATIENCE_SECONDS", 0.05)
    stop, asked = Stop(), []

    async def away() -> bool:
        return False

    def ended() -> bool:
        asked.append(isinstance(stop.reason, EngineLost))
        return len(asked) > 2

    with pytest.raises(EngineLost, match="not answered"):
        await loss.unless_lost(asyncio.Event().wait(), stop, ended, away)
    assert asked == [True, True, True]


@pytest.mark.anyio
async def test_an_error_of_prefects_client_is_the_loss_only_while_the_server_is_away() -> None:
    """Anything else stays what it is."""

    async def broken() -> None:
        raise ConnectionError("refused")

    async def away() -> bool:
        return False

    async def there() -> bool:
        return True

    with pytest.raises(EngineLost):
        await loss.unless_lost(broken(), Stop(), lambda: True, away)
    with pytest.raises(ConnectionError):
        await loss.unless_lost(broken(), Stop(), lambda: True, there)


@pytest.mark.anyio
@pytest.mark.parametrize("status", [None, 409, 500, 503])
async def test_a_failure_of_the_server_is_the_loss_though_it_is_back_when_it_is_asked(status: int | None) -> None:
    """Its watchdog starts it again within seconds; what the server refuses is no loss."""
    request = httpx.Request("POST", "http://prefect.example/api/flow_runs")
    error: Exception = httpx.ConnectError("refused", request=request)
    if status:
        error = PrefectHTTPStatusError("failed", request=request, response=httpx.Response(status, request=request))

    async def there() -> bool:
        return True

    with pytest.raises((EngineLost, httpx.HTTPError, PrefectHTTPStatusError)) as raised:
        async with loss.loss_told(there):
            raise error

    assert isinstance(raised.value, EngineLost) is (status != 409)
    assert status != 409 or raised.value is error


@pytest.mark.anyio
async def test_a_run_that_waits_for_a_person_needs_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it is away meanwhile; the patience begins when the wait is over."""
    ticks = itertools.count()
    monkeypatch.setattr(loss, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(loss, "PATIENCE_SECONDS", 5.0)
    monkeypatch.setattr(loss, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    stop, waited = Stop(), []

    async def away() -> bool:
        return False

    async def work() -> None:
        with loss.not_needed():
            for _ in range(50):
                await asyncio.sleep(0)
            waited.append(bool(stop))
        await asyncio.Event().wait()

    with pytest.raises(EngineLost, match="not answered"):
        await loss.unless_lost(work(), stop, lambda: True, away)
    assert waited == [False]
