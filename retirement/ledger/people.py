"""Two different people for one act: the first yes is an entry of its own, and the second one from another person acts.

Only what was observed tells people apart, never a name that was typed: two who signed in with one provider by their
subjects, all others by the accounts of the operating system. A form in Prefect was observed by the process that
reads it, so two forms count as one person. An account and a person who signed in may be one and the same, so a yes of
each does not count as two.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retirement.errors import SamePerson
from retirement.ledger import chain
from retirement.ledger.events import event_of
from retirement.ledger.transaction import Transaction

#: The fact of what was observed that names a person who signed in: the provider's address, a space, the subject.
_PERSON = "person"
#: Those that name an account. sudo's is a variable, so it never makes two people of one, but may make one of two.
_ACCOUNTS = ("account", "sudo")


@dataclass(frozen=True, slots=True)
class Yes:
    """A yes that waits for another person's: the number of its entry, what was typed, and what was observed."""

    seq: int
    at: datetime
    by: str
    facts: Mapping[str, Any]

    @property
    def observed(self) -> Mapping[str, str]:
        """As the entry has it."""
        seen: Mapping[str, str] = self.facts.get(chain.OBSERVED, {})
        return seen

    def repeats(self, facts: Mapping[str, Any]) -> bool:
        """Whether the same was typed."""
        return all(self.facts.get(name) == value for name, value in facts.items())


@dataclass(frozen=True, slots=True)
class Subject:
    """What a yes is about: the kind of its entry, the fact that holds the number, and the number.

    An entry of the kind `no` takes every yes before it back.
    """

    kind: str
    fact: str
    number: int
    no: str | None = None

    def yeses(self, tx: Transaction, *, since: datetime | None = None) -> list[Yes]:
        """What was said about it so far, oldest first; `since` leaves out what was said before that time."""
        kinds = [each for each in (self.kind, self.no) if each]
        found: list[Yes] = []
        for event in map(event_of, tx.entries(kinds, after=self.number)):
            if event.facts.get(self.fact) != self.number:
                continue
            if event.kind == self.no:
                found.clear()
            elif since is None or event.at >= since:
                found.append(Yes(event.seq, event.at, str(event.facts["by"]), event.facts))
        return found


def of_another(given: Iterable[Yes], now: Mapping[str, str]) -> Yes | None:
    """The first yes that is of another person than the one who acts now, None where none certainly is."""
    return next((each for each in given if _are_two(each.observed, now)), None)


def same_person(given: Iterable[Yes], now: Mapping[str, str], what: str) -> SamePerson | None:
    """The error of a person who has said yes already, None for another one."""
    if any(_are_one(each.observed, now) for each in given):
        return SamePerson(f"{what} has the yes of this person already, 1 of 2: it needs that of another person")
    return None


def _are_two(first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    if _is_signed_in(first) != _is_signed_in(second):
        return False
    if _is_signed_in(first):
        (issuer, _, mine), (other_issuer, _, theirs) = (each[_PERSON].rpartition(" ") for each in (first, second))
        return issuer == other_issuer and mine != theirs
    ours, others = _accounts(first), _accounts(second)
    return bool(ours and others) and ours.isdisjoint(others)


def _are_one(first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    """Whether they are of the same sort and not two."""
    return _is_signed_in(first) == _is_signed_in(second) and not _are_two(first, second)


def _is_signed_in(seen: Mapping[str, str]) -> bool:
    return _PERSON in seen


def _accounts(seen: Mapping[str, str]) -> frozenset[str]:
    return frozenset(seen[name] for name in _ACCOUNTS if name in seen)
