"""Cleanup and follow-up as commands and as flows: who is forgotten, what the states say, and that they name nobody."""

from pathlib import Path
from typing import Any

import pytest

from tests import patient
from tests.flows.conftest import Command, Flow, Platform, sandbox

pytestmark = pytest.mark.dear(seconds=50)

NAMES = ["zoe-canary", "yan-canary"]
CANARIES = ("canary",)


def named(text: str) -> list[str]:
    return [word for word in CANARIES if word in text.casefold()]


def seed(*names: str, **changes: Any) -> dict[str, Any]:
    """Learners whose rows are old enough."""
    person = {"state": "PENDING", "name": "Canary Person", "requested_days_ago": 40} | changes
    return {"learners": [{"username": name, "email": f"{name}@mail.example", **person} for name in names]}


def rows(platform: Platform) -> set[str]:
    """Whose row the LMS still has."""
    return {name for name, each in platform.state().items() if each["retirement"]}


def test_the_command_has_the_lms_forget_who_is_proved_to_be_gone(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """After a look; the certificate is issued as before, and the address is still known to be erased."""
    with sandbox(tmp_path, "--pipeline", "minimal", seed=seed(*NAMES)) as platform:
        given = ("--json", "--config", platform.config)
        assert retirement("retire-queue", *given).code == 0
        early = retirement("cleanup", *given)
        looked = retirement("cleanup", "--days", "0", "--dry-run", *given)
        assert (rows(platform), early.document["learners"]) == (set(NAMES), [])
        cleared = retirement("cleanup", "--days", "0", *given)
        again = retirement("cleanup", "--days", "0", "--config", platform.config)
        user_id = str(platform.user_id(NAMES[0]))
        issued = retirement("certificate", "--user-id", user_id, "--config", platform.config)
        file = tmp_path / "certificate.json"
        file.write_text(issued.out, encoding="utf-8")
        checked = retirement("certificate", "--check", file, "--config", platform.config)
        page = retirement("certificate", "--user-id", user_id, "--format", "html", "--config", platform.config)
        address = retirement("status", "--email", "-", *given, typed=f"{NAMES[0]}@mail.example\n")

        assert rows(platform) == set()

    assert (looked.code, looked.document["summary"]) == (0, "2 would-clear")
    assert (cleared.code, cleared.document["summary"], cleared.document["errors"]) == (0, "2 cleared", [])
    assert (again.code, again.out.strip()) == (0, "no learner is due for cleanup")
    assert (issued.code, checked.code) == (0, 0), issued.err + checked.out
    assert issued.document["forgotten"]["at"] in page.out
    assert address.code == 0
    assert not named(cleared.out + cleared.err + issued.out + page.out)
    assert retirement("ledger", "verify", "--config", platform.config).code == 0
    assert not [path for path in tmp_path.glob("ledger.sqlite*") if b"canary" in path.read_bytes()]


def test_learners_of_the_former_driver_go_on_somebodys_word(tmp_path: Path, retirement: Command) -> None:
    """Which is asked for in full, names nobody, and is in the ledger."""
    with sandbox(tmp_path, seed=seed(*NAMES, state="COMPLETE")) as platform:
        given = ("cleanup", "--config", platform.config)
        kept = retirement(*given)
        half = retirement(*given, "--incomplete", "--reason", "by the old driver")
        naming = retirement(*given, "--incomplete", "--reason", "for zoe-canary@mail.example", "--by", "dpo")
        lone = retirement(*given, "--by", "dpo")
        blank = retirement(*given, "--open-receipts", "--reason", " ", "--by", "dpo")
        assert rows(platform) == set(NAMES)
        told = retirement(*given, "--incomplete", "--reason", "by the old driver", "--by", "dpo", "--json")

        assert rows(platform) == set()

    assert (kept.code, kept.out.count("another driver retired them")) == (1, 2)
    assert "2 kept" in kept.out
    assert [(each.code, len(each.err.splitlines())) for each in (half, naming, lone, blank)] == [(2, 1)] * 4
    assert "--by" in half.err
    assert "canary" not in naming.err
    assert (told.code, told.document["summary"]) == (0, "2 cleared")


def test_an_error_in_the_middle_does_not_hide_what_was_done(tmp_path: Path, retirement: Command) -> None:
    """Exit code 2 for what an operator has to change, and the learners that were forgotten before it."""
    people = [*seed("one", state="COMPLETE", requested_days_ago=400)["learners"]]
    people += seed("two", state="COMPLETE", requested_days_ago=40)["learners"]
    with sandbox(tmp_path, seed={"learners": people}) as platform:
        fault = {"service": "lms", "path": "/retirement_cleanup/", "method": "POST"}
        platform.arm({**fault, "after": True, "status": 204}, {**fault, "status": 403})
        told = ("--incomplete", "--reason", "by the old driver", "--by", "dpo")
        answer = retirement("cleanup", *told, "--json", "--config", platform.config)

    assert answer.code == 2
    assert [each["what"] for each in answer.document["learners"]] == ["cleared"]
    assert "answered 403" in answer.document["errors"][0]
    assert len(answer.err.splitlines()) == 1


def test_the_flows_say_what_came_of_it(tmp_path: Path, flow: Flow, retirement: Command) -> None:
    """In states of their own and tables of user ids."""
    with sandbox(tmp_path, "--pipeline", "all", seed=seed(*NAMES, vendors=["braze"])) as platform:
        platform.configure(cleanup_days=0)
        config = str(platform.config)
        assert retirement("retire-queue", "--config", platform.config).code == 0
        waiting = flow("cleanup", config=config, dry_run=False)
        asked = flow("verify_erasure", config=config, every=True)
        for _ in range(2):
            later = {"advance_seconds": 60 * 86_400}
            patient.post(f"{platform.urls['control']}/_sandbox/clock", json=later).raise_for_status()
            followed = flow("verify_erasure", config=config, every=True)
        reports = tmp_path / "reports"
        reports.mkdir(mode=0o700)
        assert retirement("partner-report", "--output", reports, "--config", platform.config).code == 0
        looked = flow("cleanup", config=config)
        assert rows(platform) == set(NAMES)
        cleaned = flow("cleanup", config=config, dry_run=False)

        assert rows(platform) == set()

    assert (waiting.state, {row["what"] for row in waiting.rows}) == ("CleanedUp", {"waiting"})
    assert (asked.state, followed.state) == ("Verified", "Verified")
    assert {row["what"] for row in followed.rows} == {"confirmed"}
    assert (looked.state, looked.message.partition(";")[0]) == ("Previewed", "2 would-clear")
    assert (cleaned.state, cleaned.message) == ("CleanedUp", "2 cleared")
    assert {row["learner"] for row in cleaned.rows} == {101, 102}
    assert not named("".join(map(str, (waiting, asked, followed, looked, cleaned))))


def test_a_flow_without_a_configuration_says_so(tmp_path: Path, flow: Flow) -> None:
    """As a state; nothing is a traceback."""
    missing = str(tmp_path / "missing.yaml")
    for name in ("cleanup", "verify_erasure"):
        ended = flow(name, config=missing)
        assert (ended.state, ended.artifacts) == ("ConfigError", [])
        assert "missing.yaml" in ended.message
