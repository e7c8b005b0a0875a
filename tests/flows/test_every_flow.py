"""What holds for each flow that there is, whatever it does: a new one is covered without a new test."""

import asyncio
import inspect
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow

from retirement.ledger import opened
from tests import patient
from tests.flows.conftest import Command, Platform, forked, sandbox
from tests.flows.conftest import Flow as Run
from tests.flows.every import FLOWS
from tests.forks import ForkServer
from tests.patient import until

pytestmark = pytest.mark.dear(seconds=120)

#: Runs a flow as a worker does, then logs an address where Prefect's API log and the terminal would show it.
RUN = """
import asyncio, importlib, json, logging, os, sys
from retirement.flows.kit.server import running

async def main(module, name, parameters, config):
    os.environ["RETIREMENT_CONFIG"] = config
    async with running():
        flow = getattr(importlib.import_module(module), name)
        state = await flow(**json.loads(parameters), return_state=True)
        logging.getLogger("prefect.flow_runs").error("afterwards: %s", "zoe@canary.example")
        print(json.dumps([state.type.value, state.name, state.message]))

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(frozen=True)
class Place:
    """A sandbox in which every flow has something to do, and what a flow may be given there."""

    platform: Platform
    values: dict[str, Any]

    def parameters(self, flow: Flow[Any, Any]) -> dict[str, Any]:
        """Those that a flow takes; one that is new and has no default fails here by its name."""
        takes = inspect.signature(flow.fn).parameters
        needs = {name for name, each in takes.items() if each.default is inspect.Parameter.empty}
        assert needs <= self.values.keys()
        return {name: value for name, value in self.values.items() if name in takes}

    def working(self) -> set[str]:
        """The learners in working states."""
        return {name for name, state in self.platform.states().items() if state.startswith("RETIRING")}


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str], engine: str, forks_with_prefect: ForkServer
) -> Iterator[Place]:
    """Learners who are done, with open receipts and partner rows, others who wait, and one in a working state."""
    person = {"name": "Canary Person", "requested_days_ago": 40, "vendors": ["braze"]}
    people = [{"username": f"done-canary-{n}", "state": "PENDING", **person} for n in range(2)]
    people += [
        {"username": f"next-canary-{n}", "state": "PENDING", **person, "requested_days_ago": 1} for n in range(3)
    ]
    people += [{"username": "early-canary", "state": "PENDING", **person, "requested_days_ago": 1}]
    for each in people:
        each["email"] = f"{each['username']}@canary.example"
    folder = tmp_path_factory.mktemp("every-flow")
    reports = folder / "reports"
    reports.mkdir(mode=0o700)
    (reports / "usernames.csv").write_text("current,desired\n", encoding="utf-8")
    with sandbox(folder, "--pipeline", "all", "--latency-ms", "100", seed={"learners": people}) as platform:
        platform.configure(
            cleanup_days=0,
            lease_seconds=15,
            cool_off_days=7,
            partner_reports=str(reports),
            partners={"expire_days": 90},
            ledger={"text_days": 365},
            username_replacements=str(reports),
        )
        run = forks_with_prefect.start(
            "-m", "retirement", "retire-queue", "--config", platform.config, environment=environment
        )
        assert forks_with_prefect.wait(run) == 0, run.said()
        waiting = platform.user_id("next-canary-0")
        values = {"user_id": waiting, "every": True, "cool_off_days": 0}
        values |= {"before_cool_off_is_over": "the account is a test account", "ask_first": False, "dry_run": False}
        values |= {"service": "BRAZE", "until": "2999-12-31"}
        yield Place(platform, values)


@pytest.fixture(scope="module")
def talkative(environment: dict[str, str], engine: str, home: Path) -> Iterator[ForkServer]:
    """What is forked logs to its standard error, as a worker's run does."""
    with forked(engine, environment, home, ["prefect", *{name.partition(":")[0] for name in FLOWS}]) as server:
        yield server


def test_a_learner_in_the_cool_off_is_left_alone_and_an_unknown_id_is_no_success(place: Place, flow: Run) -> None:
    """Whoever fills in the form erases nobody by a wrong number, and no learner whose days are not over."""
    config, waiting = place.platform.config, place.platform.user_id("early-canary")
    early = flow("retire_learner", user_id=waiting, config=config, ask_first=False)
    unknown = flow("retire_learner", user_id=999_999, config=config, ask_first=False)
    nameless = flow("retire_learner", config=config, ask_first=False)
    assert place.platform.states()["early-canary"] == "PENDING"
    reason = "an authority asks for it"
    wanted = flow("retire_learner", user_id=waiting, config=config, before_cool_off_is_over=reason, ask_first=False)

    assert (early.state, "cool-off" in early.message) == ("GuardStopped", True)
    assert (unknown.state, "999999" in unknown.message) == ("Unknown", True)
    assert (nameless.state, nameless.message.startswith("user_id: ")) == ("ConfigError", True)
    assert wanted.state == "Retired"


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_that_is_told_to_stop_ends_as_stopped_and_leaves_nothing_half_done(
    place: Place, environment: dict[str, str], engine: str, talkative: ForkServer, name: str
) -> None:
    """SIGTERM amid its requests, or while it asks: no lease is left, no row half moved, no learner in a log line."""
    platform, before, flow = place.platform, len(place.platform.requests()), FLOWS[name]
    parameters, since = json.dumps(place.parameters(FLOWS[name])), datetime.now(UTC).isoformat()
    run = talkative.start("-c", RUN, *name.split(":"), parameters, platform.config, environment=environment)
    until(lambda: not run.alive() or len(platform.requests()) >= before + 4 or asks(engine, flow, since))
    run.signal(signal.SIGTERM)
    code = talkative.wait(run)
    out, err = run.said()

    assert code == 0, err
    kind, state, message = json.loads(out.splitlines()[-1])
    assert (kind, state) == ("CANCELLED", "Stopped") or kind == "COMPLETED", message
    assert "[redacted]" in err
    assert "canary" not in f"{out}{err}{message}"
    assert place.working() == set()
    assert asyncio.run(live_leases(platform)) == set()


def asks(api: str, flow: Flow[Any, Any], since: str) -> bool:
    """Whether a run of this flow that began after that time waits for a person."""
    wanted = {"state": {"type": {"any_": ["PAUSED"]}}, "start_time": {"after_": since}}
    body = {"flows": {"name": {"any_": [flow.name]}}, "flow_runs": wanted}
    return bool(patient.post(f"{api}/flow_runs/filter", json=body).raise_for_status().json())


async def live_leases(platform: Platform) -> set[str]:
    async with opened(platform.ledger) as ledger:
        return set(await ledger.leases.live())


def test_what_was_stopped_is_finished_by_the_next_run(place: Place, retirement: Command) -> None:
    """Each flow has been stopped once by now."""
    assert retirement("retire-queue", "--cool-off-days", "0", "--config", place.platform.config).code == 0
    assert set(place.platform.states().values()) <= {"COMPLETE"}
