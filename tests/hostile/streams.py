"""Misbehaviours of bytes: how fast they come, how many, and where the connection ends."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache

from tests.hostile.misbehaviours import JSON, Misbehaviour
from tests.hostile.proxy import Exchange, Manner, head, headers_of

#: Seconds between two bytes.
BEAT = 1.0
PIECE = b" " * 65536
#: Larger than what any answer may be.
MEGABYTES = 80


def streams() -> list[Misbehaviour]:
    """Those of this module."""
    return [*_speeds(), *_sizes(), *_connections()]


async def _dripped(exchange: Exchange, beginning: bytes, drop: bytes) -> bool:
    """Something at once, and then a drop a second until the client goes."""
    await exchange.say(beginning)
    while not exchange.is_left:
        await exchange.say(drop)
        await asyncio.sleep(BEAT)
    return False


def _speeds() -> list[Misbehaviour]:
    async def silent(exchange: Exchange) -> bool:
        await exchange.reader.read()
        return False

    async def silent_after(exchange: Exchange) -> bool:
        await exchange.work()
        return await silent(exchange)

    async def drips(exchange: Exchange) -> bool:
        return await _dripped(exchange, head(200, {"Content-Type": JSON}), b" ")

    async def drips_a_head(exchange: Exchange) -> bool:
        return await _dripped(exchange, b"HTTP/1.1 200 OK\r\nX-Drop: ", b"x")

    async def hints(exchange: Exchange) -> bool:
        return await _dripped(exchange, b"", b"HTTP/1.1 103 Early Hints\r\n\r\n")

    async def slow(exchange: Exchange) -> bool:
        answer = await exchange.work()
        await exchange.say(head(answer.status, headers_of(answer), len(answer.body)))
        for place in range(0, len(answer.body), 64):
            await exchange.say(answer.body[place : place + 64])
            await asyncio.sleep(BEAT)
        return True

    return [
        Misbehaviour("speed", "silent", silent),
        Misbehaviour("speed", "silent", silent, lasts=False),
        Misbehaviour("speed", "silent-after-the-work", silent_after),
        Misbehaviour("speed", "silent-after-the-work", silent_after, lasts=False),
        Misbehaviour("speed", "a-byte-a-second", drips),
        Misbehaviour("speed", "a-head-by-the-byte", drips_a_head),
        Misbehaviour("speed", "hints-for-ever", hints),
        Misbehaviour("speed", "slow-and-whole", slow),
    ]


@cache
def _bomb(window: int) -> bytes:
    packer = zlib.compressobj(1, wbits=window)
    blanks = b" " * (1 << 20)
    return b"".join([*(packer.compress(blanks) for _ in range(MEGABYTES)), packer.flush()])


def _sizes() -> list[Misbehaviour]:
    def endless(headers: dict[str, str], piece: bytes) -> Manner:
        async def manner(exchange: Exchange) -> bool:
            await exchange.say(head(200, {"Content-Type": JSON, **headers}))
            while not exchange.is_left:
                await exchange.say(piece)
            return False

        return manner

    def bomb(encoding: str, pack: Callable[[], bytes]) -> Manner:
        async def manner(exchange: Exchange) -> bool:
            body = pack()
            await exchange.say(head(200, {"Content-Type": JSON, "Content-Encoding": encoding}, len(body)) + body)
            return True

        return manner

    async def heads(exchange: Exchange) -> bool:
        await exchange.say(b"HTTP/1.1 200 OK\r\n")
        while not exchange.is_left:
            await exchange.say(b"X-More: " + b"x" * 1000 + b"\r\n")
        return False

    chunk = b"10000\r\n" + PIECE + b"\r\n"
    return [
        Misbehaviour("size", "without-end", endless({}, PIECE)),
        Misbehaviour("size", "a-terabyte-is-named", endless({"Content-Length": str(10**12)}, PIECE)),
        Misbehaviour("size", "chunks-without-end", endless({"Transfer-Encoding": "chunked"}, chunk)),
        Misbehaviour("size", "gzip-bomb", bomb("gzip", lambda: _bomb(31))),
        Misbehaviour("size", "deflate-bomb", bomb("deflate", lambda: _bomb(15))),
        Misbehaviour("size", "gzip-in-gzip", bomb("gzip, gzip", lambda: gzip.compress(_bomb(31)))),
        Misbehaviour("size", "heads-without-end", heads),
    ]


#: What is said before a connection ends.
Last = Callable[[Exchange], Awaitable[None]]


async def _nothing(_exchange: Exchange) -> None:
    """The connection ends without a word."""


async def _works(exchange: Exchange) -> None:
    await exchange.work()


async def _half(exchange: Exchange) -> None:
    answer = await exchange.work()
    await exchange.say(head(answer.status, headers_of(answer), len(answer.body) + 10) + answer.body)


async def _half_a_head(exchange: Exchange) -> None:
    answer = await exchange.work()
    await exchange.say(head(answer.status, headers_of(answer))[:-4])


async def _no_http(exchange: Exchange) -> None:
    await exchange.say(b"SSH-2.0-OpenSSH_9.6\r\n" + exchange.words.encode() + b"\r\n")


async def _whole(exchange: Exchange) -> None:
    await exchange.send(await exchange.work())


async def _two_answers(exchange: Exchange) -> bool:
    answer = await exchange.work()
    whole = head(answer.status, headers_of(answer), len(answer.body)) + answer.body
    await exchange.say(whole + head(204, {}))
    return True


async def _refused(exchange: Exchange) -> bool:
    exchange.refuse()
    return False


def _ends(last: Last, *, reset: bool = False) -> Manner:
    async def manner(exchange: Exchange) -> bool:
        await last(exchange)
        if reset:
            exchange.reset()
        return False

    return manner


def _connections() -> list[Misbehaviour]:
    manners = {
        "reset-before": _ends(_nothing, reset=True),
        "reset-after": _ends(_works, reset=True),
        "closed-before": _ends(_nothing),
        "closed-after": _ends(_works),
        "half-an-answer": _ends(_half),
        "half-a-head": _ends(_half_a_head),
        "no-http": _ends(_no_http),
        "keep-alive-closed": _ends(_whole),
        "keep-alive-reset": _ends(_whole, reset=True),
        "two-answers": _two_answers,
    }
    lasting = [Misbehaviour("connection", name, manner) for name, manner in manners.items()]
    return [
        Misbehaviour("connection", "refused", _refused),
        *lasting,
        *(replace(each, lasts=False) for each in lasting),
    ]
