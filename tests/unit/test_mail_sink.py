"""Partner reports by e-mail, to a real SMTP server with TLS: encrypted, and the same message if it comes again."""

from __future__ import annotations

import asyncio
import csv
import email
import io
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from retirement.config.partners import MailSettings
from retirement.errors import ConfigError, Misconfigured, RetirementError, Transient
from retirement.partners import report as partners
from retirement.partners.destination import Destination
from retirement.partners.expiry import Ages, ExpiryFinding, ExpiryResult, expire
from retirement.partners.sinks.mail import mail_sink

from .batches import batch_of
from .doubles import PERSONAL, World
from .dying import Mortal, dies_anywhere
from .reporting import TAKE, due, flags, queued, sent

pytestmark = pytest.mark.anyio

ORGS = ("OrgA", "OrgB", "Zürich U.")


@dataclass
class Mailbox:
    """A server that keeps what it accepts, and answers what a test wants."""

    folder: Path
    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    accepted: list[email.message.Message] = field(default_factory=list)
    key: pyrage.x25519.Identity = field(default_factory=pyrage.x25519.Identity.generate)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd looks for this name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if answer := self.answers.get(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - as well
        if answer := self.answers.get("DATA"):
            return answer
        self.accepted.append(email.message_from_bytes(envelope.content))
        return "250 OK"

    def settings(self, **changes: Any) -> MailSettings:
        age = str(self.key.to_public())
        given: dict[str, Any] = {
            "name": "mail",
            "kind": "mail",
            "host": "localhost",
            "port": self.port,
            "ca_file": str(self.folder / "server.pem"),
            "username": "campus",
            "password": SecretStr("hunter2"),
            "sender": "retirement@campus.example",
            "recipients": {org: {"to": [f"dpo-{number}@x.example"], "age": age} for number, org in enumerate(ORGS)},
        }
        return MailSettings(**given | changes)

    def destination(self, mortal: Mortal | None) -> Destination:
        sink = mail_sink(self.settings())
        if mortal:
            vars(sink)["_converse"] = mortal.doing(sink._converse)
        return Destination(None, "campus.example", (sink,))

    def told(self) -> Counter[tuple[str, str]]:
        """How often each learner is in a message of each organisation; one that came again is the same message."""
        found: Counter[tuple[str, str]] = Counter()
        for message in {str(each["Message-ID"]): each for each in self.accepted}.values():
            (attached,) = [part for part in message.walk() if part.get_filename()]
            content = pyrage.decrypt(attached.get_payload(decode=True), [self.key])
            for row in csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")):
                found[row["original_username"], str(attached.get_filename()).split("_")[1]] += 1
        return found


def _login(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=data.password == b"hunter2", handled=False)


def _certificate(folder: Path) -> Path:
    """A file with a key and a certificate for this machine, by nobody."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(pem + made.public_bytes(Encoding.PEM))
    return path


@asynccontextmanager
async def mail_server(folder: Path) -> AsyncIterator[Mailbox]:
    """The server, on a port of its own, with a certificate that is in no machine's store."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(_certificate(folder))
    box = Mailbox(folder)

    def smtp() -> SMTP:
        return SMTP(box, tls_context=context, require_starttls=True, authenticator=_login, auth_required=True)

    server = await asyncio.get_running_loop().create_server(smtp, "127.0.0.1", 0)
    async with server:
        box.port = server.sockets[0].getsockname()[1]
        yield box


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Mailbox]:
    """The server of a test."""
    async with mail_server(tmp_path) as found:
        yield found


async def test_each_partner_gets_a_message_that_only_its_key_opens(world: World, box: Mailbox) -> None:
    """Neither subject nor text name a learner."""
    site = await queued(world)

    delivery = await partners.deliver(site, batch_of(site), box.destination(None))

    assert (delivery.error, delivery.problems, box.told(), flags(world)) == (None, [], due(), {})
    assert sorted(str(each["To"]) for each in box.accepted) == [f"dpo-{number}@x.example" for number in range(3)]
    assert not [secret for secret in PERSONAL for each in box.accepted if secret in each.as_string()]
    assert {each.file.place for each in await site.ledger.deliveries.find()} == {
        str(each["Message-ID"]) for each in box.accepted
    }


@pytest.mark.parametrize("after", [False, True], ids=["before-the-work", "after-the-work"])
async def test_a_report_that_died_at_any_message_is_finished_by_the_next(
    world: World, tmp_path: Path, after: bool, every_nth: int
) -> None:
    """A message that was accepted and not entered comes again as the same message."""
    async with mail_server(tmp_path) as box:

        def make(_deaths: int) -> Mailbox:
            box.accepted.clear()
            return box

        assert await dies_anywhere(world, tmp_path, make, after=after, every_nth=every_nth, of_sinks=True) >= 4


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"port": 9}, Transient, "the server cannot take it now: ConnectionRefusedError"),
        ({"password": SecretStr("hunter3")}, Misconfigured, "the server does not let us in"),
        ({"ca_file": None}, Misconfigured, "no TLS that can be trusted"),
        ({"tls": "tls"}, Misconfigured, "no TLS that can be trusted"),
    ],
)
async def test_a_server_that_cannot_be_used_is_a_line_before_anything_is_claimed(
    world: World, box: Mailbox, changes: dict[str, Any], kind: type[RetirementError], text: str
) -> None:
    """Unreachable, another password, a certificate of a stranger, no TLS."""
    site = await queued(world)
    sink = mail_sink(box.settings(**changes))

    with pytest.raises(kind, match=text):
        await partners.deliver(site, batch_of(site), Destination(None, "x", (sink,)))

    assert sent(world, TAKE) == 0


@pytest.mark.parametrize(
    ("command", "answer", "text"),
    [
        ("DATA", "452 over quota CanaryName", "mail: DATA answered 452: the server cannot take it now"),
        ("DATA", "554 no CanaryName", "mail: DATA answered 554: the server refuses the message"),
        ("dpo-1@x.example", "550 CanaryName", "mail: DATA answered 550: the server refuses the message"),
    ],
)
async def test_a_refusal_keeps_the_rows_and_is_told_without_its_words(
    world: World, box: Mailbox, command: str, answer: str, text: str
) -> None:
    """The next run sends what is missing."""
    site = await queued(world)
    box.answers[command] = answer

    first = await partners.deliver(site, batch_of(site), box.destination(None))
    assert (first.problems[0].partition(": ")[2].startswith(text), bool(flags(world))) == (True, True)
    assert "Canary" not in f"{first.problems}"
    box.answers.clear()
    second = await partners.deliver(site, batch_of(site), box.destination(None))

    assert (second.problems, box.told(), flags(world)) == ([], due(), {})


async def test_a_refused_address_of_several_is_no_reason_to_send_twice(world: World, box: Mailbox) -> None:
    """The partner has the file."""
    site = await queued(world)
    box.answers["gone@x.example"] = "550 no"
    age = str(box.key.to_public())
    recipients = {org: {"to": ["dpo@x.example", "gone@x.example"], "age": age} for org in ORGS}
    place = Destination(None, "campus.example", (mail_sink(box.settings(recipients=recipients)),))

    delivery = await partners.deliver(site, batch_of(site), place)

    assert (delivery.problems, box.told(), flags(world)) == ([], due(), {})


async def test_a_partner_without_a_key_gets_nothing_unless_a_reason_is_given(box: Mailbox) -> None:
    """Said before anything is claimed, as is a key that is none."""
    to = ["dpo@x.example"]
    for recipient, text in (({"to": to}, "has no key"), ({"to": to, "age": "age1x"}, "is no public key of age")):
        with pytest.raises(ConfigError, match=text):
            mail_sink(box.settings(recipients={"OrgA": recipient}))

    assert mail_sink(box.settings(recipients={"OrgA": {"to": to, "allow_plain": "our own mail server"}}))


async def test_a_partner_without_an_address_stops_no_other(world: World, box: Mailbox) -> None:
    """Its learners wait."""
    site = await queued(world)
    given = box.settings()
    some = {name: each for name, each in given.recipients.items() if name != "OrgB"}
    place = Destination(None, "campus.example", (mail_sink(given.model_copy(update={"recipients": some})),))

    delivery = await partners.deliver(site, batch_of(site), place)

    (line,) = delivery.problems
    assert "recipients has no entry for OrgB" in line
    assert box.told() == Counter({key: 1 for key in due() if key[1] != "OrgB"})
    assert len(flags(world)) == 1


async def test_a_message_is_not_deleted_but_its_partner_is_reminded(world: World, box: Mailbox) -> None:
    """Once; a reminder that comes again is the same message."""
    site, found = await queued(world), list[ExpiryFinding]()
    await partners.deliver(site, batch_of(site), box.destination(None))
    world.calendar.pass_by(days=40)

    for _ in range(2):
        await expire(site, batch_of(site), box.destination(None), Ages(30, 7), found.append)
        world.calendar.pass_by(days=10)

    reminders = [each for each in box.accepted if str(each["Subject"]).startswith("Delete ")]
    assert [each.what for each in found] == [ExpiryResult.WARNED] * 3
    assert (len(reminders), len({str(each["Message-ID"]) for each in box.accepted})) == (3, 6)
