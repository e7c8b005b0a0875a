"""What Prefect's server is told of steps: in order, in batches, and once more where the server was away."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest

from retirement.flows.kit import outbox as kit
from retirement.flows.kit.outbox import Event, Outbox, Send
from tests.patient import PATIENCE


class Server:
    """Notes each batch of events that it is sent."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.connections = 0
        self.answers: list[Exception | None] = []  #: to the next batches; None and no more: it takes them

    @contextmanager
    def connected(self) -> Iterator[Send]:
        self.connections += 1
        yield self._send

    def _send(self, events: Sequence[Event]) -> None:
        self.batches.append([each["id"] for each in events])
        if self.answers and (error := self.answers.pop(0)):
            raise error

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


@pytest.mark.parametrize("away", [httpx.ConnectError("refused"), status(503)], ids=["no answer", "a failure"])
def test_a_server_that_was_away_hears_again_what_it_may_have_lost(
    server: Server, outbox: Outbox, away: Exception
) -> None:
    """What it had taken shortly before comes once more, in its order; a server takes none twice."""
    names = put(outbox, *range(kit.LARGEST + 2))
    sent, rest = names[: kit.LARGEST], names[kit.LARGEST :]
    server.answers = [None, away]
    assert outbox.drain(PATIENCE)

    assert server.batches == [sent, rest, sent, rest]


def test_what_a_server_refuses_is_not_sent_for_ever(
    server: Server, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A line says so, and the count of records; the events after it are sent."""
    put(outbox, *range(kit.LARGEST), 7)
    server.answers = [status(422)]
    assert outbox.drain(PATIENCE)

    assert [len(each) for each in server.batches] == [kit.LARGEST, 1]
    assert f"refused {kit.LARGEST} states of steps" in caplog.text
