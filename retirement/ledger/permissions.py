"""Permissions: what each person may do at the operators' door. Every grant and every revocation is an entry."""

from collections.abc import Iterable
from dataclasses import dataclass

from retirement.errors import StateConflict
from retirement.ledger.access import Access
from retirement.ledger.permitted import Action, Area
from retirement.ledger.tables import Permission
from retirement.ledger.transaction import Changed, Gone, New, Piece, Transaction


@dataclass(frozen=True, slots=True)
class Holder:
    """A person who has permissions: the `sub` of a provider, as the ledger may have it."""

    issuer: str
    subject: str


class Permissions:
    """Grant permissions, and list them."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def of(self, holder: Holder) -> list[Permission]:
        """What one person was granted, wherever."""
        ours = (Permission.issuer == holder.issuer, Permission.subject == holder.subject)
        return await self._access.read(lambda tx: tx.rows(Permission, *ours))

    async def all(self, area: Area, instance: str = "", *, piece: Piece) -> list[Permission]:
        """What was granted to people in one place, a piece of the list."""
        there = (Permission.domain == area.value, Permission.instance == instance)
        return await self._access.read(lambda tx: tx.rows(Permission, *there, piece=piece))

    async def set(self, holder: Holder, area: Area, instance: str, actions: Iterable[Action]) -> None:
        """From now on a person has these permissions in one place and no others; without any there is no row.

        Enters nothing where it is so already. Raises `StateConflict` where no person would be left who was granted
        setPermissions in the whole system.
        """
        wanted = tuple(action.value for action in sorted(set(actions), key=list(Action).index))
        key = (area.value, instance, holder.issuer, holder.subject)

        def enter(tx: Transaction) -> None:
            before = tx.row(Permission, *key)
            had = before.actions if before else ()
            if had == wanted:
                return
            may_set = Action.SET_PERMISSIONS.value
            if area is Area.SYSTEM and may_set in had and may_set not in wanted and not _others(tx, holder):
                raise StateConflict("this would take the last setPermissions away")
            row = Permission(
                domain=area.value,
                instance=instance,
                issuer=holder.issuer,
                subject=holder.subject,
                actions=wanted,
                since=tx.now,
            )
            change = New(row) if before is None else Changed(row) if wanted else Gone(row)
            facts = {"domain": area.value, "instance": instance, "issuer": holder.issuer, "subject": holder.subject}
            tx.enter("permission.set", change, facts=facts | {"actions": list(wanted)})

        await self._access.write(enter)


def _others(tx: Transaction, holder: Holder) -> bool:
    """Whether another person was granted setPermissions in the whole system."""
    found = tx.rows(Permission, Permission.domain == Area.SYSTEM.value)
    return any(
        Action.SET_PERMISSIONS.value in each.actions and (each.issuer, each.subject) != (holder.issuer, holder.subject)
        for each in found
    )
