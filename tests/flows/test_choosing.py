"""A run of one learner asks on its page which learner is meant, and whether what it shows shall be done."""

from pathlib import Path
from typing import Any

import pytest

from tests import patient
from tests.flows.conftest import sandbox
from tests.flows.pages import Page, begun
from tests.forks import ForkServer

pytestmark = pytest.mark.dear(seconds=50)


def test_the_learner_is_typed_shown_and_confirmed_and_no_name_stays(
    tmp_path: Path, environment: dict[str, str], engine: str, forks_with_prefect: ForkServer
) -> None:
    """By address and by username; a learner who is not confirmed stays, and Prefect has the user id only."""
    learners = [
        {
            "username": f"zoe-canary-{number}",
            "email": f"zoe.canary.{number}@post.example",
            "name": f"Zoë Canary{number}",
            "state": "PENDING",
            "requested_days_ago": days,
        }
        for number, days in ((1, 10), (2, 1), (3, 10))
    ]
    with sandbox(tmp_path, "--pipeline", "minimal", seed={"learners": learners}) as platform:

        def asks(**given: Any) -> Page:
            return begun(engine, forks_with_prefect, environment, platform, "retire_learner", **given)

        ids = [platform.user_id(f"zoe-canary-{number}") for number in (1, 2, 3)]
        first = asks()
        first.text("**Which learner?**")
        first.submit(learner="ZOE.canary.1@post.example")
        shown = first.text(f"**Retire learner {ids[0]}?**")
        assert all(words in shown for words in ("cool-off: over", "state in the LMS: PENDING", "holds: none"))
        first.submit(retire=True)
        assert first.ended() == ("Retired", None)

        second = asks(user_id=ids[1])
        second.text("cool-off: until")
        second.submit(retire=True)
        refused = second.ended()
        again = asks(user_id=ids[1])
        again.text("cool-off: until")
        again.submit(retire=True, before_cool_off_is_over="the learner asks for it")
        assert again.ended()[0] == "Retired"

        third = asks(user_id=ids[2])
        third.text(f"**Retire learner {ids[2]}?**")
        third.submit(retire=False)
        unconfirmed = third.ended()
        states = platform.states()

    assert (refused[0], "the cool-off of learner" in refused[1]) == ("GuardStopped", True)
    assert (unconfirmed[0], "was not confirmed" in unconfirmed[1]) == ("GuardStopped", True)
    assert list(states.values()) == ["COMPLETE", "COMPLETE", "PENDING"]
    name = patient.get(f"{engine}/flow_runs/{first.run}").json()["name"]
    assert name == f"learner-{ids[0]}"
    for page in (first, second, again, third):
        assert "canary" not in page.stored().casefold()
