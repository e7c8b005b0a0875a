"""A folder of an SFTP server as a sink, by asyncssh: each partner has a folder below it, and each file is read back.

The host key stands in the configuration: a server that shows another one is not signed in to, and gets no file.
"""

import asyncio
import logging
import posixpath
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import asyncssh
from asyncssh.constants import FILEXFER_TYPE_DIRECTORY
from pydantic import SecretStr

from retirement.config.partners import SftpSettings
from retirement.errors import ConfigError, Misconfigured, Refused, RetirementError, Transient
from retirement.partners.sinks.kit import StoreSink, draft_of, is_draft
from retirement.site import stores

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Seconds until a connection is there, and until the server has done one thing.
_CONNECT_SECONDS, _SECONDS = 20, 120
_GONE = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
#: The mode of a draft.
_PRIVATE = 0o600
#: What passes by itself.
_PASSES = (
    *(asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.ConnectionLost, asyncssh.DisconnectError),
    *(OSError, TimeoutError),
)


class SftpFolder:
    """The store of one folder of a server; it connects when it is asked for the first time."""

    def __init__(self, settings: SftpSettings) -> None:
        self._settings, self._mode = settings, int(settings.file_mode, 8)
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None
        try:
            self._host_key = asyncssh.import_public_key(settings.host_key)
            key, passphrase = settings.private_key, _revealed(settings.passphrase)
            self._keys = [asyncssh.import_private_key(key.get_secret_value(), passphrase)] if key else []
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
            text = "host_key or private_key is no key of SSH, or is encrypted; give the line of known_hosts without"
            raise ConfigError(f"partners.sinks {settings.name}: {text} the host, and the private key") from None

    async def require(self) -> None:
        """Signs in and looks for the folder."""
        folder = self._settings.folder
        if not await self._ask("STAT folder", lambda client: client.isdir(folder)):
            raise ConfigError(f"partners.sinks {self._settings.name}: the server has no folder {folder}; make it")

    async def read(self, name: str) -> bytes | None:
        """Reads the whole file."""

        async def read(client: asyncssh.SFTPClient) -> bytes | None:
            try:
                async with client.open(self._path(name), "rb") as file:
                    content = await file.read(stores.LARGEST + 1)
                    if len(content) > stores.LARGEST:
                        text = f"the file is larger than {stores.LARGEST} bytes"
                        raise Refused(self._settings.name, "READ file", None, text)
                    return content if isinstance(content, bytes) else content.encode()
            except _GONE:
                return None

        return await self._ask("READ file", read)

    async def write(self, name: str, content: bytes) -> None:
        """By a draft, which gets the name when it is complete, and of which nothing is left where that fails."""
        path = self._path(name)
        folder, last = posixpath.split(path)
        draft = posixpath.join(folder, draft_of(last))

        async def write(client: asyncssh.SFTPClient) -> None:
            await self._make(client, folder)
            try:
                await self._fill(client, draft, content)
                await _renamed(client, draft, path)
            except asyncssh.SFTPError:
                with suppress(asyncssh.Error):
                    await client.remove(draft)
                raise

        await self._ask("WRITE file", write)

    async def _make(self, client: asyncssh.SFTPClient, folder: str) -> None:
        """Makes the folder of a partner that is new; one that is there keeps the mode that its people gave it."""
        if await client.isdir(folder):
            return
        mode = self._mode | (self._mode & 0o444) >> 2
        await client.mkdir(folder, asyncssh.SFTPAttrs(permissions=mode))
        await _where_modes_are(client.chmod(folder, mode))

    async def _fill(self, client: asyncssh.SFTPClient, draft: str, content: bytes) -> None:
        """A new file, which only the account reads before it is complete, whatever mask the server has."""
        # What another run has left may have another mode, or be a link to another file.
        with suppress(*_GONE):
            await client.remove(draft)
        async with client.open(draft, "xb", asyncssh.SFTPAttrs(permissions=_PRIVATE)) as file:
            await _where_modes_are(file.chmod(_PRIVATE))
            await file.write(content)
            if self._mode != _PRIVATE:
                await _where_modes_are(file.chmod(self._mode))

    async def discard_drafts(self, begin: str) -> None:
        """Looks at the folder and at those of the partners; what the server does not list is not looked through."""
        top = self._settings.folder

        async def discard(client: asyncssh.SFTPClient) -> None:
            try:
                entries = await self._entries(client, top)
            except asyncssh.SFTPPermissionDenied:
                logger.warning("sink %s: the server does not list %s, so drafts may be left", self._settings.name, top)
                return
            below = [str(each.filename) for each in entries if each.attrs.type == FILEXFER_TYPE_DIRECTORY]
            for folder in (top, *(self._path(name) for name in below if name not in (".", ".."))):
                with suppress(asyncssh.SFTPPermissionDenied, *_GONE):
                    for name in [str(each.filename) for each in await self._entries(client, folder)]:
                        if is_draft(name, begin):
                            await client.remove(posixpath.join(folder, name))

        await self._ask("LIST folder", discard)

    async def _entries(self, client: asyncssh.SFTPClient, folder: str) -> list[asyncssh.SFTPName]:
        """What is in a folder. Raises `Refused` where the server goes on for ever."""
        found: list[asyncssh.SFTPName] = []
        async for each in client.scandir(folder):
            if len(found) == stores.MOST_ENTRIES:
                text = f"a folder has more than {stores.MOST_ENTRIES} entries; give the reports one of their own"
                raise Refused(self._settings.name, "LIST folder", None, text)
            found.append(each)
        return found

    async def stored(self, name: str) -> bytes | None:
        """What `read` gives."""
        return await self.read(name)

    async def delete(self, name: str) -> None:
        """Deletes a file; one that is gone is no error."""

        async def delete(client: asyncssh.SFTPClient) -> None:
            with suppress(*_GONE):
                await client.remove(self._path(name))

        await self._ask("DELETE file", delete)

    async def close(self) -> None:
        """Ends the connection."""
        connection, self._connection, self._client = self._connection, None, None
        if connection:
            connection.close()
            with suppress(*_PASSES, asyncssh.Error):
                await asyncio.wait_for(connection.wait_closed(), _SECONDS)

    def _path(self, name: str) -> str:
        return posixpath.join(self._settings.folder, name)

    async def _connected(self) -> asyncssh.SFTPClient:
        if self._client is None:
            settings = self._settings
            self._connection = await asyncssh.connect(
                settings.host,
                settings.port,
                username=settings.username,
                password=_revealed(settings.password),
                client_keys=self._keys,
                known_hosts=([self._host_key], [], []),
                # Neither the account's own settings nor its agent may decide who we are.
                config=None,
                agent_path=None,
                connect_timeout=_CONNECT_SECONDS,
            )
            self._client = await self._connection.start_sftp_client()
        return self._client

    async def _ask(self, request: str, work: Callable[[asyncssh.SFTPClient], Awaitable[T]]) -> T:
        """Some work of the server; errors become ours, without what the server has said."""

        async def asked() -> T:
            return await work(await self._connected())

        try:
            return await asyncio.wait_for(asked(), _SECONDS)
        except (*_PASSES, asyncssh.Error) as error:
            # The next thing begins with a connection of its own.
            await self.close()
            raise _ours(self._settings.name, request, error) from None


