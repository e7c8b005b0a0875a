"""Seeds that the database of a site would refuse are a 400 with the reason, and change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from .world import World

pytestmark = pytest.mark.anyio

ANA: dict[str, Any] = {"username": "ana"}
RETIRED = {"state": "COMPLETE", "account_retired": True}


async def _refusal(world: World, seed: Any) -> str:
    answer = await world.call("POST", "/_sandbox/reset", auth=None, json=seed)
    assert answer.status_code == 400, answer.text
    detail: str = answer.json()["detail"]
    return detail


@pytest.mark.parametrize(
    ("learners", "reason"),
    [
        ([ANA, {"username": "Ana", "email": "a@x.example"}], "username 'Ana' of learner 'Ana' differs in case only"),
        ([{"username": "zoë"}, {"username": "ZOË", "email": "z@x.example"}], "differs in case only from 'zoë'"),
        ([ANA, {"username": "bo", "email": "ANA@example.com"}], "e-mail 'ANA@example.com' of learner 'bo' differs"),
        ([ANA, ANA], "username 'ana' of learner 'ana' is the same as 'ana'"),
        ([ANA, {"username": "bo", "email": "ana@example.com"}], "e-mail 'ana@example.com' of learner 'bo' is the same"),
        ([{**ANA, **RETIRED}, {**ANA, "username": "Ana", "email": "o@x.example", **RETIRED}], "of learner 'ana'"),
        (
            [{**ANA, "state": "PENDING"}, {"username": "bo", "email": "Ana@example.com", "state": "PENDING"}],
            "of learner 'bo' is the same as",
        ),
        ([{"username": "retirement_service_user"}], "of an account of the platform"),
        ([{"username": "x", "email": "Sandbox_Plain@example.org"}], "of an account of the platform"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_accounts_that_are_not_unique_are_refused(
    world: World, learners: list[dict[str, Any]], reason: str
) -> None:
    """Case makes no difference to the indexes of the account table, whose present content counts."""
    assert reason in await _refusal(world, {"learners": learners})


async def test_one_name_for_two_learners_is_refused_even_if_the_first_is_retired(world: World) -> None:
    """The database would take it, but state and residue go by the original name."""
    learners = [{**ANA, **RETIRED}, {**ANA, "email": "o@x.example"}]

    assert "two learners have one username" in await _refusal(world, {"learners": learners})


async def test_a_name_may_be_taken_again_when_its_owner_was_renamed(world: World) -> None:
    """The retired account no longer holds name and address, so another spelling is no conflict."""
    world.seed({**ANA, **RETIRED}, {"username": "Ana", "email": "ana@example.com"})

    assert world.state("Ana")["account"]["username"] == "Ana"


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        ({"learners": [{"username": "x" * 151}]}, "username of a learner is longer than the 150 characters"),
        ({"learners": [{**ANA, "email": f"{'x' * 250}@x.example"}]}, "email of a learner is longer than"),
        ({"learners": [{**ANA, "name": "x" * 256}]}, "name of a learner is longer than"),
        ({"learners": [{**ANA, "name": None}]}, "name of a learner must be a text: None"),
        ({"learners": [{"username": 7}]}, "username of a learner must be a text: 7"),
        ({"states": ["PENDING", "pending"]}, "state 'pending' of step 2 differs in case only"),
        ({"states": ["PENDING", "A", "A"]}, "state 'A' of step 3 is the same as 'A'"),
        ({"states": ["x" * 31]}, "name of a state is longer than the 30 characters"),
        ({"learners": [{**ANA, "state": "RETIRING_NOBODY"}]}, "unknown state of a learner: RETIRING_NOBODY"),
        ({"states": [], "learners": [{**ANA, "state": "PENDING"}]}, "unknown state of a learner: PENDING"),
        ({"learners": [{**ANA, "country": ["ES"]}]}, "auth_userprofile does not take a row of the seed"),
        ({"settings": {"forum": "Off"}}, "forum must be one of legacy, v2, v2-new, off"),
        ({"learners": ["ana"]}, "AttributeError"),
        (["ana"], "AttributeError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_seed_that_no_column_takes_is_refused(world: World, seed: Any, reason: str) -> None:
    """Lengths, kinds and states are checked like the names."""
    assert reason in await _refusal(world, seed)


@pytest.mark.parametrize(
    "seed",
    [
        {"learners": [{"username": "bo"}, {"username": "BO"}]},
        {"learners": [{"username": "bo", "country": ["ES"]}], "settings": {"forum": "v2"}},
        {"settings": {"token_lifetime_s": "long"}},
    ],
    ids=["names", "row", "settings"],
)
async def test_a_refused_seed_leaves_everything_as_it_was(world: World, seed: dict[str, Any]) -> None:
    """Learners, settings, armed faults and the list of requests stay."""
    world.seed({**ANA, "state": "RETIRING_FORUMS"}, settings={"forum": "off"})
    world.sandbox.arm([{"path": "/heartbeat", "status": 503}])
    before = world.sandbox.state()

    await _refusal(world, seed)

    forum = await world.call("POST", "/api/discussion/v1/accounts/retire_forum/", json={"username": "ana"})
    assert (world.sandbox.state(), forum.json()) == (before, "service disabled")
    assert (await world.call("GET", "/heartbeat", auth=None)).status_code == 503
    assert len(world.sandbox.requests) == 2
