"""The door of a real `serve`: attacked from another account, open for the right person, and gone with the flows."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from retirement.flows.kit import lock
from retirement.flows.kit.starting import DEPLOYMENT
from tests import databases, patient
from tests.api.desk import ADMIN, CLIENT, FIRST, LMS_AUDIENCE, LMS_KEY, STRANGER, bearer, claims, learner_token
from tests.in_thread import in_thread
from tests.patient import PATIENCE
from tests.ports import free_port

from .conftest import Platform, sandbox, until
from .test_lock import NOBODY

ATTACKER = Path(__file__).with_name("attacker.py")
EVIL = "http://evil.example"


@pytest.fixture(scope="module")
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

    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    address = f"http://127.0.0.1:{server.server_port}"
    with in_thread(server):
        yield address


@dataclass(frozen=True)
class Served:
    """A `serve` with a door, the platform of two learners behind it, and the server that it works with."""

    platform: Platform
    process: subprocess.Popen[str]
    issuer: str
    port: int

    @property
    def door(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def signed(self, subject: str) -> dict[str, str]:
        """The header of a person with a token of the provider."""
        return bearer(FIRST.signed(claims(subject, iss=self.issuer, exp=int(time.time()) + 3600)))

    def is_listening(self) -> bool:
        """Whether the door answers."""
        try:
            return patient.get(f"{self.door}/api/health").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def served(environment: dict[str, str], engine: str, issuer: str) -> Iterator[Served]:
    """One for all tests of this file; its folder can be entered by other accounts, so that its files are attacked."""
    port = free_port()
    # The account of the database passes through such a folder, so any other one does as well.
    with databases.open_folder("retirement-served-") as folder, sandbox(folder, "--learners", "2") as platform:
        (folder / "lms.json").write_text(json.dumps({"keys": [LMS_KEY.public]}))
        platform.configure(
            door={
                "url": f"http://127.0.0.1:{port}",
                "port": port,
                "issuer": issuer,
                "client_id": CLIENT,
                "administrators": [ADMIN],
                "learners_keys": "lms.json",
                "learners_audience": LMS_AUDIENCE,
                "learners_issuer": "the-lms",
            }
        )
        serve = [sys.executable, "-m", "retirement", "serve", "--config", str(platform.config)]
        variables = {**environment, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
        with subprocess.Popen(serve, env=variables, stdout=subprocess.PIPE, text=True) as process:
            try:
                found = Served(platform, process, issuer, port)
                until(found.is_listening)
                yield found
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.communicate()


def runs_of(engine: str, deployment: str) -> int:
    """How many runs a deployment has."""
    return int(patient.post(f"{engine}/flow_runs/count", json={"deployments": {"id": {"any_": [deployment]}}}).json())


def deployed(engine: str) -> str | None:
    """The deployment by which a learner is retired, once `serve` offers it."""
    answer = patient.get(f"{engine}/deployments/name/{DEPLOYMENT}")
    return None if answer.status_code != 200 or answer.json()["paused"] else str(answer.json()["id"])


def attacks(served: Served, engine: str, deployment: str) -> Mapping[str, tuple[int, tuple[Any, ...]]]:
    """What is expected of each request, and the request: port, method, path, headers and body."""
    at = urlsplit(engine).port
    start, started = f"/api/deployments/{deployment}/create_flow_run", json.dumps({"parameters": {"user_id": 1}})
    wrong = {"Authorization": f"Basic {base64.b64encode(b'retirement:' + b'x' * 43).decode()}"}
    unsigned = jwt.encode(claims(ADMIN, iss=served.issuer), None, "none")
    admin, session = served.signed(ADMIN), {"Cookie": f"retirement={'x' * 43}.{'0' * 64}"}
    socket_of = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "eHh4eHh4eHh4eHh4eHh4eA==",
        "Sec-WebSocket-Protocol": "prefect",
    }
    grant = json.dumps({"userId": STRANGER, "domainId": "system", "actions": ["view"]})
    own = f"127.0.0.1:{served.port}"
    return {
        "engine: list runs": (401, (at, "POST", "/api/flow_runs/filter", {}, "{}")),
        "engine: list runs, wrong password": (401, (at, "POST", "/api/flow_runs/filter", wrong, "{}")),
        "engine: start a run": (401, (at, "POST", start, {}, started)),
        "engine: start a run, wrong password": (401, (at, "POST", start, wrong, started)),
        "engine: start a run, of a page": (401, (at, "POST", start, {"Origin": EVIL}, started)),
        "engine: may a page start a run": (
            400,
            (at, "OPTIONS", start, {"Origin": EVIL, "Access-Control-Request-Method": "POST"}, ""),
        ),
        "engine: of another name": (400, (at, "POST", start, {"Host": "evil.example"}, started)),
        "door: the queue": (401, (served.port, "GET", "/api/queue", {}, "")),
        "door: erase a learner": (401, (served.port, "DELETE", "/api/learners/1", {}, "")),
        "door: grant": (401, (served.port, "POST", "/api/permissions", {}, grant)),
        "door: grant, unsigned token": (401, (served.port, "POST", "/api/permissions", bearer(unsigned), grant)),
        "door: grant, invented session": (401, (served.port, "POST", "/api/permissions", session, grant)),
        "door: grant, told who": (
            401,
            (served.port, "POST", "/api/permissions", {"X-Retirement-Person": f"{served.issuer} {ADMIN}"}, grant),
        ),
        "door: grant, of a page": (403, (served.port, "POST", "/api/permissions", {**admin, "Origin": EVIL}, grant)),
        "door: start a run": (401, (served.port, "POST", start, {}, started)),
        "door: start a run, the engine's password": (401, (served.port, "POST", start, wrong, started)),
        "door: of another name": (400, (served.port, "GET", "/api/queue", {**admin, "Host": "evil.example"}, "")),
        "door: of another name, as a proxy says": (
            400,
            (served.port, "GET", "/api/queue", {**admin, "Host": "evil.example", "X-Forwarded-Host": own}, ""),
        ),
        "door: two slashes": (400, (served.port, "GET", "//api/queue", admin, "")),
        "door: a folder up": (400, (served.port, "GET", "/assets/%2e%2e/api/queue", admin, "")),
        "door: websocket": (403, (served.port, "GET", "/api/events/out", socket_of, "")),
        "door: websocket, of a page": (
            403,
            (served.port, "GET", "/api/events/out", {**socket_of, **admin, "Origin": EVIL}, ""),
        ),
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another account")
def test_another_account_and_a_page_of_another_origin_get_nothing_at_engine_and_door(
    served: Served, engine: str, home: Path
) -> None:
    """As `nobody`, with no credential, a wrong one, and an administrator's own in the hands of another page."""
    deployment = until(lambda: deployed(engine))
    tried, folder = attacks(served, engine, deployment), served.platform.config.parent
    files = [home / "engine" / lock.FILE, *(each for each in folder.iterdir() if each.is_file())]
    before, states = runs_of(engine, deployment), served.platform.states()
    told = {
        "uid": NOBODY,
        "files": list(map(str, files)),
        "requests": {name: request for name, (_, request) in tried.items()},
    }
    command = [sys.executable, "-c", ATTACKER.read_text(encoding="utf-8"), json.dumps(told)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout)

    assert said["requests"] == {name: status for name, (status, _) in tried.items()}
    public = {"lms.json", "seed.json"}
    secret = {file: what for file, what in said["files"].items() if Path(file).name not in public}
    assert {Path(each).name for each in secret} >= {lock.FILE, "ledger.sqlite", "retirement.yaml"}
    assert set(secret.values()) == {"PermissionError"}
    assert (runs_of(engine, deployment), served.platform.states()) == (before, states)
    stranger = patient.get(f"{served.door}/api/permissions/system", headers=served.signed(STRANGER))
    assert stranger.status_code == 404


