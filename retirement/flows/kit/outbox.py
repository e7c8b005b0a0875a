"""What Prefect's server is told of steps: events, sent in batches by one thread until the server has taken them.

Prefect's own worker sends each event by itself and asks two other threads for it (docs/decisions/0034).
"""

import atexit
import logging
import os
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Protocol

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from retirement.flows.kit.health import in_short, is_failure, is_of_the_request
from retirement.process import left_alone

log = logging.getLogger(__name__)

Event = Mapping[str, Any]


class Server(Protocol):
    """Where events go, as long as it is connected. Either may raise what its client raises."""

    def take(self, events: Sequence[Event]) -> bool:
        """Sends one batch, once; whether another server may have taken it than the batch before."""
        ...

    def has(self, event: Event) -> bool:
        """Whether the state that an event tells of is written down."""
        ...


#: Seconds between two batches.
EVERY = 0.5
#: Events of one batch at most.
LARGEST = 200
#: Events that are sent once more where the server was away: what it has taken it writes down a second later.
KEPT = 1000
#: Seconds after which a server that is still the same has written down what it has taken, also one with much to do.
#: Until then it is asked what it has, where it may be another one.
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
        connected: Callable[[], AbstractContextManager[Server]],
        every: float = EVERY,
        pause: float = PAUSE,
        most: int = MOST,
    ) -> None:
        """`connected` gives the server, for as long as there is something to send.

        `every` and `pause` are seconds; `most` are the events that may wait.
        """
        self._connected, self._every, self._pause, self._most = connected, every, pause, most
        self._waiting: deque[_Letter] = deque()
        self._sent: deque[_Letter] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self._hurry, self._empty = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._largest = LARGEST
        self._doubtful: list[_Letter] = []
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
                with self._connected() as server:
                    while self._goes_on():
                        self._hurry.wait(self._every)
                        self._send(server)
                    return
            except Exception as error:  # noqa: BLE001 - whatever Prefect's client raises; no learner waits for this
                self._doubt()
                self._wait_for_it(error)

    def _send(self, server: Server) -> None:
        """Sends what waits. Raises what another try may mend."""
        self._settle(server)
        while batch := self._next():
            self._deliver(server, batch)
            self._settle(server)

    def _goes_on(self) -> bool:
        """False once all is sent and nothing is to follow soon; the next event has a thread of its own."""
        with self._lock:
            if self._waiting or self._doubtful or not self._hurry.is_set():
                return True
            self._thread = None
            self._sent.clear()
            self._hurry.clear()
            self._empty.set()
            return False

    def _next(self) -> list[_Letter]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]

    def _deliver(self, server: Server, batch: list[_Letter]) -> None:
        try:
            is_another = server.take([each.event for each in batch])
        except Exception as error:  # raised again unless it is about what is in the batch
            if is_of_the_request(error) and len(batch) == 1:
                log.warning("Prefect's server refused a state of a step: %s", in_short(error))
                return
            if not is_of_the_request(error):
                # The answer may be all that is lost.
                self._sent.extend(batch)
                raise
            self._back(batch)
            # One of them is refused, or they are too many: smaller batches tell.
            self._largest = len(batch) // 2
            return
        if is_another:
            self._doubt()
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

    def _doubt(self) -> None:
        """What was sent may be lost: the server that had taken it may be gone."""
        self._doubtful += self._sent
        self._sent.clear()

    def _settle(self, server: Server) -> None:
        """Puts back what is lost, and nothing else: a server with SQLite stumbles over events that it has.

        The server writes in the order in which it takes, so the first that is missing is soon found.
        """
        found = self._doubtful
        if found and not server.has(found[-1].event):
            self._back(found[bisect_left(found, True, key=lambda each: not server.has(each.event)) :])
        self._doubtful = []

    def _back(self, letters: list[_Letter]) -> None:
        with self._lock:
            self._waiting.extendleft(reversed(letters))

    def _wait_for_it(self, error: Exception) -> None:
        """Waits a while, and says so where the server was there before."""
        if not self._is_away:
            log.warning("Prefect's server takes no states of steps, which are sent later: %s", in_short(error))
        self._is_away = True
        time.sleep(self._pause)  # in a thread of its own: no event loop waits


@dataclass(frozen=True, slots=True)
class _Connected:
    client: SyncPrefectClient
    connections: deque[object]  #: of the last two batches

    def take(self, events: Sequence[Event]) -> bool:
        self.client.request("POST", "/events", json=list(events))
        # A server that was started anew between two batches shows in this alone.
        return self.connections[0] is not self.connections[-1]

    def has(self, event: Event) -> bool:
        try:
            # Its recorder gives the state the id of the event.
            self.client.request("GET", "/task_run_states/{id}", path_params={"id": event["id"]})
        except Exception as error:  # raised again unless the server has answered: it has no such state
            if is_failure(error):
                raise
            return False
        return True


@contextmanager
def _to_the_server() -> Iterator[Server]:
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
        yield _Connected(client, connections)


#: Of this process.
outbox = Outbox(_to_the_server)
_process = os.getpid()


@atexit.register
def _send_the_last() -> None:
    # A process that was forked has its own memory and no thread of this one's.
    if not left_alone.is_set() and os.getpid() == _process and not outbox.drain():
        log.warning("Prefect's server did not take the last states of steps")
