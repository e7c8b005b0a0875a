"""What would erase many by mistake: asked about, refused, or done by one run alone; nobody is called meanwhile."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from retirement.ledger import Decision, opened
from retirement.sandbox.seeds import learners
from tests import patient
from tests.flows.conftest import Command, Platform, Start, sandbox
from tests.flows.runs import Runs
from tests.ledger.desk import Clock, begin
from tests.patient import until

#: What a run asks before it takes on anybody: token, states, queue, and one harmless question a service.
HARMLESS = {
    ("lms", "POST", "/oauth2/access_token"),
    ("lms", "GET", "/api/user/v1/accounts/retirement_queue/"),
    ("credentials", "GET", "/api/v2/replace_usernames/"),
    ("license_manager", "GET", "/api/v1/retire_user"),
}
WHO = ("--approver", "Ada Operator", "--reason", "the campus closed a programme")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Five hundred learners, all of whose retirements nobody expects."""
    with sandbox(tmp_path_factory.mktemp("crowd"), "--learners", "500") as platform:
        yield platform


def decisions(platform: Platform, run: str | None = None) -> list[Decision]:
    """What the ledger has of questions and answers, the oldest first."""

    async def read() -> list[Decision]:
        async with opened(platform.ledger) as ledger:
            return await ledger.decisions.find(run_id=run)

    return asyncio.run(read())


def is_untouched(platform: Platform) -> bool:
    asked = {(each["service"], each["method"], each["path"]) for each in platform.requests()}
    return asked <= HARMLESS and set(platform.states().values()) == {"PENDING"}


def test_five_hundred_at_once_wait_for_a_person_and_a_no_leaves_them_alone(
    crowd: Platform, runs: Runs, retirement: Command, start: Start
) -> None:
    """At the defaults; the terminal says where to answer, the run ends as GuardStopped, exit code 3."""
    run = start("retire-queue", "--config", crowd.config)
    asking = runs.asking()
    assert is_untouched(crowd)
    said = retirement("reject", asking, *WHO, "--config", crowd.config)
    ended = run.ended()

    (decision,) = decisions(crowd, asking)
    assert (said.code, said.out) == (0, f"question {decision.id}: rejected; run {asking} ends\n")
    assert ended.code == 3
    assert f"/runs/flow-run/{asking}, or `retirement approve {decision.id} --approver NAME" in ended.err
    assert "500 learners wait, more than queue.threshold, which is 300: nothing was called" in ended.err
    assert runs.state(asking) == "GuardStopped"
    assert is_untouched(crowd)
    assert (decision.answer, decision.approver, decision.depth) == ("rejected", "Ada Operator", 500)
    assert decision.trips == ("500 learners wait, more than queue.threshold, which is 300",)


@pytest.mark.parametrize(
    ("hours", "why"), [(0, "no person is asked here: guard.wait_hours is 0"), (0.0004, "no answer came in time")]
)
def test_no_answer_means_no(crowd: Platform, runs: Runs, retirement: Command, hours: float, why: str) -> None:
    """At once where nobody is asked, and when the time is over; the ledger says which."""
    crowd.configure(guard={"wait_hours": hours})
    answer = retirement("retire-queue", "--json", "--config", crowd.config)

    assert (answer.code, answer.document["depth"], answer.document["batch"]) == (3, 500, 0)
    run = answer.document["flow_run"]
    assert runs.state(run) == "GuardStopped"
    assert is_untouched(crowd)
    (decision,) = decisions(crowd, run)
    assert (decision.answer, decision.reason, decision.approver) == ("expired", why, None)


