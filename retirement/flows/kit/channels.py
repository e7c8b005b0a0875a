"""The channels of a site as blocks on the Prefect server, from where its automations send.

Each Apprise URL is kept in a block of a type that every Prefect server has; the server holds it encrypted. No text
of Apprise is passed on, since it may have the URL in it.
"""

import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from apprise import Apprise, AppriseAttachment, NotifyFormat
from apprise.attachment.memory import AttachMemory
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import PrefectClient

from retirement.config import ChannelSettings
from retirement.errors import ConfigError

#: Begins the names of the blocks that are ours.
OURS = "openedx-retirement-"
#: Passes any URL to Apprise as it is, in spite of its name. A type of our own would have to be installed at the server.
_Keeper = SlackWebhook
_KEEPER = "slack-webhook"

SUBJECT = "Retirement: a test message"
BODY = "This channel is told what happens to the retirements of the site. Nothing has to be done."


@dataclass(frozen=True, slots=True)
class Placed:
    """A channel on the server: the id of its block, and whether its address was not known there before."""

    channel: ChannelSettings
    block: UUID
    is_new: bool


@dataclass(frozen=True, slots=True)
class Letter:
    """A message with files, which are their names and contents: HTML or PDF, by the ends of the names."""

    subject: str
    text: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Whether a message was taken, which `what` calls by its name; `problem` says why not."""

    channel: str
    problem: str | None = None
    what: str = "the test message"

    @property
    def sentence(self) -> str:
        """For people."""
        return f"notifications: {self.channel}: {self.problem or f'{self.what} was taken'}"

    @property
    def row(self) -> dict[str, Any]:
        """For `--json`."""
        return {"channel": self.channel, "arrived": self.problem is None, "problem": self.problem}


def require_known(channels: Sequence[ChannelSettings], source: str) -> None:
    """Raises `ConfigError` for the URLs that no service of Apprise takes; `source` is the configuration file."""
    with _silent():
        unknown = [each.name for each in channels if each.url and not Apprise.instantiate(each.url.get_secret_value())]
    if unknown:
        text = "is no URL that Apprise knows; see the list of services in its documentation, and give the URL of one"
        raise ConfigError(*(f"{source}: notifications: url of {name}: {text}" for name in unknown))


async def place(client: PrefectClient, channels: Sequence[ChannelSettings], source: str) -> list[Placed]:
    """Puts the channels on the server, and takes those away that are in the file no more. Raises `ConfigError`."""
    require_known(channels, source)
    placed = [await _place(each, source) for each in channels]
    wanted = {f"{OURS}{each.name}" for each in channels if each.url}
    async for document in _ours(client):
        if document.name not in wanted:
            await client.delete_block_document(document.id)
    return placed


async def _place(channel: ChannelSettings, source: str) -> Placed:
    if channel.url is None:
        return Placed(channel, _id_of(await _block(channel, source)), False)
    name = f"{OURS}{channel.name}"
    there = await _kept(name)
    if there and there.url == channel.url:
        return Placed(channel, _id_of(there), False)
    return Placed(channel, await _Keeper(url=channel.url).asave(name, overwrite=True), True)


async def _kept(name: str) -> SlackWebhook | None:
    """The block of ours of that name."""
    try:
        return await _Keeper.aload(name)
    except ValueError:
        return None


async def _block(channel: ChannelSettings, source: str) -> NotificationBlock:
    """The notification block that a channel names. Raises `ConfigError`."""
    where = f"{source}: notifications: block of {channel.name}"
    try:
        block = await Block.aload(str(channel.block))
    except ValueError:
        raise ConfigError(f"{where}: the Prefect server has no {channel.block}; create it there") from None
    if not isinstance(block, NotificationBlock):
        raise ConfigError(f"{where}: {channel.block} sends no notifications; give a notification block")
    return block


def _id_of(block: Block) -> UUID:
    found = block._block_document_id
    if found is None:
        raise RuntimeError("a block that was loaded has an id")
    return found


async def _ours(client: PrefectClient) -> AsyncIterator[Any]:
    """The blocks on the server that are ours."""
    page = 200
    found: list[Any] = []
    while more := await client.read_block_documents(_KEEPER, offset=len(found), limit=page, include_secrets=False):
        found += more
    for each in found:
        if (each.name or "").startswith(OURS):
            yield each


async def send_tests(channels: Sequence[ChannelSettings], source: str) -> list[Arrival]:
    """Sends a test message to each channel, from this process. Raises `ConfigError`."""
    require_known(channels, source)
    return [await _send_test(each, source) for each in channels]


async def send(channels: Sequence[ChannelSettings], letter: Letter, source: str, what: str) -> list[Arrival]:
    """Sends a letter to each channel, from this process; `what` is what reports call it.

    The files go to the services that take files; a block of Prefect has the text. Raises `ConfigError` for a URL that
    is none, before anything is sent; what else keeps a channel from the letter keeps no other one from it.
    """
    require_known(channels, source)
    return [replace(await _send(each, letter, source), what=what) for each in channels]


async def _send(channel: ChannelSettings, letter: Letter, source: str) -> Arrival:
    if channel.url is None or not letter.files:
        return await _sent_through_block(channel, letter, source)
    with _silent():
        try:
            taken = await _posted(channel.url.get_secret_value(), letter)
        except Exception as error:  # noqa: BLE001 - whatever a service of Apprise raises; its text may have the URL
            return Arrival(channel.name, _raised(error))
    return Arrival(channel.name, None if taken else "it was not taken; check the address, and what the service takes")


async def _sent_through_block(channel: ChannelSettings, letter: Letter, source: str) -> Arrival:
    try:
        return await _through_block(channel, letter.text, letter.subject, source)
    except ConfigError as error:
        return Arrival(channel.name, str(error))
    except Exception as error:  # noqa: BLE001 - whatever Prefect's client raises where the server has no answer
        return Arrival(channel.name, _raised(error))


async def _posted(url: str, letter: Letter) -> bool:
    sender, files = Apprise(), AppriseAttachment()
    sender.add(url)
    if all(service.attachment_support for service in sender):
        for name, content in letter.files.items():
            kind = "application/pdf" if name.endswith(".pdf") else "text/html"
            files.add(AttachMemory(content=content, name=name, mimetype=kind))  # type: ignore[no-untyped-call]  # of Apprise
    return bool(
        await sender.async_notify(
            body=letter.text, title=letter.subject, body_format=NotifyFormat.TEXT, attach=files or None
        )
    )


async def _send_test(channel: ChannelSettings, source: str) -> Arrival:
    return await _through_block(channel, BODY, SUBJECT, source)


async def _through_block(channel: ChannelSettings, body: str, subject: str, source: str) -> Arrival:
    block = _Keeper(url=channel.url) if channel.url else await _block(channel, source)
    with _silent():
        try:
            with block.raise_on_failure():
                # Where an event loop runs it is a coroutine, which the signature does not say.
                sending: Any = block.notify(body, subject)
                await sending
        except NotificationError as error:
            return Arrival(channel.name, _why(error))
        except Exception as error:  # noqa: BLE001 - whatever a service of Apprise raises; its text may have the URL
            return Arrival(channel.name, _raised(error))
    return Arrival(channel.name)


def _raised(error: Exception) -> str:
    return f"it was not taken ({type(error).__name__}); check the address"


def _why(error: NotificationError) -> str:
    """Of the log of Apprise only the status of the answer, if one came."""
    if status := re.search(r"error=(\d{3})\b", str(error.log)):
        return f"it was not taken: the answer was {status[1]}; check address, name and password"
    return "it was not taken; check the address, and whether this machine reaches it"


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps Apprise's log, which may have a URL in it, from this process' handlers."""
    log = logging.getLogger("apprise")
    before = log.propagate
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = before
