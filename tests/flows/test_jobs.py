"""Jobs on many learners: the command and the deployment with its form come to the same."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.flows.conftest import Command, Flow, sandbox
from tests.flows.pages import Page, begun
from tests.forks import ForkServer

pytestmark = pytest.mark.dear(seconds=120)

Begin = Callable[..., Page]
WHO = ("--by", "dpo", "--reason", "the forum is back")


@pytest.fixture
def begin(environment: dict[str, str], engine: str, forks_with_prefect: ForkServer) -> Begin:
    """Starts a flow on a platform, and gives the page of its run once it asks."""
    return partial(begun, engine, forks_with_prefect, environment)


def test_a_bulk_update_by_command_and_by_deployment(
    tmp_path: Path,
    flow: Flow,
    retirement: Command,
    begin: Begin,
) -> None:
    """Both preview the same, refuse the same, and move the rows once who and why are said."""
    person = {"state": "ERRORED", "last_state": "RETIRING_FORUMS", "name": "Canary Person"}
    people = [{"username": f"canary-{number}", "requested_days_ago": 40 - 10 * number, **person} for number in range(3)]
    with sandbox(tmp_path, seed={"learners": people}) as platform:
        config = str(platform.config)
        update = ("bulk-update", "--initial-state", "ERRORED", "--rewind-state", "--config", config)
        ids = [platform.user_id(each["username"]) for each in people]
        shown = retirement(*update, "--dry-run", "--json")
        previewed = flow("bulk_update", config=config)
        unsaid = retirement(*update, "--yes")
        few = (
            retirement(*update, *WHO, "--yes", "--at-most", "2"),
            flow("bulk_update", config=config, at_most=2, dry_run=False),
        )
        odd = retirement(*update, *WHO, "--start-date", "2026-01-02", "--end-date", "2026-01-01")
        assert set(platform.states().values()) == {"ERRORED"}
        oldest = retirement(
            *update, *WHO, "--yes", "--json", "--end-date", str((datetime.now(UTC) - timedelta(days=35)).date())
        )
        page = begin(platform, "bulk_update", dry_run=False)
        page.text("2 learners go from ERRORED back to the last end state that is proved. Go on?")
        page.submit(go_on=True, by="dpo", reason="the forum is back")
        ended = page.ended()
        again = retirement(*update, *WHO, "--yes")
        acts = retirement("ledger", "acts", "--json", "--config", config).document["acts"]

        assert [each["learner"] for each in shown.document["learners"]] == ids
        assert [each["learner"] for each in previewed.rows] == ids
        assert (previewed.state, "3 would-move; nothing was done" in previewed.message) == ("Previewed", True)
        assert (unsaid.code, unsaid.err.startswith("--by, --reason: ")) == (2, True)
        assert (few[0].code, "--at-most: 3 learners" in few[0].err, few[1].state) == (3, True, "GuardStopped")
        assert (odd.code, odd.err.startswith("--start-date: 2026-01-02 is after")) == (2, True)
        assert [(each["learner"], each["what"]) for each in oldest.document["learners"]] == [(ids[0], "moved")]
        assert ended == ("Updated", "2 moved")
        assert again.out.startswith("no request of these days is in ERRORED")
        assert set(platform.states().values()) == {"ENROLLMENTS_COMPLETE"}
        assert [each["act"] for each in acts].count("bulk.asked") == 2
        assert "canary" not in json.dumps([shown.document, oldest.document, acts]) + page.stored()


def test_requests_by_command_by_file_and_by_deployment(
    tmp_path: Path,
    flow: Flow,
    retirement: Command,
    begin: Begin,
) -> None:
    """Each comes to a row in PENDING; a name that is typed is in no list of processes and in no output."""
    people = [{"username": f"canary-{number}", "name": "Canary Person"} for number in range(3)]
    seed = {"learners": people, "settings": {"worker_is_staff": True}}
    with sandbox(tmp_path, seed=seed) as platform:
        config, file = str(platform.config), tmp_path / "accounts.csv"
        file.write_bytes("\ufeffusername\r\ncanary-0\r\ncanary-9\r\n".encode())
        ids = [platform.user_id(each["username"]) for each in people]
        command = ("request", "--config", config, "--json", *WHO)
        shown = retirement(*command, "--csv", file, "--dry-run").document["learners"]
        previewed = flow("request", config=config, user_ids=ids)
        assert platform.states() == {}
        by_file = retirement(*command, "--csv", file, "--yes")
        by_id = retirement(*command, "--user-id", str(ids[1]), "--yes")
        by_two = retirement(*command, "--user-id", str(ids[1]), "--csv", file)
        page = begin(platform, "request", user_ids=ids, dry_run=False)
        page.text("1 accounts get a request to retire")
        page.submit(go_on=True, by="dpo", reason="the forum is back")
        ended = page.ended()

        assert [(each["learner"], each["what"]) for each in shown] == [(ids[0], "would-request"), (None, "left")]
        assert [each["what"] for each in previewed.rows] == ["would-request"] * 3
        assert (by_file.code, by_id.code, by_two.code) == (1, 0, 2)
        assert ended == ("Requested", "2 known, 1 requested")
        assert platform.states() == dict.fromkeys((each["username"] for each in people), "PENDING")
        assert "canary" not in str([shown, by_file.document, by_id.document]) + page.stored()


def test_usernames_are_replaced_by_command_and_by_deployment(
    tmp_path: Path,
    flow: Flow,
    retirement: Command,
    begin: Begin,
) -> None:
    """The command goes on where a service had failed, and the deployment takes the next file."""
    people = [{"username": f"canary-{number}", "name": "Canary Person", "credentials": True} for number in range(2)]
    seed = {"learners": people, "settings": {"worker_is_staff": True}}
    names = tmp_path / "names"
    names.mkdir(mode=0o700)
    with sandbox(tmp_path, seed=seed) as platform:
        config = str(platform.config)
        nowhere = flow("replace_usernames", config=config)
        platform.configure(username_replacements=str(names), retry={"attempts": 1})
        (names / "first.csv").write_text("canary-0,bob-canary\n", encoding="utf-8")
        (names / "usernames.csv").write_text("current,desired\ncanary-1,eve-canary\n", encoding="utf-8")
        command = ("replace-usernames", "--config", config, "--csv", names / "first.csv")
        platform.arm({"service": "credentials", "path": "replace_usernames", "status": 503, "times": 9})
        partly = retirement(*command, *WHO, "--yes", "--json")
        platform.arm()
        whole = retirement(*command, *WHO, "--yes")
        previewed = flow("replace_usernames", config=config)
        page = begin(platform, "replace_usernames", dry_run=False)
        page.text("1 accounts get new usernames in LMS, CREDENTIALS")
        page.submit(go_on=True, by="dpo", reason="names of real people")
        ended = page.ended()
        learners = platform.state()

        assert (nowhere.state, nowhere.message.split(":")[0]) == ("ConfigError", "username_replacements")
        assert (partly.code, partly.document["learners"][0]["what"]) == (1, "partly-renamed")
        assert (whole.code, "holds usernames: delete it" in whole.err) == (0, True)
        assert (previewed.state, previewed.rows[0]["what"]) == ("Previewed", "would-rename")
        assert ended == ("Renamed", "1 renamed")
        called = [(each["account"]["username"], each["credentials"]["username"]) for each in learners.values()]
        assert called == [("bob-canary",) * 2, ("eve-canary",) * 2]
        written = (names / "username_replacement_results.csv").read_text(encoding="utf-8")
        assert written.splitlines()[1:] == ["canary-1,eve-canary,SUCCESS"]
        assert "canary" not in f"{partly.document}{whole.out}{previewed}" + page.stored()


def test_a_replay_and_a_backfill_by_command_and_by_deployment(
    tmp_path: Path,
    flow: Flow,
    retirement: Command,
    begin: Begin,
) -> None:
    """A restore that was none: what is erased again was gone already, and the ledger has it as evidence of its own."""
    people = [{"username": "canary-0", "name": "Canary Person", "state": "PENDING", "requested_days_ago": 20}]
    seed = {"learners": people, "settings": {"worker_is_staff": True}}
    with sandbox(tmp_path, seed=seed) as platform:
        config = str(platform.config)
        since = f"{datetime.now(UTC) - timedelta(minutes=1):%Y-%m-%dT%H:%M}"
        assert retirement("retire-queue", "--config", config).code == 0
        command = ("replay", "--config", config, "--service", "CREDENTIALS", "--since", since)
        shown = retirement(*command, "--dry-run", "--json")
        given = {"services": ["CREDENTIALS"], "since": since}
        page = begin(platform, "replay", dry_run=False, **given)
        page.text("1 learners that CREDENTIALS has back are erased there again. Go on?")
        page.submit(go_on=True, by="dpo", reason="a drill")
        ended = page.ended()
        again = retirement(*command, *WHO, "--yes")
        lacking = retirement("backfill", "--config", config, "--step", "RETIRING_CREDENTIALS", *WHO)
        unknown = flow("backfill", config=config, step="RETIRING_NOTHING")
        nobody = flow("backfill", config=config, step="RETIRING_CREDENTIALS", dry_run=False)

        assert [(each["what"], each["text"]) for each in shown.document["learners"]] == [
            ("would-erase", "RETIRING_CREDENTIALS")
        ]
        assert ended == ("Replayed", "1 erased")
        assert (again.code, again.out.strip()) == (0, "the ledger has no erasure there that was lost")
        assert lacking.out.strip() == "no retired learner lacks RETIRING_CREDENTIALS"
        assert (unknown.state, unknown.message.startswith("step: RETIRING_NOTHING is no step")) == ("ConfigError", True)
        assert (nobody.state, nobody.message) == ("Backfilled", lacking.out.strip())
        assert set(platform.states().values()) == {"COMPLETE"}
        assert "canary" not in f"{shown.document}{again.out}" + page.stored()
