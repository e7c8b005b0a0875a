"""The keys of parcels: each claim that holds rows has one of its own, which is destroyed when they are delivered.

No evidence: no entry tells of a key, and nothing of it may stay.
"""

from sqlalchemy.orm import Mapped, mapped_column

from retirement.ledger.digests import Parcel
from retirement.ledger.tables import Row, table_of
from retirement.ledger.transaction import Transaction


class ParcelKey(Row, kw_only=True):
    """The key of what a claim has sealed, itself sealed under the key of the ledger.

    A claim without one is of an earlier release, and sealed under the key of the ledger.
    """

    __tablename__ = "parcel_key"

    claim: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[bytes] = mapped_column(repr=False)


def keep_key(tx: Transaction, claim_id: int, parcel: Parcel) -> None:
    """Keeps the key of what a claim has sealed now; the one before is destroyed."""
    destroy_key(tx, claim_id)
    tx.connection.execute(table_of(ParcelKey).insert(), {"claim": claim_id, "key": parcel.key})


def destroy_key(tx: Transaction, claim_id: int) -> None:
    """Deletes the key of a claim, if it has one."""
    keys = table_of(ParcelKey)
    tx.connection.execute(keys.delete().where(keys.c.claim == claim_id))
