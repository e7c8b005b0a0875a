"""Which processes use our Prefect server: a file for each, named by its number, below the folder of the server.

What is changed here is changed by one process at a time, which has the lock of the folder.
"""

import os
from contextlib import suppress
from pathlib import Path

import psutil

#: Below the folder of the server: the files, and the number of the process that keeps the server up for a while.
FOLDER, KEEPER = "users", "keeper"


def born(pid: int) -> float:
    """When a process began, 0 where there is none.

    One that has ended and that no process has waited for is none: below a container without an init it stays so for
    ever, and the server would wait for it.
    """
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return 0.0


def sign_in(folder: Path, pid: int) -> None:
    """Makes a process one of the users."""
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / FOLDER / str(pid)).write_text(str(born(pid)))


def sign_out(folder: Path, pid: int) -> None:
    """A process is no user any more."""
    (folder / FOLDER / str(pid)).unlink(missing_ok=True)


def has_signed_in(folder: Path, pid: int) -> bool:
    """Whether a process is one of the users."""
    return (folder / FOLDER / str(pid)).exists()


def others(folder: Path) -> set[int]:
    """The processes beside this one that use the server; forgets users that died."""
    found = set()
    for user in (folder / FOLDER).iterdir():
        pid = int(user.name)
        if pid == os.getpid():
            continue
        if (since := born(pid)) and str(since) == user.read_text():
            found.add(pid)
        else:
            user.unlink(missing_ok=True)
    return found


def set_keeper(folder: Path, pid: int) -> None:
    """Makes a process a user, and the one that keeps the server up for those who come after."""
    sign_in(folder, pid)
    (folder / KEEPER).write_text(str(pid))


def keeper(folder: Path) -> set[int]:
    """The process that keeps the server up for a while, if there is one."""
    with suppress(OSError, ValueError):
        return {int((folder / KEEPER).read_text())} & others(folder)
    return set()


def dismiss(folder: Path) -> None:
    """The keeper is no user any more, sees that, and ends."""
    for pid in keeper(folder):
        sign_out(folder, pid)
