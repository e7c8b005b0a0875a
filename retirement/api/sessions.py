"""Sessions of people who have signed in: kept here and not in the browser, which has a signed number only.

They live in memory: a restart of `serve` signs all people out, and no file or database has to be protected for them.
"""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from retirement.api.people import Person

#: Sessions at a time. The one that was opened first makes room, of those first whose person may do nothing here: any
#: learner can sign in where the LMS signs people in, and no number of them is to sign an operator out.
MOST_SESSIONS = 2_000
#: Sessions of one person, on as many browsers; the first of theirs makes room, and no other person's.
MOST_OF_ONE = 10


@dataclass(frozen=True, slots=True)
class Session:
    """A person who has signed in. `provider_session` is `sid` of the provider, by which it ends the session.

    `is_permitted`: something was granted to the person when they signed in.
    """

    person: Person
    ends_at: float
    provider_session: str | None
    is_permitted: bool


class Sessions:
    """Opens sessions, finds them by the cookie, and ends them. `seconds` is how long one lasts."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._key = secrets.token_bytes(32)
        self._open: OrderedDict[str, Session] = OrderedDict()

    def open(self, person: Person, provider_session: str | None, *, is_permitted: bool = False) -> str:
        """A new session; returns what the cookie holds."""
        self._forget_ended()
        theirs = [number for number, each in self._open.items() if each.person.holder == person.holder]
        for number in theirs[: max(0, len(theirs) + 1 - MOST_OF_ONE)]:
            del self._open[number]
        number = secrets.token_urlsafe(32)
        self._open[number] = Session(person, self._clock() + self._seconds, provider_session, is_permitted)
        if len(self._open) > MOST_SESSIONS:
            del self._open[self._first()]
        return f"{number}.{self._signature(number)}"

    def _forget_ended(self) -> None:
        """All last equally long, so those that have ended stand in front."""
        while self._open and next(iter(self._open.values())).ends_at <= self._clock():
            self._open.popitem(last=False)

    def _first(self) -> str:
        """The session that makes room."""
        others = (number for number, each in self._open.items() if not each.is_permitted)
        return next(others, next(iter(self._open)))

    def found(self, cookie: str) -> Session | None:
        """The session of a cookie; None where there is none, or it has ended."""
        number = self._number(cookie)
        session = self._open.get(number) if number else None
        if session is None or number is None:
            return None
        if session.ends_at <= self._clock():
            del self._open[number]
            return None
        return session

    def end(self, cookie: str) -> None:
        """Ends the session of a cookie; copies of it are good for nothing then."""
        if number := self._number(cookie):
            self._open.pop(number, None)

    def end_of_provider(self, issuer: str, subject: str | None, provider_session: str | None) -> int:
        """Ends what the provider says has ended: one session of its own, else all of a person. Returns how many."""
        ended = [
            number
            for number, each in self._open.items()
            if each.person.issuer == issuer
            and (subject is None or each.person.subject == subject)
            and (provider_session is None or each.provider_session == provider_session)
        ]
        for number in ended:
            del self._open[number]
        return len(ended)

    def _number(self, cookie: str) -> str | None:
        number, _, signature = cookie.partition(".")
        return number if hmac.compare_digest(signature.encode(), self._signature(number).encode()) else None

    def _signature(self, number: str) -> str:
        return hmac.new(self._key, number.encode(), hashlib.sha256).hexdigest()
