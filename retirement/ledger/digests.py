"""Keyed digests, so that "was ana@example.com erased?" has an answer and the ledger has no e-mail.

HMAC-SHA-256 under a key that never stands in the database: who destroys the key file makes every digest that
was made with it unlinkable. The same key seals the keys of parcels: what the partner report needs between
claim and delivery is encrypted under a key of its own, and no other one opens it.
"""

import base64
import hashlib
import hmac
import unicodedata
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from retirement.errors import LedgerError

#: Hexadecimal digits of a check value that name its key.
KEY_ID_DIGITS = 8


@dataclass(frozen=True, slots=True, repr=False)
class Parcel:
    """What is sealed under a key of its own, and that key, sealed under the key of the ledger."""

    key: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Digests:
    """What a key makes of an e-mail, a username and a domain; case and blanks around do not count.

    The LMS takes names that differ only in case for one (contract of the LMS, section 1.4). `older` are keys that
    are no longer written with: look-ups use them, and what they sealed can be opened.
    """

    key: bytes
    older: tuple["Digests", ...] = ()

    @property
    def check_value(self) -> str:
        """Is stored in a ledger to recognise its key; says nothing about the key."""
        return self._digest(b"id", "")

    @property
    def key_id(self) -> str:
        """Tells keys apart: the beginning of the check value."""
        return self.check_value[:KEY_ID_DIGITS]

    @property
    def every(self) -> tuple["Digests", ...]:
        """Under this key, and under each older one."""
        return (self, *self.older)

    def email(self, email: str) -> str | None:
        """The digest of an e-mail, None for an empty one."""
        return self._digest(b"email:", comparable(email)) if comparable(email) else None

    def username(self, username: str) -> str | None:
        """The digest of a username, None for an empty one."""
        return self._digest(b"username:", comparable(username)) if comparable(username) else None

    def pair(self, old: str, new: str) -> str:
        """The digest of an old username and the new one that was asked for; letter case counts in the new one."""
        return self._digest(b"pair:", f"{comparable(old)}\0{new}")

    def domain(self, email: str) -> str | None:
        """The digest of what stands after the last @; None where there is no such thing."""
        _name, at, domain = comparable(email).rpartition("@")
        return self._digest(b"domain:", domain) if at and domain else None

    def form(self, text: str) -> str:
        """The digest of what was submitted in a form, which may name a learner."""
        return self._digest(b"form:", text)

    def seal(self, plain: bytes) -> bytes:
        """Encrypts, with a key that is derived from ours."""
        return self._fernet().encrypt(plain)

    def unseal(self, sealed: bytes) -> bytes:
        """What `seal` was given, under this key or an older one; raises `LedgerError` for any other key."""
        try:
            return MultiFernet([each._fernet() for each in self.every]).decrypt(sealed)
        except InvalidToken:
            raise LedgerError("what was sealed cannot be opened: the key of the digests is another one now") from None

    def pack(self, plain: bytes) -> "Parcel":
        """Encrypts under a new key, which is sealed under ours."""
        key = Fernet.generate_key()
        return Parcel(self.seal(key), Fernet(key).encrypt(plain))

    def unpack(self, parcel: "Parcel") -> bytes:
        """What `pack` was given; raises `LedgerError` where our key, or that of the parcel, is another one."""
        key = self.unseal(parcel.key)
        try:
            return Fernet(key).decrypt(parcel.sealed)
        except InvalidToken:
            raise LedgerError("what was sealed cannot be opened: the key beside it is that of another one") from None

    def can_unseal(self, sealed: bytes) -> bool:
        """Whether `unseal` would open it."""
        try:
            self.unseal(sealed)
        except LedgerError:
            return False
        return True

    def _fernet(self) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(hmac.digest(self.key, b"seal", hashlib.sha256)))

    def _digest(self, purpose: bytes, text: str) -> str:
        return hmac.new(self.key, purpose + text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def comparable(text: str) -> str:
    """An e-mail address or a username as its digest is made: two that differ in case only are one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).strip()
