"""The archive as the reference wrote it: who the learners were, in a bucket, before the LMS forgets them.

For sites whose tables expect it, and only where the configuration has the section `archive`: a file of gzip with a
line of JSON for each row, with the keys and the place of the reference (contract of the LMS, 6.1, and of the
services, B10). These files are personal data: the store has to encrypt them, they are marked, and they expire.

A file holds the rows that the LMS has deleted, and those for which it was asked without an answer. It is written and
read back before the LMS is asked; a row that the LMS keeps is taken out of it again. What a file holds, it says itself,
so that a run that died leaves nothing that the next one writes twice.
"""

import gzip
import json
import logging
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Protocol

from retirement.config.buckets import ArchiveSettings
from retirement.errors import ConfigError, Misconfigured, Refused, ServiceError
from retirement.learner import Learner
from retirement.ledger import CLEANUP_ASKED, Ledger
from retirement.site import stores
from retirement.site.stores import Store

logger = logging.getLogger(__name__)

#: What the archive is called in messages.
ARCHIVE = "archive"
#: The name of a file after its folder; the reference has the day before the month.
_FOLDER, _NAME = "%Y/%m", "retirement_archive_%Y_%d_%m_%H_%M_%S"

#: How zlib is told that a stream has the head of gzip.
_GZIP = zlib.MAX_WBITS | 16

#: Called before each thing that changes something; raises where the run may do nothing more.
Allowed = Callable[[], None]


class MarkedStore(Store, Protocol):
    """A store whose files can be marked."""

    async def write_marked(self, name: str, content: bytes, marks: Mapping[str, str]) -> None:
        """Writes a file as `write` does, with its marks."""


@dataclass(frozen=True, slots=True)
class Filing:
    """In which file each row of one request stands or will stand, by user id; `named` is the new one, None: none."""

    names: Mapping[int, str] = field(default_factory=dict)
    named: str | None = None


