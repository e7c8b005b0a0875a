"""How many requests a person may send: a program that runs in a circle is not to keep the flows beside it busy."""

from collections import OrderedDict
from collections.abc import Callable

from retirement.api.refusals import TooMany
from retirement.ledger import Holder
from retirement.wire.limits import Allowance, Rate

#: People whose requests are counted at a time; those who have not asked for the longest time make room.
MOST_PEOPLE = 10_000
_A_MINUTE = 60.0


class People:
    """Counts the requests of each person who is known, however they have signed in. `clock` counts seconds."""

    def __init__(self, each_minute: int, clock: Callable[[], float]) -> None:
        self._rate, self._clock = Rate(each_minute, _A_MINUTE), clock
        self._left: OrderedDict[Holder, Allowance] = OrderedDict()

    def count(self, holder: Holder) -> None:
        """Counts a request. Raises `TooMany`, and does not count it then."""
        now = self._clock()
        left = self._left.setdefault(holder, Allowance(self._rate))
        self._left.move_to_end(holder)
        if len(self._left) > MOST_PEOPLE:
            self._left.popitem(last=False)
        if (wait := left.wait(now)) > 0:
            raise TooMany("too many requests of this person", wait)
        left.take(now)
