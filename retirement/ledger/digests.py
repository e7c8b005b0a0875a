"""Keyed digests, so that "was ana@example.com erased?" has an answer and the ledger has no e-mail.

HMAC-SHA-256 under a key that never stands in the database: who destroys the key file makes every digest that
was made with it unlinkable. The same key seals what the partner report needs between claim and delivery.
"""

import base64
import hashlib
import hmac
import os
import secrets
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from retirement.errors import ConfigError, LedgerError
from retirement.ledger.place import LedgerPlace

_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class Digests:
    """What a key makes of an e-mail, a username and a domain; case and blanks around do not count.

    The LMS takes names that differ only in case for one (contract of the LMS, section 1.4).
    """

    key: bytes

    @property
    def key_id(self) -> str:
        """Tells keys apart; says nothing about them."""
        return self._digest(b"id", "")[:8]

    def email(self, email: str) -> str | None:
        """The digest of an e-mail, None for an empty one."""
        return self._digest(b"email:", _normal(email)) if _normal(email) else None

    def username(self, username: str) -> str | None:
        """The digest of a username, None for an empty one."""
        return self._digest(b"username:", _normal(username)) if _normal(username) else None

    def domain(self, email: str) -> str | None:
        """The digest of what stands after the last @; None where there is no such thing."""
        _name, at, domain = _normal(email).rpartition("@")
        return self._digest(b"domain:", domain) if at and domain else None

    def seal(self, plain: bytes) -> bytes:
        """Encrypts, with a key that is derived from ours."""
        return self._fernet().encrypt(plain)

    def unseal(self, sealed: bytes) -> bytes:
        """What `seal` was given; raises `LedgerError` when that was under another key."""
        try:
            return self._fernet().decrypt(sealed)
        except InvalidToken:
            raise LedgerError("what was sealed cannot be opened: the key of the digests is another one now") from None

    def _fernet(self) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(hmac.digest(self.key, b"seal", hashlib.sha256)))

    def _digest(self, purpose: bytes, text: str) -> str:
        return hmac.new(self.key, purpose + text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).strip()


def digests_of(place: LedgerPlace) -> Digests:
    """The digests under the place's key, which is made when its file is missing.

    Raises `ConfigError` for a file that holds no key, `LedgerError` for one that cannot be read or made.
    """
    if isinstance(place.key, bytes):
        if len(place.key) != _BYTES:
            raise ConfigError(f"the key of the ledger's digests has {_BYTES} bytes")
        return Digests(place.key)
    path = place.key_file
    if path is None:
        raise ConfigError(f"{place}: no key for its digests")
    try:
        if not path.exists():
            _make(path)
        text = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except OSError as error:
        raise LedgerError(f"{path}: the key of the digests cannot be read or made: {error.strerror}") from None
    except ValueError:
        key = b""
    if len(key) != _BYTES:
        raise ConfigError(f"{path}: not a key of the digests, which is {_BYTES} bytes in hex")
    return Digests(key)


def _make(path: Path) -> None:
    """Whole or not at all, and the first of two processes wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