class Archive:
    """The archive of one run. `place` is what names of files begin with in the ledger, and stays out of the store's."""

    def __init__(self, settings: ArchiveSettings, store: MarkedStore) -> None:
        at = f"{settings.endpoint_url.rstrip('/')}/" if settings.endpoint_url else "s3://"
        self._place, self._prefix = f"{at}{settings.bucket}/", settings.prefix.strip("/")
        self._days = timedelta(days=settings.expire_days)
        self._store = store
        #: The file that was read or written last: parts of a refused batch are in the same one.
        self._last: tuple[str, dict[int, bytes]] | None = None

    async def require(self) -> None:
        """Raises `ServiceError` where the bucket does not answer."""
        await self._store.require()

    async def close(self) -> None:
        """Ends connections."""
        await self._store.close()

    async def filing(self, ledger: Ledger, rows: Collection[Learner]) -> Filing:
        """Where these rows are already, and a name that was never given for the others."""
        known = await ledger.archives.of(CLEANUP_ASKED, {(row.user_id, row.retirement_id) for row in rows})
        names: dict[int, str] = {}
        for name in dict.fromkeys(known.values()):
            held = await self._lines(name)
            names |= {user_id: name for user_id, each in known.items() if each == name and user_id in held}
        named = self._new_name(ledger.now()) if len(names) < len(rows) else None
        return Filing({row.user_id: names.get(row.user_id) or str(named) for row in rows}, named)

    async def keep(self, filing: Filing, rows: Collection[Learner], now: datetime, allowed: Allowed) -> None:
        """Writes the rows that are in no file yet, and reads them back. Raises `ServiceError`.

        So is a file that has rows of them already and is not encrypted as the settings want it by now.
        """
        for name in sorted({filing.names[row.user_id] for row in rows} - {filing.named}):
            if await self._store.read(self._key(name)) is None:
                allowed()
                await self._write(name, await self._lines(name), now)
        new = {row.user_id: _line(row) for row in rows if filing.names[row.user_id] == filing.named}
        if filing.named and new:
            allowed()
            await self._begin(filing.named, new, now)

    async def withdraw(self, name: str, user_id: int, now: datetime, allowed: Allowed) -> None:
        """Takes a row out of a file, since the LMS keeps it; nothing where it is not there."""
        held = await self._lines(name)
        if user_id not in held:
            return
        allowed()
        if rest := {each: line for each, line in held.items() if each != user_id}:
            await self._write(name, rest, now)
        else:
            await self._store.delete(self._key(name))
            self._last = None

    async def expire(self, ledger: Ledger, now: datetime, allowed: Allowed) -> list[str]:
        """Deletes the files whose days are over; returns a sentence about each that it could not."""
        problems: list[str] = []
        for name, at in (await ledger.archives.kept()).items():
            if at + self._days > now:
                continue
            if not name.startswith(self._place):
                problems.append(
                    f"{name} has to be deleted, and the archive is {self._place} now; give its former place"
                )
                continue
            allowed()
            try:
                await self._delete(name)
            except ServiceError as error:
                problems.append(f"{name} has to be deleted: {error}")
                if not isinstance(error, Refused):
                    break
                continue
            await ledger.archives.expired(name)
        return problems

    async def _delete(self, name: str) -> None:
        key = self._key(name)
        await self._store.delete(key)
        if await self._store.stored(key) is not None:
            raise Refused(ARCHIVE, "DELETE object", None, "the file is there after it was deleted")

    async def _lines(self, name: str) -> dict[int, bytes]:
        """The lines of a file by user id; none of one that is not there, or is of another place."""
        if not name.startswith(self._place):
            return {}
        if self._last is None or self._last[0] != name:
            # However it is encrypted: else its rows would be written twice, and one that the LMS keeps would stay.
            content = await self._store.stored(self._key(name))
            self._last = (name, _read(content) if content is not None else {})
        return self._last[1]

    async def _begin(self, name: str, lines: Mapping[int, bytes], now: datetime) -> None:
        """Writes a new file; what a store has taken without encrypting it does not stay there."""
        try:
            await self._write(name, lines, now)
        except Misconfigured as error:
            try:
                await self._store.delete(self._key(name))
            except ServiceError as left:
                logger.warning("%s may be there in clear (%s): %s", name, error, left)
            raise

    async def _write(self, name: str, lines: Mapping[int, bytes], now: datetime) -> None:
        content = gzip.compress(b"".join(lines.values()), mtime=0)
        marks = {"personal-data": "yes", "delete-after": (now + self._days).astimezone(UTC).date().isoformat()}
        self._last = None
        await self._store.write_marked(self._key(name), content, marks)
        found = await self._store.read(self._key(name))
        if found != content:
            what = "it is not there" if found is None else f"{len(found)} other bytes are"
            raise Refused(ARCHIVE, "read back", None, f"{what}, after {len(content)} bytes were accepted")
        self._last = (name, dict(lines))

    def _new_name(self, now: datetime) -> str:
        """A name that no other run has given: two of one second would be one file."""
        at = now.astimezone(UTC)
        folder = "/".join(filter(None, (self._prefix, at.strftime(_FOLDER))))
        return f"{self._place}{folder}/{at.strftime(_NAME)}_{token_hex(4)}.json.gz"

    def _key(self, name: str) -> str:
        return name.removeprefix(self._place)


@asynccontextmanager
async def archiving(settings: ArchiveSettings | None) -> AsyncIterator[Archive | None]:
    """The archive of a configuration while the block runs, not asked for anything yet; None where it has none."""
    archive = None if settings is None else archive_of(settings)
    try:
        yield archive
    finally:
        if archive:
            await archive.close()


def archive_of(settings: ArchiveSettings) -> Archive:
    """The archive in the bucket of these settings. Raises `ConfigError`."""
    try:
        from retirement.site.bucket import archive_bucket
    except ModuleNotFoundError:
        text = "archive: needs what is not installed; pip install 'openedx-retirement[s3]'"
        raise ConfigError(text) from None
    return Archive(settings, archive_bucket(settings))


def _line(row: Learner) -> bytes:
    """One row with the reference's keys, in its order; times as Athena reads them."""
    told = {
        "user_id": row.user_id,
        "original_username": row.username,
        "original_email": row.email,
        "original_name": row.name,
        "retired_username": row.retired_username,
        "retired_email": row.retired_email,
        "retirement_request_date": _time(row.requested_at),
        "last_modified_date": _time(row.changed_at),
    }
    return json.dumps(told).encode() + b"\n"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ")


def _read(content: bytes) -> dict[int, bytes]:
    """Raises `Refused` for what is no file of ours."""
    try:
        unpacker = zlib.decompressobj(_GZIP)
        lines = unpacker.decompress(content, stores.LARGEST).splitlines(keepends=True)
        if not unpacker.eof:
            raise EOFError
        return {int(json.loads(line)["user_id"]): line for line in lines}
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
        raise Refused(ARCHIVE, "GET object", None, "the file is not what was written to it") from None
