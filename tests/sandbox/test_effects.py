"""Who erases what, and what is left: effects as queries over all tables (contract lms.md 5)."""

from __future__ import annotations

from typing import Any

import pytest

from .world import ACCOUNTS, World

pytestmark = pytest.mark.anyio

NAMES = {"username": "zoe-canary", "email": "zoe.canary@mail.example", "name": "Zoë Kanarie"}


def _left(world: World) -> set[tuple[str, str]]:
    return {(place["table"], place["what"]) for place in world.sandbox.residue("zoe-canary")}


async def test_a_seeded_request_equals_one_that_was_made(world: World) -> None:
    """Seeding takes a short cut; the account must look the same."""
    world.seed({**NAMES, "state": "PENDING"})
    seeded = world.state("zoe-canary")
    world.seed(NAMES)

    answer = await world.call("POST", "/v1/accounts/bulk_retire_users", json={"usernames": "zoe-canary, unknown"})

    made = world.state("zoe-canary")
    assert answer.json() == {
        "successful_user_retirements": ["zoe-canary"], "failed_user_retirements": ["unknown"]
    }  # fmt: skip
    assert made == seeded


async def test_a_second_request_is_refused_even_after_cleanup(world: World) -> None:
    """The record of the request survives the status row (2.5)."""
    world.seed({**NAMES, "state": "COMPLETE"})
    bulk = {"usernames": "zoe-canary"}

    before = await world.call("POST", "/v1/accounts/bulk_retire_users", json=bulk)
    await world.call("POST", f"{ACCOUNTS}/retirement_cleanup/", json={"usernames": ["zoe-canary"]})
    after = await world.call("POST", "/v1/accounts/bulk_retire_users", json=bulk)

    assert before.json() == after.json()
    assert after.json()["failed_user_retirements"] == ["zoe-canary"]


async def test_misc_and_retire_clear_different_tables(world: World) -> None:
    """The rows of credit go with misc, the profile with retire."""
    world.seed({**NAMES, "state": "RETIRING_LMS"})

    await world.call("POST", f"{ACCOUNTS}/retire_misc/", json={"username": "zoe-canary"})
    after_misc = _left(world)
    await world.call("POST", f"{ACCOUNTS}/retire/", json={"username": "zoe-canary"})

    assert ("credit_creditrequest", "email") not in after_misc
    assert ("auth_userprofile", "name") in after_misc
    assert _left(world) == {
        *(("forum_user", "username"), ("forum_content", "username")),
        *(("forum_content", "name"), ("forum_content", "email")),
    }


async def test_a_name_written_into_the_history_of_states_is_residue(world: World) -> None:
    """The status row may keep its originals, but not what a driver writes into `responses`."""
    world.seed({**NAMES, "state": "PENDING"})

    await world.move("zoe-canary", "RETIRING_FORUMS", response="erasing Zoe-Canary now")

    responses = [p for p in world.sandbox.residue("zoe-canary") if p["column"] == "responses"]
    assert [place["what"] for place in responses] == ["username"]


async def test_what_the_contract_lets_survive_is_named_in_the_state(world: World) -> None:
    """The status row until its cleanup, and the places that nothing clears."""
    world.seed({**NAMES, "state": "COMPLETE", "licenses": ["assigned"], "credentials": True})

    places = {(p["table"], p["column"]) for p in world.state("zoe-canary")["survives"]}

    assert places == {
        ("user_api_userretirementstatus", "original_username"),
        ("user_api_userretirementstatus", "original_email"),
        ("user_api_userretirementstatus", "original_name"),
        ("credit_crediteligibility", "username"),
        ("enterprise_pendingenterprisecustomeruser", "user_email"),
        ("core_user", "email"),
        ("subscriptions_license", "user_email"),
        ("subscriptions_historicallicense", "user_email"),
    }


async def test_without_a_name_residue_is_that_of_the_finished(world: World) -> None:
    """Learners who are still waiting hold everything, and that is right."""
    world.seed({**NAMES, "state": "PENDING"})
    nobody_finished = world.sandbox.residue()

    await world.move("zoe-canary", "COMPLETE")

    assert nobody_finished == []
    assert world.sandbox.residue() == world.sandbox.residue("zoe-canary") != []


@pytest.mark.parametrize(
    ("path", "kept"), [("/retire/", "Zoë Kanarie"), ("/retire_misc/", "Zoë Kanarie")], ids=["retire", "misc"]
)
async def test_a_partial_fault_keeps_half_of_the_work(world: World, path: str, kept: Any) -> None:
    """A caught exception does not roll back; the repeat finishes (1.7)."""
    world.seed({**NAMES, "state": "RETIRING_LMS"})
    whole = _left(world)
    world.sandbox.arm([{"path": path, "partial": True}])

    half = await world.call("POST", ACCOUNTS + path, json={"username": "zoe-canary"})
    in_between = _left(world)
    repeat = await world.call("POST", ACCOUNTS + path, json={"username": "zoe-canary"})

    assert (half.status_code, repeat.status_code) == (500, 204)
    assert whole > in_between > _left(world)
