"""The lock of our Prefect server, attacked: from another account, from web pages, and by an empty hand."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from retirement.errors import ConfigError
from retirement.flows.kit import lock
from retirement.flows.kit.environment import ALLOW_INSECURE
from tests import patient
from tests.flows.conftest import Command, sandbox, the_server, without_ours
from tests.flows.test_starting import CONFIG, Foreign, foreign_server
from tests.patient import PATIENCE

#: Tries as another account what the audit did: read the credential, list runs, give a deployment other steps.
ATTACK = """
import http.client, json, os, sys
port, credential, uid = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def asked(path):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", path, "{}", {"Content-Type": "application/json"})
    return connection.getresponse().status
asked("/api/flows/")  # imports what the other account may not read
os.setgid(uid)
os.setuid(uid)
said = {}
try:
    said["file"] = open(credential).read()
except OSError as error:
    said["file"] = type(error).__name__
for path in ("/api/flow_runs/filter", "/api/deployments/filter", "/api/flows/"):
    said[path] = asked(path)
print(json.dumps(said))
"""

NOBODY = 65_534


@pytest.fixture(scope="session")
def folder(home: Path, engine: str) -> Path:
    """The folder of the session's server, which is up."""
    assert engine
    return home / "engine"


def raw(url: str, **headers: str) -> httpx.Response:
    """A request that knows no credential."""
    return httpx.post(url, json={}, headers=headers, timeout=PATIENCE)


def test_a_request_without_the_credential_is_refused(engine: str, folder: Path) -> None:
    """Also with a wrong one, and with one of the right form; health is open, and says nothing."""
    credential = lock.found(folder)
    assert re.fullmatch(r"retirement:[\w-]{43}", credential)
    for wrong in (None, ("retirement", ""), ("retirement", "x" * 43), (credential, "")):
        answer = httpx.post(f"{engine}/flow_runs/filter", json={}, auth=wrong, timeout=PATIENCE)
        assert answer.status_code == 401
    assert raw(f"{engine}/flow_runs/filter", Authorization=f"Bearer {credential}").status_code == 401
    assert httpx.get(f"{engine}/health", timeout=PATIENCE).text == "true"
    assert patient.post(f"{engine}/flow_runs/filter", json={}).status_code == 200


def test_every_route_of_the_api_is_locked(engine: str) -> None:
    """Those of a new version of Prefect as well: the list is the server's own."""
    base = engine.removesuffix("/api")
    described = patient.get(f"{base}/openapi.json").raise_for_status().json()["paths"]
    asked = [(path, method) for path, methods in described.items() for method in methods]
    assert len(asked) > 150
    with httpx.Client(timeout=PATIENCE) as client:
        answers = {
            (path, method): client.request(method, f"{engine}{re.sub('{.*?}', 'x', path)}").status_code
            for path, method in asked
        }
    is_open = {path for (path, _), code in answers.items() if code != 401}
    assert {path.removeprefix("/api") for path in is_open} <= {"/health", "/ready"}


@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out", "task_runs/subscriptions/scheduled"])
@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_websocket_without_the_credential_is_closed(engine: str, path: str, token: str | None) -> None:
    """They know no header: the first message has the credential, or the connection is over."""

    async def said() -> Any:
        protocols = ["prefect"] if token else None
        async with websockets.connect(f"{engine.replace('http', 'ws')}/{path}", subprotocols=protocols) as socket:  # type: ignore[arg-type]
            if token:
                await socket.send(json.dumps({"type": "auth", "token": token}))
            return await socket.recv()

    with pytest.raises((ConnectionClosed, InvalidStatus)):
        asyncio.run(said())


