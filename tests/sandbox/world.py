"""A sandbox in memory, and clients that talk to its applications without sockets."""

from __future__ import annotations

from typing import Any

import httpx

from retirement.sandbox import Sandbox
from retirement.sandbox.world.identity import CLIENTS
from retirement.sandbox.world.tokens import access_token

ACCOUNTS = "/api/user/v1/accounts"


class World:
    """A sandbox and one HTTP client for each of its applications."""

    def __init__(self, sandbox: Sandbox, clients: dict[str, httpx.AsyncClient]) -> None:
        self.sandbox = sandbox
        self._clients = clients
        self.ids: dict[str, dict[str, Any]] = {}

    def seed(self, *learners: dict[str, Any], **seed: Any) -> None:
        self.ids = self.sandbox.reset({"learners": list(learners), **seed})["learners"]

    async def call(
        self, method: str, path: str, *, service: str = "lms", auth: str | None = "worker", **request: Any
    ) -> httpx.Response:
        headers = dict(request.pop("headers", {}))
        if auth is not None:
            headers["Authorization"] = f"JWT {access_token(CLIENTS[auth], 60, 'read')}"
        return await self._clients[service].request(method, path, headers=headers, **request)

    async def move(self, username: str, state: str, **more: Any) -> httpx.Response:
        body = {"username": username, "new_state": state, "response": "moved", **more}
        return await self.call("PATCH", f"{ACCOUNTS}/update_retirement_status/", json=body)

    def state(self, username: str) -> dict[str, Any]:
        learner: dict[str, Any] = self.sandbox.state()["learners"][username]
        return learner
