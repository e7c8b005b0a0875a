"""What an operator does by deployments: bring back, hold, breakers, the doctor and the page of the day."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retirement.ledger import Breaker, Hold, opened
from retirement.ledger.holds import nothing_waits
from retirement.sandbox import seeds
from tests import patient
from tests.flows.conftest import Command, Flow, Platform, sandbox
from tests.flows.pages import Page, begun
from tests.forks import ForkServer

pytestmark = pytest.mark.dear(seconds=60)

WHO = {"by": "night shift", "reason": "a court asks"}


async def evidence(platform: Platform) -> tuple[list[Hold], list[Breaker]]:
    """The holds that hold now, and the breakers that are open."""
    async with opened(platform.ledger) as ledger:
        return await ledger.holds.find(), await ledger.breakers.down()


Asks = Callable[..., Page]


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """Two learners who wait."""
    with sandbox(tmp_path, seed=seeds.learners(2)) as site:
        yield site


@pytest.fixture
def asks(platform: Platform, environment: dict[str, str], engine: str, forks_with_prefect: ForkServer) -> Asks:
    """Starts a flow that asks, and gives the page of its run."""
    return lambda name, **given: begun(engine, forks_with_prefect, environment, platform, name, **given)


def test_an_errored_learner_is_seen_and_brought_back_after_a_preview(
    platform: Platform, engine: str, flow: Flow, retirement: Command
) -> None:
    """The learner's run and the page of the day say what to do; nothing moves before `dry_run` is off."""
    config = str(platform.config)
    platform.arm({"path": "/retire_misc/", "method": "POST", "status": 400, "times": 1})
    assert retirement("retire-queue", "--config", config).code == 1
    (errored,) = (platform.user_id(name) for name, state in platform.states().items() if state == "ERRORED")
    body = {"artifacts": {"key": {"any_": [f"help-{errored}"]}}}
    helped = patient.post(f"{engine}/artifacts/filter", json=body).json()
    page, examined = flow("digest", config=config), flow("doctor", config=config)
    previewed = flow("redrive", config=config, user_id=errored)
    assert "ERRORED" in platform.states().values()
    brought_back = flow("redrive", config=config, user_id=errored, dry_run=False)
    nothing = flow("redrive", config=config, step="RETIRING_LMS_MISC")
    unknown = flow("redrive", config=config, step="RETIRING_LMS_MISK")

    # A link to its form, where another test has served that deployment on the same server.
    assert re.search(f"start the (deployment redrive|redrive of learner {errored})", helped[0]["data"])
    assert (page.state, "1 ERRORED: fix the cause" in page.message) == ("Written", True)
    (artifact,) = page.artifacts
    assert (artifact["key"], f": {errored}" in artifact["data"]) == ("retirement-today", True)
    assert "| LMS |" in artifact["data"]
    assert (previewed.state, "no row was moved" in previewed.message) == ("Previewed", True)
    assert (brought_back.state, brought_back.rows[0]["learner"]) == ("Redriven", errored)
    assert nothing.message.startswith("no learner is ERRORED")
    assert (unknown.state, unknown.message.startswith("step: RETIRING_LMS_MISK is no step")) == ("ConfigError", True)
    assert (examined.rows[0]["verdict"] == "ok") == (examined.message.startswith("0 failures, 0 warnings"))


def test_holds_and_breakers_are_signed_in_a_form_that_prefect_forgets(
    platform: Platform, flow: Flow, asks: Asks, retirement: Command
) -> None:
    """Without *Do it* nothing is entered; what cannot be is said before anything is asked."""
    config, learner = str(platform.config), platform.user_id("zoe-canary-0001")
    placed = asks("hold", user_id=learner, service="CREDENTIALS", until="2999-12-31")
    placed.text(f"Keep learner {learner} in CREDENTIALS until 2999-12-31?")
    placed.submit(go_on=True, **WHO)
    assert placed.ended()[0] == "Placed"
    unsigned = asks("hold", org="OrgA", until="2999-12-31")
    unsigned.text("Keep the learners of organisation OrgA in all services until 2999-12-31?")
    unsigned.submit(**WHO)
    assert unsigned.ended()[0] == "NotPlaced"
    stopped = asks("breaker", service="CREDENTIALS")
    stopped.text("Stop calling CREDENTIALS?")
    stopped.submit(go_on=True, **WHO)
    assert stopped.ended()[0] == "Open"
    (hold,), (breaker,) = asyncio.run(evidence(platform))
    kept = asks("hold", release=hold.id)
    kept.submit(**WHO)
    assert kept.ended() == ("NotReleased", f"the form said no: {nothing_waits(hold.id)}")
    released = asks("hold", release=hold.id)
    released.text(f"End hold {hold.id}?")
    released.submit(go_on=True, **WHO)
    assert released.ended()[0] == "Released"
    impossible = flow("hold", config=config, until="2999-12-31")
    unconfigured = flow("breaker", config=config, service="BRAZE")

    assert (hold.user_id, hold.service, hold.basis, hold.by) == (learner, "CREDENTIALS", WHO["reason"], WHO["by"])
    assert (breaker.service, breaker.by, breaker.reason) == ("CREDENTIALS", WHO["by"], WHO["reason"])
    assert asyncio.run(evidence(platform))[0] == []
    assert (impossible.state, impossible.message) == ("ConfigError", "user_id, org: give one of them")
    assert (unconfigured.state, "is not configured" in unconfigured.message) == ("ConfigError", True)
    acts = retirement("ledger", "acts", "--json", "--config", platform.config).document["acts"]
    by_form = {each["act"]: each["observed"] for each in acts if each["named"] == WHO["by"]}
    assert {kind: (seen["channel"], "run" in seen) for kind, seen in by_form.items()} == {
        "hold.added": ("form", True),
        "hold.released": ("form", True),
        "breaker.opened": ("form", True),
    }
    assert all(WHO["reason"] not in each.stored() for each in (placed, stopped, released))
