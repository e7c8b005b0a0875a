"""The keys of parcels: each claim that holds rows has one of its own, which is destroyed when they are delivered.

Entries tell of a key as they do of all bytes, by the SHA-256 of what is stored, so verifying misses one that is gone
before the delivery, and finds one that is there after it.
"""

from retirement.ledger.digests import Parcel
from retirement.ledger.tables import ParcelKey
from retirement.ledger.transaction import Change, Changed, Gone, New, Transaction


def keep_key(tx: Transaction, claim_id: int, parcel: Parcel) -> Change:
    """Keeps the key of what a claim has sealed now; the one before is destroyed."""
    row = ParcelKey(claim=claim_id, key=parcel.key)
    if tx.row(ParcelKey, claim_id) is None:
        return New(row)
    tx.empties_log = True
    return Changed(row)


def destroy_key(tx: Transaction, claim_id: int) -> list[Change]:
    """Deletes the key of a claim, if it has one."""
    tx.empties_log = True
    row = tx.row(ParcelKey, claim_id)
    return [] if row is None else [Gone(row)]
