"""What is typed at a command: reasons without addresses, and names of learners never as an argument."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from retirement.cli.names import without_names
from retirement.learner import Learner
from retirement.ledger import opened
from retirement.privacy import withheld

from .conftest import Answer, Command, Platform, sandbox

REQUESTED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def learner(username: str, name: str) -> Learner:
    """Somebody who waits."""
    return Learner(
        user_id=101,
        retirement_id=7,
        username=username,
        email="zoe.canary@post.example",
        name=name,
        retired_username="retired__user_x",
        retired_email="retired__user_x@retired.invalid",
        current_username=username,
        state="PENDING",
        last_state="PENDING",
        requested_at=REQUESTED,
        changed_at=REQUESTED,
    )


@pytest.mark.parametrize("text", ["because of Ann", "ANN asked", "for zoe-canary-1", "Zoe  Canary, of the campus"])
def test_what_names_somebody_who_waits_is_withheld(text: str) -> None:
    """By username or name, in capitals or not, with other signs between its words."""
    waiting = [learner("ann", "Zoe Canary"), learner("zoe-canary-1", "")]

    assert withheld(text, waiting) == "withheld: it named a learner"


@pytest.mark.parametrize("text", ["the campus announced it", "Ada Operator", "as planned, ok", ""])
def test_a_part_of_a_word_and_a_very_short_name_are_no_learner(text: str) -> None:
    """Else one learner called `ann` or `ok` withheld the reasons of everybody."""
    assert withheld(text, [learner("ann", "ok"), learner("oper", "  ")]) == text


def test_an_address_that_came_past_the_form_is_withheld() -> None:
    """Whoever writes to Prefect's API needs no form."""
    assert withheld("asked by who@post.example", []) == "withheld: it held an address or a control character"


@pytest.mark.parametrize(
    "command",
    [
        "hold add --user-id 17 --until 2999-01-01 --by legal --basis zoe@post.example",
        "hold add --user-id 17 --until 2999-01-01 --basis court --by zoe@post.example",
        "hold add --org zoe@post.example --until 2999-01-01 --basis court --by legal",
        "hold release 4 --by legal --reason zoe@post.example",
        "breaker open LMS --by ops --reason zoe%40post.example",
        "breaker close LMS --reason back --by zoe@post.example",
        "approve 17 --approver zoe@post.example --reason expected",
        "reject 17 --approver Ada --reason zoe@post.example",
        "retire-learner --username zoe@post.example",
        "status --email zoe@post.example",
        "status --email -",
    ],
)
def test_an_address_in_an_option_is_refused_in_one_line(retirement: Command, command: str) -> None:
    """Before a file, a ledger or a server is looked for, and without saying it again."""
    answer = retirement(*command.split())

    assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, "", 1)
    assert "zoe" not in answer.err


def test_an_id_that_no_database_can_keep_is_refused(retirement: Command) -> None:
    """As an option that is out of range, and not as a defect."""
    for command in ("status", "plan", "retire-learner", "redrive", "cancel", "reconcile"):
        answer = retirement(command, "--user-id", str(2**63))

        assert (answer.code, "defect" in answer.err.lower()) == (2, False)


def test_a_learner_who_was_erased_stays_so_whatever_a_later_run_ended_with(tmp_path: Path, retirement: Command) -> None:
    """And the answer says since when."""

    async def live(platform: Platform) -> None:
        async with opened(platform.ledger) as ledger:
            for ending in ("retired", "parked"):
                lease = await ledger.learners.lease(
                    learner("zoe", "Zoe"), due_at=REQUESTED + timedelta(days=30), pipeline="p1"
                )
                if ending == "retired":
                    await lease.intend("LMS", "LMS", "retirement_lms_retire")
                    await lease.prove("LMS", "erased")
                await lease.end(ending, "", "COMPLETE")

    with sandbox(tmp_path, "--learners", "1") as platform:
        asyncio.run(live(platform))
        answer = retirement(
            "status", "--email", "-", "--json", "--config", platform.config, typed="zoe.canary@post.example\n"
        )
    (evidence,) = answer.document["retirements"]

    assert (answer.code, answer.document["erased"], evidence["ending"]) == (0, True, "parked")
    assert evidence["retired_at"] is not None


def test_a_name_that_is_given_all_the_same_leaves_the_arguments(tmp_path: Path, retirement: Command) -> None:
    """The command starts itself anew with the name on its standard input, and works as if it had been typed."""
    arguments = ["--json", "--email", "zoe@post.example", "--config=x", "--username=zoe"]
    assert without_names(arguments[:3], ("--email",)) == (["--json", "--email", "-"], "zoe@post.example")
    assert without_names(arguments[3:], ("--username",)) == (["--config=x", "--username=-"], "zoe")
    assert without_names(["--email", "-"], ("--email",)) == (["--email", "-"], None)

    with sandbox(tmp_path, "--learners", "1") as platform:
        answer = retirement("status", "--email", "nobody@post.example", "--json", "--config", platform.config)

    assert (answer.code, answer.document["erased"], answer.err) == (1, False, "")


def test_every_command_about_a_learner_takes_a_name_from_standard_input(tmp_path: Path, retirement: Command) -> None:
    """The user id is what it prints, and what it keeps; the name is nowhere."""
    with sandbox(tmp_path, "--learners", "2") as platform:

        def said(*command: str) -> Answer:
            kind = {"--username": "zoe-canary-0002", "--email": "zoe.canary.0002@inbox.example"}[command[-2]]
            return retirement(*command, "--json", "--config", platform.config, typed=f"{kind}\n")

        plan = said("plan", "--email", "-")
        status = said("status", "--username", "-")
        hold = ("hold", "add", "--until", "2999-01-01", "--by", "legal", "--basis", "a court")
        held = said(*hold, "--username", "-")
        one_too_many = said(*hold, "--org", "OrgA", "--email", "-")
        stuck = said("reconcile", "--email", "-")
        lost = said("certificate", "--username", "-")
        holds = retirement("hold", "list", "--json", "--config", platform.config).document["holds"]

    answers = (plan, status, held, one_too_many, stuck, lost)
    assert [each.code for each in answers] == [0, 0, 0, 2, 0, 2], answers
    assert [each.document["user_id"] for each in (plan, status)] == [102, 102]
    assert [each["learner"] for each in holds] == [102]
    assert "no retirement of learner 102 to certify" in lost.err
    assert all("anary" not in each.out + each.err for each in answers)
    assert b"anary" not in b"".join(path.read_bytes() for path in tmp_path.glob("ledger.sqlite*"))
