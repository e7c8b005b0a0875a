"""The messages between the parts of Prefect's server, with fewer of them for its feed of events.

A broker for Prefect's setting `server.events.messaging_broker`. The feed leaves out the states of steps, which a run's
page has as task runs, and artifacts, which it has beside them; together they are nine in ten of the bytes. What records
task runs, triggers automations or streams to a browser hears of all.
"""

from typing import Any

from prefect.server.utilities.messaging import Message, MessageHandler, memory
from prefect.server.utilities.messaging.memory import Publisher, break_topic, ephemeral_subscription

__all__ = ["Consumer", "Publisher", "break_topic", "ephemeral_subscription"]

#: The name by which the part of the server asks for events that writes them to the database.
FEED = "event-persister"
#: How the names of events begin that tell of a step, and of an artifact, with all that is written in it.
LEFT_OUT = ("prefect.task-run.", "prefect.artifact.", "prefect.artifact-collection.")


class Consumer(memory.Consumer):
    """A part of the server that hears of what happens; `group` is its name."""

    def __init__(self, topic: str, *, group: str = "", **options: Any) -> None:
        super().__init__(topic, group=group, **options)
        self._is_feed = group == FEED

    async def run(self, handler: MessageHandler) -> None:
        """Hands each message on, until it is cancelled."""
        await super().run(_shortened(handler) if self._is_feed else handler)


def _shortened(handler: MessageHandler) -> MessageHandler:
    async def handle(message: Message) -> None:
        if not message.attributes.get("event", "").startswith(LEFT_OUT):
            await handler(message)

    return handle
