"""What Prefect's server is told of steps: events, sent in batches by one thread until the server has taken them.

Prefect's own worker sends each event by itself and asks two other threads for it (docs/decisions/0034).
"""

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from typing import Any

from prefect.client.orchestration import get_client

from retirement.flows.kit.health import is_failure
from retirement.process import left_alone

log = logging.getLogger(__name__)

Event = Mapping[str, Any]
Send = Callable[[Sequence[Event]], None]

#: Seconds between two batches.
EVERY = 0.5
#: Events of one batch at most.
LARGEST = 200
#: Events that are sent once more where the server was away: what it has taken it writes down a second later.
KEPT = 1000
#: Seconds of a request after which the server may have been away: Prefect's client waits as long before it tries again.
SLOW = 1.5
#: Seconds until a server that is away is asked again.
PAUSE = 2.0
#: Seconds that the end of the process waits for the last events.
PATIENCE_SECONDS = 20.0


class Outbox:
    """Events on their way to the server, in their order. Any thread may add some."""

    def __init__(
        self, connected: Callable[[], AbstractContextManager[Send]], every: float = EVERY, pause: float = PAUSE
    ) -> None:
        """`connected` gives what sends one batch, for as long as there is something to send; the rest are seconds."""
        self._connected, self._every, self._pause = connected, every, pause
        self._waiting: deque[Event] = deque()
        self._sent: deque[Event] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self._hurry, self._empty = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, event: Event) -> None:
        """Adds an event; it is sent with others, about half a second later."""
        with self._lock:
            self._empty.clear()
            self._waiting.append(event)
            if self._thread is None:
                # In this context, from which Prefect takes the address of the server.
                here = copy_context()
                self._thread = threading.Thread(target=here.run, args=(self._work,), name="outbox", daemon=True)
                self._thread.start()

    def drain(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Sends what is left at once, and lets go of the server; whether all was sent in that time."""
        with self._lock:
            if self._thread is None:
                return True
        self._hurry.set()
        return self._empty.wait(seconds)

    def _work(self) -> None:
        with self._connected() as send:
            while self._goes_on():
                self._hurry.wait(self._every)
                while batch := self._next():
                    self._deliver(send, batch)

    def _goes_on(self) -> bool:
        """False once all is sent and nothing is to follow soon; the next event has a thread of its own."""
        with self._lock:
            if self._waiting or not self._hurry.is_set():
                return True
            self._thread = None
            self._sent.clear()
            self._hurry.clear()
            self._empty.set()
            return False

    def _next(self) -> list[Event]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(LARGEST, len(self._waiting)))]

    def _deliver(self, send: Send, batch: list[Event]) -> None:
        began = time.monotonic()
        try:
            send(batch)
        except Exception as error:  # noqa: BLE001 - whatever Prefect's client raises; no learner waits for this
            if not is_failure(error):
                log.warning("Prefect's server refused %d states of steps: %s", len(batch), type(error).__name__)
                return
            self._again(batch)
            time.sleep(self._pause)  # in a thread of its own: no event loop waits
            return
        if time.monotonic() - began > SLOW:
            # Another server than the one before may have answered, and what that one had not written down is lost.
            self._again([])
        self._sent.extend(batch)

    def _again(self, batch: list[Event]) -> None:
        """Puts a batch back, behind what was sent shortly before; the server takes no event twice."""
        with self._lock:
            self._waiting.extendleft(reversed([*self._sent, *batch]))
            self._sent.clear()


@contextmanager
def _to_the_server() -> Iterator[Send]:
    with get_client(sync_client=True) as client:

        def send(events: Sequence[Event]) -> None:
            client.request("POST", "/events", json=list(events)).raise_for_status()

        yield send


#: Of this process.
outbox = Outbox(_to_the_server)


@atexit.register
def _send_the_last() -> None:
    if not left_alone.is_set():
        outbox.drain()
