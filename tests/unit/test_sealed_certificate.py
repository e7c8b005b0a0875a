"""Certificates that need no ledger: what a stranger can check with the public key, and what lies about it are found."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from retirement import certificate as certificates
from retirement.errors import ConfigError
from retirement.ledger import LedgerLocation, Signing, pem_of, signer_of
from tests.ledger.desk import KEY, START, Clock, Desk, begin
from tests.unit.test_certificate import retired

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "certificate.md"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A ledger in a file, whose heads are signed."""
    place = LedgerLocation(f"sqlite:///{tmp_path}/ledger.db", key=KEY, signing=Signing(tmp_path / "signing"))
    return Desk(place, Clock(), tmp_path)


@pytest.fixture
async def issued(desk: Desk) -> dict[str, Any]:
    """The certificate of learner 17, among others, as it comes out of a file."""
    async with desk.open() as ledger:
        await (await begin(ledger, 16)).end("parked", "", "PENDING")
        await retired(ledger)
        await (await begin(ledger, 18)).end("parked", "", "PENDING")
        claim = await ledger.claims.begin()
        await ledger.claims.seal(claim, b"CanaryClaim", [17, 18])
        await ledger.claims.delivered(claim)
    document: dict[str, Any] = json.loads(certificates.as_json(certificates.issue(desk.place, 17)))
    return document


def public(desk: Desk) -> str:
    """The public key of the installation."""
    return signer_of(Signing(desk.folder / "signing")).key


def verifier(folder: Path) -> Path:
    """The verifier of the page, as a reader would copy it."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 45
    file = folder / "verify.py"
    file.write_text(code, encoding="utf-8")
    return file


def checked(folder: Path, document: dict[str, Any], key: str) -> "subprocess.CompletedProcess[str]":
    """What the verifier says of a certificate."""
    (folder / "certificate.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "retirement.pem").write_text(pem_of(key), encoding="ascii")
    return ran([sys.executable, "-I", str(verifier(folder)), "certificate.json", "retirement.pem"], folder)


def ran(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """A command that has ended."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.processes
async def test_a_signed_certificate_is_checked_by_the_key_alone(
    desk: Desk, issued: dict[str, Any], tmp_path: Path
) -> None:
    """By the program and by the verifier of the page, while the ledger is gone."""
    key = public(desk)
    (desk.folder / "ledger.db").unlink()
    (tmp_path / "elsewhere").mkdir()
    found = checked(tmp_path / "elsewhere", issued, key)

    assert certificates.check_seal(issued, [key]) == []
    assert (found.returncode, found.stdout.split()[0], found.stdout.split()[-1]) == (0, "genuine,", "complete")
    assert issued["proof"]["entries"][-1]["kind"] == "claim.delivered"
    assert issued["proof"]["entries"][-1]["body"] is None
    assert any('"outcome":"erased"' in (each["body"] or "") for each in issued["proof"]["entries"])
    text = json.dumps(issued)
    assert not any(word in text for word in ("Canary", "canary", "digest"))


@pytest.mark.skipif(not shutil.which("jq") or not shutil.which("xxd"), reason="the page's commands need jq and xxd")
async def test_openssl_checks_it_as_the_page_says(desk: Desk, issued: dict[str, Any], tmp_path: Path) -> None:
    """The three lines, word for word."""
    (code,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "certificate.json").write_text(json.dumps(issued), encoding="utf-8")
    (tmp_path / "retirement.pem").write_text(pem_of(public(desk)), encoding="ascii")
    found = ran(["sh", "-c", code], tmp_path)

    assert (found.returncode, found.stdout) == (0, "Signature Verified Successfully\n")


def _statement(document: dict[str, Any]) -> None:
    document["complete"] = not document["complete"]


def _head(document: dict[str, Any]) -> None:
    document["proof"]["head"]["root"] = "0" * 64


