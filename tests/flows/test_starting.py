"""Starting Prefect's server where the machine or the environment is against it: one line each, and nothing left."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import rmtree, which
from typing import Any

import psutil
import pytest

from retirement.flows.kit.environment import foreign, of_a_child, without_proxy
from tests.flows.conftest import Answer, the_server, without_ours
from tests.in_thread import in_thread
from tests.patient import PATIENCE, until
from tests.ports import free_port

pytestmark = pytest.mark.dear(seconds=55)

#: Starts an engine, asks it nothing, and stops it.
START_AN_ENGINE = """
import asyncio
from retirement.flows.kit.server import running

async def main():
    async with running() as engine:
        print(engine.api_url)

asyncio.run(main())
"""

#: The same, and leaves it to the process that keeps it for so many minutes.
USE_AN_ENGINE = START_AN_ENGINE.replace("running()", "running(keep_minutes=float(sys.argv[1]))").replace(
    "import asyncio", "import asyncio, sys"
)

#: A site whose LMS is never asked.
CONFIG = (
    "lms: {url: 'http://127.0.0.1:9', client_id: id, client_secret: secret}\ncool_off_days: 7\n"
    "pipeline:\n  - {start: RETIRING_LMS, end: LMS_COMPLETE, service: LMS, operation: retirement_lms_retire}\n"
)

#: Becomes a user without a name, who may all the same read the interpreter of the one who runs the tests.
NAMELESS = ("setpriv", "--reuid=54321", "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override")


def called(home: Path, *arguments: str, before: tuple[str, ...] = (), **variables: str) -> Answer:
    environment = {**without_ours(os.environ), "RETIREMENT_HOME": str(home), **variables}
    with tempfile.TemporaryDirectory(prefix="retirement-starting-") as folder:
        (config := Path(folder) / "retirement.yaml").write_text(CONFIG)
        serve = ("serve", "--port", str(free_port()), "--config", str(config))
        command = [*before, sys.executable, "-m", "retirement", *(arguments or serve)]
        done = subprocess.run(
            command, env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    return Answer(done.returncode, done.stdout, done.stderr)


def left(home: Path) -> list[str]:
    """The processes that belong to a home."""
    found = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    return [each for each in found if str(home) in each]


def test_a_port_that_is_taken_is_said_with_the_option_that_chose_it(tmp_path: Path) -> None:
    """Before the database is started."""
    (tmp_path / "retirement.yaml").write_text(CONFIG)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = called(tmp_path, "serve", "--port", str(port), "--config", str(tmp_path / "retirement.yaml"))

    assert (answer.code, len(answer.err.splitlines())) == (2, 1), answer.err
    assert answer.err.startswith("--port: ")
    assert str(port) in answer.err
    assert left(tmp_path) == []


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With the variable that names it."""
    (tmp_path / "file").touch()
    answer = called(tmp_path / "file" / "home")

    assert (answer.code, len(answer.err.splitlines())) == (2, 1), answer.err
    assert answer.err.startswith("RETIREMENT_HOME: ")


def test_a_folder_of_another_postgresql_is_said(tmp_path: Path) -> None:
    """With both versions, and what to do."""
    (tmp_path / "engine" / "postgres").mkdir(parents=True)
    (tmp_path / "engine" / "postgres" / "PG_VERSION").write_text("9\n")
    answer = called(tmp_path)

    assert (answer.code, len(answer.err.splitlines())) == (2, 1), answer.err
    assert "PostgreSQL 9 made this folder" in answer.err
    assert left(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0 or which("setpriv") is None, reason="only root becomes another user")
