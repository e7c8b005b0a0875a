"""Which rows a declared statement chooses, as a parser of its database's SQL reads it.

A part of the connector SQL. A statement that chooses by `column = :identity` and by nothing that widens can hit one
learner only; whatever else it says needs a reason in the configuration, and some things no reason makes readable.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from retirement.connectors import Identity
from retirement.connectors.shared.placeholders import SHARED

if TYPE_CHECKING:
    from sqlglot import exp

#: SQLAlchemy's names of databases, where the parser has others.
_DIALECTS = {"postgresql": "postgres", "mariadb": "mysql", "mssql": "tsql"}
#: What a statement consists of; `FROM`, `USING`, `LIMIT`, `RETURNING` and joins make rows that cannot be counted first.
_PARTS = {
    "delete": frozenset({"this", "where"}),
    "update": frozenset({"this", "expressions", "where"}),
    "insert": frozenset({"this", "expression"}),
}
_PARTS_OF_A_TABLE = frozenset({"this", "db", "catalog", "alias"})
#: Expressions that hit more than one learner, and what an operator calls them.
_WIDE = {
    "or": "OR",
    "xor": "XOR",
    "not": "NOT",
    "is": "IS",
    "like": "LIKE",
    "ilike": "ILIKE",
    "glob": "GLOB",
    "neq": "an inequality",
    "gt": "an inequality",
    "gte": "an inequality",
    "lt": "an inequality",
    "lte": "an inequality",
    "between": "BETWEEN",
    "select": "a query inside",
}
_REGULAR = {"regexplike", "regexpilike", "similarto", "rlike"}
#: What leaves a bound value the whole of what is compared; in every other place it is a part of a text or a pattern.
_KEEPS_WHOLE = {"eq", "neq", "in", "cast", "lower", "upper", "paren", "tuple"}
#: A value in quotes, which SQLAlchemy would bind and the parser does not see.
_QUOTED_VALUE = re.compile(r"(?<![:\w\\]):\w")


@dataclass(frozen=True, slots=True)
class Comparison:
    """`column = :identity` at the top of a condition."""

    column: str
    identity: str

    def proves(self, found: object, wanted: object) -> bool:
        """Whether a row has the very value: databases may take another case, accents or `17abc` for the same."""
        text = found.decode(errors="replace") if isinstance(found, bytes) else str(found)
        text, own = text.rstrip(" "), str(wanted).rstrip(" ")
        if self.identity == Identity.USER_ID.value:
            return text == own or (isinstance(found, float) and found == wanted)
        if not isinstance(found, bytes | str):
            # A username of digits is no number of another learner.
            return False
        return text == own


@dataclass(frozen=True, slots=True)
class ChosenRows:
    """What UPDATE and DELETE choose; an INSERT has no `condition`."""

    table: str
    condition: str
    compared: tuple[Comparison, ...]
    #: Why it may hit others, None where it cannot.
    breadth: str | None
    #: Values that are a part of a pattern or a text in the condition.
    within: frozenset[str]

    @property
    def count(self) -> str:
        """The query that counts the rows, with the same condition."""
        return f"SELECT count(*) FROM {self.table} WHERE {self.condition}"  # noqa: S608 - both come from the file

    @property
    def proof(self) -> str | None:
        """The query for what the rows hold where they are compared; None where nothing has to be proved."""
        if self.breadth or not self.compared:
            return None
        columns = ", ".join(each.column for each in self.compared)
        return f"SELECT {columns} FROM {self.table} WHERE {self.condition}"  # noqa: S608 - all come from the file

    def are_of(self, row: tuple[Any, ...], values: Mapping[str, object]) -> bool:
        """Whether a row of `proof` is the learner's."""
        return all(each.proves(found, values[each.identity]) for each, found in zip(self.compared, row, strict=True))


@cache
def chosen_rows(statement: str, database: str) -> ChosenRows:
    """What a statement chooses; `database` is SQLAlchemy's name of its kind. Raises `ValueError` without a quote."""
    # Half a second that only sites with this connector pay.
    import sqlglot

    name = _DIALECTS.get(database, database)
    dialect = name if sqlglot.Dialect.get(name) else ""
    try:
        (parsed,) = sqlglot.parse(statement, read=dialect)
    except (sqlglot.errors.SqlglotError, ValueError):
        raise ValueError(f"cannot be read as one statement of {database}; write it more plainly") from None
    if parsed is None or parsed.key not in _PARTS:
        raise ValueError("has to begin with UPDATE or DELETE or INSERT")
    _require_values_of_ours(parsed)
    if parsed.key == "insert":
        return ChosenRows("", "", (), _breadth_of_insert(parsed), frozenset())
    return _of_rows(parsed, statement, dialect)


