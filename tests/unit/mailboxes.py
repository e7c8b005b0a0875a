"""A real SMTP server on this machine, with TLS and one account, and a mailbox behind it."""

from __future__ import annotations

import asyncio
import csv
import email
import io
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from retirement.config.partners import MailSettings
from retirement.partners.destination import Destination
from retirement.partners.sinks.mail import mail_sink

from .doubles import Died
from .dying import Mortal

ORGS = ("OrgA", "OrgB", "Zürich U.")


@dataclass
class Mailbox:
    """A server that keeps what it accepts, and answers what a test wants."""

    folder: Path
    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    accepted: list[email.message.Message] = field(default_factory=list)
    key: pyrage.x25519.Identity = field(default_factory=pyrage.x25519.Identity.generate)
    mortal: Mortal | None = None

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
        self._go_on()
        return "250 OK"

    async def handle_QUIT(self, _server: Any, _session: Any, _envelope: Any) -> str:  # noqa: N802 - as well
        return self.answers.get("QUIT", "221 Bye")

    def command(self, work: Callable[[str | None], Any]) -> Callable[[str | None], Any]:
        """A command of the protocol: to a client that is dead, the connection is gone."""

        async def obeyed(argument: str | None) -> None:
            try:
                if self.mortal:
                    self.mortal.may_live()
                await work(argument)
            except Died:
                raise ConnectionResetError from None
            self._go_on()

        return obeyed

    def _go_on(self) -> None:
        """A message may be accepted although its client is not there to hear it."""
        try:
            if self.mortal:
                self.mortal.may_go_on()
        except Died:
            raise ConnectionResetError from None

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
        self.mortal = mortal
        return Destination(None, "campus.example", (mail_sink(self.settings()),))

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


def self_signed(folder: Path) -> Path:
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
    context.load_cert_chain(self_signed(folder))
    box = Mailbox(folder)

    def smtp() -> SMTP:
        made = SMTP(box, tls_context=context, require_starttls=True, authenticator=_login, auth_required=True)
        made._smtp_methods = {name: box.command(work) for name, work in made._smtp_methods.items()}
        return made

    server = await asyncio.get_running_loop().create_server(smtp, "127.0.0.1", 0)
    async with server:
        box.port = server.sockets[0].getsockname()[1]
        yield box