def _entry(document: dict[str, Any]) -> None:
    document["proof"]["entries"][2]["body"] = document["proof"]["entries"][2]["body"].replace("erased", "absent")


def _path(document: dict[str, Any]) -> None:
    document["proof"]["entries"][0]["path"].reverse()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_statement, ["signature: the certificate is not what was signed"]),
        (_head, ["signature: the certificate is not what was signed", "head: it is not what was signed"]),
        (_entry, ["signature: the certificate is not what was signed", "entry 5: it is not in the ledger"]),
        (_path, ["signature: the certificate is not what was signed", "entry 3: it is not in the ledger"]),
    ],
)
async def test_a_changed_certificate_is_found_without_the_ledger(
    desk: Desk, issued: dict[str, Any], tmp_path: Path, change: Callable[[dict[str, Any]], None], said: list[str]
) -> None:
    """Statement, head, entry or path; also by the verifier of the page."""
    change(issued)
    wrong = certificates.check_seal(issued, [public(desk)])

    assert all(any(each.startswith(sentence) for each in wrong) for sentence in said)
    assert checked(tmp_path, issued, public(desk)).returncode == 1


async def test_another_installations_certificate_is_not_ours(
    desk: Desk, issued: dict[str, Any], tmp_path: Path
) -> None:
    """Signed again as a whole by another key, or checked with another one."""
    other = signer_of(Signing(tmp_path / "other")).key

    assert certificates.check_seal(issued, [other]) == [
        "signature: it is by another key",
        "head: it is signed by another key",
    ]
    assert checked(tmp_path, issued, other).returncode == 1


async def test_a_certificate_that_is_not_signed_needs_the_ledger(desk: Desk, issued: dict[str, Any]) -> None:
    """The line says so; and one that was cut is no certificate."""
    unsigned = certificates.issue(replace(desk.place, signing=None), 17)

    assert certificates.check(json.loads(certificates.as_json(unsigned)), desk.place) == []
    with pytest.raises(ConfigError, match="is not signed: check it with the ledger"):
        certificates.check_seal(unsigned, [public(desk)])
    for cut in ("proof", "entries", "head"):
        broken = json.loads(json.dumps(issued))
        (broken if cut == "proof" else broken["proof"])[cut] = {"entries": [{}], "head": {}}.get(cut, [])
        with pytest.raises(ConfigError, match="no certificate of this program"):
            certificates.check_seal(broken, [public(desk)])


async def test_a_certificate_of_before_signatures_is_checked_as_it_was(desk: Desk, issued: dict[str, Any]) -> None:
    """Its format is the first one."""
    old = certificates.as_format_1(certificates.issue(replace(desk.place, signing=None), 17))

    assert old["certificate"] == 1
    assert set(old["proof"]["entries"][0]) == {"seq", "at", "kind", "previous", "hash"}
    assert certificates.check(json.loads(certificates.as_json(old)), desk.place) == []


async def test_an_old_certificate_is_true_of_then_and_compared_with_today(desk: Desk, issued: dict[str, Any]) -> None:
    """A hold that came later: what was said then was true, and today another thing is."""
    before = certificates.compare(issued, desk.place)
    async with desk.open() as ledger:
        day = START.date() + timedelta(days=60)
        await ledger.holds.add(user_id=17, org=None, service="BRAZE", basis="a court", until=day, by="dpo")
    after = certificates.compare(issued, desk.place)

    assert (before.wrong, before.changed, before.is_outdated) == ([], [], False)
    assert (after.wrong, after.changed, after.is_outdated) == ([], ["complete", "not_complete", "retained"], True)
    assert after.today
    assert after.today["complete"] is False


async def test_the_same_head_gives_the_same_signed_bytes(desk: Desk, issued: dict[str, Any]) -> None:
    """Ed25519 has no chance in it."""
    assert certificates.as_json(certificates.issue(desk.place, 17)) == f"{certificates.as_json(issued)}"
    assert certificates.html(issued).count(issued["signature"]["signature"]) == 1
