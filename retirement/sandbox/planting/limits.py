"""What the database of a site refuses to hold (contract lms.md 1.6, 2.1, 2.4, 2.10).

A seed that breaks one of these rules describes no platform, so what a rehearsal with it showed would be no truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from retirement.sandbox.world.database import folded
from retirement.sandbox.world.identity import CLIENTS
from retirement.sandbox.world.people import Person

#: The longest text of each column.
LENGTHS = {"username": 150, "email": 254, "name": 255}
STATE_LENGTH = 30


def check_accounts(people: Sequence[Person]) -> None:
    """Raises `ValueError` for the first learner that the account tables would not take."""
    for person in people:
        for column, longest in LENGTHS.items():
            _check_text(f"{column} of a learner", getattr(person, column), longest)
    own = "an account of the platform"
    # What the columns hold now: a retired account has given its name and its address free.
    usernames = [(client.username, own) for client in CLIENTS.values()]
    emails = [(f"{client.username}@example.org", own) for client in CLIENTS.values()]
    for person in people:
        usernames.append((person.current_username, f"learner {person.username!r}"))
        emails.append((person.current_email, f"learner {person.username!r}"))
    _check_unique("username", usernames)
    _check_unique("e-mail", emails)
    if len({person.username for person in people}) < len(people):
        raise ValueError("two learners have one username: answers and reports of the sandbox go by it")


def check_states(names: Sequence[str]) -> None:
    """Raises `ValueError` for a list of states that the state table would not take."""
    for name in names:
        _check_text("name of a state", name, STATE_LENGTH)
    _check_unique("state", ((name, f"step {number}") for number, name in enumerate(names, 1)))


def _check_text(what: str, text: object, longest: int) -> None:
    if not isinstance(text, str):
        raise ValueError(f"the {what} must be a text: {text!r}")
    if len(text) > longest:
        raise ValueError(f"the {what} is longer than the {longest} characters of its column: {text!r}")


def _check_unique(what: str, values: Iterable[tuple[str, str]]) -> None:
    """Unique as the database compares, without regard to case; each value comes with its owner."""
    seen: dict[str | None, tuple[str, str]] = {}
    for value, owner in values:
        key = folded(value)
        if key in seen:
            other, holder = seen[key]
            relation = "is the same as" if other == value else "differs in case only from"
            raise ValueError(
                f"the {what} {value!r} of {owner} {relation} {other!r} of {holder}, which the database refuses"
            )
        seen[key] = value, owner
