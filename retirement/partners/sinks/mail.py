"""E-mail as a sink: each partner gets the file as an attachment that only the partner's key opens.

Contract: services, B11. What a server has accepted cannot be read back: its answer to the whole message counts, where
it took one address at least. A message has a Message-ID of its file, so that a mailbox which gets
the message of a run that died once more can tell that it is the same.
"""

import logging
import smtplib
import ssl
from contextlib import suppress
from datetime import date
from email.message import EmailMessage
from hashlib import sha256

from retirement.config.partners import MailRecipient, MailSettings
from retirement.errors import ConfigError, Misconfigured, Refused, RetirementError, Transient
from retirement.partners.files import Report
from retirement.partners.sinks.kit import Allowed, Sink
from retirement.partners.sinks.seals import Seal, seal_of
from retirement.process import in_thread

logger = logging.getLogger(__name__)

_SECONDS = 60
#: Seconds for the whole conversation: a server may say one line after another.
_WHOLE_SECONDS = 600.0
_TEXT = """\
The attached file names learners of {organisations} whose accounts were deleted on their request.
Please delete what you hold of them, and this message afterwards.
"""
_REMINDER = """\
You were sent {file}, which names learners whose accounts were deleted on their request.
Please delete the file and all copies of it by {day}.
"""


class Mail(Sink):
    """One mail server, and the partners that get mail."""

    keeps_files = False

    def __init__(self, settings: MailSettings) -> None:
        super().__init__(settings.name, f"smtp://{settings.host}:{settings.port}", settings.only)
        self._settings = settings
        wrong: list[str] = []
        #: How the file of each partner is sealed.
        self._seals: dict[str, Seal | None] = {}
        for partner, recipient in settings.recipients.items():
            try:
                self._seals[partner] = seal_of(recipient, f"partners.sinks {settings.name}: recipients.{partner}")
            except ConfigError as error:
                wrong += map(str, error.args)
        if wrong:
            raise ConfigError(*wrong)

    async def require(self) -> None:
        """Signs in, and sends nothing."""
        await self._ask("EHLO", None)

    async def discard_drafts(self, begin: str, allowed: Allowed) -> None:
        """A message is accepted whole or not at all."""

    async def deliver(self, report: Report, allowed: Allowed) -> str:
        """Sends one message; returns its Message-ID."""
        recipient = self._settings.recipients.get(report.partner)
        if recipient is None:
            raise ConfigError(f"recipients has no entry for {report.partner}; add it, or leave the partner out by only")
        message = self._message(report, recipient, self._seals[report.partner])
        allowed()
        await self._ask("DATA", message)
        return str(message["Message-ID"])

    async def write_index(self, name: str, content: bytes, allowed: Allowed) -> None:
        """No partner gets what is about others."""

    async def expire(self, place: str, sha256: str, allowed: Allowed) -> bool:
        """A message is out of reach."""
        return False

    async def warn(self, partner: str, file: str, _place: str, day: date, allowed: Allowed) -> bool:
        """Asks the partner to delete the file."""
        recipient = self._settings.recipients.get(partner)
        if recipient is None:
            raise ConfigError(f"recipients has no entry for {partner}; add it")
        message = self._addressed(recipient, f"Delete {file}", f"{file}\n{day}")
        message.set_content(_REMINDER.format(file=file, day=day))
        allowed()
        await self._ask("DATA", message)
        return True

    async def close(self) -> None:
        """Each message has a connection of its own."""

    def _message(self, report: Report, recipient: MailRecipient, seal: Seal | None) -> EmailMessage:
        subject, key = f"Learners to delete: {report.name}", f"{report.name}\n{report.sha256}"
        message = self._addressed(recipient, subject, key)
        message.set_content(_TEXT.format(organisations=", ".join(report.orgs)))
        if seal is None:
            message.add_attachment(report.content, maintype="text", subtype="csv", filename=report.name)
        else:
            content, name = seal.sealed(report.content), f"{report.name}.{seal.ending}"
            message.add_attachment(content, maintype="application", subtype=seal.subtype, filename=name)
        return message

    def _addressed(self, recipient: MailRecipient, subject: str, key: str) -> EmailMessage:
        """A message without content; its Message-ID is that of the same subject, whenever it is made."""
        message = EmailMessage()
        message["From"] = self._settings.sender
        message["To"] = ", ".join(recipient.to)
        message["Subject"] = subject
        number = sha256(f"{self.name}\n{key}".encode("utf-8", "surrogatepass")).hexdigest()
        message["Message-ID"] = f"<{number[:40]}@{self._settings.sender.rpartition('@')[2]}>"
        return message

    async def _ask(self, request: str, message: EmailMessage | None) -> None:
        """A connection in a thread of its own; errors become ours, without what the server has said."""
        try:
            refused = await in_thread(lambda: self._converse(message), _WHOLE_SECONDS)
        except (smtplib.SMTPException, OSError) as error:
            raise _ours(self.name, request, error) from None
        if refused:
            # The others have it: sent again, they would have it twice.
            logger.warning("sink %s: the server refused %d of the addresses of a partner", self.name, refused)

    def _converse(self, message: EmailMessage | None) -> int:
        """Sends the message, if there is one; how many addresses were refused."""
        settings = self._settings
        context = ssl.create_default_context(cafile=settings.ca_file)
        client: smtplib.SMTP
        if settings.tls == "tls":
            client = smtplib.SMTP_SSL(settings.host, settings.port, timeout=_SECONDS, context=context)
        else:
            client = smtplib.SMTP(settings.host, settings.port, timeout=_SECONDS)
        try:
            if settings.tls == "starttls":
                client.starttls(context=context)
            if settings.username is not None:
                client.login(settings.username, settings.password.get_secret_value() if settings.password else "")
            refused = len(client.send_message(message)) if message else 0
            # What it answers to the farewell changes nothing of what it has accepted.
            with suppress(smtplib.SMTPException):
                client.quit()
            return refused
        finally:
            client.close()


def mail_sink(settings: MailSettings) -> Mail:
    """The mail server with its partners. Raises `ConfigError` for a partner without a key."""
    return Mail(settings)


def _ours(name: str, request: str, error: Exception) -> RetirementError:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return Misconfigured(name, request, error.smtp_code, "the server does not let us in; see username, password")
    if isinstance(error, smtplib.SMTPNotSupportedError | ssl.SSLError):
        text = "the server has no TLS that can be trusted; see tls, host and ca_file"
        return Misconfigured(name, request, None, text)
    code = _code(error)
    if code is None or 400 <= code < 500:
        return Transient(name, request, code, f"the server cannot take it now: {type(error).__name__}", in_doubt=True)
    return Refused(name, request, code, "the server refuses the message or its addresses; see sender and recipients")


def _code(error: Exception) -> int | None:
    """The code of an answer, of several the highest; None where there was no answer."""
    if isinstance(error, smtplib.SMTPResponseException):
        return int(error.smtp_code)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return max(int(code) for code, _ in error.recipients.values())
    return None