def test_an_approval_retires_as_many_as_it_says_and_no_more(
    tmp_path: Path, runs: Runs, retirement: Command, start: Start
) -> None:
    """By another process; who said it, why and how many are in the ledger; a second answer comes too late."""
    with sandbox(tmp_path, "--learners", "320") as platform:
        run = start("retire-queue", "--json", "--config", platform.config)
        asking = runs.asking()
        assert is_untouched(platform)
        named = ("--config", platform.config)
        for wrong in ("321", "0"):
            assert retirement("approve", asking, *WHO, "--at-most", wrong, *named).code == 2
        said = retirement("approve", asking, *WHO, "--at-most", "3", "--json", *named)
        ended = run.ended()
        late = retirement("reject", asking, *WHO, *named)

        assert (said.code, said.document["run"], said.document["answer"]) == (0, asking, "approved")
        # The others are overdue, and no run that leaves them behind ends as if all were well.
        assert (ended.code, ended.document["outcomes"]) == (1, {"retired": 3})
        (behind,) = ended.document["errors"]
        assert behind.startswith("overdue and not taken by this run: ")
        assert sorted(platform.states().values()) == ["COMPLETE"] * 3 + ["PENDING"] * 317
        assert len({each["user_id"] for each in platform.of_learners()}) == 3
        assert platform.residue() == []
        (decision,) = decisions(platform)
    assert (decision.run_id, decision.answer, decision.at_most) == (asking, "approved", 3)
    assert (decision.approver, decision.reason) == ("Ada Operator", "the campus closed a programme")
    assert (late.code, len(late.err.splitlines())) == (2, 1)
    assert f"decision {decision.id} was approved already, by Ada Operator at " in late.err


def test_two_answers_of_one_account_are_not_two_people(
    tmp_path: Path, runs: Runs, engine: str, retirement: Command, start: Start
) -> None:
    """The form stands again after the first yes; a command of the account that reads it is refused, a no ends it."""
    with sandbox(tmp_path, "--learners", "3") as platform:
        platform.configure(queue={"threshold": 1}, guard={"second_person_above": 2})
        named = ("--config", platform.config)
        run = start("retire-queue", "--json", *named)
        asking = runs.asking()
        form = {"approve": True, "approver": "Ada Operator", "reason": "known", "how_many": 3}
        resume = f"{engine}/flow_runs/{asking}/resume"
        assert patient.post(resume, json={"run_input": form}).json()["status"] == "ACCEPT"
        until(lambda: retirement("status", "--json", *named).document["questions"][0]["yeses"])
        assert runs.asking() == asking
        second = retirement("approve", asking, "--approver", "Ben", "--reason", "known too", *named)
        less = retirement("approve", asking, "--approver", "Ben", "--reason", "two", "--at-most", "2", *named)
        said = retirement("reject", asking, *WHO, *named)
        ended = run.ended()
        acts = retirement("ledger", "acts", "--json", *named).document["acts"]

        assert (second.code, less.code, len(second.err.splitlines())) == (3, 3, 1)
        assert "has the yes of this person already, 1 of 2: it needs that of another person" in second.err
        assert (said.code, ended.code) == (0, 3)
        assert is_untouched(platform)
    made = [(each["act"], each["named"]) for each in acts if each["act"].startswith("decision.") and each["named"]]
    assert made == [
        ("decision.first", "Ada Operator"),
        *[("decision.same", "Ben")] * 2,
        ("decision.made", "Ada Operator"),
    ]


def test_staff_and_one_domain_in_bulk_are_asked_about(tmp_path: Path, engine: str, retirement: Command) -> None:
    """By user id and by number; the domain stands nowhere in clear, neither here nor in Prefect."""
    seed = learners(40)
    for each in seed["learners"][:30]:
        each["email"] = f"{each['username']}@burst-canary.example"
    with sandbox(tmp_path, seed=seed) as platform:
        platform.configure(guard={"wait_hours": 0, "staff_ids": [101, 140, 999]})
        answer = retirement("retire-queue", "--json", "--config", platform.config)

        assert answer.code == 3
        assert is_untouched(platform)
        (decision,) = decisions(platform)
        staff, domain = decision.trips
        assert staff == "2 of those who wait are the site's own people: user ids 101, 140"
        assert domain.startswith("30 of the 40 learners who wait share one e-mail domain")
        stored = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.sqlite*"))
    run = answer.document["flow_run"]
    shown = everything_about(engine, run)
    for text in (answer.out, answer.err, shown, stored.decode("latin-1")):
        assert "burst-canary" not in text
    assert "30 of the 40" in shown


