"""A real SFTP server on this machine, and a place of the partner report in a folder of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
from pydantic import SecretStr

from retirement.config.partners import SftpSettings
from retirement.partners.destination import Destination
from retirement.partners.sinks.sftp import sftp_sink

from .doubles import Died
from .dying import Mortal
from .reporting import told_below

#: Every request of our client but CLOSE, since a server closes what a client that is gone has left open.
REQUESTS = (
    *("open", "read", "write", "setstat", "fsetstat", "stat", "lstat", "fstat", "scandir"),
    *("remove", "mkdir", "rename", "posix_rename"),
)


class Login(asyncssh.SSHServer):
    """Takes one password."""

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("campus", "hunter2")


@dataclass
class Server:
    """A server whose folder is the root of what it shows; its requests die with the process of the client."""

    root: Path
    port: int
    host_key: str
    mortal: Mortal | None = None
    lacks: tuple[str, ...] = ()  #: requests that it does not know
    forbids: tuple[str, ...] = ()  #: requests that it does not permit
    forgets: bool = False  #: a file is gone once it has its name

    def settings(self, **changes: Any) -> SftpSettings:
        given: dict[str, Any] = {
            "name": "sftp",
            "kind": "sftp",
            "host": "127.0.0.1",
            "port": self.port,
            "username": "campus",
            "password": SecretStr("hunter2"),
            "host_key": self.host_key,
            "folder": "/reports",
        }
        return SftpSettings(**given | changes)


@asynccontextmanager
async def sftp_server(root: Path, written: Callable[[Path], object] = lambda _: None) -> AsyncIterator[Server]:
    """The server, until the block ends; `written` is given each file when something is about to be written to it."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = Server(root, 0, key.export_public_key().decode().strip())

    def files(channel: Any) -> asyncssh.SFTPServer:
        made = asyncssh.SFTPServer(channel, chroot=bytes(root))
        for name in REQUESTS:
            vars(made)[name] = _mortal(server, name, getattr(made, name))
        vars(made)["write"] = _looked_at(written, vars(made)["write"])
        return made

    listener = await asyncssh.listen("127.0.0.1", 0, server_factory=Login, server_host_keys=[key], sftp_factory=files)
    server.port = listener.get_port()
    try:
        yield server
    finally:
        listener.close()
        await listener.wait_closed()


def _looked_at(written: Callable[[Path], object], work: Callable[..., Any]) -> Callable[..., Any]:
    def write(file: Any, *args: Any) -> Any:
        written(Path(os.fsdecode(file.name)))
        return work(file, *args)

    return write


def _mortal(server: Server, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """A request of a client that is dead fails; the client notices by its own next step."""

    def requested(*args: Any) -> Any:
        if name in server.lacks:
            raise asyncssh.SFTPOpUnsupported("")
        if name in server.forbids:
            raise asyncssh.SFTPPermissionDenied("")
        if server.forgets and name == "posix_rename":
            (server.root / os.fsdecode(args[0]).lstrip("/")).unlink()
            return None
        made: list[Any] = []
        try:
            kept = lambda *given: made.append(work(*given))  # noqa: E731 - what is opened for the dead is closed
            (server.mortal.doing(kept) if server.mortal else kept)(*args)
        except Died:
            for each in made:
                if hasattr(each, "close"):
                    each.close()
            raise asyncssh.SFTPFailure("the client is gone") from None
        return made[0]

    return requested


@dataclass
class OnServer:
    """A folder of a server."""

    server: Server
    folder: str

    def destination(self, mortal: Mortal | None) -> Destination:
        self.server.mortal = mortal
        (self.server.root / self.folder).mkdir(exist_ok=True)
        return Destination(None, "campus.example", (sftp_sink(self.server.settings(folder=f"/{self.folder}")),))

    def told(self) -> Counter[tuple[str, str]]:
        """How often each learner is in a file of each organisation."""
        assert not list((self.server.root / self.folder).rglob(".*.partial"))
        return told_below(self.server.root / self.folder)
