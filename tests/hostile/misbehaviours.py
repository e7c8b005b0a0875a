"""What a misbehaviour is, and those of whole answers: status, body and encoding.

A foreign body holds the learner's username, e-mail and name, so that a program that quotes it is found out.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from retirement.sandbox.wire import Answer
from tests.hostile.proxy import Exchange, Manner, Place

KINDS = ("status", "body", "speed", "size", "encoding", "connection")
#: Stands in a body for what the learner is called.
WHO = "WHO"
HTML, TEXT, JSON = "text/html", "text/plain", "application/json"
PAGE = f"<!doctype html><html><title>Sign in</title><form>{WHO}</form></html>"
#: What a careless reader takes for a success: how it is called, its content type, and the body.
BODIES: dict[str, tuple[str, str]] = {
    "empty": (HTML, ""),
    "text": (TEXT, f"OK {WHO}"),
    "html": (HTML, PAGE),
    "{}": (JSON, "{}"),
    "[]": (JSON, "[]"),
    "foreign": (JSON, json.dumps({"message": f"OK, {WHO}", "id": 17})),
    "error-inside": (JSON, json.dumps({"success": True, "error": f"cannot delete {WHO}"})),
}


@dataclass(frozen=True)
class Misbehaviour:
    """One way to misbehave. `lasts`: for ever, else once; `fits` says at which places it can be played."""

    kind: str
    name: str
    manner: Manner
    lasts: bool = True
    fits: Callable[[Place], bool] = lambda _place: True

    def __str__(self) -> str:
        return self.name if self.lasts else f"{self.name}, once"


def answers() -> list[Misbehaviour]:
    """Those of this module."""
    return [*_statuses(), *_lies(), *_bodies(), *_encodings()]


def _filled(answer: Answer, words: str) -> Answer:
    return replace(answer, body=answer.body.replace(WHO.encode(), words.encode()))


def _instead(name: str, answer: Answer, *, lasts: bool = True, kind: str = "status") -> Misbehaviour:
    async def manner(exchange: Exchange) -> bool:
        await exchange.send(_filled(answer, exchange.words))
        return True

    return Misbehaviour(kind, name, manner, lasts)


def _answer(status: int, body: str, **headers: str) -> Answer:
    kind, text = BODIES[body]
    return Answer(status, text.encode(), kind, tuple((name.replace("_", "-"), each) for name, each in headers.items()))


def _statuses() -> list[Misbehaviour]:
    successes = [(status, body) for status in (200, 201, 202, 203, 206, 299) for body in BODIES]
    refusals = [(status, "error-inside") for status in (400, 401, 403, 404, 405, 408, 409, 410, 413, 418, 422, 425)]
    pages = [(status, body) for status in (401, 403, 404) for body in ("html", "empty")]
    troubles = [(status, "html") for status in (500, 501, 502, 503, 504, 511, 599)]
    plain = [*successes, (204, "empty"), (205, "empty"), *refusals, *pages, *troubles, (500, "error-inside")]
    found = [_instead(f"{status}-{body}", _answer(status, body)) for status, body in plain]
    found += [_instead(f"{status}", _answer(status, "html", Location="/login")) for status in (301, 302, 303, 307, 308)]
    found += [_instead("304", _answer(304, "empty"))]
    for status, pause in ((429, ""), (429, "7"), (429, "86400"), (429, "Fri, 31 Dec 2100 23:59:59 GMT"), (503, "7")):
        headers = {"Retry_After": pause} if pause else {}
        found.append(_instead(f"{status}-after-{pause or 'nothing'}"[:16], _answer(status, "html", **headers)))
    once = ("401-error-inside", "404-empty", "404-error-inside", "429-after-7", "503-html", "500-error-inside")
    return [*found, *(replace(each, lasts=False) for each in found if each.name in once)]


def _lies() -> list[Misbehaviour]:
    """Answers that are right for another request: what caches and broken gateways give."""

    async def own(exchange: Exchange) -> bool:
        await exchange.send(await exchange.pretend())
        return True

    async def others(exchange: Exchange) -> bool:
        await exchange.send(exchange.others or await exchange.work())
        return True

    async def stale(exchange: Exchange) -> bool:
        await exchange.send(exchange.before or await exchange.work())
        return True

    return [
        Misbehaviour("status", "its-own-success-without-the-work", own, fits=lambda place: place.route.method != "GET"),
        Misbehaviour("status", "another-learner's-answer", others),
        Misbehaviour("status", "the-answer-before", stale),
    ]


def _changed(name: str, change: Callable[[Answer], Answer], kind: str = "body", *, lasts: bool = True) -> Misbehaviour:
    """The work is done, and its answer comes out differently."""

    async def manner(exchange: Exchange) -> bool:
        await exchange.send(change(await exchange.work()))
        return True

    return Misbehaviour(kind, name, manner, lasts)


def _bodies() -> list[Misbehaviour]:
    texts = {
        "half-of-json": '{"half": ',
        "null": "null",
        "a-number": "17",
        "a-text": f'"{WHO}"',
        "junk": f'[null, 17, "{WHO}", {{"{WHO}": 1}}]',
        "deep": "[" * 100_000,
        "400-digits": f'{{"id": {"9" * 400}, "expires_in": {"9" * 400}}}',
        "half-a-character": '{"id": "\\ud800", "access_token": "\\udfff"}',
        "nul": "\0",
    }
    return [
        *(_instead(name, Answer(200, text.encode(), JSON), kind="body") for name, text in texts.items()),
        _changed("cut-short", lambda answer: replace(answer, body=answer.body[:-1], content_type=JSON)),
        _changed("cut-short", lambda answer: replace(answer, body=answer.body[:-1], content_type=JSON), lasts=False),
        _changed("nothing-of-it", lambda answer: replace(answer, body=b"", content_type=None)),
        _changed("wrapped", lambda answer: replace(answer, body=b'{"data": ' + (answer.body or b"0") + b"}")),
        _changed("called-a-text", lambda answer: replace(answer, content_type=TEXT)),
        _changed("done-and-202", lambda answer: replace(answer, status=202)),
        _changed("done-and-500", lambda answer: replace(answer, status=500), lasts=False),
    ]


def _encodings() -> list[Misbehaviour]:
    def called(**headers: str) -> Callable[[Answer], Answer]:
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return lambda answer: replace(answer, headers=(*answer.headers, *named))

    def typed(kind: str, code: str = "utf-8") -> Callable[[Answer], Answer]:
        return lambda answer: replace(answer, content_type=kind, body=answer.body.decode().encode(code))

    return [
        _changed("no-gzip", called(Content_Encoding="gzip"), "encoding"),
        _changed("no-gzip", called(Content_Encoding="gzip"), "encoding", lasts=False),
        _changed("no-deflate", called(Content_Encoding="deflate"), "encoding"),
        _changed("br", called(Content_Encoding="br"), "encoding"),
        _changed("half-of-gzip", _half_packed, "encoding"),
        _changed("no-utf-16", typed(f"{JSON}; charset=utf-16"), "encoding"),
        _changed("utf-16", typed(f"{JSON}; charset=utf-16", "utf-16"), "encoding"),
        _changed("latin-1", lambda answer: replace(answer, body=b'"\xe9\xff"', content_type=JSON), "encoding"),
        _changed("nonsense", typed("x y;;charset=\xff"), "encoding"),
        _changed("no-type", lambda answer: replace(answer, content_type=None), "encoding"),
    ]


def _half_packed(answer: Answer) -> Answer:
    packed = gzip.compress(answer.body)
    return replace(answer, body=packed[: len(packed) // 2], headers=(*answer.headers, ("Content-Encoding", "gzip")))
