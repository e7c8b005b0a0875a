"""Keeps our Prefect server up for a while after the last command.

`python -m retirement.flows.kit.keeper MINUTES FOLDER` is one more user of the server, made by the last command that
ended (`engine.keep_minutes`), and begins to count anew whenever a process signs in or out. Then it leaves as every
user does, and the last one out stops the server.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from retirement.flows.kit import server, users

#: Seconds between two looks at the users.
EVERY = 1.0


def keep(folder: Path, minutes: float, told_to_end: threading.Event) -> None:
    """Waits until no process has used the server for that long, or it is told to end, and leaves.

    Ends without a word where it is no user any more: another process has stopped the server.
    """
    seen, until = 0, 0.0
    while users.has_signed_in(folder, os.getpid()):
        changed = _changed(folder)
        if is_used := bool(users.others(folder)) or changed != seen:
            seen, until = _changed(folder), time.monotonic() + minutes * 60
        if told_to_end.is_set() or (not is_used and time.monotonic() >= until):
            asyncio.run(server.leave(folder))
            return
        told_to_end.wait(EVERY)


def _changed(folder: Path) -> int:
    """When a process last signed in or out, however short it was there."""
    with suppress(OSError):
        return (folder / users.FOLDER).stat().st_mtime_ns
    return 0


def main(minutes: float, folder: Path) -> None:
    """Keeps the server until the time is over, or a signal ends it."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    keep(folder, minutes, told)


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]))
