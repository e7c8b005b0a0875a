"""What is wrong with a configuration file, collected and told in the order of its lines.

A problem is one line, `FILE:LINE: KEY: what is wrong; the fix`. Values never appear in one: any of them may be
a secret that slipped into the wrong place.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from retirement.errors import ConfigError

_ORDINARY_KEY = re.compile(r"\w[\w.-]{0,59}")


class Problems:
    """Errors and warnings about one file."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._errors: list[tuple[int, str]] = []
        self._warnings: list[tuple[int, str]] = []
        self._doubts: list[tuple[int, str]] = []

    def __bool__(self) -> bool:
        return bool(self._errors)

    def add(self, line: int, key: str, text: str) -> None:
        self._errors.append((line, self._told(line, key, text)))

    def warn(self, line: int, key: str, text: str) -> None:
        self._warnings.append((line, self._told(line, key, text)))

    def doubt(self, line: int, key: str, text: str) -> None:
        """A warning that may be the cause of an error, and is told with the errors: a misspelt key is a missing one."""
        self._doubts.append((line, self._told(line, key, text)))

    @property
    def warnings(self) -> tuple[str, ...]:
        return _in_line_order([*self._warnings, *self._doubts])

    @property
    def error(self) -> ConfigError:
        """Every error so far as one to raise."""
        return ConfigError(*_in_line_order([*self._doubts, *self._errors]))

    def _told(self, line: int, key: str, text: str) -> str:
        return f"{self.source}:{line}: {key}: {text}"


def _in_line_order(told: list[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for _, text in sorted(told, key=lambda each: each[0])))


def shown(key: str) -> str:
    """A key as a message may show it; what follows an odd character may be a value that lost its space."""
    if _ORDINARY_KEY.fullmatch(key):
        return key
    start = re.match(r"[\w.-]{0,60}", key)
    return f"{start.group() if start else ''}…"


def close_to(name: str, valid: Iterable[str]) -> str:
    """`; did you mean X?` where something is close, else nothing."""
    by_lower = {each.lower(): each for each in sorted(valid)}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


def nearest(name: str, valid: Iterable[str]) -> str:
    """`; did you mean X?` where something is close, else the list of what there is."""
    known = sorted(valid)
    return close_to(name, known) or f"; there is {', '.join(known)}"
