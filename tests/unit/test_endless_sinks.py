"""A remote that answers without end: what is read of it ends by size, by number or by time, and in one line."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from retirement import process
from retirement.config.partners import MailRecipient, MailSettings
from retirement.errors import Refused, Transient
from retirement.followup.archive import archive_of
from retirement.partners.sinks import mail
from retirement.partners.sinks.drive import drive_sink
from retirement.partners.sinks.mail import mail_sink
from retirement.partners.sinks.sftp import SftpFolder
from retirement.site import bucket as of_buckets
from retirement.site import stores
from retirement.site.bucket import Bucket
from retirement.wire.pool import Pool

from .archives import settings as archive_settings
from .archives import store_of
from .buckets import settings
from .drives import OnDrive
from .sftp_servers import sftp_server

pytestmark = pytest.mark.anyio

FEW = 4096


@contextmanager
def saying(*pieces: bytes, end: bytes, over: threading.Event) -> Iterator[str]:
    """A server that answers each connection with these pieces, and then with `end` for ever, until it is over."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while not over.is_set():
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)
            while not over.wait(0 if len(end) > 1 else 0.01):
                connection.sendall(end)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        host, port = listener.getsockname()
        yield f"{host}:{port}"
    finally:
        over.set()
        with suppress(OSError):
            socket.create_connection(listener.getsockname(), timeout=1).close()
        thread.join()
        listener.close()


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Ends the servers of a test; the process that is us waits for its threads again."""
    event = threading.Event()
    yield event
    event.set()
    process.left_alone.clear()


HEAD = b"HTTP/1.1 200 OK\r\nx-amz-server-side-encryption: AES256\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("read", ["read", "stored"])
async def test_an_object_without_end_is_cut_off(
    over: threading.Event, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    """By its size, which no length in a header has to say."""
    monkeypatch.setattr(stores, "LARGEST", FEW)
    with saying(HEAD, end=b"400\r\n" + b"x" * 0x400 + b"\r\n", over=over) as place:
        store = Bucket(settings(f"http://{place}"), "x")
        with pytest.raises(Refused, match="GET object: the object is larger than 4096 bytes"):
            await getattr(store, read)("a.csv")
        await store.close()


async def test_an_object_that_comes_byte_by_byte_is_cut_off(
    over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the time of the whole answer; the thread that reads it keeps no process from its end."""
    monkeypatch.setattr(of_buckets, "_WHOLE_SECONDS", 0.3)
    with saying(HEAD, end=b"1", over=over) as place:
        store = Bucket(settings(f"http://{place}"), "x")
        with pytest.raises(Transient, match="the store cannot be reached: TimeoutError"):
            await store.read("a.csv")
    assert process.left_alone.is_set()


async def test_a_mail_server_that_never_ends_its_greeting_is_cut_off(
    over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line arrives in time, and there is always one more."""
    monkeypatch.setattr(mail, "_WHOLE_SECONDS", 0.3)
    with saying(end=b"220-and\r\n", over=over) as place:
        host, port = place.split(":")
        recipients = {"A": MailRecipient(to=("dpo@a.example",), allow_plain="a test")}
        given = MailSettings(
            name="m", kind="mail", host=host, port=int(port), sender="us@x.example", recipients=recipients
        )
        # The server waits for a line before it says the first one.
        real = socket.create_connection

        def hello(*args: Any, **kwargs: Any) -> socket.socket:
            made = real(*args, **kwargs)
            made.sendall(b"\r\n")
            return made

        monkeypatch.setattr(socket, "create_connection", hello)
        with pytest.raises(Transient, match="the server cannot take it now: TimeoutError"):
            await mail_sink(given).require()


async def test_a_file_and_a_folder_of_a_server_without_end_are_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By size, and by the number of entries."""
    (tmp_path / "reports" / "sub").mkdir(parents=True)
    (tmp_path / "reports" / "large.csv").write_bytes(b"x" * (FEW + 1))
    for number in range(6):
        (tmp_path / "reports" / "sub" / str(number)).touch()
    monkeypatch.setattr(stores, "LARGEST", FEW)
    monkeypatch.setattr(stores, "MOST_ENTRIES", 5)
    async with sftp_server(tmp_path) as server:
        store = SftpFolder(server.settings())
        with pytest.raises(Refused, match="READ file: the file is larger than 4096 bytes"):
            await store.read("large.csv")
        with pytest.raises(Refused, match="a folder has more than 5 entries; give the reports one of their own"):
            await store.discard_drafts("x")
        await store.close()


async def test_a_drive_whose_pages_never_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page has another token."""
    monkeypatch.setattr(stores, "MOST_PAGES", 7)
    drive, asked = OnDrive(tmp_path), list[str]()

    async def endless(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return await drive.answer(request)
        asked.append(request.url.params.get("pageToken", ""))
        return httpx.Response(200, json={"files": [], "nextPageToken": str(len(asked))})

    def pool(url: str, _at_once: int) -> Pool:
        return Pool(url, httpx.MockTransport(endless))

    sink = drive_sink(drive.settings(), pool)
    with pytest.raises(Refused, match="the pages of the answer have no end"):
        await sink.require()
    assert len(asked) == 7
    await sink.close()


async def test_a_file_of_the_archive_that_unpacks_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write to the bucket could have put it there."""
    monkeypatch.setattr(stores, "LARGEST", FEW)
    archive = archive_of(archive_settings("http://127.0.0.1:9"))

    async def bomb(_name: str) -> bytes:
        return gzip.compress(b"{}\n" * FEW)

    store_of(archive)["stored"] = bomb
    with pytest.raises(Refused, match="the file is not what was written to it"):
        await archive.withdraw("http://127.0.0.1:9/attic/raw/x.json.gz", 7, datetime.now(UTC), lambda: None)
