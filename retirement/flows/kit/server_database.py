"""What our Prefect server sends to its database in another way than it comes, at less cost.

Prefect writes states of steps and logs as `INSERT … VALUES (…), (…), …`, a row for each record, and asks for steps by
`IN ((…), (…), …)`, a key for each. Such a statement is another one for each number of rows: SQLAlchemy compiles all of
it, a parameter for each value, and PostgreSQL parses and keeps it, for each connection; a key is an index scan of its
own, in 20 kB. Its times are of a library, whose subtraction takes a hundred lines; asyncpg subtracts an epoch of each.
"""

from datetime import datetime
from operator import or_
from typing import Any

from sqlalchemy import (
    ClauseElement,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Insert,
    Result,
    Select,
    any_,
    bindparam,
    event,
    func,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, BooleanClauseList, Tuple
from sqlalchemy.sql.operators import in_op

#: Rows of one statement where the database gives something back of each: of hundreds at a time each number of them
#: would be a statement of its own, of which PostgreSQL keeps a megabyte for each connection.
ROWS_AT_ONCE = 25


def prepare_once(sessions: type[Session] = Session) -> None:
    """From here on these sessions insert rows, and ask for keys of several columns, by one statement for any number."""
    event.listen(sessions, "do_orm_execute", _by_row)
    event.listen(sessions, "do_orm_execute", _by_arrays)


def send_plain_times(engines: Engine | type[Engine] = Engine) -> None:
    """From here on these engines send times as Python has them."""
    event.listen(engines, "before_cursor_execute", _with_plain_times, retval=True)


def _by_row(execution: ORMExecuteState) -> Result[Any] | None:
    """Runs an insert of many rows row by row, in one request; None where SQLAlchemy is to go on with it itself."""
    statement = execution.statement
    if not isinstance(statement, Insert):
        return None
    if execution.is_executemany:
        execution.update_execution_options(insertmanyvalues_page_size=ROWS_AT_ONCE)
        return None
    if execution.parameters or statement._returning:
        return None
    rows = _rows_of(statement)
    if not rows:
        return None
    one = statement._generate()
    one._multi_values = ()
    options = execution.local_execution_options.union({"dml_strategy": "raw"})
    return execution.session.execute(one, rows, execution_options=options, bind_arguments=execution.bind_arguments)


def _rows_of(statement: Insert) -> list[dict[str, Any]]:
    """The rows of `VALUES` by the names of their columns; none where they are not plain values of the same columns."""
    given: list[Any] = [row for rows in statement._multi_values for row in rows]
    if not all(isinstance(row, dict) and _is_plain(row) and row.keys() == given[0].keys() for row in given):
        return []
    return [{column.key: value for column, value in row.items()} for row in given]


def _is_plain(row: dict[Any, Any]) -> bool:
    columns = all(isinstance(column, Column) for column in row)
    return columns and not any(isinstance(value, ClauseElement) for value in row.values())


def _by_arrays(execution: ORMExecuteState) -> None:
    """Gives PostgreSQL the keys of several columns that a query asks for as an array for each column."""
    statement = execution.statement
    if not isinstance(statement, Select) or len(statement._where_criteria) != 1:
        return
    either = _either(statement._where_criteria[0])
    if not any(isinstance(each.left, Tuple) for each in either):
        return
    if execution.session.get_bind(**execution.bind_arguments).dialect.name != "postgresql":
        return
    asked = [*map(_in_arrays, either)]
    if asked[1:]:
        # Of a row that has this or that PostgreSQL would read the whole table; of this and of that it has an index.
        (key,) = _columns(either[0])[0].table.primary_key
        asked = [key.in_(union_all(*(select(key).where(each).correlate(None) for each in asked)))]
    execution.statement = statement._generate()
    execution.statement._where_criteria = tuple(asked)


def _either(asked: Any) -> list[BinaryExpression[Any]]:
    """The conditions of which one has to hold, where each is to have one of some keys; none where it is not so."""
    is_or = isinstance(asked, BooleanClauseList) and asked.operator is or_
    either: list[Any] = [*asked.clauses] if is_or else [asked]
    if not all(map(_has_one_of_keys, either)):
        return []
    tables = {column.table for each in either for column in _columns(each)}
    return either if [len([*table.primary_key]) for table in tables] == [1] else []


def _has_one_of_keys(asked: Any) -> bool:
    """Whether a condition is that a primary key, or some columns together, have one of the values that are given."""
    if not isinstance(asked, BinaryExpression) or asked.operator is not in_op:
        return False
    if not isinstance(asked.right, BindParameter) or not asked.right.value:
        return False
    columns = _columns(asked)
    return all(isinstance(each, Column) for each in columns) and (len(columns) > 1 or columns[0].primary_key)


def _columns(asked: BinaryExpression[Any]) -> list[Any]:
    return [*asked.left.clauses] if isinstance(asked.left, Tuple) else [asked.left]


def _in_arrays(asked: BinaryExpression[Any]) -> ColumnElement[bool]:
    values = asked.right.value
    if not isinstance(asked.left, Tuple):
        return asked.left == any_(bindparam(None, [*values], ARRAY(asked.left.type)))
    by_column = zip(_columns(asked), zip(*values, strict=True), strict=True)
    arrays = [bindparam(None, [*each], ARRAY(column.type)) for column, each in by_column]
    names = (f"key_{number}" for number in range(len(arrays)))
    return asked.left.in_(select(*func.unnest(*arrays).table_valued(*names).render_derived().columns))


def _with_plain_times(
    _connection: Connection, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool
) -> tuple[str, Any]:
    # A list has the values of many executions; SQLAlchemy calls one that has many rows in it `many` as well.
    return statement, [*map(_plain_row, values)] if isinstance(values, list) else _plain_row(values)


def _plain_row(row: Any) -> Any:
    # A statement in Prefect's own words may have its values by name.
    return tuple(map(_plain, row)) if isinstance(row, tuple) else row


def _plain(value: Any) -> Any:
    """The value; a time of another class than Python's as the same one of Python."""
    if type(value) is datetime or not isinstance(value, datetime):
        return value
    day, time = (value.year, value.month, value.day), (value.hour, value.minute, value.second, value.microsecond)
    return datetime(*day, *time, tzinfo=value.tzinfo, fold=value.fold)