def test_an_account_without_a_name_has_an_engine_and_no_proxy_is_asked() -> None:
    """As on OpenShift; variables of other servers and of proxies are in its environment as well."""
    home = Path(tempfile.mkdtemp(prefix="retirement-nameless-"))
    os.chown(home, 54_321, 54_321)
    others = {
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "PREFECT_API_AUTH_STRING": "other:secret",
        "PREFECT_SERVER_API_AUTH_STRING": "other:secret",
        "PREFECT_SERVER_API_BASE_PATH": "/other",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://other:secret@127.0.0.1:9/other",
    }
    try:
        done = subprocess.run(
            [*NAMELESS, sys.executable, "-c", START_AN_ENGINE],
            env={**without_ours(os.environ), "RETIREMENT_HOME": str(home), "HOME": "/", **others},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert left(home) == []
    finally:
        rmtree(home)

    assert (done.returncode, done.stdout.startswith("http://127.0.0.1:")) == (0, True), done.stderr


def test_a_server_that_is_kept_is_there_for_the_next_command_and_goes_with_the_one_that_keeps_none(
    own_home: Path,
) -> None:
    """The second command starts nothing; after the third neither server nor database is left."""
    environment = {**without_ours(os.environ), "RETIREMENT_HOME": str(own_home)}

    def used(minutes: float) -> str:
        command = [sys.executable, "-c", USE_AN_ENGINE, str(minutes)]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert said.returncode == 0, said.stderr
        return said.stdout

    first, server = used(60), the_server(own_home)
    assert (used(60), the_server(own_home)) == (first, server)
    assert psutil.pid_exists(server)

    assert used(0) == first
    until(lambda: left(own_home) == [])
    assert not psutil.pid_exists(server)


class Foreign(BaseHTTPRequestHandler):
    """A Prefect server with a password, at its whole address; its UI answers everything with a page."""

    def do_GET(self) -> None:
        well = self.path == "/api/health"
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if well else "text/html")
        self.end_headers()
        self.wfile.write(b"true" if well else b"<html></html>")

    def do_POST(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def foreign_server(handler: type[BaseHTTPRequestHandler] = Foreign) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("path", "variables", "said"),
    [
        ("", {}, "PREFECT_API_URL: "),
        ("/api", {}, "PREFECT_API_AUTH_STRING: "),
        ("/api", {"PREFECT_API_AUTH_STRING": "a:b"}, "PREFECT_API_AUTH_STRING: "),
        ("/api", {"PREFECT_API_KEY": "pnu_1"}, "PREFECT_API_KEY: "),
    ],
)
def test_a_foreign_server_that_does_not_take_us_is_said(
    tmp_path: Path, path: str, variables: dict[str, str], said: str
) -> None:
    """By the variable that is to be changed; what it holds is not said."""
    with foreign_server() as address:
        answer = called(tmp_path, PREFECT_API_URL=f"{address}{path}", **variables)

    assert (answer.code, len(answer.err.splitlines())) == (2, 1), answer.err
    assert answer.err.startswith(said)
    assert "a:b" not in answer.err
    assert ("/api" in answer.err) or not path


def test_children_see_no_secret_and_no_setting_of_another_server(tmp_path: Path) -> None:
    """The list says what they may see, so a new variable is not among it."""
    given: dict[str, Any] = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "RETIREMENT_CLIENT_SECRET": "s",
        "PREFECT_SERVER_API_BASE_PATH": "/other",
        "PREFECT_API_AUTH_STRING": "a:b",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "AWS_SECRET_ACCESS_KEY": "s",
    }

    assert of_a_child(tmp_path, given) == {"PATH": "/bin", "LC_ALL": "C"}
    assert foreign(given) == {"PREFECT_SERVER_API_BASE_PATH", "PREFECT_API_AUTH_STRING"}


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"no_proxy": "lms.example, localhost"}, "lms.example,localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "lms.example"}, "lms.example,127.0.0.1,localhost,::1"),
    ],
)
def test_loopback_is_never_behind_a_proxy(given: dict[str, str], hosts: str) -> None:
    """What a site has set stays."""
    assert without_proxy(given) == {"NO_PROXY": hosts, "no_proxy": hosts}
