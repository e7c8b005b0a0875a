"""The LMS database ignores case, and the LMS only sometimes corrects it (contract lms.md 1.6)."""

from __future__ import annotations

import pytest

from .world import ACCOUNTS, World

pytestmark = pytest.mark.anyio

ELDER = {"username": "Dana", "email": "elder@example.com", "account_retired": True}
YOUNGER = {"username": "dana", "email": "younger@example.com"}


async def _status(world: World, username: str) -> int | None:
    answer = await world.call("GET", f"{ACCOUNTS}/{username}/retirement_status/")
    found: int | None = answer.json()["id"] if answer.status_code == 200 else None
    return found


async def test_a_status_is_found_in_any_case_before_and_after_the_rename(world: World) -> None:
    """`retirement_status` goes by account, not by the exact original name."""
    world.seed({"username": "ana", "state": "RETIRING_LMS"})

    before = await _status(world, "ANA")
    await world.call("POST", f"{ACCOUNTS}/retire/", json={"username": "ana"})

    assert before == await _status(world, "Ana") == world.ids["ana"]["retirement_id"]


async def test_the_retired_name_finds_a_learner_only_after_the_rename(world: World) -> None:
    """Before it, no account has that name."""
    world.seed({"username": "ana", "state": "RETIRING_LMS"})
    retired = world.state("ana")["retirement"]["retired_username"]

    before = await _status(world, retired)
    await world.call("POST", f"{ACCOUNTS}/retire/", json={"username": "ana"})

    assert before is None
    assert await _status(world, retired) == world.ids["ana"]["retirement_id"]


async def test_of_two_spellings_the_exact_one_answers_and_a_third_finds_the_retired(world: World) -> None:
    """A name could be taken again with other capitals after its owner was retired."""
    world.seed({**ELDER, "state": "COMPLETE"}, {**YOUNGER, "state": "PENDING"})

    found = [await _status(world, name) for name in ("Dana", "dana", "DANA")]

    elder, younger = (world.ids[name]["retirement_id"] for name in ("Dana", "dana"))
    assert found == [elder, younger, elder]


async def test_the_second_account_of_a_name_cannot_be_retired(world: World) -> None:
    """Both hash to one retired name: the second call is a 500, and all it did is undone."""
    world.seed({**ELDER, "state": "COMPLETE"}, {**YOUNGER, "state": "RETIRING_LMS"})

    answer = await world.call("POST", f"{ACCOUNTS}/retire/", json={"username": "dana"})

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/json")
    assert "Duplicate entry" in answer.json()
    assert world.state("dana")["account"]["social_links"] == 1
    assert world.state("dana")["profile"]["city"] == "Springfield"


async def test_state_names_are_found_in_any_case_except_in_a_plain_move(world: World) -> None:
    """Queue, list by date and forced move go through the database; a plain move through Python."""
    world.seed({"username": "ana", "state": "PENDING"})

    queue = await world.call("GET", f"{ACCOUNTS}/retirement_queue/", params={"cool_off_days": 7, "states": "pending"})
    plain = await world.move("ana", "retiring_forums")
    forced = await world.move("ana", "retiring_forums", force=True)

    assert [row["original_username"] for row in queue.json()] == ["ana"]
    assert (plain.status_code, forced.status_code) == (400, 204)
    assert world.state("ana")["retirement"]["current_state"] == "RETIRING_FORUMS"


async def test_cleanup_counts_rows_in_any_case(world: World) -> None:
    """One name that matches two rows is refused; both together, or a wrong case alone, pass."""
    world.seed({**ELDER, "state": "COMPLETE"}, {**YOUNGER, "state": "COMPLETE"})
    path = f"{ACCOUNTS}/retirement_cleanup/"

    one = await world.call("POST", path, json={"usernames": ["dana"]})
    both = await world.call("POST", path, json={"usernames": ["Dana", "dana"]})
    world.seed({"username": "ana", "state": "COMPLETE"})
    wrong_case = await world.call("POST", path, json={"usernames": ["ANA"]})

    assert (one.status_code, both.status_code, wrong_case.status_code) == (400, 204, 204)


async def test_the_partner_cleanup_checks_exactly_but_deletes_in_any_case(world: World) -> None:
    """A row that differs only in case and was taken goes too."""
    world.seed(
        {**ELDER, "state": "COMPLETE", "partner_report": "taken"},
        {**YOUNGER, "state": "COMPLETE", "partner_report": "taken"},
    )
    path = f"{ACCOUNTS}/retirement_partner_report_cleanup/"

    wrong = await world.call("POST", path, json=[{"original_username": "DANA"}])
    exact = await world.call("POST", path, json=[{"original_username": "dana"}])

    assert (wrong.status_code, exact.status_code) == (400, 204)
    assert world.state("Dana")["partner_report"] is None
