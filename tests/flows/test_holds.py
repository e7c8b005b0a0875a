"""Holds and breakers from the command line: what is kept, what is done meanwhile, and how it ends."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from retirement.ledger import opened
from tests.flows.conftest import Answer, Command, Platform, sandbox
from tests.ledger.desk import Clock

pytestmark = pytest.mark.dear(seconds=50)

BASIS = ("--basis", "Art. 17(3)(e): a claim in court", "--by", "legal")


def in_a_month() -> str:
    return f"{datetime.now(UTC).date() + timedelta(days=30):%Y-%m-%d}"


def held(platform: Platform, retirement: Command, *whom: str) -> str:
    """Adds a hold and gives its number."""
    answer = retirement("hold", "add", *whom, *BASIS, "--until", in_a_month(), "--json", "--config", platform.config)
    assert answer.code == 0, answer.err
    return str(answer.document["hold"])


def released(platform: Platform, retirement: Command, hold: str) -> Answer:
    return retirement(
        "hold", "release", hold, "--by", "legal", "--reason", "settled", "--json", "--config", platform.config
    )


def retired(platform: Platform, retirement: Command) -> dict[int, dict[str, Any]]:
    """What a queue run came to, by learner."""
    answer = retirement("retire-queue", "--json", "--config", platform.config)
    assert answer.code == 0, answer.err
    return {each["user_id"]: each for each in answer.document["learners"]}


def listed(platform: Platform, retirement: Command, *options: str) -> list[dict[str, Any]]:
    answer = retirement("hold", "list", *options, "--json", "--config", platform.config)
    found: list[dict[str, Any]] = answer.document["holds"]
    return found


def test_a_held_learner_is_not_touched_until_the_hold_is_released(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """Not even looked at; the others go on, and a hold is no failure."""
    with sandbox(tmp_path, "--learners", "2") as platform:
        hold = held(platform, retirement, "--user-id", "101")
        (row,) = listed(platform, retirement)
        assert (row["learner"], row["org"], row["service"], row["by"]) == (101, None, None, "legal")
        found = retired(platform, retirement)

        assert {learner: each["outcome"] for learner, each in found.items()} == {101: "held", 102: "retired"}
        assert found[101]["reason"] == f"kept until {in_a_month()} by hold {hold}"
        assert {each["user_id"] for each in platform.of_learners()} == {102}
        assert list(platform.states().values()) == ["PENDING", "COMPLETE"]
        alone = retirement("retire-learner", "--user-id", "101", "--json", "--config", platform.config)
        assert alone.document["outcome"] == "held"
        assert released(platform, retirement, hold).code == 0
        again = released(platform, retirement, hold)
        assert (again.code, again.document["errors"]) == (1, [f"hold {hold} was released already"])
        assert listed(platform, retirement) == []
        assert retired(platform, retirement)[101]["outcome"] == "retired"
        assert platform.residue() == []


def test_a_hold_on_one_service_keeps_what_that_service_has_and_the_rest_is_erased(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """The row waits before the held step and nobody is called again; after the release the rest of it is done."""
    with sandbox(tmp_path, "--learners", "2") as platform:
        hold = held(platform, retirement, "--user-id", "101", "--service", "CREDENTIALS")
        found = retired(platform, retirement)

        results = {step["step"]: step["result"] for step in found[101]["steps"]}
        assert (found[101]["outcome"], found[102]["outcome"]) == ("held", "retired")
        assert found[101]["reason"] == "kept by a hold: RETIRING_CREDENTIALS"
        assert results.pop("RETIRING_CREDENTIALS") == "retained"
        assert set(results.values()) <= {"erased", "absent", "accepted"}
        assert list(platform.states().values()) == ["PARTNER_QUEUE_COMPLETE", "COMPLETE"]
        assert not to(platform, "credentials", 101)
        places = {place["service"] for place in platform_residue(platform, "zoe-canary-0001")}
        assert "credentials" in places
        assert "license_manager" not in places
        before = platform.moves()
        assert retired(platform, retirement)[101]["outcome"] == "held"
        assert platform.moves() - before <= 2
        assert not to(platform, "credentials", 101)
        assert released(platform, retirement, hold).code == 0
        last = retired(platform, retirement)[101]

        assert (last["outcome"], set(platform.states().values())) == ("retired", {"COMPLETE"})
        assert [step["step"] for step in last["steps"] if step["result"] != "skipped"] == ["RETIRING_CREDENTIALS"]
        assert platform.residue() == []


def to(platform: Platform, service: str, user_id: int | None = None) -> list[dict[str, Any]]:
    """The requests to one service, of one learner or all."""
    return [
        each
        for each in platform.requests()
        if each["service"] == service and (user_id is None or each["user_id"] == user_id)
    ]


def platform_residue(platform: Platform, username: str) -> list[dict[str, str]]:
    """Places that still name a learner, whatever their state."""
    found: list[dict[str, str]] = platform.look(f"residue?username={username}")
    return found


def test_a_hold_on_an_organisation_keeps_its_learners(tmp_path: Path, engine: str, retirement: Command) -> None:
    """The LMS tells staff only who is in which organisation; a worker that is not staff stops in one line."""
    with sandbox(tmp_path, "--learners", "4", "--pipeline", "minimal") as platform:
        hold = held(platform, retirement, "--org", "orgb")
        plain = retirement("retire-queue", "--config", platform.config)
        assert (plain.code, len(plain.err.splitlines())) == (2, 1), plain.err
        assert "only staff may list the enrollments of others" in plain.err
        assert set(platform.states().values()) == {"PENDING"}
        platform.configure(lms=platform.clients["support"])
        found = retired(platform, retirement)

        # Every other one of them is in OrgB as well.
        assert {learner: each["outcome"] for learner, each in found.items()} == {
            **dict.fromkeys((101, 103), "held"),
            **dict.fromkeys((102, 104), "retired"),
        }
        assert list(platform.states().values()) == ["PENDING", "COMPLETE"] * 2
        assert released(platform, retirement, hold).code == 0
        retired(platform, retirement)
        assert set(platform.states().values()) == {"COMPLETE"}


def test_a_hold_ends_by_itself_after_its_last_day(tmp_path: Path, engine: str, retirement: Command) -> None:
    """Nobody has to release it; it stays in the list of all, and another one cannot begin in the past."""
    with sandbox(tmp_path, "--learners", "2") as platform:
        today = datetime.now(UTC).date()
        asyncio.run(yesterdays(platform, 101, until=today - timedelta(days=1)))
        asyncio.run(yesterdays(platform, 102, until=today))
        assert [each["learner"] for each in listed(platform, retirement)] == [102]
        assert [each["learner"] for each in listed(platform, retirement, "--all")] == [101, 102]
        found = retired(platform, retirement)
        assert {learner: each["outcome"] for learner, each in found.items()} == {101: "retired", 102: "held"}
        late = retirement(
            "hold", "add", "--user-id", "102", *BASIS, "--until", "2020-01-01", "--config", platform.config
        )
        assert (late.code, late.err) == (2, "--until: this day is over\n")


async def yesterdays(platform: Platform, user_id: int, until: date) -> None:
    """A hold that was placed two days ago."""
    clock = Clock()
    clock.time = datetime.now(UTC) - timedelta(days=2)
    async with opened(platform.ledger, clock=clock) as ledger:
        await ledger.holds.add(user_id=user_id, org=None, service=None, basis="audit", until=until, by="legal")


def test_a_service_whose_breaker_was_opened_by_hand_is_not_called_once(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """Learners wait before its step, `status` says why, and after the breaker is closed they are retired."""
    why = ("--reason", "maintenance until noon", "--by", "ops")
    with sandbox(tmp_path, "--learners", "3") as platform:
        unknown = retirement("breaker", "open", "FAX", *why, "--config", platform.config)
        assert (unknown.code, len(unknown.err.splitlines())) == (2, 1)
        opened_ = retirement("breaker", "open", "CREDENTIALS", *why, "--config", platform.config)
        assert (opened_.code, opened_.out) == (0, "CREDENTIALS: open\n")
        parked = retirement("retire-queue", "--json", "--config", platform.config)
        shown = retirement("status", "--services", "--json", "--config", platform.config).document["services"]

        assert (parked.code, parked.document["outcomes"]) == (1, {"parked": 3})
        assert to(platform, "credentials") == []
        assert set(platform.states().values()) == {"PARTNER_QUEUE_COMPLETE"}
        by_name = {each["service"]: each for each in shown}
        assert by_name["CREDENTIALS"]["breaker"] == "open"
        assert (by_name["CREDENTIALS"]["reason"], by_name["CREDENTIALS"]["by"]) == ("maintenance until noon", "ops")
        assert by_name["LMS"]["breaker"] == "closed"
        closed = retirement("breaker", "close", "CREDENTIALS", *why, "--json", "--config", platform.config)
        assert closed.document == {"service": "CREDENTIALS", "breaker": "closed"}
        found = retired(platform, retirement)
        assert {each["outcome"] for each in found.values()} == {"retired"}
        assert platform.residue() == []
