"""Codes that were given to browsers of people who have signed in (contract lms.md 3)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """What a code stands for; `challenge` is the client's (RFC 7636), None where it gave none."""

    username: str
    redirect_uri: str
    scope: str
    challenge: str | None
    ends_at: float
