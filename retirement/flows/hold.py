"""Holds as a flow: a registered reason to keep a learner, an organisation's learners or one service's data."""

from datetime import date
from typing import Any

from prefect import State
from prefect.states import Cancelled, Completed

from retirement.config import Configuration, GuardSettings
from retirement.errors import ConfigError
from retirement.flows.kit.certificates import keep_up
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.parameters import HeldUserId, HoldNumber, Org, SomeService, Until
from retirement.flows.kit.served import served_configuration
from retirement.flows.kit.signing import signed, submitted
from retirement.ledger import Ledger, opened
from retirement.ledger.holds import Wanted, nothing_waits
from retirement.site import ledger_location


@door("hold")
async def hold(
    user_id: HeldUserId = None,
    org: Org = None,
    service: SomeService = None,
    until: Until = None,
    release: HoldNumber = None,
) -> State[Any]:
    """Keeps a learner, or the learners of an organisation, wholly or in one service; or ends a hold.

    The run asks in a form for the legal basis and for who places the hold, and enters it when that is submitted.
    """
    wanted = Wanted(user_id, org, service, until)
    return await ending(lambda: _hold(wanted, release))


async def _hold(wanted: Wanted, release: int | None) -> State[Any]:
    configuration = served_configuration()
    async with opened(ledger_location(configuration)) as ledger:
        if release is not None:
            return await _release(ledger, configuration.guard, release)
        return await _place(ledger, configuration, wanted)


async def _place(ledger: Ledger, configuration: Configuration, wanted: Wanted) -> State[Any]:
    wanted.require(configuration.services, ledger.now().date())
    form = await signed(f"Keep {wanted.sentence}?", ledger)
    if form is None:
        return Cancelled(name="NotPlaced", message="no hold was placed: the form said no")
    last = wanted.until or date.min
    number = await ledger.holds.add(
        user_id=wanted.user_id, org=wanted.org, service=wanted.service, basis=form.reason, until=last, by=form.by
    )
    await keep_up(ledger)
    return Completed(name="Placed", message=f"hold {number}: {wanted.sentence}")


async def _release(ledger: Ledger, guard: GuardSettings, number: int) -> State[Any]:
    if not any(each.id == number for each in await ledger.holds.find()):
        raise ConfigError(f"release: no hold {number} keeps a learner now")
    form = await submitted(f"End hold {number}? The next queue run erases what it kept.", ledger)
    if not form.go_on:
        kept = await ledger.holds.keep(number, by=form.by, reason=form.reason)
        message = f"hold {number} stays; its end takes two people anew" if kept else nothing_waits(number)
        return Cancelled(name="NotReleased", message=f"the form said no: {message}")
    if not await ledger.holds.release(number, by=form.by, reason=form.reason, two_people=guard.two_for_holds):
        message = f"hold {number} stays, 1 of 2: it needs another person, within {guard.answer_hours:g} hours"
        return Completed(name="OneOfTwo", message=message)
    await keep_up(ledger)
    return Completed(name="Released", message=f"hold {number} is over; the next queue run goes on")
