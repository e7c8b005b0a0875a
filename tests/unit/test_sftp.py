"""Partner reports on a real SFTP server: under its own host key, each learner once, wherever a run dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import SecretStr

from retirement.errors import ConfigError, Misconfigured, RetirementError, Transient
from retirement.partners import report as partners
from retirement.partners.destination import Destination
from retirement.partners.sinks.sftp import SftpFolder, sftp_sink

from .batches import batch_of
from .doubles import World
from .dying import dies_anywhere
from .reporting import TAKE, due, flags, queued, sent
from .sftp_servers import OnServer, Server, sftp_server

pytestmark = pytest.mark.anyio


async def test_each_partner_has_a_folder_on_the_server(world: World, tmp_path: Path) -> None:
    """The index stands beside the folders, and nothing of a draft is left."""
    async with sftp_server(tmp_path) as server:
        site, place = await queued(world), OnServer(server, "reports")

        delivery = await partners.deliver(site, batch_of(site), place.destination(None))

        assert (delivery.error, delivery.problems, place.told(), flags(world)) == (None, [], due(), {})
    top = sorted(path.name for path in (tmp_path / "reports").iterdir() if path.is_dir())
    assert top == ["OrgA", "OrgB", "Zürich-U-4ce806dc"]
    assert len(list((tmp_path / "reports").glob("*.index.json"))) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before-the-work", "after-the-work"])
async def test_a_report_that_died_at_any_request_is_finished_by_the_next(
    world: World, tmp_path: Path, after: bool, every_nth: int
) -> None:
    """Each learner is in one file of each organisation, and the LMS' queue is empty."""
    (tmp_path / "served").mkdir()
    async with sftp_server(tmp_path / "served") as server:

        def make(deaths: int) -> OnServer:
            return OnServer(server, f"reports-{deaths}")

        deaths = await dies_anywhere(world, tmp_path, make, after=after, every_nth=every_nth, of_sinks=True)

    assert deaths >= 15


def _other_key() -> str:
    return asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"port": 9}, Transient, "the server cannot be reached: ConnectionRefusedError"),
        ({"host_key": _other_key()}, Misconfigured, "the server shows another host key than host_key"),
        ({"password": SecretStr("hunter3")}, Misconfigured, "the server does not let us in"),
        ({"folder": "/nowhere"}, ConfigError, "the server has no folder /nowhere; make it"),
    ],
)
async def test_a_server_that_cannot_be_used_is_a_line_before_anything_is_claimed(
    world: World, tmp_path: Path, changes: dict[str, Any], kind: type[RetirementError], text: str
) -> None:
    """Unreachable, another server under its address, another password, no folder."""
    async with sftp_server(tmp_path) as server:
        site = await queued(world)
        sink = sftp_sink(server.settings(**changes))

        with pytest.raises(kind, match=text):
            await partners.deliver(site, batch_of(site), Destination(None, "x", (sink,)))

    assert sent(world, TAKE) == 0


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (asyncssh.SFTPQuotaExceeded, "has no room"),
        (asyncssh.SFTPNoSpaceOnFilesystem, "has no room"),
        (asyncssh.SFTPPermissionDenied, "does not permit it"),
        (asyncssh.SFTPConnectionLost, "cannot be reached"),
        (asyncssh.SFTPFailure, "SFTPFailure"),
    ],
)
async def test_what_a_server_refuses_is_told_without_its_words(
    tmp_path: Path, error: type[asyncssh.SFTPError], text: str
) -> None:
    """They may name a learner; and a lost connection is made anew."""
    async with sftp_server(tmp_path) as server:
        store = await _store(server)
        client = await store._connected()

        async def fail(*_args: Any, **_options: Any) -> None:
            raise error("CanaryName")

        vars(client)["makedirs"] = fail
        with pytest.raises(RetirementError, match=text) as refused:
            await store.write("OrgA/a.csv", b"1")
        assert "Canary" not in str(refused.value)
        await store.write("OrgA/a.csv", b"1")
        assert await store.read("OrgA/a.csv") == b"1"
        await store.delete("OrgA/a.csv")
        await store.delete("OrgA/a.csv")
        assert await store.read("OrgA/a.csv") is None
        await store.close()


async def test_a_server_without_posix_rename_takes_files_as_well(tmp_path: Path) -> None:
    """The former file is deleted before the draft gets its name."""
    async with sftp_server(tmp_path) as server:
        store = await _store(server)
        client = await store._connected()

        async def unknown(*_args: Any) -> None:
            raise asyncssh.SFTPOpUnsupported("")

        vars(client)["posix_rename"] = unknown
        for content in (b"1", b"2"):
            await store.write("a.csv", content)
            assert await store.read("a.csv") == content
        await store.close()


async def test_a_login_by_key_asks_no_agent(tmp_path: Path) -> None:
    """Nor any file of the account; a key that is none is a line."""
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key("openssh", passphrase="hunter2", rounds=64)
    server = Server(tmp_path, 22, _other_key())
    given = {"private_key": SecretStr(key.decode()), "password": None}

    assert SftpFolder(server.settings(**given, passphrase=SecretStr("hunter2")))._keys
    for wrong in ({"private_key": SecretStr("no key")}, {"host_key": "no key"}, given):
        with pytest.raises(ConfigError, match=r"partners\.sinks sftp: host_key or private_key is no key of SSH"):
            SftpFolder(server.settings(**wrong))


async def _store(server: Server) -> SftpFolder:
    (server.root / "reports").mkdir(exist_ok=True)
    return SftpFolder(server.settings())
