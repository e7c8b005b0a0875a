"""The certificates in Prefect's UI follow what a command has entered in the ledger."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from retirement.cli.command import Call
from retirement.errors import EngineLost
from retirement.flows.kit.server import at_hand
from retirement.ledger import Ledger
from retirement.ledger.extract import changed_since

LATER = "the next run of verify or reconcile writes the certificates in Prefect's UI anew"


@asynccontextmanager
async def followed(call: Call, ledger: Ledger) -> AsyncIterator[None]:
    """Has the certificates written anew that the block changes, where a Prefect server is up, and else says so.

    After an error nothing is written: the next run of `verify` or `reconcile` makes up for it, as it does where no
    server was up.
    """
    before = (await ledger.events.head()).seq
    yield
    changed = await changed_since(ledger, before)
    if changed and not await _written(ledger, changed):
        call.remark([f"no Prefect server answers: {LATER}"])


async def _written(ledger: Ledger, user_ids: set[int]) -> bool:
    """Whether a server was up and has taken the certificates."""
    async with at_hand() as engine:
        if engine is None:
            return False
        # Prefect reads its settings at import, and they are known since the server is up.
        from retirement.flows.kit.certificates import show_certificates
        from retirement.flows.kit.loss import loss_told

        try:
            async with loss_told():
                await show_certificates(ledger, user_ids)
        except EngineLost:
            return False
    return True