def test_an_administrator_has_one_learner_retired_at_the_door_of_serve(served: Served) -> None:
    """By a run of the deployment, on the locked server; the learner sees the end of it with a token of the LMS."""
    ana, ben = sorted(each["user_id"] for each in served.platform.state().values())
    own = f"{served.door}/api/learners/{ana}"

    def learner(user_id: int) -> dict[str, str]:
        return bearer(learner_token(user_id, iss="the-lms", exp=int(time.time()) + 3600))

    admin = served.signed(ADMIN)
    refused = [
        patient.delete(own, headers=headers).status_code
        for headers in ({}, served.signed(STRANGER), learner(ben), {"Host": "evil.example", **admin})
    ]
    # The deployments are offered after the door has opened.
    until(lambda: patient.delete(own, headers=admin).status_code == 204)
    # A learner may ask 30 times a minute, which is looked at in memory.
    until(lambda: (patient.get(own, headers=admin).json().get("ledger") or {}).get("retired_at"))
    seen = patient.get(own, headers=learner(ana)).json()
    proof = patient.get(f"{own}/certificate", headers=learner(ana)).json()
    served.process.terminate()
    said = served.process.communicate()[0]
    states = {each["user_id"]: each["retirement"]["current_state"] for each in served.platform.state().values()}

    assert refused == [401, 403, 404, 400]
    assert (seen["user_id"], bool(seen["retired_at"])) == (ana, True)
    assert f"door: {served.door} (listens at 127.0.0.1:{served.port})" in said
    assert (states[ana], states[ben]) == ("COMPLETE", "PENDING")
    assert (proof["user_id"], bool(proof["signature"]["signature"])) == (ana, True)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", served.port)) != 0
