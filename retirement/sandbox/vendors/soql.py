"""The part of SOQL that the contract needs (services.md B5.3), read as the real one does and asked of our tables.

`SELECT fields FROM Kind [WHERE condition] [LIMIT n]`, where a condition is made of `field = literal`,
`field != literal`, `field IN (…)`, AND, OR and brackets. Whatever else is written is MALFORMED_QUERY.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, false, func, or_, select, true

_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<number>\d+)|(?P<word>\w+)|(?P<sign>!=|[=(),]))", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}


class SoqlError(Exception):
    """A query that is refused, with the code of the refusal."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code, text)
        self.code, self.text = code, text


@dataclass(frozen=True)
class Kind:
    """An object: where its rows are, and its fields by their names. `long` are fields that no condition takes."""

    rows: FromClause
    fields: Mapping[str, ColumnElement[Any]]
    long: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Query:
    """A parsed query: fields of a kind, and the statement that finds the rows."""

    kind: str
    fields: list[str]
    statement: Select[Any]


def parsed(text: str, kinds: Mapping[str, Kind]) -> Query:
    """Reads a query. Raises `SoqlError`."""
    return _Reader(text, kinds).query()


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise SoqlError("MALFORMED_QUERY", f"unexpected token at {at}")
        found.append(match[0].strip() if match.lastgroup != "text" else match["text"])
        at = match.end()
    return found


def _unescaped(quoted: str) -> str:
    def plain(match: re.Match[str]) -> str:
        sequence = match[1]
        if len(sequence) == 5:
            return chr(int(sequence[1:], 16))
        if sequence not in _ESCAPED:
            raise SoqlError("MALFORMED_QUERY", "Illegal character sequence in string literal")
        return _ESCAPED[sequence]

    return _ESCAPE.sub(plain, quoted[1:-1])


class _Reader:
    """Recursive descent over the tokens; words are read without regard to case."""

    def __init__(self, text: str, kinds: Mapping[str, Kind]) -> None:
        self._left, self._kinds = _tokens(text), kinds

    def query(self) -> Query:
        self._expect("SELECT")
        names = [self._take()]
        while self._accept(","):
            names.append(self._take())
        self._expect("FROM")
        name = self._take()
        if name not in self._kinds:
            raise SoqlError("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        self._kind, self._name = self._kinds[name], name
        columns = [self._field(each).label(each) for each in names]
        statement = select(*columns).select_from(self._kind.rows)
        if self._accept("WHERE"):
            statement = statement.where(self._condition())
        if self._accept("LIMIT"):
            statement = statement.limit(self._number())
        if self._left:
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: {self._left[0]}")
        return Query(name, names, statement)

    def _condition(self) -> ColumnElement[bool]:
        """AND and OR are not mixed without brackets, as in the real language."""
        parts = [self._part()]
        word = next((word for word in ("AND", "OR") if self._sees(word)), None)
        while word and self._accept(word):
            parts.append(self._part())
        return and_(*parts) if word == "AND" else or_(*parts)

    def _part(self) -> ColumnElement[bool]:
        if self._accept("("):
            inner = self._condition()
            self._expect(")")
            return inner
        name = self._take()
        field = self._field(name)
        if name in self._kind.long:
            raise SoqlError("INVALID_FIELD", f"field '{name}' can not be filtered in a query call")
        if self._accept("IN"):
            self._expect("(")
            found = [self._equals(field)]
            while self._accept(","):
                found.append(self._equals(field))
            self._expect(")")
            return or_(*found)
        if self._accept("!="):
            return ~self._equals(field)
        self._expect("=")
        return self._equals(field)

    def _equals(self, field: ColumnElement[Any]) -> ColumnElement[bool]:
        """Texts compare without regard to case, and an empty one stands for no value at all."""
        token = self._take()
        if token.startswith("'"):
            text = _unescaped(token)
            return func.folded(field) == func.folded(text) if text else or_(field.is_(None), field == "")
        if token.lower() == "null":
            return field.is_(None)
        if token.lower() in ("true", "false"):
            return field == (true() if token.lower() == "true" else false())
        raise SoqlError("MALFORMED_QUERY", f"unexpected token: {token}")

    def _field(self, name: str) -> ColumnElement[Any]:
        if name not in self._kind.fields:
            raise SoqlError("INVALID_FIELD", f"No such column '{name}' on entity '{self._name}'.")
        return self._kind.fields[name]

    def _number(self) -> int:
        token = self._take()
        if not token.isdecimal():
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: {token}")
        return int(token)

    def _sees(self, word: str) -> bool:
        return bool(self._left) and self._left[0].upper() == word

    def _accept(self, word: str) -> bool:
        seen = self._sees(word)
        if seen:
            self._left.pop(0)
        return seen

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            raise SoqlError("MALFORMED_QUERY", f"expecting {word}")

    def _take(self) -> str:
        if not self._left:
            raise SoqlError("MALFORMED_QUERY", "unexpected end of the query")
        return self._left.pop(0)
