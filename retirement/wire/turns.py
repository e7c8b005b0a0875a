"""Connections to one service in several small pools, whose turn it is one after the other.

The HTTP library looks at each connection of a pool whenever a request begins and whenever one ends, and asks the
system about those that are idle. With as many connections as learners at once that was a quarter of what a request
costs.
"""

from collections.abc import Callable, Sequence
from itertools import cycle

import httpx

#: Idle connections that one pool keeps.
FEW = 4
#: Seconds after which an idle connection is ours to close. Servers close it after 2 (gunicorn) or 5 (uvicorn, Node);
#: a request that meets that moment gets no answer, and where it may not be repeated the learner waits for a read-back.
IDLE_SECONDS = 1.5


class Turns(httpx.AsyncBaseTransport):
    """Gives each request to the next of its pools."""

    def __init__(self, pools: Sequence[httpx.AsyncBaseTransport]) -> None:
        self._pools = pools
        self._next = cycle(pools)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends the request by the pool whose turn it is, and raises what that raises."""
        return await next(self._next).handle_async_request(request)

    async def aclose(self) -> None:
        """Closes the connections of every pool."""
        for pool in self._pools:
            await pool.aclose()


def in_turns(most: int, pool: Callable[[httpx.Limits], httpx.AsyncBaseTransport]) -> httpx.AsyncBaseTransport:
    """As many pools as keep `most` connections between them; `pool` makes one of them."""
    few = min(most, FEW)
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=few, keepalive_expiry=IDLE_SECONDS)
    pools = [pool(limits) for _ in range(-(-most // FEW))]
    return Turns(pools) if len(pools) > 1 else pools[0]
