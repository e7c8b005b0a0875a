"""Files that a command writes: new ones, which only this account reads; the place is claimed before the work begins."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from retirement.errors import ConfigError

#: Writes the content of a file that was claimed.
Write = Callable[[bytes], None]


@contextmanager
def new_file(option: str, path: Path | None) -> Iterator[Write]:
    """Claims a file that is not there yet, of which nothing is left where the block fails; no path: writes nothing.

    Raises `ConfigError` for a file that exists and a place that cannot be written; `option` named it.
    """
    if path is None:
        yield lambda _: None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(f"{option}: {path} exists already: name a new file, or move this one away") from None
    except OSError as error:
        raise ConfigError(f"{option}: {path} cannot be written: {error.strerror}") from None

    def write(content: bytes) -> None:
        try:
            file.write(content)
            file.flush()
        except OSError as error:
            raise ConfigError(f"{option}: {path} cannot be written: {error.strerror}") from None

    try:
        with os.fdopen(descriptor, "wb") as file:
            yield write
    except BaseException:
        path.unlink(missing_ok=True)
        raise
