"""Every seeded learner can be retired to the end, by nothing but HTTP as the reference driver uses it."""

from __future__ import annotations

from typing import Any

import pytest

from retirement.sandbox import pipelines, seeds
from tests.routes import ROUTES

from .world import ACCOUNTS, World

pytestmark = pytest.mark.anyio


async def _run_step(world: World, operation: str, learner: dict[str, Any]) -> None:
    name, user_id = learner["original_username"], learner["user"]["id"]
    if operation == "replace_usernames":
        body: dict[str, Any] = {"username_mappings": [{name: learner["retired_username"]}]}
        answer = await world.call("POST", "/api/v2/replace_usernames/", service="credentials", json=body)
    elif operation == "retire_learner":
        body = {"lms_user_id": user_id, "original_username": name}
        answer = await world.call("POST", "/api/v1/retire_user", service="license_manager", json=body)
    else:
        method, app, path = ROUTES[operation]
        answer = await world.call(method, path.format(user_id=user_id), service=app, json={"username": name})
    absent = answer.status_code == 404 and not answer.content
    assert answer.is_success or absent, (operation, answer.status_code, answer.text)


async def _retire_all(world: World, pipeline: str) -> None:
    steps = pipelines.PIPELINES[pipeline]
    waiting = ["PENDING", *(step["end"] for step in steps)]
    query = [("cool_off_days", "7"), *(("states", state) for state in waiting)]
    for learner in (await world.call("GET", f"{ACCOUNTS}/retirement_queue/", params=query)).json():
        name, reached = learner["original_username"], waiting.index(learner["current_state"]["state_name"])
        for step in steps[reached:]:
            assert (await world.move(name, step["start"])).status_code == 204
            await _run_step(world, step["operation"], learner)
            assert (await world.move(name, step["end"])).status_code == 204
        assert (await world.move(name, "COMPLETE")).status_code == 204


async def test_the_demo_is_retired_without_residue(world: World) -> None:
    """All twenty-five reach COMPLETE, and no table holds more than the contract lets survive."""
    world.sandbox.reset(seeds.demo(pipelines.states("default")))

    await _retire_all(world, "default")

    learners = world.sandbox.state()["learners"]
    states = {learner["retirement"]["current_state"] for learner in learners.values()}
    assert (len(learners), states) == (25, {"COMPLETE"})
    assert {name: left for name in learners if (left := world.sandbox.residue(name))} == {}


async def test_any_number_of_learners_is_retired_without_residue(world: World) -> None:
    """The plain seed holds something in every service, and all of it goes."""
    world.sandbox.reset(seeds.learners(5, pipelines.states("default")))
    held = {place["service"] for place in world.sandbox.residue("zoe-canary-0001")}

    await _retire_all(world, "default")

    assert held == {"lms", "notes", "credentials", "license_manager"}
    assert world.sandbox.residue() == []


@pytest.mark.parametrize("pipeline", pipelines.PIPELINES)
async def test_the_demo_fits_every_named_pipeline(world: World, pipeline: str) -> None:
    """It has no state that the site does not have, says why each learner is there, and repeats no name."""
    seed = seeds.demo(pipelines.states(pipeline))

    ids = world.sandbox.reset(seed)["learners"]

    assert len(ids) == 25
    assert all(learner["why"] for learner in seed["learners"])
    assert len({learner["email"].lower() for learner in seed["learners"]}) == 25


async def test_an_unknown_key_of_a_learner_is_refused(world: World) -> None:
    """A misspelt seed must not pass for a learner who has nothing."""
    answer = await world.call("POST", "/_sandbox/reset", auth=None, json={"learners": [{"usrname": "x"}]})

    assert answer.status_code == 400
    assert "usrname" in answer.json()["detail"]
