"""Lists of the LMS are read element by element while they come in, and read as they would be in one piece."""

from __future__ import annotations

import asyncio
import json
import tempfile
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from retirement.errors import Misconfigured, Refused, Transient
from retirement.lms import listing
from retirement.lms.listing import Reading
from retirement.privacy.spool import AT_ONCE, Spool
from retirement.wire import elements
from retirement.wire.api import Api, Retry
from retirement.wire.elements import Elements
from retirement.wire.patience import MEGABYTE
from retirement.wire.pool import Pool
from retirement.wire.success import a_list

pytestmark = pytest.mark.anyio

SOUND = ['["a", 12, -3.5e2, {"b": [1, {"c": "],["}]}, null, true, "\\ud83d\\ude00é"]', "[]", " [ ] ", "[1]", "[[], {}]"]
ODD = ["[", "[1", '["a', "[1 2]", "[1,]", "[,1]", "[1]]", "[1] x", '["\\ud800"]', "[1}", "[nul]", "x[1]", "[" * 100_000]


def in_pieces(text: bytes, size: int) -> list[Any]:
    """What is kept of a list that comes in so many bytes at a time; raises `ValueError`."""
    found = Elements(lambda each: [each])
    for start in range(0, len(text), size):
        found.take(text[start : start + size])
    found.end()
    return [each for (each,) in found.kept]


@pytest.mark.parametrize("size", [4, 5, 7, 1000])
def test_a_list_in_pieces_is_the_list(size: int) -> None:
    """Wherever it is cut: in a number, an escape, a letter of several bytes; in each encoding of JSON."""
    for text in SOUND:
        for encoding in ("utf-8", "utf-8-sig", "utf-16-le", "utf-32-be"):
            assert in_pieces(text.encode(encoding), size) == json.loads(text)


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("size", [4, 1000])
def test_what_is_no_list_is_refused(text: str, size: int) -> None:
    """Also half of a character, which JSON allows and which can neither be sent nor stored."""
    with pytest.raises(ValueError, match=r".*"):
        in_pieces(text.encode(), size)


def test_an_element_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in memory whole."""
    monkeypatch.setattr(elements, "LONGEST", 1000)
    found = Elements(lambda each: each)
    found.take(b'["')
    for _ in range(9):
        found.take(b"a" * 100)
    with pytest.raises(ValueError, match="an element does not end"):
        found.take(b"a" * 100)


class Pieces(httpx.AsyncByteStream):
    """A body in pieces, which may break off."""

    def __init__(self, pieces: Callable[[], AsyncIterator[bytes]]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces():
            yield piece


def service(answer: Callable[[int], httpx.Response], *, attempts: int = 2) -> Api:
    """A service that answers each try so; its naps take no time."""
    tries: list[int] = []

    async def answered(_request: httpx.Request) -> httpx.Response:
        tries.append(1)
        return answer(len(tries))

    async def nap(_seconds: float) -> None:
        return None

    client = Pool("https://svc.example", httpx.MockTransport(answered))
    retry = Retry(attempts=attempts, sleep=nap)
    return Api("SVC", client, retry=retry).expecting({"GET /x/": a_list()})


def json_of(pieces: Callable[[], AsyncIterator[bytes]], **headers: str) -> httpx.Response:
    """An answer that says that it is JSON."""
    return httpx.Response(200, headers={"content-type": "application/json", **headers}, stream=Pieces(pieces))


async def test_an_answer_that_breaks_off_leaves_nothing_of_its_rows() -> None:
    """It is asked for again, and what takes the elements begins anew."""

    async def half() -> AsyncIterator[bytes]:
        yield b"[1, 2, 3"
        raise httpx.ReadError("gone")

    async def whole() -> AsyncIterator[bytes]:
        yield b"[1, 2, 3, "
        yield b"4]"

    taken: list[list[int]] = []

    def begin() -> Callable[[int], None]:
        taken.append([])
        return taken[-1].append

    api = service(lambda number: json_of(half if number == 1 else whole))
    reply = await api.get("/x/", each=begin)

    assert (taken, reply.data) == ([[1, 2], [1, 2, 3, 4]], [])


async def test_what_is_kept_of_each_element_is_the_answer() -> None:
    """None is not kept; a short list is read like a long one."""

    async def short() -> AsyncIterator[bytes]:
        yield b"[1]"

    async def longer() -> AsyncIterator[bytes]:
        yield b"  "
        yield b'[1, 2, "'
        yield b'x"]'

    brief = await service(lambda _: json_of(short)).get("/x/", each=lambda: _unless_two)
    kept = await service(lambda _: json_of(longer)).get("/x/", each=lambda: _unless_two)

    assert (brief.data, kept.data) == ([1], [1, "x"])


def _unless_two(each: object) -> object:
    return None if each == 2 else each


@pytest.mark.parametrize("body", [b'{"detail": "no"}', b"[1, 2", b"[1] [2]", b"[1, \xff]"])
async def test_an_answer_that_is_no_list_is_no_success(body: bytes) -> None:
    """As where it is read in one piece; of an error the body is read as ever."""

    async def given() -> AsyncIterator[bytes]:
        yield body

    with pytest.raises(Refused):
        await service(lambda _: json_of(given)).get("/x/", each=lambda: _unless_two)
    refused = httpx.Response(400, json=["why"])
    with pytest.raises(Refused) as caught:
        await service(lambda _: refused).get("/x/", each=lambda: _unless_two)
    assert caught.value.status == 400


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
async def test_a_long_list_takes_no_more_memory_than_a_short_one(packed: bool) -> None:
    """Thirty megabytes, of which a row is in memory at a time."""
    rows = [json.dumps({"user": {"id": number}, "name": "x" * 3000}).encode() for number in range(100)]
    part = b", ".join(rows)

    async def many() -> AsyncIterator[bytes]:
        packer = zlib.compressobj(wbits=31)
        for piece in [b"[" + part, *[b", " + part] * 100, b"]"]:
            yield packer.compress(piece) if packed else piece
        yield packer.flush() if packed else b""

    encoding = {"content-encoding": "gzip"} if packed else {}
    api = service(lambda _: json_of(many, **encoding))
    ids: set[int] = set()
    tracemalloc.start()
    try:
        await api.get("/x/", each=lambda: lambda row: ids.add(row["user"]["id"]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(ids) == 100
    assert peak < 4 * MEGABYTE


async def test_a_list_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its size, if not by its time."""
    monkeypatch.setattr("retirement.wire.exchange.LARGEST_LIST", 3 * MEGABYTE)

    async def endless() -> AsyncIterator[bytes]:
        yield b"[1"
        while True:
            yield b", " + json.dumps("x" * 100_000).encode()

    with pytest.raises(Transient, match="larger than 3 MB"):
        await service(lambda _: json_of(endless), attempts=1).get("/x/", each=lambda: _unless_two)


