"""The port of our Prefect server, held by each process that asks the server.

Our clients give the server its credential with every request, so no other account of the machine may ever have the
port: not while the server imports, not after it has crashed. The kernel gives it to more than one socket only where
each allows that (SO_REUSEPORT) and all are of the same account. So to have it is the proof that no other account
has it, and to keep it lets none have it later. A held port does not listen: where no server does, a client is refused
at once.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from retirement.errors import ConfigError

HOST = "127.0.0.1"


@dataclass(slots=True)
class _Held:
    socket: socket.socket
    holders: int


_held: dict[int, _Held] = {}
_lock = Lock()


def hold(port: int = 0) -> int:
    """Holds a port of this machine until `let_go` was called as often; 0 chooses one that no process has.

    Returns the port. Raises `OSError` where another account, or a program that is not ours, has it.
    """
    with _lock:
        if found := _held.get(port):
            found.holders += 1
            return port
        made = _bound(port)
        number: int = made.getsockname()[1]
        _held[number] = _Held(made, 1)
        return number


def chosen(port: int | None) -> int:
    """Holds the port that was asked for, else a free one; raises `ConfigError` for one that is taken."""
    try:
        return hold(port or 0)
    except OSError:
        raise ConfigError(f"--port: another program of this machine has port {port}; choose another one") from None


def let_go(port: int) -> None:
    """Ends one `hold` of a port."""
    with _lock:
        found = _held[port]
        found.holders -= 1
        if not found.holders:
            del _held[port]
            found.socket.close()


@contextmanager
def holding(port: int) -> Iterator[None]:
    """Holds a port for the length of the block; raises as `hold` does."""
    hold(port)
    try:
        yield
    finally:
        let_go(port)


def listening(port: int) -> socket.socket:
    """What the server itself listens with. Raises `OSError` where another account has the port."""
    # A port whose last connections are fading is free.
    return _bound(port, socket.SO_REUSEADDR)


def _bound(port: int, *options: int) -> socket.socket:
    made = socket.socket()
    try:
        for option in (socket.SO_REUSEPORT, *options):
            made.setsockopt(socket.SOL_SOCKET, option, 1)
        made.bind((HOST, port))
    except BaseException:
        made.close()
        raise
    return made
