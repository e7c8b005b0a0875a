"""Certificate and residue from the command line, after a real run and without one."""

import asyncio
import json
from pathlib import Path

import pytest
import yaml
from prefect.context import AsyncClientContext

from retirement.cli.followed import LATER
from retirement.flows.kit.certificates import keep_up
from retirement.ledger import LedgerLocation, opened
from retirement.sandbox.planting.remains import PLANTED, RESPONSES
from tests import locks, patient
from tests.flows.conftest import Command, Flow, Platform, sandbox

pytestmark = pytest.mark.dear(seconds=120)

#: What the contract lets survive of whom the sandbox' own seed makes, at services that the pipeline does not ask too.
SURVIVORS = {"credit-eligibility", "pending-enterprise-user", "credentials-user"}
#: What the seed calls every learner, and parts of their addresses and names.
CANARIES = ("zoe-canary", "zoe.canary", "Canary")


def names_nobody(*texts: str) -> bool:
    """Whether none of the learners' names is in what a command said or wrote."""
    return not any(word in text for text in texts for word in CANARIES)


def test_a_certificate_is_issued_and_checked_after_a_run(tmp_path: Path, engine: str, retirement: Command) -> None:
    """In three forms; true for as long as the ledger is what was written, and a changed one is found out."""
    with sandbox(tmp_path, "--learners", "1", "--pipeline", "minimal", "--databases", str(tmp_path / "db")) as platform:
        assert retirement("retire-queue", "--config", platform.config).code == 0
        _certify(platform, tmp_path, retirement)
        looked = retirement("residue", "--user-id", "101", "--json", "--config", platform.config)

    assert looked.code == 1
    assert {each["name"] for each in looked.document["places"] if each["state"] == "found"} >= SURVIVORS
    assert names_nobody(looked.out, looked.err)


def _certify(platform: Platform, folder: Path, retirement: Command) -> None:
    of_one = ("certificate", "--user-id", "101", "--config", platform.config)
    issued = retirement(*of_one)
    assert (issued.code, issued.err) == (0, "")
    assert issued.document["complete"] is True
    assert len(issued.document["steps"]) == len(yaml.safe_load(platform.config.read_text("utf-8"))["pipeline"])
    page = retirement(*of_one, "--format", "html")
    assert page.out.startswith("<!DOCTYPE html>")
    paper = folder / "certificate.pdf"
    assert retirement(*of_one, "--format", "pdf", "--output", paper).code == 0
    assert paper.read_bytes().startswith(b"%PDF-")
    assert paper.stat().st_mode & 0o077 == 0
    assert names_nobody(issued.out, page.out, paper.read_bytes().decode("latin-1"))

    file = folder / "certificate.json"
    file.write_text(issued.out, encoding="utf-8")
    checked = retirement("certificate", "--check", file, "--json", "--config", platform.config)
    assert (checked.code, checked.document) == (
        0,
        {
            "true": True,
            "complete": True,
            "wrong": [],
            "today": {"complete": True, "not_complete": []},
            "changed": [],
        },
    )
    key = folder / "retirement.pem"
    key.write_text(retirement("ledger", "public-key", "--config", platform.config).out, encoding="ascii")
    alone = retirement("certificate", "--check", file, "--public-key", key)
    assert (alone.code, "complete" in alone.out) == (0, True)
    known = retirement("ledger", "verify", "--public-key", key, "--json", "--config", platform.config)
    assert (known.code, known.document["signed"]) == (0, known.document["entries"])
    file.write_text(json.dumps(issued.document | {"held_nothing": ["LMS"]}), encoding="utf-8")
    false = retirement("certificate", "--check", file, "--json", "--config", platform.config)
    changed = ["signature: the certificate is not what was signed", "held_nothing: this is not what the ledger says"]
    assert (false.code, false.document["wrong"]) == (1, changed)


def test_runs_that_look_for_the_first_time_at_the_same_moment_all_come_to_an_end(tmp_path: Path, engine: str) -> None:
    """Each finds that the server does not know how far was looked, and one of them is the first to say so."""

    async def look() -> None:
        place = LedgerLocation(f"sqlite:///{tmp_path}/ledger.db", key=bytes(range(32)))
        # The client that a flow has for what it asks Prefect.
        async with AsyncClientContext.get_or_create(), opened(place) as ledger:
            await ledger.events.note("noted", {})
            await asyncio.gather(*(keep_up(ledger) for _ in range(5)))

    with locks.client(engine):
        asyncio.run(look())


def versions(api: str, user_id: int) -> list[str]:
    """Every version of a learner's certificate in Prefect, the oldest first."""
    body = {"artifacts": {"key": {"any_": [f"certificate-{user_id}"]}}, "sort": "CREATED_DESC"}
    found = patient.post(f"{api}/artifacts/filter", json=body).raise_for_status().json()
    return [str(each["data"]) for each in reversed(found)]


