"""A simulated service: routes as Django resolves them, the gate before each, one transaction per request."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from sqlalchemy import Connection

from retirement.sandbox.wire import (
    PAGE_NOT_FOUND,
    SERVER_ERROR,
    AbortError,
    Answer,
    ApiError,
    Request,
    as_json,
    empty,
)
from retirement.sandbox.world import World
from retirement.sandbox.world.faults import Lost
from retirement.sandbox.world.tokens import Principal

logger = logging.getLogger(__name__)

#: A username that a path can carry (contract lms.md 1.5); others do not match, hence HTML 404.
PLACEHOLDERS = {"username": r"[\w .@_+-]+", "user_id": r"\d+", "rest": r".*"}
#: Any other placeholder: one part of a path, decoded.
ONE_PART = r"[^/]+"


#: Sends a request to a service of the platform. The task outlives the request that began it; the next seed ends it.
Send = Callable[[Request], asyncio.Task[Answer | Lost]]


@dataclass(slots=True)
class Call:
    """A request that has passed its gate, with all that a view needs."""

    request: Request
    world: World
    db: Connection
    principal: Principal
    arguments: Mapping[str, str]
    send: Send


#: A view answers at once, or returns what is to be awaited when its transaction is over.
View = Callable[[Call], Answer | Awaitable[Answer]]
Gate = Callable[[Request, World], Principal]


@dataclass(frozen=True)
class Route:
    """A path template (`{username}`, `{user_id}`), its gate, and the view of each method."""

    path: str
    gate: Gate
    views: Mapping[str, View] = field(default_factory=dict)

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        """None for a path without placeholders."""
        if "{" not in self.path:
            return None
        parts = re.split(r"\{(\w+)\}", self.path)
        return re.compile(
            "".join(f"(?P<{p}>{PLACEHOLDERS.get(p, ONE_PART)})" if i % 2 else re.escape(p) for i, p in enumerate(parts))
        )

    @property
    def allow(self) -> str:
        order = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
        methods = {*self.views, *(("HEAD",) if "GET" in self.views else ())}
        return ", ".join([*(m for m in order if m in methods), "OPTIONS"])


@dataclass(frozen=True)
class Manners:
    """How a service answers what none of its routes does: by default as Django and its REST framework."""

    not_found: Answer = PAGE_NOT_FOUND
    failed: Answer = SERVER_ERROR
    #: What a wrong method gets; None: 405 as the REST framework has it.
    wrong_method: Answer | None = None
    #: Whether a missing final slash is mended by a redirect.
    redirects: bool = True


class Service:
    """One service of the platform; `answer` is the whole of it, sockets are a matter of `web`."""

    def __init__(
        self,
        name: str,
        world: World,
        routes: Sequence[Route],
        send: Send,
        manners: Manners | None = None,
        settle: Callable[[Connection, datetime], None] | None = None,
    ) -> None:
        self.name = name
        self._settle = settle
        self._settled: object = None
        self._world = world
        self._send = send
        self.manners = manners or Manners()
        self._exact = {route.path: route for route in routes if route.pattern is None}
        self._patterns = [(route.pattern, route) for route in routes if route.pattern is not None]

    def find(self, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """The route of a path; `…/accounts/retire` without its slash is the account "retire" (1.5)."""
        if route := self._exact.get(path):
            return route, {}
        for pattern, route in self._patterns:
            if match := pattern.fullmatch(path):
                return route, match.groupdict()
        return None

    async def answer(self, request: Request) -> Answer:
        """Routes, checks and serves a request as Django and its REST framework do."""
        found = self.find(request.path)
        if found is None:
            return self._not_routed(request)
        route, arguments = found
        try:
            principal = route.gate(request, self._world)
            view = route.views.get("GET" if request.method == "HEAD" else request.method)
            if view is None:
                return self.manners.wrong_method or _no_such_method(request, route)
            with self._world.database.transaction() as db:
                self._do_what_is_due(db)
                result = view(Call(request, self._world, db, principal, arguments, self._send))
        except ApiError as error:
            return error.answer()
        except AbortError as abort:
            return abort.answer
        except Exception:  # Django answers whatever leaves a view with its HTML page
            logger.debug("%s %s", self.name, request.method, exc_info=True)
            return self.manners.failed
        return result if isinstance(result, Answer) else await result

    def _do_what_is_due(self, db: Connection) -> None:
        """Delayed work: a tenth of a second late at most, since most requests find nothing that is due."""
        now = self._world.now()
        tenth = now.timestamp() // 0.1
        if self._settle and self._settled != (tenth, self._world.database.version):
            self._settle(db, now)
            self._settled = tenth, self._world.database.version

    def _not_routed(self, request: Request) -> Answer:
        """301 when no route matches for want of the final slash, whatever the method and credentials (1.5)."""
        if self.manners.redirects and not request.path.endswith("/") and self.find(request.path + "/"):
            query = f"?{request.query_string}" if request.query_string else ""
            return empty(301, location=f"{request.raw_path}/{query}")
        return self.manners.not_found


def _no_such_method(request: Request, route: Route) -> Answer:
    """The gate comes first: without credentials a wrong method is 401 (1.1)."""
    if request.method == "OPTIONS":
        return as_json({"name": route.path}, headers=(("allow", route.allow),))
    detail = {"detail": f'Method "{request.method}" not allowed.'}
    return as_json(detail, 405, (("allow", route.allow),))
