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

#: The day up to which a text is acted on that no day ends.
ALWAYS = "9999-12-31"


class Row(MappedAsDataclass, DeclarativeBase):
    """A row of the ledger. What the ledger does with a table beyond its columns, the table says here."""

    #: Whether its rows are the replay of the chain, so that `Transaction.enter` alone writes them.
    is_evidence: ClassVar[bool] = True
    #: The columns of names that people typed; where two have one, the later column has the later name.
    typed_by: ClassVar[tuple[str, ...]] = ()
    #: The columns that say, in the list of acts, what an act was about; nothing that was typed freely.
    matter: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def acted_on_until(cls, told: Mapping[str, Any]) -> str:
        """The last day, such as `2026-03-01`, on which people act on what a row says, so that its texts stay.

        "": no day. `told` is the row as an entry tells of it. Each table of evidence with a free text says its own.
        """
        return ""

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
