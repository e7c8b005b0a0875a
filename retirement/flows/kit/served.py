"""Which configuration a run works with: the one that the process names which serves it, never one of the run's own.

The person who may start a run says what it does, and not where its configuration is: a file of that person could
have the secret of the OAuth client sent to another address (docs/decisions/0023).
"""

import os
from functools import cache
from pathlib import Path

from prefect import get_run_logger
from prefect.context import FlowRunContext

from retirement.config import Configuration, load
from retirement.errors import ConfigError
from retirement.flows.kit import held_port
from retirement.flows.kit.own_file import digest, require_own
from retirement.flows.kit.secret_blocks import secret_block
from retirement.site import is_ready

#: The configuration, an absolute path: set by `serve` for its runs, and by an operator for a worker.
CONFIG = "RETIREMENT_CONFIG"
#: The SHA-256 of the file as `serve` has read it.
DIGEST = "RETIREMENT_CONFIG_SHA256"
#: The port of Prefect's server, where `serve` has started that for its runs.
PORT = "RETIREMENT_ENGINE_PORT"


def served_path() -> Path | None:
    """The configuration of the serving process; None where a command has opened the site in this process.

    Raises `ConfigError` where the serving process names none, where other accounts can write it, or where another
    account has the port of the server.
    """
    if is_ready():
        return None
    path = Path(os.environ.get(CONFIG, ""))
    if not path.is_absolute():
        raise ConfigError(f"{CONFIG}: set it to an absolute path for the process that starts runs; a run brings none")
    require_own(path)
    if port := os.environ.get(PORT):
        _hold(int(port))
    _say_which(path)
    return path


def served_configuration() -> Configuration:
    """The configuration of the serving process, loaded. Raises `ConfigError`."""
    return load(served_path(), secret_block=secret_block)


@cache
def _hold(port: int) -> None:
    """Holds the port of our server for as long as this process runs, which may be longer than `serve` does."""
    try:
        held_port.hold(port)
    except OSError:
        raise ConfigError(
            f"another program has port {port}, which was that of Prefect's server; start `retirement serve` again"
        ) from None


@cache
def _say_which(path: Path) -> None:
    """Logs which file the run of this process works with, by its content; its folder says who works here."""
    if FlowRunContext.get() is None:
        return
    now, before = digest(path), os.environ.get(DIGEST)
    get_run_logger().info("configuration %s, sha256 %s", path.name, now)
    if before and before != now:
        get_run_logger().warning(
            "%s has changed since serve was started; schedules and notifications follow it at a restart", path.name
        )
