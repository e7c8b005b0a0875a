"""Breakers as a flow: stop calling a service, or call it again, with a reason that the ledger keeps."""

from typing import Any

from prefect import State, flow
from prefect.states import Cancelled, Completed

from retirement.config import load
from retirement.errors import ConfigError
from retirement.flows.kit.ending import ending, run_name
from retirement.flows.kit.parameters import Config, Open, Service
from retirement.flows.kit.secret_blocks import secret_block
from retirement.flows.kit.signing import signed
from retirement.ledger import opened
from retirement.site import ledger_location


@flow(name="breaker", flow_run_name=run_name, persist_result=False)
async def breaker(service: Service, stop_calling: Open = True, config: Config = None) -> State[Any]:
    """Stops calling a service until it is called again by hand, or calls it again; learners wait before its steps.

    The run asks in a form for the reason and for who does it. `config` is the configuration file; by default
    RETIREMENT_CONFIG, else retirement.yaml.
    """
    return await ending(lambda: _turn(config, service, stop_calling=stop_calling))


async def _turn(path: str | None, service: str, *, stop_calling: bool) -> State[Any]:
    configuration = load(path, secret_block=secret_block)
    if service not in configuration.services:
        raise ConfigError(f"service: {service} is not configured; services are {', '.join(configuration.services)}")
    form = await signed(f"Stop calling {service}?" if stop_calling else f"Call {service} again?")
    if form is None:
        return Cancelled(name="NotChanged", message=f"{service}: the form said no")
    async with opened(ledger_location(configuration)) as ledger:
        change = ledger.breakers.open if stop_calling else ledger.breakers.close
        await change(service, reason=form.reason, by=form.by)
    return Completed(name="Open" if stop_calling else "Closed", message=f"breaker of {service}")
