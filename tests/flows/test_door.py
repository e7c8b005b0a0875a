"""The door of a real `serve`: it listens, lets the right person start one retirement, and ends with the flows."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests import patient
from tests.api.desk import ADMIN, CLIENT, FIRST, LMS_AUDIENCE, LMS_KEY, STRANGER, bearer, claims, learner_token
from tests.ports import free_port

from .conftest import sandbox, until


@pytest.fixture
def issuer() -> Iterator[str]:
    """A provider that shows its addresses and its key."""

    class Provider(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            said: dict[str, object] = {"keys": [FIRST.public]}
            if self.path.endswith("openid-configuration"):
                said = {"issuer": address, **{name: f"{address}/{name}" for name in names}}
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield address
        server.shutdown()
        thread.join()


def test_an_administrator_has_one_learner_retired_at_the_door_of_serve(
    tmp_path: Path, environment: dict[str, str], engine: str, issuer: str
) -> None:
    """By a run of the deployment, on the locked server; the learner sees the end of it with a token of the LMS."""
    port = free_port()
    door = f"http://127.0.0.1:{port}"
    (tmp_path / "lms.json").write_text(json.dumps({"keys": [LMS_KEY.public]}))
    with sandbox(tmp_path, "--learners", "2") as platform:
        ana, ben = sorted(each["user_id"] for each in platform.state().values())
        platform.configure(
            door={
                "url": door,
                "port": port,
                "issuer": issuer,
                "client_id": CLIENT,
                "administrators": [ADMIN],
                "learners_keys": "lms.json",
                "learners_audience": LMS_AUDIENCE,
                "learners_issuer": "the-lms",
            }
        )

        def signed(subject: str) -> dict[str, str]:
            return bearer(FIRST.signed(claims(subject, iss=issuer, exp=int(time.time()) + 3600)))

        def learner(user_id: int) -> dict[str, str]:
            return bearer(learner_token(user_id, iss="the-lms", exp=int(time.time()) + 3600))

        def is_listening() -> bool:
            try:
                return patient.get(f"{door}/api/health").status_code == 200
            except httpx.TransportError:
                return False

        own = f"{door}/api/learners/{ana}"
        serve = [sys.executable, "-m", "retirement", "serve", "--config", str(platform.config)]
        variables = {**environment, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
        with subprocess.Popen(serve, env=variables, stdout=subprocess.PIPE, text=True) as process:
            try:
                until(is_listening)
                refused = [
                    patient.delete(own, headers=headers).status_code
                    for headers in ({}, signed(STRANGER), learner(ben), {"Host": "evil.example", **signed(ADMIN)})
                ]
                # The deployments are offered after the door has opened.
                until(lambda: patient.delete(own, headers=signed(ADMIN)).status_code == 204)
                until(lambda: patient.get(own, headers=learner(ana)).json().get("retired_at"))
                proof = patient.get(f"{own}/certificate", headers=learner(ana)).json()
            finally:
                process.terminate()
                said = process.communicate()[0]

        states = {each["user_id"]: each["retirement"]["current_state"] for each in platform.state().values()}

    assert refused == [401, 403, 404, 400]
    assert f"door: {door} (listens at 127.0.0.1:{port})" in said
    assert (states[ana], states[ben]) == ("COMPLETE", "PENDING")
    assert (proof["user_id"], bool(proof["signature"]["signature"])) == (ana, True)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