def _of_rows(parsed: "exp.Expr", statement: str, dialect: str) -> ChosenRows:
    table, where = parsed.this, parsed.args.get("where")
    odd = sorted(_present(parsed) - _PARTS[parsed.key]) or sorted(_present(table) - _PARTS_OF_A_TABLE)
    if odd or table.key != "table":
        part = odd[0].strip("_").upper() if odd else "another table"
        raise ValueError(f"has {part}; write one table and WHERE, such as WHERE … IN (SELECT …)")
    if where is None:
        raise ValueError("would touch others; choose with WHERE … = :user_id")
    condition = where.this
    if regular := _REGULAR & {each.key for each in condition.walk()}:
        raise ValueError(f"has a regular expression ({min(regular)}); compare with =")
    if not {each.name for each in _values(condition)} - SHARED:
        raise ValueError("would touch others; choose with WHERE … = :user_id")
    compared, breadth = _judged(condition, dialect)
    return ChosenRows(
        table.sql(dialect=dialect),
        _condition_text(statement, dialect),
        compared,
        breadth,
        frozenset(each.name for each in _values(condition) if _is_within(each, condition)),
    )


def _judged(condition: "exp.Expr", dialect: str) -> tuple[tuple[Comparison, ...], str | None]:
    compared, breadth = [], None
    for each in _conjuncts(condition):
        if found := _comparison(each, dialect):
            compared.append(found)
        elif not _narrows(each):
            breadth = breadth or _called(each)
    if all(each.identity in SHARED for each in compared):
        breadth = breadth or "no COLUMN = :identity at the top of WHERE"
    return tuple(compared), breadth


def _conjuncts(condition: "exp.Expr") -> Iterator["exp.Expr"]:
    bare = condition.unnest()
    if bare.key == "and":
        yield from _conjuncts(bare.this)
        yield from _conjuncts(bare.expression)
    else:
        yield bare


def _comparison(each: "exp.Expr", dialect: str) -> Comparison | None:
    """`column = :identity`, in either order; a cast of the value does not matter, since rows are looked at."""
    if each.key != "eq":
        return None
    for column, value in ((each.this, each.expression), (each.expression, each.this)):
        bare = value.this if value.key == "cast" else value
        if column.key == "column" and bare.key == "placeholder":
            return Comparison(column.sql(dialect=dialect), bare.name)
    return None


def _narrows(each: "exp.Expr") -> bool:
    """`column = 'text'` and `column IN ('a', 'b')`, which only take rows away."""
    if each.key == "eq":
        return {each.this.key, each.expression.key} <= {"column", "literal", "boolean"}
    return each.key == "in" and each.this.key == "column" and {one.key for one in each.expressions} == {"literal"}


def _called(each: "exp.Expr") -> str:
    """What an operator calls the part that may hit others."""
    return next((_WIDE[one.key] for one in each.walk() if one.key in _WIDE), "more than COLUMN = VALUE")


def _breadth_of_insert(parsed: "exp.Expr") -> str | None:
    values = parsed.args.get("expression")
    odd = sorted(_present(parsed) - _PARTS["insert"])
    if not {each.name for each in _values(parsed)} - SHARED:
        raise ValueError("would touch others; insert :user_id or another value of one learner")
    if odd or values is None or values.key != "values":
        return "more than INSERT … VALUES"
    return None


def _require_values_of_ours(parsed: "exp.Expr") -> None:
    """Each value is bound where the parser sees one: a colon in quotes would be bound as well."""
    if any(each.key == "parameter" or each.name in ("", "?") for each in _values(parsed)):
        raise ValueError("has a value without a name; write :user_id or another of ours")
    for each in parsed.walk():
        if each.key in ("literal", "identifier") and _QUOTED_VALUE.search(each.name):
            raise ValueError("has a value in quotes; write :username without them")


def _values(part: "exp.Expr") -> Iterator["exp.Expr"]:
    return (each for each in part.walk() if each.key in ("placeholder", "parameter"))


def _present(part: "exp.Expr") -> set[str]:
    return {name for name, value in part.args.items() if value}


def _is_within(value: "exp.Expr", condition: "exp.Expr") -> bool:
    """Whether a value is a part of a pattern or a text, and not the whole of what is compared."""
    parent = value.parent
    while parent is not None and parent is not condition.parent:
        if parent.key in ("eq", "neq", "in"):
            return False
        if parent.key not in _KEEPS_WHOLE:
            return True
        parent = parent.parent
    return True


def _condition_text(statement: str, dialect: str) -> str:
    """What stands behind the WHERE of the statement itself, as it is written: SQLAlchemy binds its values."""
    import sqlglot

    depth = 0
    for token in sqlglot.tokenize(statement, read=dialect):
        kind = token.token_type.name
        depth += (kind == "L_PAREN") - (kind == "R_PAREN")
        if kind == "WHERE" and not depth:
            return statement[token.end + 1 :].strip()
    raise ValueError("would touch others; choose with WHERE … = :user_id")