@pytest.mark.parametrize("host", ["rebound.example", "127.0.0.1.rebound.example", "localhost.rebound.example", ""])
def test_a_page_whose_name_was_pointed_at_this_machine_is_refused(engine: str, folder: Path, host: str) -> None:
    """DNS rebinding: the browser takes it for the page's own server, so that no rule of origins helps."""
    signed: dict[str, Any] = {"auth": tuple(lock.found(folder).split(":", 1)), "timeout": PATIENCE}
    port = engine.removesuffix("/api").rpartition(":")[2]
    named = f"{host}:{port}" if host else ""
    for path in ("/api/flow_runs/filter", "/", "/api/health"):
        answer = httpx.post(f"http://127.0.0.1:{port}{path}", json={}, headers={"Host": named}, **signed)
        assert answer.status_code == 400
    there = httpx.post(f"{engine}/flow_runs/filter", json={}, headers={"Host": f"localhost:{port}"}, **signed)
    assert there.status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "https://localhost", "null"])
def test_a_page_of_another_origin_reads_nothing_and_may_send_nothing(engine: str, origin: str) -> None:
    """Neither after an answer nor before a request."""
    wanted = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
    asked = httpx.options(f"{engine}/deployments/x", headers=wanted, timeout=PATIENCE)
    answered = httpx.get(f"{engine}/health", headers={"Origin": origin}, timeout=PATIENCE)
    own = httpx.get(f"{engine}/health", headers={"Origin": engine.removesuffix("/api")}, timeout=PATIENCE)

    assert asked.status_code == 400
    assert "access-control-allow-origin" not in {*asked.headers, *answered.headers}
    assert own.headers["access-control-allow-origin"] == engine.removesuffix("/api")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another account")
def test_another_account_of_the_machine_gets_nothing(engine: str, folder: Path) -> None:
    """What the audit did as `nobody`."""
    port = engine.removesuffix("/api").rpartition(":")[2]
    command = [sys.executable, "-c", ATTACK, port, str(folder / lock.FILE), str(NOBODY)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout)

    assert said.pop("file") == "PermissionError"
    assert set(said.values()) == {401}


def test_the_credential_and_the_page_that_signs_in_are_readable_for_this_account_only(folder: Path) -> None:
    """Whatever the umask of the operator is."""
    page = lock.write_page(folder, "http://127.0.0.1:4200")
    assert {stat.S_IMODE(each.stat().st_mode) for each in (folder / lock.FILE, page)} == {0o600}


