"""How Python values stand in a column, and back: the same bytes in SQLite, in PostgreSQL and in the chain.

Times are ISO-8601 texts in UTC with microseconds, so that they sort; days are ISO-8601 texts; lists and mappings
are canonical JSON (see `chain`). A type that is changed here changes what is hashed: a migration is needed.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, Integer, MetaData, Table, Text
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from retirement.ledger.chain import canonical, read, written

# An INTEGER key is the row id of SQLite, so there is one b-tree instead of two.
NUMBER = BigInteger().with_variant(Integer(), "sqlite")
# Compared byte by byte on both databases, whatever locale the operator's cluster was made with.
TEXT = Text().with_variant(Text(collation="C"), "postgresql")
# What is stored is the same whatever the database.
_ANY = DefaultDialect()


class Words(TypeDecorator[str]):
    """Text that both databases can hold: no text of theirs has a NUL or half a surrogate pair."""

    impl = TEXT
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Puts a replacement character where a database would refuse the text."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


class Time(TypeDecorator[datetime]):
    """A time with a zone."""

    impl = TEXT
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """The text of a time; raises `ValueError` for one without a zone."""
        return None if value is None else written(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """The time of a text."""
        return None if value is None else read(value)


class Day(TypeDecorator[date]):
    """A day."""

    impl = TEXT
    cache_ok = True

    def process_bind_param(self, value: date | None, dialect: Dialect) -> str | None:
        """The text of a day."""
        return None if value is None else value.isoformat()

    def process_result_value(self, value: str | None, dialect: Dialect) -> date | None:
        """The day of a text."""
        return None if value is None else date.fromisoformat(value)


class Items(TypeDecorator[tuple[Any, ...]]):
    """A list of numbers, or of texts."""

    impl = TEXT
    cache_ok = True

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> str | None:
        """The JSON of a list."""
        return None if value is None else canonical(list(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[Any, ...] | None:
        """The list of a JSON."""
        return None if value is None else tuple(json.loads(value))


class Counts(TypeDecorator[Mapping[str, int]]):
    """Numbers by name."""

    impl = TEXT
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, int] | None, dialect: Dialect) -> str | None:
        """The JSON of a mapping."""
        return None if value is None else canonical(dict(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Mapping[str, int] | None:
        """The mapping of a JSON."""
        if value is None:
            return None
        counts: Mapping[str, int] = json.loads(value)
        return counts


def stored(kind: TypeEngine[Any], value: Any) -> Any:
    """A value as it stands in a column of that type, which is what the chain hashes."""
    return kind.process_bind_param(value, _ANY) if isinstance(kind, TypeDecorator) else value


def plain(table: Table) -> Table:
    """The same table with the columns as they are stored: verifying compares bytes, and trusts no reading of them."""
    columns = [
        Column(each.name, _impl(each.type), primary_key=each.primary_key, autoincrement=False, nullable=each.nullable)
        for each in table.columns
    ]
    return Table(table.name, MetaData(), *columns)


def _impl(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind
