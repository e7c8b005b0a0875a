"""The port of Prefect's server: whoever has it gets the credential, so no other account may ever have it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from shutil import which

import pytest

from retirement.errors import ConfigError
from retirement.flows.kit import held_port, users
from retirement.flows.kit.server import PrefectServer, in_use, running
from tests.patient import PATIENCE

#: What another account tries: to have the port for itself, alone or shared, here or at every address.
TAKE = """
import socket, sys
for host in ("127.0.0.1", "0.0.0.0", "::"):
    for option in (0, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        tried = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if option:
            tried.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            tried.bind((host, int(sys.argv[1])))
            tried.listen()
        except OSError:
            continue
        sys.exit(f"{host} with {option} was given")
"""
OTHER = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_override")
as_another = pytest.mark.skipif(os.geteuid() != 0 or which("setpriv") is None, reason="only root becomes another user")


def taken(port: int, *before: str) -> str:
    """What an interpreter that tries to have the port could have; "" for nothing."""
    command = [*before, sys.executable, "-I", "-c", TAKE, str(port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode in (0, 1), done.stderr
    return done.stderr.strip()


@as_another
@pytest.mark.processes
def test_no_other_account_has_the_port_before_while_and_after_the_server_listens() -> None:
    """Neither alone nor shared, at no address; when it is let go it is anybody's."""
    other = (*OTHER, "--ambient-caps=+dac_override")  # to read the interpreter of those who run the tests
    port = held_port.hold()
    try:
        assert taken(port, *other) == ""
        with held_port.listening(port) as server:
            assert taken(port, *other) == ""
            server.listen()
            assert taken(port, *other) == ""
        assert taken(port, *other) == ""
    finally:
        held_port.let_go(port)

    assert taken(port, *other).endswith("was given")


def test_a_port_is_held_as_often_as_it_was_asked_for_and_refuses_clients_at_once() -> None:
    """A crashed server is seen by its clients, though the port is not free."""
    port = held_port.hold()
    assert held_port.hold(port) == port
    held_port.let_go(port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    with pytest.raises(OSError, match="in use"), socket.socket() as alone:
        alone.bind(("127.0.0.1", port))

    held_port.let_go(port)
    with socket.socket() as alone:
        alone.bind(("127.0.0.1", port))


def test_a_port_of_a_program_that_is_not_ours_cannot_be_held() -> None:
    """It would be given the credential."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(OSError, match="in use"):
            held_port.hold(other.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            held_port.listening(other.getsockname()[1])


def test_a_server_whose_port_is_not_shared_is_neither_asked_nor_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of an earlier release has its own commands, and one of another account would be given the credential."""
    monkeypatch.setenv("RETIREMENT_HOME", str(tmp_path))
    (tmp_path / "engine").mkdir()

    async def join() -> None:
        async with running():
            pass

    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process,
    ):
        url = f"http://127.0.0.1:{other.getsockname()[1]}/api"
        engine = PrefectServer(url, "sqlite", process.pid, users.born(process.pid))
        (tmp_path / "engine" / "engine.json").write_text(json.dumps(asdict(engine)))
        with pytest.raises(ConfigError, match="earlier release"):
            asyncio.run(join())
        with in_use() as found:
            assert found is None
        assert process.poll() is None
        process.kill()


def test_the_server_is_served_again_at_its_port_while_that_is_held() -> None:
    """Also where its last connections are fading."""
    port = held_port.hold()
    for _ in range(2):
        with held_port.listening(port) as server:
            server.listen()
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
                accepted, _ = server.accept()
                accepted.close()  # first, so that this side fades
                assert client.recv(1) == b""
    held_port.let_go(port)
    held_port.let_go(held_port.hold(port))
