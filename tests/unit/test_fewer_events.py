"""What the feed of events of Prefect's server keeps, where we start that server (`engine_events`)."""

import asyncio
from importlib import import_module

import pytest
from prefect.server.utilities import messaging
from prefect.settings.models.root import Settings

from retirement.flows.kit import fewer_events
from retirement.flows.kit.server import feed
from tests.patient import PATIENCE

SAID = (
    *("prefect.flow-run.Running", "prefect.task-run.Completed", "retirement.deadline", "prefect.artifact.created"),
    *("prefect.artifact-collection.created", "prefect.flow-run.Retired"),
)


def broker(monkeypatch: pytest.MonkeyPatch, every_event: bool) -> str:
    for name, value in feed(every_event).items():
        monkeypatch.setenv(name, value)
    return Settings().server.events.messaging_broker


def test_prefect_reads_the_variable_as_a_broker_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect has no error for a variable that it does not know: a new name of the setting would be silent."""
    named = broker(monkeypatch, every_event=False)

    assert named == fewer_events.__name__
    assert isinstance(import_module(named), messaging.BrokerModule)


def test_with_all_events_prefect_has_its_own_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """It hands every part all of them."""
    assert broker(monkeypatch, every_event=True) == "prefect.server.utilities.messaging.memory"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("part", "hears"),
    [
        ("event-persister", ["prefect.flow-run.Running", "retirement.deadline", "prefect.flow-run.Retired"]),
        ("task-run-recorder", list(SAID)),
        ("reactive-triggers", list(SAID)),
    ],
)
async def test_the_feed_alone_hears_nothing_of_steps_and_artifacts(part: str, hears: list[str]) -> None:
    """What records task runs and what triggers automations hear of every event."""
    topic, heard, done = f"events for {part}", list[str](), asyncio.Event()
    consumer = fewer_events.Consumer(topic, group=part, name="one of it", read_batch_size=1)

    async def handle(message: messaging.Message) -> None:
        heard.append(message.attributes["event"])
        if heard[-1] == SAID[-1]:
            done.set()

    listening = asyncio.create_task(consumer.run(handle))
    async with fewer_events.Publisher(topic, messaging.create_cache(), deduplicate_by="id") as publisher:
        for number, event in enumerate(SAID):
            await publisher.publish_data(b"{}", {"id": f"{part} {number}", "event": event})
    await asyncio.wait_for(done.wait(), PATIENCE)
    listening.cancel()
    await consumer.cleanup()

    assert sorted(heard) == sorted(hears)
