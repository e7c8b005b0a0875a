"""What Prefect's server is told of steps: events, sent in batches by one thread until the server has taken them.

Prefect's own worker sends each event by itself and asks two other threads for it (docs/decisions/0034).
"""

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from retirement.flows.kit.health import in_short, is_of_the_request
from retirement.process import left_alone

log = logging.getLogger(__name__)

Event = Mapping[str, Any]
#: Sends one batch, once; whether another server may have taken it than the batch before.
Send = Callable[[Sequence[Event]], bool]

#: Seconds between two batches.
EVERY = 0.5
#: Events of one batch at most.
LARGEST = 200
#: Events that are sent once more where the server was away: what it has taken it writes down a second later.
KEPT = 1000
#: Seconds after which a server that is still the same has written down what it has taken, also one with much to do.
WRITTEN = 30.0
#: How often the server may take one event: then it is let go, however often the server seems to be another one.
TIMES = 3
#: Events that wait for a server at most, some 100 MB; the oldest go first, for each newer one has more of its step.
MOST = 20_000
#: Seconds until a server that is away is asked again.
PAUSE = 2.0
#: Seconds that the end of the process waits for the last events.
PATIENCE_SECONDS = 20.0


@dataclass(slots=True, eq=False)
class _Letter:
    event: Event
    times: int = 0  #: the server has taken it
    taken: float = 0.0  #: when it did so last, by `time.monotonic`


class Outbox:
    """Events on their way to the server, in their order. Any thread may add some."""

    def __init__(
        self,
        connected: Callable[[], AbstractContextManager[Send]],
        every: float = EVERY,
        pause: float = PAUSE,
        most: int = MOST,
    ) -> None:
        """`connected` gives what sends one batch, for as long as there is something to send.

        `every` and `pause` are seconds; `most` are the events that may wait.
        """
        self._connected, self._every, self._pause, self._most = connected, every, pause, most
        self._waiting: deque[_Letter] = deque()
        self._sent: deque[_Letter] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self._hurry, self._empty = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._largest = LARGEST
        self._is_away = False
        self._lost = 0

    def put(self, event: Event) -> None:
        """Adds an event; it is sent with others, about half a second later."""
        with self._lock:
            self._empty.clear()
            self._waiting.append(_Letter(event))
            if len(self._waiting) > self._most:
                self._waiting.popleft()
                self._lost += 1
            if self._thread is None:
                # In this context, from which Prefect takes the address of the server.
                here = copy_context()
                thread = threading.Thread(target=here.run, args=(self._work,), name="outbox", daemon=True)
                thread.start()
                self._thread = thread

    def drain(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Sends what is left at once, and lets go of the server; whether all was sent in that time."""
        with self._lock:
            if self._thread is None:
                return True
        self._hurry.set()
        return self._empty.wait(seconds)

    def _work(self) -> None:
        while True:
            try:
                with self._connected() as send:
                    while self._goes_on():
                        self._hurry.wait(self._every)
                        while batch := self._next():
                            self._deliver(send, batch)
                    return
            except Exception as error:  # noqa: BLE001 - a thread that has ended sends nothing; it connects anew
                self._wait_for_it(error)

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

    def _next(self) -> list[_Letter]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]

    def _deliver(self, send: Send, batch: list[_Letter]) -> None:
        try:
            is_another = send([each.event for each in batch])
        except Exception as error:  # noqa: BLE001 - whatever Prefect's client raises; no learner waits for this
            if not is_of_the_request(error):
                self._again([*self._sent, *batch])
                self._wait_for_it(error)
            elif len(batch) > 1:
                # One of them is refused, or they are too many: smaller batches tell.
                self._largest = len(batch) // 2
                self._back(batch)
            else:
                log.warning("Prefect's server refused a state of a step: %s", in_short(error))
            return
        if is_another:
            # What the one before had taken and not written down is lost.
            self._again(self._sent)
        self._note(batch)

    def _note(self, taken: list[_Letter]) -> None:
        """Keeps what the server has taken until it has surely written it down."""
        now = time.monotonic()
        for each in taken:
            each.times, each.taken = each.times + 1, now
        self._sent.extend(each for each in taken if each.times < TIMES)
        while self._sent and now - self._sent[0].taken > WRITTEN:
            self._sent.popleft()
        self._largest = min(LARGEST, 2 * self._largest)
        self._is_away = False
        with self._lock:
            lost, self._lost = self._lost, 0
        if lost:
            log.warning("Prefect's server was away too long: %d states of steps were not sent", lost)

    def _again(self, letters: Iterable[_Letter]) -> None:
        """Puts these before all that wait, and keeps none of them; the server writes no event down twice."""
        self._back(list(letters))
        self._sent.clear()

    def _back(self, letters: list[_Letter]) -> None:
        with self._lock:
            self._waiting.extendleft(reversed(letters))

    def _wait_for_it(self, error: Exception) -> None:
        """Waits a while, and says so where the server was there before."""
        if not self._is_away:
            log.warning("Prefect's server takes no states of steps, which are sent later: %s", in_short(error))
        self._is_away = True
        time.sleep(self._pause)  # in a thread of its own: no event loop waits


@contextmanager
def _to_the_server() -> Iterator[Send]:
    connections: deque[object] = deque(maxlen=2)

    def note(answer: Any) -> None:
        if answer.request.method == "POST":  # and no question of the client's own
            connections.append(answer.extensions.get("network_stream"))

    settings = {"event_hooks": {"response": [note]}}
    # Prefect's client would try again by itself, for a minute and unseen: a server that died meanwhile has lost what it
    # had taken shortly before.
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(httpx_settings=settings, sync_client=True) as client,
    ):

        def send(events: Sequence[Event]) -> bool:
            client.request("POST", "/events", json=list(events)).raise_for_status()
            # A server that was started anew between two batches shows in this alone.
            return connections[0] is not connections[-1]

        yield send


#: Of this process.
outbox = Outbox(_to_the_server)
_process = os.getpid()


@atexit.register
def _send_the_last() -> None:
    # A process that was forked has its own memory and no thread of this one's.
    if not left_alone.is_set() and os.getpid() == _process and not outbox.drain():
        log.warning("Prefect's server did not take the last states of steps")
