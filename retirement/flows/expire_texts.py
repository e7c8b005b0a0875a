"""The end of free texts in the ledger as a flow: they are taken out once they are old, and the chain stays whole."""

from functools import partial
from typing import Any

from prefect import State
from prefect.states import Completed

from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.parameters import DryRun
from retirement.flows.kit.paused import is_planned, unless_paused
from retirement.flows.kit.served import served_configuration
from retirement.followup import expire_texts as followup
from retirement.ledger import TakenOut
from retirement.site.stopping import Stop, finish_or_stop


@door("expire-texts")
async def expire_texts(dry_run: DryRun = None) -> State[Any]:
    """Takes reasons, bases and evidence out of the ledger that are older than `ledger.text_days`.

    With `dry_run` it counts them, and does nothing; so does a run that a person starts, unless `dry_run` is off.
    """
    found: list[TakenOut] = []
    work = partial(_expire, found, dry_run=not is_planned() if dry_run is None else dry_run)
    return await ending(lambda: unless_paused("expire-texts", work), lambda _: _said(found))


async def _expire(found: list[TakenOut], *, dry_run: bool) -> State[Any]:
    stop = Stop()
    await finish_or_stop(followup.expire_texts(served_configuration(), stop, found.append, dry_run=dry_run), stop)
    told = followup.summary(found)
    if dry_run:
        return Completed(name="Previewed", message=f"{told}; no text was taken out: run it again with dry_run off")
    return Completed(name="Expired", message=told)


async def _said(found: list[TakenOut]) -> str:
    return followup.summary(found) if found else ""
