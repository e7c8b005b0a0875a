"""A job on many learners that a person asks for: shown first, bounded, and entered in the ledger with who and why."""

from collections.abc import AsyncGenerator, Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from retirement.errors import ConfigError, GuardStopped
from retirement.followup.move_back import Finding, Verdict
from retirement.privacy import REFUSAL, contains_name, keepable

#: What a preview says where the job would do something for a learner.
PLANNED = frozenset({Verdict.WOULD_MOVE, Verdict.WOULD_REQUEST, Verdict.WOULD_RENAME, Verdict.WOULD_ERASE})


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a job, and why; both are kept in the ledger."""

    by: str
    reason: str

    @classmethod
    def of(cls, by: str | None, reason: str | None) -> "Asked":
        """From what was typed as options. Raises `ConfigError` where one is missing or may not be kept."""
        for option, text in (("by", by), ("reason", reason)):
            if text is not None and not keepable(text):
                raise ConfigError(f"--{option}: {REFUSAL}")
        if not (by and by.strip() and reason and reason.strip()):
            raise ConfigError("--by, --reason: say who asks for it, and why; both are kept in the ledger")
        return cls(by.strip(), reason.strip())

    def require_none_of(self, names: Iterable[str]) -> None:
        """Raises `ConfigError` for a reason that has one of these names in it; it does not repeat it."""
        if contains_name(self.reason, [name for name in names if len(name) > 2]):
            raise ConfigError(f"reason: {REFUSAL}")


class Job(Protocol):
    """What is done for each learner of a choice. A second run goes on where the first one ended."""

    @property
    def sentence(self) -> str:
        """What is done, to stand after the number of learners."""

    def preview(self) -> AsyncGenerator[Finding, None]:
        """Says of each learner what would be done, or why nothing. Changes nothing."""

    def do(self, found: Collection[Finding], asked: Asked) -> AsyncGenerator[Finding, None]:
        """Does what a preview has planned; what fails at one learner stops no other."""


def planned(found: Iterable[Finding]) -> frozenset[int]:
    """User ids of the learners that a preview has something planned for."""
    return frozenset(each.user_id for each in found if each.verdict in PLANNED and each.user_id)


def require_few(found: Iterable[Finding], at_most: int, name: str = "at_most") -> None:
    """Raises `GuardStopped` where a preview has more learners than a person has agreed to; `name` is the option's."""
    if (count := len(planned(found))) > at_most:
        raise GuardStopped(f"{name}: {count} learners are meant, and {at_most} is the most: nothing was done")
