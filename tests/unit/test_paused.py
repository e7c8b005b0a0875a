"""A schedule that a person has paused: commands that pause it, and runs of it that call no service."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import typer
from prefect import Flow, State
from prefect._flow_run_suspension import FlowRunSuspensionRequest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from prefect.states import Completed
from typer.testing import CliRunner, Result

from retirement.cli import pause as commands
from retirement.config import SCHEDULED
from retirement.errors import SchedulePaused
from retirement.flows.deployments import OFFERS
from retirement.flows.kit.paused import unless_paused
from tests.config.desk import ENVIRON, OWN

FLOWS = {offer.name: offer.flow for offer in OFFERS}
Said = Callable[..., Result]

app = typer.Typer()
app.command("pause")(commands.pause)
app.command("resume")(commands.resume)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A configuration with a ledger of its own, of a site that no test asks."""
    file = tmp_path / "retirement.yaml"
    file.write_text(OWN + f"ledger: {{url: 'sqlite:///{tmp_path}/ledger.sqlite'}}\n", encoding="utf-8")
    for name, value in {**ENVIRON, "RETIREMENT_CONFIG": str(file)}.items():
        monkeypatch.setenv(name, value)
    return str(file)


@pytest.fixture
def said(config: str) -> Said:
    """Runs a command with that configuration."""
    return lambda *words: CliRunner().invoke(app, [*words, "--config", config, "--json"])


def test_every_schedule_or_one_is_paused_and_started_again(said: Said) -> None:
    """Without a name every one is meant; what is not paused cannot be started by its name."""
    every = said("pause", "--reason", "an upgrade", "--by", "ops")
    one = said("resume", "queue", "--reason", "done", "--by", "ops")
    again = said("resume", "queue", "--reason", "done", "--by", "ops")
    others = said("resume", "--reason", "done", "--by", "ops")

    assert json.loads(every.stdout) == {"paused": list(SCHEDULED)}
    assert json.loads(one.stdout) == {"resumed": ["queue"]}
    assert (again.exit_code, "SCHEDULE: not paused in the ledger: queue" in again.stderr) == (2, True)
    assert json.loads(others.stdout) == {"resumed": sorted(set(SCHEDULED) - {"queue"})}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("weekly", "--reason", "an upgrade"), "SCHEDULE: there is no weekly"),
        (("--reason", "zoe@example.com left"), "--reason: "),
        (("--reason", " "), "--reason: no text"),
    ],
)
def test_what_cannot_be_kept_is_refused(said: Said, words: tuple[str, ...], problem: str) -> None:
    """One line that names the argument; the ledger keeps the words for ever."""
    refused = said("pause", "--by", "ops", *words)

    assert (refused.exit_code, refused.stderr.startswith(problem)) == (2, True), refused.stderr


def planned(**changes: Any) -> FlowRun:
    """A run that Prefect's scheduler has made, at its first try."""
    return FlowRun(**{"flow_id": uuid4(), "name": "run", "auto_scheduled": True, "run_count": 1, **changes})


def within(run: FlowRun, flow: Flow[Any, Any], body: Callable[[], Any]) -> State[Any]:
    """What a body comes to inside a flow run, without a server: in a thread, as below another run."""
    request = FlowRunSuspensionRequest()
    context = FlowRunContext.model_construct(
        flow=flow, flow_run=run, parameters={}, flow_run_suspension_request=request
    )

    async def play() -> State[Any]:
        # The run logs which configuration it has, for which Prefect would start a server.
        with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: False}), context:
            state: State[Any] = await body()
            return state

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(play())).result()


@pytest.mark.parametrize("schedule", SCHEDULED)
def test_a_scheduled_run_of_a_paused_schedule_says_who_has_paused_it(said: Said, schedule: str) -> None:
    """Each flow that has a schedule; the site is not asked anything, which here would be an error."""
    said("pause", schedule, "--reason", "an upgrade", "--by", "ops")
    flow = FLOWS[schedule]
    state = within(planned(), flow, flow.fn)

    assert (state.name, state.type.value) == ("SchedulePaused", "CANCELLED")
    assert f"the schedule {schedule} is paused since" in str(state.message)
    assert "by ops: an upgrade" in str(state.message)


@pytest.mark.parametrize(
    ("run", "unattended", "goes_on"),
    [
        (planned(), False, False),
        (planned(auto_scheduled=False), False, True),
        (planned(auto_scheduled=False), True, False),
        (planned(run_count=2), False, True),
    ],
    ids=["planned", "by hand", "cron", "tried again by hand"],
)
def test_a_run_that_a_person_starts_goes_on(said: Said, run: FlowRun, unattended: bool, goes_on: bool) -> None:
    """A pause is about what begins by itself."""
    said("pause", "queue", "--reason", "an upgrade", "--by", "ops")

    async def body() -> State[Any]:
        return Completed(name="Retired")

    def work() -> Any:
        return unless_paused("queue", body, unattended=unattended)

    if goes_on:
        assert within(run, FLOWS["queue"], work).name == "Retired"
    else:
        with pytest.raises(SchedulePaused):
            within(run, FLOWS["queue"], work)
