"""A row of the ledger: a class is a row, and its attributes are the columns.

What they are in the database is in `columns`. A row that was read is a copy: changing it changes nothing,
`Transaction.enter` does.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, ClassVar, cast

from sqlalchemy import Float, Table
from sqlalchemy.orm import DeclarativeBase, MappedAsDataclass

from retirement.ledger.columns import NUMBER, Day, Time, Words


class Row(MappedAsDataclass, DeclarativeBase):
    """A row of the ledger."""

    type_annotation_map: ClassVar[Mapping[Any, Any]] = {
        int: NUMBER,
        str: Words,
        datetime: Time,
        date: Day,
        float: Float(53),
    }


def table_of(kind: type[Row]) -> Table:
    """The table of a class of rows."""
    return cast(Table, kind.__table__)
