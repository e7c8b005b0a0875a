"""How many requests a person may send, and how often people may come back from the provider.

A program that runs in a circle is not to keep the flows beside it busy, nor to use up what the provider answers to this
machine: the LMS counts codes that it refuses, too, and together with the tokens of the runs (contract, section 1).
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from ipaddress import ip_address, ip_network

from retirement.api.refusals import TooMany
from retirement.ledger import Holder
from retirement.wire.limits import Allowance, Rate

#: People, or addresses, whose requests are counted at a time; those who have not asked for the longest time make room.
MOST_PEOPLE = 10_000
#: Codes a minute that the provider is asked about, from one address and from all: a third of what an LMS takes.
SIGN_INS_OF_ONE, SIGN_INS_OF_ALL = 20, 40
#: Requests a minute of one learner about themself, and of all: each asks the LMS, whose answers the runs need.
OF_ONE_LEARNER, OF_ALL_LEARNERS = 30, 600
_A_MINUTE = 60.0
#: Addresses of the newer kind are given out by networks of this size.
_OF_ONE_LINE = 64


class _Counted:
    """Counts by a key; `clock` counts seconds."""

    def __init__(self, each_minute: int, clock: Callable[[], float]) -> None:
        self._rate, self._clock = Rate(each_minute, _A_MINUTE), clock
        self._left: OrderedDict[Hashable, Allowance] = OrderedDict()

    def count(self, key: Hashable, refusal: str) -> None:
        """Raises `TooMany`, and does not count it then."""
        now = self._clock()
        left = self._left.setdefault(key, Allowance(self._rate))
        self._left.move_to_end(key)
        if len(self._left) > MOST_PEOPLE:
            self._left.popitem(last=False)
        if (wait := left.wait(now)) > 0:
            raise TooMany(refusal, wait)
        left.take(now)


class People:
    """Counts the requests of each person who is known, however they have signed in. `clock` counts seconds."""

    def __init__(self, each_minute: int, clock: Callable[[], float]) -> None:
        self._counted = _Counted(each_minute, clock)
        self._own, self._of_learners = _Counted(OF_ONE_LEARNER, clock), _Counted(OF_ALL_LEARNERS, clock)

    def count(self, holder: Holder) -> None:
        """Counts a request. Raises `TooMany`, and does not count it then."""
        self._counted.count(holder, "too many requests of this person")

    def count_own(self, holder: Holder) -> None:
        """Counts one of a learner about themself, whom no operator has let in. Raises as `count`."""
        self._own.count(holder, "too many requests of this learner")
        self._of_learners.count("", "too many requests of learners at this time")


class SignIns:
    """Counts the codes that the provider is asked about: whose they are is not known before. `clock` as above."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._of_one, self._of_all = _Counted(SIGN_INS_OF_ONE, clock), _Counted(SIGN_INS_OF_ALL, clock)

    def count(self, address: str) -> None:
        """Counts one from an address, "" where it is not known. Raises `TooMany`."""
        self._of_one.count(_line(address), "too many sign-ins from this address")
        self._of_all.count("", "too many sign-ins at this time")


def _line(address: str) -> str:
    """What one subscriber has: an address of the older kind, a network of the newer."""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    return address if found.version == 4 else str(ip_network((found, _OF_ONE_LINE), strict=False))
