"""Partner reports on a real SFTP server: under its own host key, each learner once, wherever a run dies."""

from __future__ import annotations

import os
import posixpath
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


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("changes", "file", "folder"),
    [({}, 0o600, 0o700), ({"file_mode": "0640"}, 0o640, 0o750), ({"file_mode": "0644"}, 0o644, 0o755)],
)
@pytest.mark.parametrize("mask", [0o000, 0o077])
async def test_modes_are_those_of_the_settings_whatever_mask_the_server_has(
    tmp_path: Path, changes: dict[str, Any], file: int, folder: int, mask: int
) -> None:
    """A draft is for the account only, also where a run that died has left another one; a folder keeps its mode."""
    seen: list[int] = []
    async with sftp_server(tmp_path, lambda path: seen.append(_mode(path))) as server:
        (tmp_path / "reports" / "Kept").mkdir(parents=True, mode=0o711)
        before = os.umask(mask)
        try:
            store = SftpFolder(server.settings(**changes))
            for name in ("OrgA/a.csv", "Kept/a.csv"):
                draft = tmp_path / "reports" / posixpath.dirname(name) / ".a.csv.partial"
                if draft.parent.is_dir():
                    draft.write_text("of another run")
                    draft.chmod(0o666)
                await store.write(name, b"1")
            await store.close()
        finally:
            os.umask(before)

    assert set(seen) == {0o600}
    assert {_mode(path) for path in tmp_path.rglob("a.csv")} == {file}
    assert (_mode(tmp_path / "reports" / "OrgA"), _mode(tmp_path / "reports" / "Kept")) == (folder, 0o711)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_a_server_without_modes_takes_files_as_well(tmp_path: Path) -> None:
    """Such as one before an object store."""
    async with sftp_server(tmp_path) as server:
        store = await _store(server)
        server.lacks = ("setstat", "fsetstat")
        await store.write("OrgA/a.csv", b"1")
        assert await store.read("OrgA/a.csv") == b"1"
        await store.close()


async def test_drafts_of_runs_that_died_are_deleted_by_the_next(world: World, tmp_path: Path) -> None:
    """Whichever claim and partner they were for; those of another site stay, which may be writing them."""
    async with sftp_server(tmp_path) as server:
        site, place = await queued(world), OnServer(server, "reports")
        for name in (
            "OrgZ/.campus.example_OrgZ_2026-01-01_claim-1.csv.partial",
            ".campus.example_x.index.json.partial",
        ):
            (tmp_path / "reports" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "reports" / name).write_text("CanaryName")
        other = tmp_path / "reports" / "OrgZ" / ".other.example_OrgZ_2026-01-01_claim-1.csv.partial"
        other.write_text("1")

        delivery = await partners.deliver(site, batch_of(site), place.destination(None))

    assert delivery.problems == []
    assert list((tmp_path / "reports").rglob(".*")) == [other]


async def test_a_server_that_accepts_and_forgets_has_delivered_nothing(world: World, tmp_path: Path) -> None:
    """What is read back counts: rows stay, and the next run writes the files."""
    async with sftp_server(tmp_path) as server:
        site, place = await queued(world), OnServer(server, "reports")
        server.forgets = True
        first = await partners.deliver(site, batch_of(site), place.destination(None))
        assert ["read back: it is not there" in line for line in first.problems] == [True] * 3
        assert len(flags(world)) == 3
        server.forgets = False
        second = await partners.deliver(site, batch_of(site), place.destination(None))

        assert (second.problems, place.told(), flags(world)) == ([], due(), {})


async def test_a_folder_that_may_not_be_listed_takes_files_all_the_same(world: World, tmp_path: Path) -> None:
    """The log says that drafts may be left there."""
    async with sftp_server(tmp_path) as server:
        site, place = await queued(world), OnServer(server, "reports")
        server.forbids = ("scandir",)

        delivery = await partners.deliver(site, batch_of(site), place.destination(None))

    assert (delivery.problems, place.told(), flags(world)) == ([], due(), {})


async def test_a_file_that_found_no_room_leaves_no_draft(tmp_path: Path) -> None:
    """It would name learners, and take the room that is left."""
    async with sftp_server(tmp_path) as server:
        store = await _store(server)
        server.lacks = ("write",)
        with pytest.raises(RetirementError):
            await store.write("OrgA/a.csv", b"1")
        await store.close()

    assert not list(tmp_path.rglob("*.partial"))


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

        vars(client)["isdir"] = fail
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
