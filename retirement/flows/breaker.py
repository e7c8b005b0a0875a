"""Breakers as a flow: stop calling a service, or call it again, with a reason that the ledger keeps."""

from typing import Any

from prefect import State
from prefect.states import Cancelled, Completed

from retirement.errors import ConfigError
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.parameters import Open, Service
from retirement.flows.kit.served import served_configuration
from retirement.flows.kit.signing import signed
from retirement.ledger import opened
from retirement.site import ledger_location


@door("breaker")
async def breaker(service: Service, stop_calling: Open = True) -> State[Any]:
    """Stops calling a service until it is called again by hand, or calls it again; learners wait before its steps.

    The run asks in a form for the reason and for who does it.
    """
    return await ending(lambda: _turn(service, stop_calling=stop_calling))


async def _turn(service: str, *, stop_calling: bool) -> State[Any]:
    configuration = served_configuration()
    if service not in configuration.services:
        raise ConfigError(f"service: {service} is not configured; services are {', '.join(configuration.services)}")
    async with opened(ledger_location(configuration)) as ledger:
        form = await signed(f"Stop calling {service}?" if stop_calling else f"Call {service} again?", ledger)
        if form is None:
            return Cancelled(name="NotChanged", message=f"{service}: the form said no")
        change = ledger.breakers.open if stop_calling else ledger.breakers.close
        await change(service, reason=form.reason, by=form.by)
    return Completed(name="Open" if stop_calling else "Closed", message=f"breaker of {service}")
