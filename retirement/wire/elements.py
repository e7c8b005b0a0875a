"""A JSON list, read element by element while it comes in: a list of the LMS has no pages, and names every learner.

The decoder is Python's own, so an element is read as it would be within the whole text; what is in memory is the
element that is coming in, and what the caller keeps of those before.
"""

import codecs
import json
import re
from collections.abc import Callable
from typing import Any

#: Characters of the longest element; a row of the LMS has some 700.
LONGEST = 1024 * 1024
#: Half of a character, as an escape may name it: no text that can be sent or stored.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
#: What may follow on the part of a number that is a number.
_IN_NUMBERS = ".eE+-0123456789"
_SPACES = re.compile(r"[ \t\n\r]*")

#: Takes an element of a list and returns what is kept of it; None: nothing.
Keep = Callable[[Any], Any]


class Elements:
    """The elements of a list whose bytes come in one after the other; `kept` is what was kept of them, in order.

    Every method raises `ValueError` for what is no JSON list in an encoding that JSON may have.
    """

    def __init__(self, keep: Keep) -> None:
        self.kept: list[Any] = []
        self._keep = keep
        self._decoder = json.JSONDecoder()
        self._bytes: codecs.IncrementalDecoder | None = None
        self._text = ""
        self._next: Callable[[str, int], int] = self._begin

    def take(self, piece: bytes | bytearray) -> None:
        """Takes the next bytes."""
        if self._bytes is None:
            self._bytes = codecs.getincrementaldecoder(json.detect_encoding(piece))()
        self._read(self._text + self._bytes.decode(bytes(piece)))

    def end(self) -> None:
        """There are no more bytes."""
        if self._bytes:
            self._read(self._text + self._bytes.decode(b"", final=True))
        if self._next != self._nothing:
            raise ValueError("the list does not end")

    def _read(self, text: str) -> None:
        at = 0
        while (at := _end_of_spaces(text, at)) < len(text):
            if (after := self._next(text, at)) == at:
                break  # the element is not whole yet
            at = after
        self._text = text[at:]

    def _begin(self, text: str, at: int) -> int:
        if text[at] != "[":
            raise ValueError("a list is due")
        self._next = self._first
        return at + 1

    def _first(self, text: str, at: int) -> int:
        return self._after(text, at) if text[at] == "]" else self._element(text, at)

    def _element(self, text: str, at: int) -> int:
        self._next = self._element
        try:
            found, after = self._decoder.raw_decode(text, at)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        except ValueError:
            return _wait(text, at)
        if after == len(text) or text[after] in _IN_NUMBERS:
            return _wait(text, at)  # a number may go on
        require_whole(text, found, at, after)
        if (kept := self._keep(found)) is not None:
            self.kept.append(kept)
        self._next = self._after
        return after

    def _after(self, text: str, at: int) -> int:
        if text[at] not in ",]":
            raise ValueError("a comma or the end of the list is due")
        self._next = self._element if text[at] == "," else self._nothing
        return at + 1

    def _nothing(self, _text: str, _at: int) -> int:
        raise ValueError("something comes after the list")


def _wait(text: str, at: int) -> int:
    """An element is not whole yet. Raises `ValueError` where it never will be."""
    if len(text) - at > LONGEST:
        raise ValueError("an element does not end")
    return at


def begins_list(piece: bytes | bytearray) -> bool:
    """Whether the first bytes of a JSON text are those of a list."""
    try:
        text = bytes(piece).decode(json.detect_encoding(piece), "ignore")
    except (LookupError, ValueError):
        return False
    return text.lstrip().startswith("[")


def require_whole(text: str, value: object, begin: int, end: int) -> None:
    """Raises `ValueError` where a value, which stands in this part of a JSON text, has text that UTF-8 does not allow.

    JSON allows it, and it can neither be sent nor be stored.
    """
    if _HALF.search(text, begin, end):
        json.dumps(value, ensure_ascii=False).encode()


def _end_of_spaces(text: str, at: int) -> int:
    found = _SPACES.match(text, at)
    return found.end() if found else at
