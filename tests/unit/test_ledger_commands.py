"""Commands that only open the ledger: a new key, an address that is asked for, and a file that is damaged."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from retirement.cli import ledger as ledger_commands
from retirement.cli.status import status
from retirement.ledger import LedgerLocation, opened
from tests.config.desk import ENVIRON, OWN
from tests.ledger.desk import Clock, begin

EMAIL = "CanaryMail17@canary.example"
Said = Callable[..., Result]

app = typer.Typer()
app.command()(status)
app.add_typer(ledger_commands.app, name="ledger")


@pytest.fixture
def ledger(tmp_path: Path) -> LedgerLocation:
    """Where the commands of a test have their ledger."""
    return LedgerLocation(f"sqlite:///{tmp_path}/ledger.sqlite")


@pytest.fixture
def said(tmp_path: Path, ledger: LedgerLocation) -> Said:
    """Runs a command with a configuration whose ledger that is."""
    file = tmp_path / "retirement.yaml"
    # No LMS answers there: what is asked of the ledger is answered all the same.
    nowhere = OWN.replace("https://courses.example.com", "http://127.0.0.1:1") + "retry: {attempts: 1}\n"
    file.write_text(nowhere + f"ledger: {{url: '{ledger.url}', keys: []}}\n", encoding="utf-8")

    def run(*words: str, typed: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, [*words, "--config", str(file)], input=typed, env=dict(ENVIRON))

    return run


@pytest.fixture
def used(ledger: LedgerLocation) -> LedgerLocation:
    """A ledger with one learner who is retired."""

    async def retire() -> None:
        async with opened(ledger, clock=Clock()) as open_one:
            lease = await begin(open_one)
            await lease.intend("LMS", "LMS", "retirement_lms_retire")
            await lease.prove("LMS", "erased")
            await lease.end("retired", "", "COMPLETE")

    asyncio.run(retire())
    return ledger


def document(result: Result) -> Any:
    """What a command answers with `--json`."""
    return json.loads(result.stdout)


def test_a_key_is_rotated_after_a_preview(used: LedgerLocation, said: Said) -> None:
    """Without a terminal the answer is given before; addresses are found as before."""
    unasked = said("ledger", "rotate-key", "--by", "ops")
    planned = document(said("ledger", "rotate-key", "--by", "ops", "--dry-run", "--json"))
    done = said("ledger", "rotate-key", "--by", "ops", "--yes")
    found = said("status", "--email", "-", "--json", typed=EMAIL)

    assert (unasked.exit_code, unasked.stderr.startswith("--yes: ")) == (2, True)
    assert (planned["after"], planned["key_file"]) == (None, str(used.key_file))
    assert done.exit_code == 0
    assert f"for look-ups: {used.key_file}.{planned['before']}" in done.stdout.replace("\n", "")
    assert (found.exit_code, document(found)["erased"]) == (0, True)


def test_a_lost_key_is_never_a_no(used: LedgerLocation, said: Said) -> None:
    """First an error that names both, then, under a new key, that it is not known."""
    assert used.key_file
    used.key_file.unlink()
    refused = said("status", "--email", "-", typed=EMAIL)
    renewed = said("ledger", "rotate-key", "--lost", "--by", "ops", "--yes")
    answer = said("status", "--email", "-", "--json", typed=EMAIL)
    text = said("status", "--email", "-", typed=EMAIL)

    assert refused.exit_code == 2
    assert all(str(path) in refused.stderr.replace("\n", "") for path in (used, used.key_file))
    assert renewed.exit_code == 0
    assert (answer.exit_code, document(answer)["erased"]) == (1, None)
    assert "1 retirements of the ledger, under key " in str(document(answer)["not_asked"])
    assert "erased: not known" in text.stdout
    assert "CanaryMail" not in refused.output + answer.output + text.output


def test_without_a_ledger_there_is_no_key(said: Said) -> None:
    """Nothing is made."""
    result = said("ledger", "rotate-key", "--by", "ops", "--yes")

    assert result.exit_code == 2
    assert "there is no ledger" in result.stderr


@pytest.mark.parametrize("typed", [b"\xff\xfe@mail.example\n", b"caf\xe9@mail.example", b"\xed\xa0\x80@mail.example"])
def test_an_address_that_is_no_text_is_one_line(said: Said, typed: bytes) -> None:
    """It comes from a file in another encoding, and is not guessed."""
    result = said("status", "--email", "-", typed=typed)

    assert (result.exit_code, result.stderr) == (2, "--email: standard input is no text in UTF-8\n")
