"""Standard output and errors as commands write to them: no character, full disk or closed pipe ends the work.

Also what a process needs before it can open anything: its three streams, and room for files.
"""

import io
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import IO, cast

#: Files, connections and pipes that a command has open at once, at least; fewer, and libraries hang without a word.
LEAST_FILES = 40
#: What a process takes where it may.
FILES = 1024


class Stream:
    """One standard stream of this process, whichever it is by now.

    What its encoding lacks is replaced. `lost` is why it takes no more text; later text is dropped.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.lost: OSError | ValueError | None = None

    @property
    def _real(self) -> IO[str]:
        return cast(IO[str], getattr(sys, self._name))

    @property
    def encoding(self) -> str:
        """The encoding of what is written."""
        return getattr(self._real, "encoding", None) or "utf-8"

    @property
    def is_unicode(self) -> bool:
        """Whether it can show every character."""
        return self.encoding.lower().replace("-", "").startswith("utf")

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._real.isatty()

    def fileno(self) -> int:
        """Its number in this process."""
        return self._real.fileno()

    def write(self, text: str) -> int:
        """Writes a text at once."""
        shown = text.encode(self.encoding, "replace").decode(self.encoding)
        self._bear(lambda: self._real.write(shown))
        return len(text)

    def write_bytes(self, content: bytes) -> None:
        """Writes what is no text."""
        self._bear(lambda: self._real.buffer.write(content))  # type: ignore[attr-defined]  # of a text stream

    def flush(self) -> None:
        """Leaves nothing in memory."""
        self._bear(lambda: None)

    def _bear(self, write: Callable[[], object]) -> None:
        if self.lost:
            return
        try:
            write()
            self._real.flush()
        except (OSError, ValueError) as error:
            self.lost = error
            # What is left in memory would fail once more when the interpreter ends, with an exit code of its own.
            with suppress(OSError, ValueError, io.UnsupportedOperation):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._real.fileno())
                os.close(nowhere)

    @property
    def problem(self) -> str | None:
        """Why text was lost; None where none was, or where the reader has closed the pipe, as `head` does."""
        if self.lost is None or isinstance(self.lost, BrokenPipeError):
            return None
        return getattr(self.lost, "strerror", None) or "it is closed"


def complete_streams() -> None:
    """Gives a process that was started without one of its three streams an empty one.

    The next file that is opened would be in its place: the ledger as standard output of a server of ours.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - for good


def lacking_files() -> str | None:
    """What to say where this process may open too few files, also once it has asked for more; None else."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in (soft, hard) and soft < FILES and soft < hard:
        soft = min(FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= LEAST_FILES:
        return None
    return (
        f"this process may have {soft} files open, and needs {LEAST_FILES}: raise the limit, as by `ulimit -n {FILES}`"
    )
