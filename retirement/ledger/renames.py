"""How far the replacement of a username has come, so that a second run goes on; no name is kept.

Plain entries, which change no row: a pair of names is a keyed digest, and the account a user id.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from retirement.ledger.access import Access
from retirement.ledger.events import event_of
from retirement.ledger.tables import Entry
from retirement.ledger.transaction import Transaction

#: That an account is about to get a new name, and which accounts have it in one service.
BEGAN, DONE = "learner.renaming", "rename.done"

#: An old name and the new one that was asked for.
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Progress:
    """The account of a pair, and the services that have replaced its name since the last beginning."""

    user_id: int
    services: frozenset[str]


class Renames:
    """Enter what is about to be done and what was done, and look up how far a pair of names has come."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def began(self, job: int, pairs: Mapping[int, Pair]) -> None:
        """Enters that these accounts, by user id, are about to get new names; durable when this returns."""
        digests = self._access.digests

        def began(tx: Transaction) -> None:
            for user_id, (old, new) in pairs.items():
                tx.enter(BEGAN, user_id=user_id, facts={"job": job, "pair": digests.pair(old, new)})

        await self._access.write(began)

    async def done(self, job: int, service: str, user_ids: Collection[int]) -> None:
        """Enters that a service has the new names of these accounts."""
        facts = {"job": job, "service": service, "accounts": sorted(user_ids)}
        if user_ids:
            await self._access.write(lambda tx: tx.enter(DONE, facts=facts))

    async def progress(self) -> "Known":
        """How far pairs have come that any run has begun: asked by the old name and the new one, None for another."""
        begun = await self._access.read(_begun)
        return lambda old, new: next(
            (found for each in self._access.digests.every if (found := begun.get(each.pair(old, new)))), None
        )


#: Says how far the pair of an old name and a new one has come, under any of the keys.
Known = Callable[[str, str], Progress | None]


def _begun(tx: Transaction) -> dict[str, Progress]:
    """By the digests of pairs."""
    found: dict[str, Progress] = {}
    of_account: dict[int, str] = {}
    for event in map(event_of, tx.rows(Entry, Entry.kind.in_([BEGAN, DONE]))):
        if event.kind == BEGAN and event.user_id is not None:
            pair = of_account[event.user_id] = event.facts["pair"]
            found[pair] = Progress(event.user_id, frozenset())
        for user_id in event.facts.get("accounts", ()):
            if (pair := of_account.get(user_id)) is not None:
                found[pair] = Progress(user_id, found[pair].services | {event.facts["service"]})
    return found
