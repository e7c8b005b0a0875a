"""Retired identifiers, and the identities of the sandbox' OAuth clients (contract lms.md 2.10)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

#: Look-ups try all salts, new names use the last one.
SALTS = ("abc", "123")
PREFIX = "retired__user_"
EMAIL_DOMAIN = "retired.invalid"
WORKER = "RETIREMENT_SERVICE_USER"


def _digest(salt: str, value: str) -> str:
    return hashlib.sha1((salt + value.lower()).encode(), usedforsecurity=False).hexdigest()


def retired_username(username: str) -> str:
    return PREFIX + _digest(SALTS[-1], username)


def retired_usernames(username: str) -> list[str]:
    """Every retired name that this name may have been given, one for each salt."""
    return [PREFIX + _digest(salt, username) for salt in SALTS]


def retired_email(email: str) -> str:
    return f"{PREFIX}{_digest(SALTS[-1], email)}@{EMAIL_DOMAIN}"


def retired_emails(email: str) -> list[str]:
    return [f"{PREFIX}{_digest(salt, email)}@{EMAIL_DOMAIN}" for salt in SALTS]


def anonymous_id(user_id: int) -> str:
    """The id under which the notes service knows a learner; never erased (contract lms.md 5.1)."""
    return hashlib.md5(f"anonymous-{user_id}".encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth application and the LMS account that owns it: a token acts as that account."""

    client_id: str
    client_secret: str
    user_id: int
    username: str
    is_superuser: bool = False


CLIENTS = {
    "worker": Client("sandbox-worker", "worker-secret-5b1f0c", 1, WORKER),
    "plain": Client("sandbox-plain", "plain-secret-9a77d2", 2, "sandbox_plain"),
    "support": Client("sandbox-support", "support-secret-c40e18", 3, "sandbox_support", is_superuser=True),
}
#: An application by which people sign in with a browser (`authorization-code`).
DOOR_CLIENT = Client("sandbox-door", "door-secret-4e82c1", 0, "")
#: The notes client signs tokens for the notes service only; it gets none from the LMS.
NOTES_CLIENT = Client("sandbox-notes", "notes-secret-1d93ab-of-32-bytes-or-more", 0, "sandbox_notes")
