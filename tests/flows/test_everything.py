"""Every connector at once, from the request to the certificate."""

import json
from pathlib import Path

import pytest

from retirement.sandbox.pipelines import PIPELINES
from tests import patient
from tests.flows.conftest import Command, sandbox

pytestmark = pytest.mark.dear(seconds=70)

#: Days after which every vendor of the sandbox has done what it promised.
DONE_BY = 60


def test_all_services_are_erased_confirmed_and_certified(tmp_path: Path, engine: str, retirement: Command) -> None:
    """Retired, with every receipt confirmed, nothing left anywhere, and certificates that verify."""
    reports = tmp_path / "reports"
    reports.mkdir(mode=0o700)
    with sandbox(tmp_path, "--pipeline", "all", "--learners", "3") as platform:

        def called(*arguments: str) -> dict[str, object]:
            answer = retirement(*arguments, "--config", platform.config)
            assert answer.code == 0, (arguments, answer.out[-2000:], answer.err)
            document: dict[str, object] = json.loads(answer.out)
            return document

        retired = called("retire-queue", "--json")
        assert retired["outcomes"] == {"retired": 3}
        assert {step["service"] for step in PIPELINES["all"]} == set(services(platform.config))
        assert platform.residue() != []  # the vendors have only promised
        before = called("status", "--json")
        seconds = {"advance_seconds": DONE_BY * 86_400}
        patient.post(f"{platform.urls['control']}/_sandbox/clock", json=seconds).raise_for_status()
        said = [each["what"] for _ in range(2) for each in called("verify", "--all", "--json")["receipts"]]  # type: ignore[attr-defined]  # a list of rows
        reported = called("partner-report", "--json", "--output", str(reports))
        uploads = [each for each in platform.requests() if each["path"] == "/upload/drive/v3/files"]

        assert len(uploads) == len(reported["files"]) > 0  # type: ignore[arg-type]  # an object
        assert before["open_receipts"] == said.count("confirmed")
        assert set(said) == {"gone", "confirmed"}
        assert platform.residue() == []
        assert called("status", "--json")["open_receipts"] == 0
        for name in platform.state():
            certificate = called("certificate", "--user-id", str(platform.user_id(name)))
            file = tmp_path / f"certificate-{platform.user_id(name)}.json"
            file.write_text(json.dumps(certificate), encoding="utf-8")
            checked = retirement("certificate", "--check", file, "--config", platform.config)
            assert (certificate["complete"], checked.code) == (True, 0), checked.out + checked.err
        forgotten = called("cleanup", "--days", "0", "--json")
        assert forgotten["summary"] == "3 cleared"
        assert [name for name, each in platform.state().items() if each["retirement"]] == []
        shown = "".join(file.read_text(encoding="utf-8") for file in tmp_path.glob("certificate-*.json"))
        assert "canary" not in shown.casefold()


def services(config: Path) -> set[str]:
    """Every service that the configuration points at, and the LMS."""
    text = config.read_text(encoding="utf-8")
    return {step["service"] for step in PIPELINES["all"] if step["service"] == "LMS" or f"  {step['service']}:" in text}
