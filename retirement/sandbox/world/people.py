"""The learners of a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from retirement.sandbox.world.identity import anonymous_id, retired_email, retired_username


@dataclass(frozen=True)
class Person:
    """A learner as seeded: the identity that residue is looked for by, and the ids the server gave."""

    username: str
    email: str
    name: str
    user_id: int
    retirement_id: int | None
    seed: dict[str, Any] = field(repr=False)

    @property
    def requested(self) -> bool:
        return self.retirement_id is not None

    @property
    def account_retired(self) -> bool:
        return bool(self.seed.get("account_retired", "residue" in self.seed))

    @property
    def has_profile(self) -> bool:
        return bool(self.seed.get("profile", True))

    @property
    def retired_username(self) -> str:
        return retired_username(self.username)

    @property
    def retired_email(self) -> str:
        return retired_email(self.email)

    @property
    def current_username(self) -> str:
        return self.retired_username if self.account_retired else self.username

    @property
    def current_email(self) -> str:
        return self.retired_email if self.requested or self.account_retired else self.email

    @property
    def anonymous_id(self) -> str:
        return anonymous_id(self.user_id)


People = dict[str, Person]
