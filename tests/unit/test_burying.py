"""Runs of learners that were started without a user id, since a form asks for it: which of them are taken for dead."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    temporary_settings,
)

from retirement.flows.kit.dead_runs import UNLEASED, bury

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Api(BaseHTTPRequestHandler):
    """Prefect's API with some runs of learners; notes which of them are ended."""

    runs: list[dict[str, Any]]
    ended: list[str]

    def do_POST(self) -> None:
        """Lists runs, or ends one."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer: Any = []
        if self.path.endswith("/set_state"):
            self.ended.append(self.path.split("/")[-2])
            answer = {"status": "ACCEPT", "details": {}, "state": {"type": "CRASHED"}}
        elif body["flows"]["name"]["any_"] == ["retire-learner"] and not body["offset"]:
            answer = self.runs
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def api(*runs: dict[str, Any]) -> Iterator[list[str]]:
    """A server with these runs; the ids of those that are ended."""
    handler: type[Api] = type("Handler", (Api,), {"runs": list(runs), "ended": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        settings = {
            PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/api",
            PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False,
            PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
        }
        with temporary_settings(settings):
            yield handler.ended
        server.shutdown()
        thread.join()


def run(number: int, name: str, parameters: dict[str, Any], *, silent: timedelta) -> dict[str, Any]:
    """A run of a learner that has not changed for a while."""
    of = {"id": str(UUID(int=number)), "flow_id": str(UUID(int=99)), "state": {"type": "RUNNING"}}
    return {**of, "name": name, "parameters": parameters, "updated": (NOW - silent).isoformat()}


async def test_a_run_whose_form_asked_for_the_learner_ends_no_reconciliation() -> None:
    """Its name has the learner once that is known; before, hours have to pass. The others are buried as ever."""
    hour = timedelta(hours=1)
    runs = [
        run(1, "learner-101", {"user_id": 101}, silent=hour),
        run(2, "learner-102", {"user_id": None}, silent=hour),
        run(3, "learner-103", {}, silent=hour),
        run(4, "learner-2026-03-01-11-00", {}, silent=hour),
        run(5, "learner-2026-03-01-04-00", {"user_id": None}, silent=UNLEASED + hour),
        run(6, "learner-104", {"user_id": "of someone"}, silent=hour),
    ]
    with api(*runs) as ended:
        buried = await bury(lambda user_id: user_id == 103, live=("queue",), now=lambda: NOW)

    assert buried == [101, 102]
    assert [UUID(each).int for each in ended] == [1, 2, 5]