async def packed(element: bytes, number: int) -> AsyncIterator[bytes]:
    """A list that is one element again and again, in one piece of a thousandth of its size."""
    packer = zlib.compressobj(9, wbits=31)
    yield packer.compress(b"[" + (element + b",") * number) + packer.compress(element + b"]") + packer.flush()


async def test_a_list_that_few_bytes_unpack_to_lets_others_have_their_turn() -> None:
    """A thousand bytes are a million: the leases of learners who are at work have to be kept meanwhile."""
    api = service(
        lambda _: json_of(lambda: packed(b'"%s"' % (b"x" * 1000), 1000), **{"content-encoding": "gzip"}), attempts=1
    )
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    at_work = asyncio.create_task(others())
    reply = await api.get("/x/", each=lambda: lambda _: None)
    at_work.cancel()

    assert reply.data == []
    assert turns > 1_000_000 // (64 * 1024)


async def test_a_list_of_what_is_no_row_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence about each would fill the memory, and no person reads them."""
    monkeypatch.setattr(listing, "MOST_UNREADABLE", 100)
    reading = Reading("the queue", lambda: lambda _: None)

    def lms(rows: int) -> Api:
        return service(lambda _: json_of(lambda: packed(b"0", rows - 1), **{"content-encoding": "gzip"}))

    await lms(100).get("/x/", each=reading)
    assert len(reading.unreadable) == 100
    with pytest.raises(Misconfigured, match="the queue: more than 100 rows"):
        await lms(101).get("/x/", each=reading)


def test_rows_that_are_put_away_come_back_in_their_order_and_stand_nowhere_in_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as they are read."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = Spool(f"canary-{number}" for number in range(3 * AT_ONCE + 7))
    wanted = [f"canary-{number}" for number in range(3 * AT_ONCE + 7)]

    assert (list(spool), list(spool), len(spool)) == (wanted, wanted, len(wanted))
    assert [len(each) for each in spool.batches(1000)] == [1000, AT_ONCE * 3 + 7 - 1000]
    assert spool._file
    spool._file.seek(0)
    assert b"canary" not in spool._file.read()
    assert list(tmp_path.iterdir()) == []
    spool.clear()
    assert (list(spool), len(spool)) == ([], 0)


@pytest.mark.parametrize("before", [AT_ONCE - 1, AT_ONCE + 1, 2 * AT_ONCE - 1])
def test_rows_that_are_added_while_others_are_read_take_none_away(before: int) -> None:
    """Also where those that were still in memory are put away by them."""
    spool, read = Spool(range(before)), list[int]()
    for row in spool:
        read.append(row)
        if row == 0:
            spool.extend(range(before, before + AT_ONCE))

    assert read[:before] == list(range(before))
    assert list(spool) == list(range(before + AT_ONCE))


def test_a_file_is_closed_with_its_rows() -> None:
    """Also where they were not read to their end; the suite takes an open file for an error."""
    spool = Spool(range(2 * AT_ONCE))
    file = spool._file
    next(iter(spool))
    del spool

    assert file
    assert file.closed


def test_rows_stay_in_memory_where_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the LMS hands out once must not be lost for a full disk."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    assert list(Spool(range(2 * AT_ONCE + 1))) == list(range(2 * AT_ONCE + 1))
