"""What Prefect's server is told of steps: in order, in batches, and once more where the server was away."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    temporary_settings,
)

from retirement.flows.kit import outbox as kit
from retirement.flows.kit.outbox import Event, Outbox
from tests.in_thread import in_thread
from tests.patient import PATIENCE

#: An answer: it takes the batch, and may be another server than the one before.
ANOTHER = object()


class Server:
    """Notes each batch of events that it is sent."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.connections = 0
        #: To the next batches; None and no more: it takes them.
        self.answers: list[Exception | object | None] = []
        self.poison, self.largest = "", kit.LARGEST  #: it refuses a batch with the one, and one that is larger
        self.written: set[str] = set()
        self.forgotten: list[str] = []  #: what it has not written down when it is away, or another one

    @contextmanager
    def connected(self) -> Iterator["Server"]:
        self.connections += 1
        yield self

    def has(self, event: Event) -> bool:
        """Whether it was sent and not forgotten."""
        return event["id"] in self.written

    def take(self, events: Sequence[Event]) -> bool:
        """Notes a batch, and answers as it is to."""
        names = [each["id"] for each in events]
        self.batches.append(names)
        if self.poison in names or len(names) > self.largest:
            raise status(422)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            self.written = {name for name in self.written if name not in self.forgotten}
        if isinstance(answer, Exception):
            raise answer
        self.written.update(names)
        return answer is ANOTHER

    @property
    def taken(self) -> list[str]:
        return [each for batch in self.batches for each in batch]


def status(code: int) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "http://127.0.0.1/api/events")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(code, request=request))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def outbox(server: Server) -> Outbox:
    """One that sends when it is drained and not before, and does not wait for a server that is away."""
    return Outbox(server.connected, every=PATIENCE, pause=0.0)


def put(outbox: Outbox, *numbers: int) -> list[str]:
    names = [str(number) for number in numbers]
    for name in names:
        outbox.put({"id": name})
    return names


def test_events_are_sent_in_their_order_and_in_batches(server: Server, outbox: Outbox) -> None:
    """By one connection; `drain` sends the rest at once."""
    names = put(outbox, *range(2 * kit.LARGEST + 1))

    assert outbox.drain(PATIENCE)
    assert server.taken == names
    assert [len(each) for each in server.batches] == [kit.LARGEST, kit.LARGEST, 1]
    assert server.connections == 1


def test_after_it_was_drained_it_connects_anew(server: Server, outbox: Outbox) -> None:
    """A run of another server may follow in the same process; without events nothing is connected."""
    assert outbox.drain(PATIENCE)
    assert server.connections == 0
    first = put(outbox, 1)
    assert outbox.drain(PATIENCE)
    second = put(outbox, 2)
    assert outbox.drain(PATIENCE)

    assert server.batches == [first, second]
    assert server.connections == 2


@pytest.mark.parametrize(
    "away",
    [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), *map(status, (503, 500, 429, 408, 401, 403, 404, 302))],
    ids=str,
)
def test_a_server_that_was_away_hears_again_what_it_may_have_lost(
    server: Server, outbox: Outbox, away: Exception
) -> None:
    """What it had taken and not written down comes once more, in its order; what a gateway says loses nothing."""
    names = put(outbox, *range(kit.LARGEST + 2))
    sent, rest = names[: kit.LARGEST], names[kit.LARGEST :]
    server.answers, server.forgotten = [None, away], sent[50:]
    assert outbox.drain(PATIENCE)

    assert server.batches[:2] == [sent, rest]
    assert server.taken[len(names) :] == sent[50:] + rest


def test_a_server_that_was_away_and_has_all_hears_nothing_twice(server: Server, outbox: Outbox) -> None:
    """One with SQLite keeps no event of a flush in which it has them all."""
    names = put(outbox, *range(kit.LARGEST + 2))
    server.answers = [None, status(503), ANOTHER]
    assert outbox.drain(PATIENCE)

    assert server.taken == names + names[kit.LARGEST :]


def test_a_batch_whose_answer_is_lost_is_not_sent_again(server: Server, outbox: Outbox) -> None:
    """The server has it, and says so."""
    names = put(outbox, 1, 2)
    server.written, server.answers = set(names), [httpx.ReadError("reset")]
    assert outbox.drain(PATIENCE)

    assert server.batches == [names]


def test_another_server_that_answers_at_once_hears_again_what_the_one_before_may_have_lost(
    server: Server, outbox: Outbox
) -> None:
    """It was started anew between two batches, and no request has failed."""
    names = put(outbox, *range(kit.LARGEST + 2))
    server.answers, server.forgotten = [None, ANOTHER], names[3 : kit.LARGEST]
    assert outbox.drain(PATIENCE)

    assert server.batches == [names[: kit.LARGEST], names[kit.LARGEST :], names[3 : kit.LARGEST]]
    assert server.connections == 1


