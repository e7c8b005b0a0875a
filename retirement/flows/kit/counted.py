"""Errors of others in the output of `serve` and its runs: a line each, counted, however often and long they come."""

import io
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

from retirement.privacy import every_handler

#: A message is said when it comes for so many times.
SAID_AT = (1, 10, 100, 1000, 10_000)
#: Characters of a message at most.
LONGEST = 300
_IS_SAID = "is_said_in_one_line"
_TRACEBACK = re.compile(r"(Exception Group )?Traceback \(most recent call last\):")
#: Begins each line of the tracebacks of a group of exceptions.
_GROUP = re.compile(r" +[|+] ?")
#: A line between the exceptions of a group.
_RULE = re.compile(r"[+-]*-{4}")
#: What stands after a traceback, and between those of one error.
_BETWEEN = re.compile(r"The above exception was|During handling of the above|$")
#: A line of Prefect's console log, in this process or in that of a run.
_LOGGED = re.compile(r"\d\d:\d\d:\d\d\.\d+ \| (\w+) +\| ")
_LOUD = ("WARNING", "ERROR", "CRITICAL")
#: What a service of Prefect's prints above the tracebacks of its last attempts.
_ATTEMPTS = re.compile(r"Failed the last \d+ attempts|Examples of recent errors:")


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
    """A stream that passes on each line; of a traceback only what was raised, and that and warnings counted.

    The processes of runs write to it as well, at the same time: their lines may come between those of a traceback.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._counted, self._lock = stream, Counted(), threading.Lock()
        self._line, self._within, self._grouped, self._after = "", False, False, False

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._line = f"{self._line}{text}".split("\n")
            for line in lines:
                self._take(line)
        return len(text)

    def _take(self, line: str) -> None:
        if logged := _LOGGED.match(line):
            self._say(line, counted=logged[1] in _LOUD)
            return
        grouped = _GROUP.match(line)
        if self._grouped and not grouped:
            self._within, self._grouped, self._after = False, False, True
        inner = line[grouped.end() :] if grouped else line
        if _TRACEBACK.match(inner):
            self._within, self._grouped = True, grouped is not None
        elif self._within:
            self._take_within(inner)
        else:
            self._take_outside(line)

    def _take_within(self, inner: str) -> None:
        """A line of a traceback: what was raised is not indented; the traceback of a group goes on after it."""
        if inner.startswith(" ") or (self._grouped and (_RULE.match(inner) or _BETWEEN.match(inner))):
            return
        self._within, self._after = self._grouped, True
        self._say(inner, counted=True)

    def _take_outside(self, line: str) -> None:
        """Any other line. A frame is of a traceback into which another process has written."""
        if line.startswith('  File "'):
            self._within = True
        elif not (self._after and _BETWEEN.match(line)):
            self._after = False
            self._say(line, counted=_ATTEMPTS.match(line) is not None)

    def _say(self, line: str, *, counted: bool) -> None:
        said = self._counted.said(line) if counted else line
        if said is not None:
            self._stream.write(f"{said}\n")

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
def one_line_each(out: TextIO, err: TextIO) -> Iterator[None]:
    """For the length of the block, warnings and errors that others log or print are a line each, counted.

    `out` and `err` are the streams that they are printed to, also by the processes of runs, whose output Prefect's
    runner copies. The handlers of logs have to be there, so Prefect was imported before.
    """
    found = _OneLine()
    handlers = every_handler()
    for handler in handlers:
        handler.addFilter(found)
    try:
        with redirect_stdout(_Tracebacks(out)), redirect_stderr(_Tracebacks(err)):
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(found)
