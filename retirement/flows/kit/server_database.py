"""What our Prefect server sends to its database in another way than it comes, at less cost.

Prefect writes states of steps and logs as `INSERT … VALUES (…), (…), …`, a row for each record. Such a statement is
another one for each number of rows: SQLAlchemy compiles all of it, a parameter for each value, and PostgreSQL parses
and keeps it. Its times are of a library, whose subtraction takes a hundred lines; asyncpg subtracts an epoch of each.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ClauseElement, Column, Connection, Engine, Insert, Result, event
from sqlalchemy.orm import ORMExecuteState, Session

#: Rows of one statement where the database gives something back of each: of hundreds at a time each number of them
#: would be a statement of its own, of which PostgreSQL keeps a megabyte for each connection.
ROWS_AT_ONCE = 25


def prepare_once(sessions: type[Session] = Session) -> None:
    """From here on these sessions insert many rows by a statement of one, which each connection prepares once."""
    event.listen(sessions, "do_orm_execute", _by_row)


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
