"""How many learners of a queue run are under way at the same time: a fixed number, or as many as services keep up with.

Learners who wait for their turn at a service are retired no sooner for being under way, and hold leases meanwhile. So
lanes are added while no request waits, and end while many do (`docs/decisions/0029`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

#: Lanes to begin with, where the number is found out.
FIRST = 4
#: Seconds between two looks at those who wait.
EVERY = 0.25
#: Looks without a pause at which so large a share of the lanes waited, before one of them ends.
LOOKS, MAY_WAIT = 16, 0.5


class Lanes:
    """Takes learners from one queue, each lane one after the other."""

    def __init__(self, first: int, most: int, waiting: Callable[[], int] = lambda: 0) -> None:
        """`waiting` tells how many requests wait for their turn now; it is not asked where `first` is `most`."""
        self.wanted = min(first, most)
        self._is_found_out = first < most
        self.most = most
        self.widest = 0  #: so many there have been
        self._waiting = waiting
        self._under_way = 0
        self._crowded = 0  #: looks at which many waited, since one at which few did

    async def take(self, learners: Iterable[int], work: Callable[[int], Awaitable[bool]]) -> None:
        """Does the work for each of the learners; False from it ends the lane, and those who are left are left."""
        queue = iter(learners)
        is_over = False

        async def lane() -> None:
            nonlocal is_over
            try:
                while self._under_way <= self.wanted:
                    user_id = next(queue, None)
                    if user_id is None or not await work(user_id):
                        is_over = True
                        return
            finally:
                self._under_way -= 1

        def widen() -> None:
            while self._under_way < self.wanted:
                self._under_way += 1
                self.widest = max(self.widest, self._under_way)
                group.create_task(lane())

        async with asyncio.TaskGroup() as group:
            widen()
            while self._is_found_out and not is_over:
                await asyncio.sleep(EVERY)
                self._judge()
                if not is_over:
                    widen()

    def _judge(self) -> None:
        """A quarter more lanes where no request waits; one fewer where many have waited for a while."""
        waiting = self._waiting()
        if not waiting:
            self.wanted = min(self.most, self.wanted + max(1, self.wanted // 4))
        self._crowded = self._crowded + 1 if waiting > self.wanted * MAY_WAIT else 0
        if self._crowded >= LOOKS:
            self.wanted, self._crowded = max(1, self.wanted - 1), 0
