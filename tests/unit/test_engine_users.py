"""Which processes use our Prefect server: the last one that is there stops it."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from retirement.flows.kit.server import PrefectServer, ends_with_us
from tests.patient import until

pytestmark = pytest.mark.processes

OURS = PrefectServer("http://127.0.0.1:4200/api", "sqlite")


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which each user has a file; this process has one."""
    monkeypatch.setenv("RETIREMENT_HOME", str(tmp_path))
    folder = tmp_path / "engine" / "users"
    folder.mkdir(parents=True)
    sign_in(folder, os.getpid())
    return folder


def sign_in(folder: Path, pid: int) -> None:
    (folder / str(pid)).write_text(str(psutil.Process(pid).create_time()), encoding="utf-8")


def test_a_process_that_is_at_work_keeps_the_server(users: Path) -> None:
    """Until it ends."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        sign_in(users, other.pid)
        assert not ends_with_us(OURS)
        other.communicate()

    assert ends_with_us(OURS)


def test_a_process_that_ended_and_was_not_waited_for_keeps_no_server(users: Path) -> None:
    """Below a container without an init it stays in the list of processes for ever."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        sign_in(users, other.pid)
        other.kill()
        until(lambda: psutil.Process(other.pid).status() == psutil.STATUS_ZOMBIE)

        assert ends_with_us(OURS)


def test_a_process_with_the_number_of_an_earlier_one_is_another(users: Path) -> None:
    """Numbers are used again."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (users / str(other.pid)).write_text("1.0", encoding="utf-8")

        assert ends_with_us(OURS)
        other.communicate()
