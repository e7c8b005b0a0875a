"""Errors of others in the output of `serve`: a line each, counted, however often they come and however long."""

import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

from retirement.privacy import every_handler

#: A message is said when it comes for so many times.
SAID_AT = (1, 10, 100, 1000, 10_000)
#: Characters of a message at most.
LONGEST = 300
_IS_SAID = "is_said_in_one_line"
_TRACEBACK = "Traceback (most recent call last):"
#: What stands after a traceback, and between those of one error.
_BETWEEN = re.compile(r"The above exception was|During handling of the above|$")


class Counted:
    """How often each message has come; ids and numbers in it may differ from one time to the next."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def said(self, words: str) -> str | None:
        """The message with its number where it is one to be said, None where it has been said often enough."""
        words = words[:LONGEST]
        kind = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\bat 0x[0-9a-f]+|\d+", "#", words)
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count not in SAID_AT:
            return None
        return f"{words} ({count} times)" if count > 1 else words


class _OneLine(logging.Filter):
    """Of a warning and of an error the first line, and what it was at last; counted."""

    def __init__(self) -> None:
        super().__init__()
        self._counted = Counted()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        # A record passes each of its handlers.
        if (before := getattr(record, _IS_SAID, None)) is not None:
            return bool(before)
        words = record.getMessage().partition("\n")[0]
        if record.exc_info and (error := record.exc_info[1]):
            words = f"{words} ({type(error).__name__}: {error})".partition("\n")[0]
        said = self._counted.said(words)
        record.msg, record.args = said or "", None
        record.exc_info = record.exc_text = record.stack_info = None
        setattr(record, _IS_SAID, said is not None)
        return said is not None


class _Tracebacks(io.TextIOBase):
    """A stream that passes on each line, and of a traceback what was raised, counted."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._counted = stream, Counted()
        self._line, self._within, self._after = "", False, False

    def write(self, text: str) -> int:
        *lines, self._line = f"{self._line}{text}".split("\n")
        for line in lines:
            self._take(line)
        return len(text)

    def _take(self, line: str) -> None:
        if line == _TRACEBACK:
            self._within = True
        elif self._within and not line.startswith(" "):
            self._within, self._after = False, True
            if said := self._counted.said(line):
                self._stream.write(f"{said}\n")
        elif not self._within and not (self._after and _BETWEEN.match(line)):
            self._after = False
            self._stream.write(f"{line}\n")

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a text stream has it as an attribute
        return self._stream.encoding


@contextmanager
def one_line_each(stream: TextIO) -> Iterator[None]:
    """For the length of the block, warnings and errors that others log or print to `stream` are a line each, counted.

    The handlers of logs have to be there, so Prefect was imported before.
    """
    found = _OneLine()
    handlers = every_handler()
    for handler in handlers:
        handler.addFilter(found)
    try:
        with redirect_stdout(_Tracebacks(stream)):
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(found)