@pytest.mark.parametrize("answer", [ANOTHER, status(503)], ids=["another one each time", "each second request fails"])
def test_a_server_that_is_never_well_hears_of_all_and_of_nothing_for_ever(
    server: Server, outbox: Outbox, answer: object
) -> None:
    """What it has taken a few times is let go, so that the queue ends."""
    names = put(outbox, *range(3 * kit.LARGEST))
    server.answers, server.forgotten = [None, answer] * 40, names[: 2 * kit.LARGEST]
    assert outbox.drain(PATIENCE)

    assert set(server.taken) == set(names)
    assert max(server.taken.count(name) for name in names) <= 2 * kit.TIMES


def test_one_state_that_is_refused_takes_no_other_with_it(
    server: Server, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Smaller batches tell which one it is; the others are sent in their order, and a line says so."""
    names = put(outbox, *range(kit.LARGEST + 50))
    server.poison = "77"
    assert outbox.drain(PATIENCE)

    assert server.written == set(names) - {"77"}
    firsts = list(dict.fromkeys(each for batch in server.batches if server.poison not in batch for each in batch))
    assert firsts == [each for each in names if each != "77"]
    assert len(server.batches) < 30
    assert [record.getMessage() for record in caplog.records] == [
        "Prefect's server refused a state of a step: HTTPStatusError 422"
    ]


def test_a_gateway_that_takes_small_requests_only_gets_small_ones(server: Server, outbox: Outbox) -> None:
    """Nothing is lost by the size of a batch."""
    names = put(outbox, *range(kit.LARGEST + 50))
    server.largest = 30
    assert outbox.drain(PATIENCE)

    assert server.written == set(names)


def test_what_waits_for_a_server_has_an_end(server: Server, outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    """The oldest go first: the end of a step has all that its begin had. A line says how many."""
    small = Outbox(server.connected, every=PATIENCE, pause=0.0, most=10)
    names = put(small, *range(13))
    assert small.drain(PATIENCE)

    assert server.taken == names[3:]
    assert "3 states of steps were not sent" in caplog.text


def test_what_cannot_be_reached_at_first_is_tried_again(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """One line for all of the time that it is away, and nothing of what was to be sent."""
    failures: list[Exception] = [RuntimeError("zoe-canary-0001")] * 3

    @contextmanager
    def connected() -> Iterator[Server]:
        if failures:
            raise failures.pop()
        with server.connected() as send:
            yield send

    outbox = Outbox(connected, every=PATIENCE, pause=0.0)
    names = put(outbox, 1, 2)
    assert outbox.drain(PATIENCE)

    assert server.taken == names
    assert [record.getMessage() for record in caplog.records] == [
        "Prefect's server takes no states of steps, which are sent later: RuntimeError"
    ]


class Answers(BaseHTTPRequestHandler):
    """What a Prefect server answers to events, and how: each request is noted, and may end the connection."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str | None, list[str]]]
    codes: list[int]

    def do_POST(self) -> None:
        """Takes a batch."""
        events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, self.headers["Authorization"], [each["id"] for each in events]))
        self.send_response(self.codes.pop(0) if self.codes else 204)
        self.send_header("Content-Length", "0")
        self.send_header("Retry-After", "0")
        if len(self.seen) == 2:
            self.send_header("Connection", "close")
        self.end_headers()

    def do_GET(self) -> None:
        """Says whether it has a state."""
        self.send_response({"lost": 404, "unwell": 500}.get(self.path.rpartition("/task_run_states/")[2], 200))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def listening(*codes: int) -> Iterator[type[Answers]]:
    """A server that answers with these codes first; Prefect's client has its address and a password."""
    handler: type[Answers] = type("Handler", (Answers,), {"seen": [], "codes": list(codes)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    settings = {
        PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/gateway/api",
        PREFECT_API_AUTH_STRING: "admin:zoe",
        PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False,
        PREFECT_API_TLS_INSECURE_SKIP_VERIFY: True,
    }
    with in_thread(server), temporary_settings(settings):
        yield handler


def test_the_server_is_asked_once_at_its_address_with_its_password() -> None:
    """Each answer is ours to judge, and so is another connection: what answers there may have been started anew."""
    others: list[bool | int] = []
    with listening(204, 204, 204, 204, 503, 422) as seen, kit._to_the_server() as server:
        for name in "abcdef":
            try:
                others.append(server.take([{"id": name}]))
            except httpx.HTTPStatusError as error:
                others.append(error.response.status_code)
        has = [server.has({"id": name}) for name in ("a", "lost")]
        with pytest.raises(httpx.HTTPStatusError):
            server.has({"id": "unwell"})

    assert others == [False, False, True, False, 503, 422]
    assert has == [True, False]
    assert seen.seen == [("/gateway/api/events", "Basic YWRtaW46em9l", [name]) for name in "abcdef"]


def test_what_no_request_can_have_in_it_is_refused_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Half a character, as a connector may put it into its reason, is no text that can be sent."""
    with listening() as server:
        outbox = Outbox(kit._to_the_server, every=PATIENCE, pause=0.0)
        put(outbox, 1)
        outbox.put({"id": "2", "odd": "\ud800"})
        put(outbox, 3)
        assert outbox.drain(PATIENCE)

    assert [name for _, _, names in server.seen for name in names] == ["1", "3"]
    assert "refused a state of a step: UnicodeEncodeError" in caplog.text
