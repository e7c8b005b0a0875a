"""What is good once: names that were seen, remembered as long as they could be given again."""

from collections import OrderedDict
from collections.abc import Callable

#: Names at a time; the first makes room.
MOST_NAMES = 10_000


class Once:
    """Says of a name whether it is seen for the first time within `seconds`, by `clock`."""

    def __init__(self, seconds: float, clock: Callable[[], float], most: int = MOST_NAMES) -> None:
        self._seconds, self._clock, self._most = seconds, clock, most
        self._until: OrderedDict[str, float] = OrderedDict()

    def is_first(self, name: str) -> bool:
        """Whether it is; from now on it is not."""
        now = self._clock()
        # All are remembered equally long, so the oldest stand in front.
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        if name in self._until:
            return False
        if len(self._until) >= self._most:
            self._until.popitem(last=False)
        self._until[name] = now + self._seconds
        return True