def open_receipts(platform: Platform) -> list[int]:
    async def found() -> list[int]:
        async with opened(platform.ledger) as ledger:
            return [each.id for each in await ledger.receipts.find(open_only=True) if each.operation]

    return asyncio.run(found())


def test_each_act_that_changes_a_certificate_leaves_a_version_of_it(
    tmp_path: Path, engine: str, retirement: Command, flow: Flow
) -> None:
    """On the console as in a flow, and no act leaves one that changes nothing; what a server has missed it makes up."""
    with sandbox(tmp_path, "--learners", "1", "--pipeline", "all") as platform:
        before = len(versions(engine, 101))

        def done(*words: str, **variables: str) -> list[str]:
            """The versions that an act has added."""
            there = len(versions(engine, 101))
            answer = retirement(*words, "--config", str(platform.config), **variables)
            assert answer.code == 0, answer.err
            said.append(answer.err)
            return versions(engine, 101)[there:]

        said: list[str] = []
        assert len(done("retire-queue")) == 1
        first, *others = open_receipts(platform)
        who = ("--by", "dpo")
        (confirmed,) = done("confirm", "--receipt", str(first), "--evidence", "ticket-4711", *who)
        assert "ticket-4711" in confirmed
        until_day = ("--until", "2099-01-01")
        (held,) = done("hold", "add", "--user-id", "101", "--basis", "a claim in court", *until_day, *who)
        assert "a claim in court" in held
        holds = retirement("hold", "list", "--json", "--config", platform.config).document["holds"]
        assert len(done("hold", "release", str(holds[0]["hold"]), "--reason", "it is settled", *who)) == 1
        assert done("hold", "add", "--user-id", "999", "--basis", "a claim in court", *until_day, *who) == []
        assert done("breaker", "open", "CREDENTIALS", "--reason", "a test", *who) == []
        assert len(done("verify", "--all")) == bool(others)
        assert "".join(said) == ""

        apart = {"RETIREMENT_HOME": str(tmp_path / "elsewhere")}
        assert done("hold", "add", "--user-id", "101", "--basis", "an appeal", *until_day, *who, **apart) == []
        assert said[-1] == f"no Prefect server answers: {LATER}\n"
        (made_up,) = done("retire-queue")
        assert "an appeal" in made_up
        there = len(versions(engine, 101))
        assert flow("reconcile", config=platform.config).state == "Reconciled"
        assert len(versions(engine, 101)) == there > before
        assert names_nobody(*versions(engine, 101))


def test_residue_is_named_from_the_command_line(tmp_path: Path, retirement: Command) -> None:
    """Every place that was planted, none for whom nothing was, and an exit code for each."""
    learner = {"name": "Canary Person", "state": "COMPLETE"}
    seed = {
        "learners": [
            {**learner, "username": "zoe-canary-1", "residue": [*PLANTED, RESPONSES]},
            {**learner, "username": "zoe-canary-2", "residue": []},
        ]
    }
    with sandbox(tmp_path, "--databases", str(tmp_path / "db"), seed=seed) as platform:
        at = ("--config", platform.config)
        all_left = retirement("residue", "--user-id", "101", "--json", *at)
        nothing = retirement("residue", "--user-id", "102", *at)
        one = retirement("residue", "--user-id", "101", "--database", "discovery", *at)
        unknown = retirement("residue", "--user-id", "101", "--database", "mail", *at)
        shown = retirement("config", "show", "--json", *at)

    assert all_left.code == 1
    assert {each["name"] for each in all_left.document["places"] if each["state"] == "found"} == {*PLANTED, RESPONSES}
    assert nothing.code == 0
    assert one.code == 1
    assert "discovery-user" in one.out
    assert (unknown.code, unknown.err.count("\n")) == (2, 1)
    assert set(shown.document["databases"]) == {"lms", "credentials", "license_manager", "ecommerce", "discovery"}
    said = [each.out + each.err for each in (all_left, nothing, one, unknown)]
    assert names_nobody(*said)


def test_what_is_not_done_is_never_certified(tmp_path: Path, retirement: Command) -> None:
    """A learner whom nobody has begun, a file that is none, and options that do not fit."""
    with sandbox(tmp_path, "--learners", "1") as platform:
        at = ("--config", platform.config)
        assert retirement("ledger", "migrate", *at).code == 0
        nobody = retirement("certificate", "--user-id", "101", *at)
        missing = retirement("certificate", "--check", tmp_path / "no.json", *at)
        text = retirement("certificate", "--check", platform.config, *at)
        both = retirement("certificate", *at)
        no_database = retirement("residue", "--user-id", "101", *at)

    assert (nobody.code, nobody.out) == (2, "")
    assert "no retirement of learner 101" in nobody.err
    assert (missing.code, text.code, both.code) == (2, 2, 2)
    assert (no_database.code, no_database.err.strip()) == (
        2,
        "the configuration names no database to look into: give databases.lms",
    )