def everything_about(api: str, run: str) -> str:
    """The run, its states, logs and artifacts as Prefect's API shows them."""
    wanted = {"flow_runs": {"id": {"any_": [run]}}}
    asked = [
        patient.get(f"{api}/flow_runs/{run}"),
        patient.get(f"{api}/flow_run_states/", params={"flow_run_id": run}),
        patient.post(f"{api}/artifacts/filter", json=wanted),
        patient.post(f"{api}/logs/filter", json={"logs": {"flow_run_id": {"any_": [run]}}}),
    ]
    return "".join(each.raise_for_status().text for each in asked)


def test_far_more_than_is_usual_are_asked_about(tmp_path: Path, engine: str, retirement: Command) -> None:
    """Four weeks with one learner a day, then fifty-one at once; fifty are never too many."""
    with sandbox(tmp_path, "--learners", "51") as platform:
        platform.configure(guard={"wait_hours": 0})
        asyncio.run(four_quiet_weeks(platform))
        answer = retirement("retire-queue", "--json", "--config", platform.config)

        assert answer.code == 3
        assert is_untouched(platform)
        (decision,) = decisions(platform)
        platform.configure(guard={"floor": 51})
        fewer = retirement("retire-queue", "--json", "--limit", "1", "--config", platform.config)
    (rate,) = decision.trips
    assert re.fullmatch(r"51 learners wait where [\d.]+ are usual since the last run; the limit is 50", rate)
    # Others are overdue.
    assert (fewer.code, fewer.document["outcomes"]) == (1, {"retired": 1})


async def four_quiet_weeks(platform: Platform) -> None:
    """One learner retired each night, written through the ledger at its own time."""
    clock = Clock()
    clock.time = datetime.now(UTC) - timedelta(days=28)
    async with opened(platform.ledger, clock=clock) as ledger:
        for night in range(28):
            await ledger.queue_runs.begin(f"night-{night}", 1, 1)
            lease = await begin(ledger, 9001 + night)
            await lease.end("retired", "", "COMPLETE")
            await ledger.queue_runs.end(f"night-{night}", {"retired": 1}, 1.0)
            clock.forward(24 * 3600 - 60)


def test_of_two_queue_runs_at_once_the_second_changes_nothing(
    tmp_path: Path, runs: Runs, retirement: Command, start: Start
) -> None:
    """It ends as BusyElsewhere with exit code 4; the first one retires everybody, and nothing is done twice."""
    with sandbox(tmp_path, "--learners", "6") as platform:
        platform.hold_up("/unenroll/")
        first = start("retire-queue", "--json", "--config", platform.config)
        until(lambda: platform.moves() > 0)
        second = retirement("retire-queue", "--json", "--config", platform.config)
        platform.arm()
        ended = first.ended()

        assert (second.code, second.document["errors"]) == (4, ["another run has the queue"])
        assert runs.state(second.document["flow_run"]) == "BusyElsewhere"
        assert (second.document["batch"], second.document["learners"]) == (0, [])
        assert (ended.code, ended.document["outcomes"]) == (0, {"retired": 6})
        assert platform.moves() == 6 * 19
        assert platform.residue() == []
    assert len(queue_runs_of(tmp_path / "ledger.sqlite")) == 1


def queue_runs_of(file: Path) -> list[Any]:
    connection = sqlite3.connect(file)
    try:
        return connection.execute("SELECT run_id FROM queue_run").fetchall()
    finally:
        connection.close()


def test_of_two_runs_of_one_learner_one_works(tmp_path: Path, engine: str, retirement: Command, start: Start) -> None:
    """The other one hears that somebody has the learner, and sends nothing that changes them."""
    with sandbox(tmp_path, "--learners", "2") as platform:
        platform.hold_up("/unenroll/")
        first = start("retire-learner", "--user-id", "101", "--json", "--config", platform.config)
        until(lambda: platform.moves() > 0)
        second = retirement("retire-learner", "--user-id", "101", "--json", "--config", platform.config)
        platform.arm()
        ended = first.ended()

        assert (second.code, second.document["outcome"]) == (1, "busy-elsewhere")
        assert (second.document["reason"], second.document["steps"]) == ("another run has learner 101", [])
        assert (ended.code, ended.document["outcome"]) == (0, "retired")
        assert platform.moves() == 19
        assert list(platform.states().values()) == ["COMPLETE", "PENDING"]
