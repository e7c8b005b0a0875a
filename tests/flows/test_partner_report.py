"""The partner report as a command and as a flow, with real processes: files, exit codes, a summary without names."""

from __future__ import annotations

import csv
import stat
from pathlib import Path
from typing import Any

import pytest

from .conftest import Command, Flow, Platform, sandbox

pytestmark = pytest.mark.dear(seconds=10)

NAMES = ("quill-canary", "reed-canary")
CANARIES = ("quill", "reed", "canary")
TAKE = "retirement_partner_report/"


def seed() -> dict[str, Any]:
    """Two learners whose cool-off is over, in one organisation and in two."""
    orgs = {NAMES[0]: ["OrgA", "OrgB"], NAMES[1]: ["OrgA"]}
    return {
        "learners": [
            {
                "username": name,
                "email": f"{name}@plumage.example",
                "name": f"Canary {name}",
                "state": "PENDING",
                "requested_days_ago": 20,
                "enrollments": [{"org": org, "active": True} for org in orgs[name]],
            }
            for name in NAMES
        ]
    }


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The operator's folder."""
    (tmp_path / "out").mkdir(mode=0o700)
    return tmp_path / "out"


def told(output: Path) -> dict[str, list[str]]:
    """Who is in the file of each organisation."""
    found = {}
    for path in output.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            found[path.name.split("_")[1]] = [row["original_username"] for row in csv.DictReader(file)]
    return found


def named(text: str) -> list[str]:
    return [word for word in CANARIES if word in text.lower().replace("test_", "")]


def test_the_command_tells_each_organisation_once(
    tmp_path: Path, output: Path, engine: str, retirement: Command
) -> None:
    """Although the first answer of the LMS is lost; the second command has nothing to say."""
    with sandbox(tmp_path, seed=seed()) as platform:
        assert retirement("retire-queue", "--json", "--config", platform.config).code == 0
        platform.arm({"service": "lms", "path": TAKE, "method": "POST", "after": True, "drop": True})

        first = retirement("partner-report", "--output", output, "--json", "--config", platform.config)
        second = retirement("partner-report", "--output", output, "--config", platform.config)
        platform.configure(partner_reports=str(output))
        young = retirement("expire-reports", "--days", "90", "--config", platform.config)
        unsaid = retirement("expire-reports", "--config", platform.config)

        assert (first.code, second.code, first.document["errors"]) == (0, 0, [])
        assert (young.code, "no file is due" in young.out) == (0, True)
        assert (unsaid.code, unsaid.err.split(":")[0]) == (2, "--days")
        assert told(output) == {"OrgA": list(NAMES), "OrgB": [NAMES[0]]}
        assert first.document["organisations"] == {"OrgA": 2, "OrgB": 1}
        assert len(first.document["queued_again"]) == 2
        assert {stat.S_IMODE(path.stat().st_mode) for path in output.iterdir()} == {0o600}
        assert "0 learners reported in 0 files" in second.out
        assert (set(platform.states().values()), platform.residue()) == ({"COMPLETE"}, [])
        assert not named(first.out + first.err + second.out + second.err)
        assert retirement("ledger", "verify", "--config", platform.config).code == 0
    _nobody_in_the_ledger(platform)


def _nobody_in_the_ledger(platform: Platform) -> None:
    for path in platform.config.parent.glob("ledger.sqlite*"):
        assert not [word for word in NAMES if word.encode() in path.read_bytes()], path.name


def test_bad_folders_are_one_line(tmp_path: Path, retirement: Command) -> None:
    """Exit code 2, and the LMS was not asked for anybody."""
    with sandbox(tmp_path, seed=seed()) as platform:
        answer = retirement("partner-report", "--output", tmp_path / "nowhere", "--config", platform.config)

        assert (answer.code, len(answer.err.splitlines())) == (2, 1)
        assert "is no folder" in answer.err
        assert not [each for each in platform.requests() if each["path"].endswith(TAKE)]


def test_the_flow_leaves_a_summary_of_organisations(
    tmp_path: Path, output: Path, flow: Flow, retirement: Command
) -> None:
    """A table with a number for each, in a state of its own, and the certificates as they stand now; no name in any."""
    with sandbox(tmp_path, seed=seed()) as platform:
        assert retirement("retire-queue", "--json", "--config", platform.config).code == 0
        nowhere = flow("partner_report", config=platform.config)
        platform.configure(partner_reports=str(output))
        ended = flow("partner_report", config=platform.config)
        ids = sorted(platform.user_id(name) for name in platform.states())

        assert (nowhere.state, nowhere.message.split(":")[0]) == ("ConfigError", "partner_reports")
        assert ended.state == "Reported"
        assert told(output) == {"OrgA": list(NAMES), "OrgB": [NAMES[0]]}
    assert sorted(each["key"] for each in ended.artifacts) == [
        *(f"certificate-{user_id}" for user_id in ids),
        "retirement-partner-report",
    ]
    assert sum("**complete**" in str(each["data"]) for each in ended.artifacts) == len(ids)
    assert ended.rows == [{"organisation": "OrgA", "learners": 2}, {"organisation": "OrgB", "learners": 1}]
    assert not named(str(ended))
