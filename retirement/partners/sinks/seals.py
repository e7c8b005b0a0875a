"""How the file of a partner is sealed for the mail: by the partner's key of age or of OpenPGP, or with a reason not."""

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from pathlib import Path

import pyrage

from retirement.config.partners import MailRecipient
from retirement.errors import ConfigError
from retirement.partners.sinks.openpgp import PartnerKey, UnusableKey


class Seal(ABC):
    """What makes a file into one that only the partner reads. `ending` and `subtype` are those of the attachment."""

    ending: str
    subtype: str

    @abstractmethod
    def sealed(self, content: bytes) -> bytes:
        """The content, encrypted. Raises `ConfigError` where the partner has to give another key."""


class Age(Seal):
    """Encrypts to a key of age."""

    ending = subtype = "age"

    def __init__(self, key: str, place: str) -> None:
        try:
            self._recipient = pyrage.x25519.Recipient.from_str(key)
        except pyrage.RecipientError:
            raise ConfigError(f"{place}.age is no public key of age; it begins with age1") from None

    def sealed(self, content: bytes) -> bytes:
        """For age, of any version."""
        return bytes(pyrage.encrypt(content, [self._recipient]))


class OpenPgp(Seal):
    """Encrypts to a key of OpenPGP, which is read once; whether it is in force is looked at each time."""

    ending, subtype = "pgp", "octet-stream"

    def __init__(self, path: str, place: str) -> None:
        self._place = f"{place}.openpgp_file: {path}"
        try:
            self._key = PartnerKey(Path(path).read_bytes())
        except OSError as error:
            raise ConfigError(f"{self._place} cannot be read: {error.strerror}") from None
        except UnusableKey as error:
            raise ConfigError(f"{self._place} {error}") from None

    def sealed(self, content: bytes) -> bytes:
        """For GnuPG, Thunderbird and others. Only this partner waits where the key is not in force."""
        try:
            return self._key.encrypt(content, datetime.now(UTC))
        except UnusableKey as error:
            raise ConfigError(f"{self._place} {error}") from None


def seal_of(recipient: MailRecipient, place: str) -> Seal | None:
    """The seal of one recipient; None where a reason is given to have none. Raises `ConfigError` without both."""
    if recipient.age is not None and recipient.openpgp_file is not None:
        raise ConfigError(f"{place} has two keys; leave out age or openpgp_file")
    if recipient.age is not None:
        return Age(recipient.age, place)
    if recipient.openpgp_file is not None:
        return OpenPgp(recipient.openpgp_file, place)
    if recipient.allow_plain is None:
        text = "has no key, so all mail servers on the way could read the learners; give age: age1… or openpgp_file"
        raise ConfigError(f"{place} {text}, or say why that is no harm, as allow_plain")
    return None