async def _renamed(client: asyncssh.SFTPClient, draft: str, path: str) -> None:
    try:
        await client.posix_rename(draft, path)
    except asyncssh.SFTPOpUnsupported:
        with suppress(*_GONE):
            await client.remove(path)
        await client.rename(draft, path)


async def _where_modes_are(change: Awaitable[None]) -> None:
    # A server of an object store has none.
    with suppress(asyncssh.SFTPOpUnsupported):
        await change


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def sftp_sink(settings: SftpSettings) -> StoreSink:
    """A folder of a server in which each partner has a folder."""
    place = f"sftp://{settings.host}:{settings.port}/{settings.folder.lstrip('/')}"
    return StoreSink(settings.name, place, SftpFolder(settings), by_partner=True, only=settings.only)


def _ours(name: str, request: str, error: Exception) -> RetirementError:
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return Misconfigured(name, request, None, "the server shows another host key than host_key; ask its operator")
    if isinstance(error, asyncssh.PermissionDenied):
        return Misconfigured(name, request, None, "the server does not let us in; see username, private_key, password")
    if isinstance(error, asyncssh.SFTPNoSpaceOnFilesystem | asyncssh.SFTPQuotaExceeded):
        return Misconfigured(name, request, None, "the server has no room; delete files or raise the quota")
    if isinstance(error, asyncssh.SFTPPermissionDenied | asyncssh.SFTPWriteProtect):
        return Misconfigured(name, request, None, "the server does not permit it; see the modes of the folder")
    kind = type(error).__name__
    if isinstance(error, _PASSES):
        return Transient(name, request, None, f"the server cannot be reached: {kind}", in_doubt=True)
    return Refused(name, request, None, kind)