def test_server_and_database_see_no_secret_and_leave_no_core(home: Path, folder: Path) -> None:
    """By what the kernel says of them; the server has the credential that it asks for, and the database has none."""
    server = psutil.Process(the_server(home))
    database = psutil.Process(int((folder / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
    for process in (server, database):
        seen = kernel_says(process, "environ")
        assert not re.search(r"RETIREMENT_|SECRET|TOKEN|PASSWORD", seen)
        assert re.search(r"Max core file size +0 +0 ", kernel_says(process, "limits"))
        assert (lock.found(folder) in seen) == (process is server)


def kernel_says(process: psutil.Process, what: str) -> str:
    """A file of /proc, read by the account of the process: root may not everywhere."""
    command = ["cat", f"/proc/{process.pid}/{what}"]
    account = {"user": process.uids().real, "group": process.gids().real} if os.geteuid() == 0 else {}
    return subprocess.run(command, capture_output=True, text=True, check=True, **account).stdout


def test_only_who_knows_the_credential_is_signed_in(engine: str, folder: Path) -> None:
    """The door of `retirement ui`: neither the question nor a refusal has the credential in it."""
    credential, url = lock.found(folder), f"{engine.removesuffix('/api')}{lock.SIGN_IN}"
    refused = [
        httpx.post(url, data={"credential": "retirement:wrong"}, timeout=PATIENCE),
        httpx.post(url, content=b"credential=" + b"x" * 1_000_000, timeout=PATIENCE),
        httpx.post(url, content=b"\xff\xfe", timeout=PATIENCE),
        httpx.post(url, timeout=PATIENCE),
    ]
    taken = httpx.post(url, data={"credential": credential}, timeout=PATIENCE)

    assert {each.status_code for each in refused} == {401}
    assert not any("prefect-password" in each.text for each in refused)
    assert (taken.status_code, taken.headers["cache-control"]) == (200, "no-store")
    assert "prefect-password" in taken.text


def test_a_browser_that_has_signed_in_comes_to_the_pages_that_our_links_open(engine: str) -> None:
    """Prefect's newer UI signs out a browser that leaves one of its pages while the credential is being checked."""
    first = httpx.get(engine.removesuffix("/api"), headers={"Accept": "text/html"}, timeout=PATIENCE)

    assert (first.status_code, first.headers.get("location")) == (200, None)
    assert "/v2/" not in first.text


def test_the_browser_is_started_with_no_credential_in_its_arguments(
    tmp_path: Path, engine: str, folder: Path, retirement: Command
) -> None:
    """Other accounts see the arguments of a process; without a browser the command says what to do."""
    (browser := tmp_path / "browser").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/told\n')
    browser.chmod(0o755)
    opened = retirement("ui", BROWSER=str(browser))
    none = retirement("ui", BROWSER="/nowhere/a-browser", PATH="/nowhere")

    assert (opened.code, none.code) == (0, 0), (opened.err, none.err)
    assert (tmp_path / "told").read_text().strip() == (folder / lock.PAGE).as_uri()
    assert none.out.startswith(f"UI: {engine.removesuffix('/api')}\n")
    assert str(folder / lock.FILE) in none.out
    assert lock.found(folder) not in opened.out + none.out


def test_a_credential_that_others_could_have_read_is_made_anew_at_the_next_start(tmp_path: Path) -> None:
    """One that is in order stays, so that a browser stays signed in."""
    first = lock.made(tmp_path)
    assert lock.made(tmp_path) == first
    (tmp_path / lock.FILE).chmod(0o640)
    second = lock.made(tmp_path)

    assert second != first
    assert stat.S_IMODE((tmp_path / lock.FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("reason", ["", " ", "a closed network"])
@pytest.mark.parametrize("command", ["serve", "automations apply"])
def test_a_server_on_another_machine_is_not_reached_in_clear(tmp_path: Path, command: str, reason: str) -> None:
    """Before anything is sent; with a reason it is tried, and is not there."""
    (config := tmp_path / "retirement.yaml").write_text(CONFIG)
    environment = {**without_ours(os.environ), "RETIREMENT_HOME": str(tmp_path), ALLOW_INSECURE: reason}
    environment["PREFECT_API_URL"] = "http://prefect.invalid:4200/api"
    given = [sys.executable, "-m", "retirement", *command.split(), "--config", str(config)]
    done = subprocess.run(given, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE)

    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert done.stderr.startswith("PREFECT_API_URL: ")
    assert (ALLOW_INSECURE in done.stderr) == (not reason.strip())


def test_the_doctor_says_whether_the_server_asks_for_a_credential(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """Ours does; a second command has found its credential by itself."""
    assert engine
    with sandbox(tmp_path, "--learners", "1") as platform:
        found = retirement("doctor", "--json", "--config", platform.config).document["checks"]

    (check,) = [each for each in found if each["name"] == "lock"]
    assert check["verdict"] == "ok"


class Open(Foreign):
    """A Prefect server that takes requests from everyone, and has nothing."""

    def do_POST(self) -> None:  # noqa: N802 - its name is the library's
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"[]")


def test_a_server_without_a_credential_is_a_warning(tmp_path: Path, retirement: Command) -> None:
    """A foreign one, whose lock is not ours to make."""
    with sandbox(tmp_path, "--learners", "1") as platform, foreign_server(Open) as address:
        answer = retirement("doctor", "--json", "--config", platform.config, PREFECT_API_URL=f"{address}/api")

    (check,) = [each for each in answer.document["checks"] if each["name"] == "lock"]
    assert check["verdict"] == "warning"
    assert "PREFECT_SERVER_API_AUTH_STRING" in check["fix"]


def test_a_command_beside_a_server_whose_credential_is_gone_says_so(tmp_path: Path) -> None:
    """In one line that names the file; it does not go on without."""
    with pytest.raises(ConfigError, match=f"{lock.FILE}: the credential of the Prefect server that is up is gone"):
        lock.found(tmp_path)
