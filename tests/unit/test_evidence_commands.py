"""Commands on evidence: sign it, take a text out of it, and refuse the ledger of another site."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from retirement.cli import ledger as ledger_commands
from retirement.cli.hold import app as hold
from tests.config.desk import ENVIRON, OWN

Said = Callable[..., Result]
LEAK = "names a person"

app = typer.Typer()
app.add_typer(ledger_commands.app, name="ledger")
app.add_typer(hold, name="hold")


@pytest.fixture
def said(tmp_path: Path) -> Said:
    """Runs a command with a configuration whose ledger is in the folder of the test."""

    def run(*words: str, site: str = "ours") -> Result:
        file = tmp_path / "retirement.yaml"
        ledger = f"ledger: {{url: 'sqlite:///ledger.sqlite', site: {site}, anchor: anchor}}\n"
        file.write_text(OWN + ledger, encoding="utf-8")
        return CliRunner().invoke(app, [*words, "--config", str(file)], env=dict(ENVIRON))

    return run


@pytest.fixture
def held(said: Said) -> Said:
    """A ledger with a hold whose basis should not be there, in entry 2."""
    options = ("--org", "MITx", "--basis", LEAK, "--until", "2099-01-01", "--by", "dpo")
    added = said("hold", "add", *options)
    assert added.exit_code == 0, added.output
    return said


def test_what_a_command_entered_is_signed(held: Said, tmp_path: Path) -> None:
    """`verify` says by which key, and with that key in a file the same; another key is exit code 1."""
    verdict = json.loads(held("ledger", "verify", "--json").stdout)
    shown = held("ledger", "public-key")
    (tmp_path / "ours.pem").write_text(shown.stdout, encoding="ascii")
    known = held("ledger", "verify", "--public-key", str(tmp_path / "ours.pem"))
    line = held("ledger", "sign").stdout
    (tmp_path / "ledger.sqlite.signing").rename(tmp_path / "lost")
    (tmp_path / "new.pem").write_text(held("ledger", "public-key").stdout, encoding="ascii")
    other = held("ledger", "verify", "--public-key", str(tmp_path / "new.pem"))

    assert (verdict["ok"], verdict["signed"], len(verdict["keys"])) == (True, verdict["entries"], 1)
    assert (known.exit_code, other.exit_code) == (0, 1)
    assert "is signed by another key" in other.stdout
    assert "".join(line.split()) in "".join((tmp_path / "anchor").read_text(encoding="ascii").split())


def test_a_text_is_taken_out_after_a_preview(held: Said, tmp_path: Path) -> None:
    """Without a terminal the answer is given before; the reason may not be a name itself."""
    redact = ("ledger", "redact", "--entry", "2", "--by", "dpo", "--reason")
    unasked = held(*redact, "a slip")
    refused = held(*redact, "ana@example.com", "--yes")
    planned = held(*redact, "a slip", "--dry-run", "--json")
    done = held(*redact, "a slip", "--yes", "--json")
    verdict = held("ledger", "verify")

    assert (unasked.exit_code, refused.exit_code) == (2, 2)
    assert json.loads(planned.stdout) == json.loads(done.stdout) == {"texts": 1, "entries": [2]}
    assert (verdict.exit_code, "texts that were taken out: 1" in verdict.stdout) == (0, True)
    assert LEAK.encode() not in b"".join(file.read_bytes() for file in tmp_path.glob("ledger.sqlite*"))


def test_the_configuration_of_another_site_is_refused(held: Said) -> None:
    """As one line, with both names; nothing is entered."""
    before = held("ledger", "verify").stdout
    for words in (("hold", "list"), ("ledger", "sign"), ("ledger", "migrate")):
        found = held(*words, site="theirs")
        assert found.exit_code == 2
        assert "is the ledger of the site ours, and this configuration is of theirs" in found.stderr.replace("\n", " ")

    assert held("ledger", "verify").stdout == before
