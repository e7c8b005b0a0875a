"""Who stands at the door, as far as a provider has said so."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from retirement.ledger import Holder
from retirement.process import acting

#: A subject that is a number, a UUID or the like; a provider that takes an address for it has another one.
_OPAQUE = re.compile(r"[A-Za-z0-9_.:|~-]{1,255}")

#: What stands before a subject that is stored as its hash.
_HASHED = "sha256:"
_DIGEST = re.compile(rf"{_HASHED}[0-9a-f]{{64}}")


@dataclass(frozen=True, slots=True)
class Person:
    """A person or a program with a token of a provider. `groups` are those of the provider.

    `subject` is what the ledger may have of them, see `opaque`; `channel` is `bearer` or `session`. `lms_user_id` is
    there for a learner with a token of the LMS.
    """

    subject: str
    issuer: str
    groups: frozenset[str]
    channel: str
    lms_user_id: int | None = None

    @property
    def named(self) -> str:
        """What the ledger has as observed."""
        return f"{self.issuer} {self.subject}"

    @property
    def holder(self) -> Holder:
        """Under which permissions are granted."""
        return Holder(self.issuer, self.subject)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """What is entered in the block was done by this person, at the door."""
        with acting("door", person=self.named):
            yield


def opaque(subject: str) -> str:
    """A subject of a token as it may be stored: itself, or the SHA-256 of one that could be a name or an address.

    One that looks like such a hash is hashed as well, or it would be the person whose hash it is.
    """
    if _OPAQUE.fullmatch(subject) and not subject.startswith(_HASHED):
        return subject
    return f"{_HASHED}{hashlib.sha256(subject.encode('utf-8', 'surrogatepass')).hexdigest()}"


def as_shown(subject: str) -> str:
    """A subject that a person gives for another one: as the provider has it, or as the door has shown it."""
    return subject if _DIGEST.fullmatch(subject) else opaque(subject)
