"""Where a worker's requests come in: counts them, watches them, and kills the worker at one of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, MutableMapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import psutil

from retirement.sandbox.web.asgi import HANG_UP, ASGIApp, Receive, Scope, Send

UPDATE = "/api/user/v1/accounts/update_retirement_status/"
#: Seconds until a killed process has to be gone.
DYING_SECONDS = 10.0

Message = MutableMapping[str, Any]


class Moment(StrEnum):
    """When the worker dies, seen from the request."""

    BEFORE = "before"  #: it has arrived, and is not passed on
    DURING = "during"  #: the work is done, and nobody reads the reply
    AFTER = "after"  #: the reply is sent, and the worker has had `linger` seconds with it


@dataclass(frozen=True)
class Blow:
    """At which request of a worker it dies, counted from 1, and when."""

    at: int
    moment: Moment
    linger: float = 0.0


@dataclass(frozen=True)
class Patch:
    """A move of a learner's row: what the ledger held as proved, what was done, and what the move came to."""

    state: str
    proved: frozenset[str]
    done: frozenset[str]
    #: None where the answer was lost, and the move may have been made.
    status: int | None


@dataclass
class Watch:
    """What is seen at all doors together."""

    #: The steps of a learner that the ledger holds as proved right now.
    proved: Callable[[str], frozenset[str]]
    #: The steps of a learner whose requests the platform has answered so far.
    done: Callable[[str], frozenset[str]]
    #: The learner's username for a request, None where it is about nobody.
    subject: Callable[[str, bytes], str | None]
    #: Seconds that each request is kept waiting inside, so that two at one learner could meet.
    hold: float = 0.0
    patches: list[Patch] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    _inside: Counter[tuple[str, int]] = field(default_factory=Counter)

    def enters(self, who: str | None, door: int, doors: Iterable[int]) -> None:
        """Two workers at one learner is what a lease forbids; one worker may run several steps of a learner."""
        if who is None:
            return
        if any(self._inside[who, other] for other in doors if other != door):
            self.overlaps.append(f"two workers called for one learner at a time at door {door}")
        self._inside[who, door] += 1

    def leaves(self, who: str | None, door: int) -> None:
        if who is not None:
            self._inside[who, door] -= 1


class Visit:
    """One worker at a door, from its first request to its end."""

    def __init__(self, blow: Blow | None) -> None:
        self.blow = blow
        self.victim: Future[int] = Future()
        self.requests: list[str] = []
        #: When each of the requests arrived, by a clock that only goes forward.
        self.times: list[float] = []
        self.killed = False
        #: The request at which the worker dies is here; its reply is out, and no other one is served.
        self.struck = self.replied = False

    async def kill(self) -> None:
        """Kills the worker, unless it is dead or has come to its end."""
        if self.killed:
            return
        pid = await asyncio.wrap_future(self.victim)
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            self.killed = True
            process.kill()
            # Nothing else is served until it is gone: what it would still write would come from a living process.
            process.wait(DYING_SECONDS)


class Door:
    """The way to the platform for one worker at a time: every request of that worker, and of no other."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.watch: Watch | None = None
        self.visit = Visit(None)
        self._neighbours: list[Door] = []

    def stands_beside(self, doors: list[Door]) -> None:
        """Tells who else calls the same platform."""
        self._neighbours = doors

    def expect(self, blow: Blow | None) -> None:
        """A new worker comes, and dies as `blow` says, at the latest when it sends the next; None: it lives."""
        self.visit = Visit(blow)

    def comes(self, pid: int) -> None:
        """Says who the worker is, as soon as that is known."""
        self.visit.victim.set_result(pid)

    def strike(self, moment: Moment, linger: float) -> None:
        """The worker dies at its next request."""
        self.visit.blow = Blow(1, moment, linger)

    def around(self, app: ASGIApp) -> ASGIApp:
        """An application of the platform as seen through this door."""

        async def layer(scope: Scope, receive: Receive, send: Send) -> None:
            visit = self.visit
            if visit.killed:
                await _hang_up(scope, receive)
                return
            visit.requests.append(f"{scope['method']} {scope['path']}")
            visit.times.append(time.monotonic())
            await self._pass(app, visit, scope, receive, send)

        return layer

    async def _pass(self, app: ASGIApp, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        blow = None
        if visit.blow and visit.blow.at <= len(visit.requests) and not visit.struck:
            blow, visit.struck = visit.blow, True
        if visit.replied or (blow and blow.moment is Moment.BEFORE):
            await visit.kill()
            await _hang_up(scope, receive)
            return
        body = await _read(receive)
        answer = await self._answered(app, scope, body, receive)
        if visit.killed or (blow and blow.moment is Moment.DURING):
            await visit.kill()
            await _hang_up(scope, receive)
            return
        for message in answer:
            await send(message)
        if blow:
            visit.replied = True
            await asyncio.sleep(blow.linger)
            await visit.kill()

    async def _answered(self, app: ASGIApp, scope: Scope, body: bytes, receive: Receive) -> list[Message]:
        """Passes a request on, with the watch beside it, and keeps the answer back."""
        kept: list[Message] = []
        again = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return again.pop() if again else await receive()

        async def keep(message: Message) -> None:
            kept.append(message)

        if (watch := self.watch) is None:
            await app(scope, replay, keep)
            return kept
        who = watch.subject(scope["path"], body)
        moves = (scope["method"], scope["path"]) == ("PATCH", UPDATE)
        known = (watch.proved(who), watch.done(who)) if moves and who else (frozenset[str](), frozenset[str]())
        watch.enters(who, self.number, [door.number for door in self._neighbours if not door.visit.killed])
        try:
            await asyncio.sleep(watch.hold)
            await app(scope, replay, keep)
        finally:
            watch.leaves(who, self.number)
        if moves and who:
            status = kept[0]["status"] if kept else None
            watch.patches.append(Patch(json.loads(body)["new_state"], *known, status))
        return kept


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _hang_up(scope: Scope, receive: Receive) -> None:
    scope["extensions"][HANG_UP]()
    while (await receive())["type"] != "http.disconnect":
        pass
