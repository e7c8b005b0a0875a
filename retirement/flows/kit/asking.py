"""A run that waits for a person: its form stands on the run's page until it is answered or its time is over.

The run waits in its own process. Form and answer are in Prefect's database as long as the run waits, and no longer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import PrefectClient, get_client
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.states import Running

from retirement.errors import EngineLost, GuardStopped
from retirement.flows.kit.forms import Fields, Forms
from retirement.flows.kit.loss import not_needed, until_it_answers
from retirement.ledger import Ledger
from retirement.process import acting, observed, typed_into_a_form, waiting

#: Seconds after the time limit until Prefect itself fails a paused run that is dead.
GRACE_SECONDS = 300
#: Seconds between two looks whether an answer is there.
LOOK_SECONDS = 2.0

#: Failed looks one after the other, of a server that is there, after which it is no passing trouble.
MOST_FAILURES = 30

#: Seconds that a form stands of a run that a person has just started; then the run ends, and calls no service.
FORM_SECONDS = 900.0

Over = Callable[[], Awaitable[bool]]
Keep = Callable[[Fields], Awaitable[None]]


async def ask(
    forms: Forms[Fields],
    text: str,
    over: Over,
    keep: Keep[Fields],
    *,
    fields: type[Fields] | None = None,
    seconds: float,
    every: float = LOOK_SECONDS,
    why: str = "the run asks in a form: Resume",
    ledger: Ledger | None = None,
) -> None:
    """Shows a form on the page of the flow run that this is called in, until it is answered or `over`.

    `text` in Markdown stands above the fields, `why` in the state of the run. `keep` is given what was submitted, and
    `ledger` tells who has submitted it at the door. While Prefect's server is away it goes on looking.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("only a flow run can ask")
    if await over():
        return
    async with get_client() as client:
        run = context.flow_run.id
        await forms.show(client, run, text, fields=fields, seconds=int(seconds) + GRACE_SECONDS, why=why)
        log = get_run_logger()
        log.info("%s", why)
        try:
            with waiting("an answer to what the run asks"), not_needed():
                unpaused = await _until_answered(client, run, over, every)
            if not unpaused:
                # From here on the form comes too late; one that was faster is read below.
                await client.set_flow_run_state(run, Running())
        finally:
            submitted = await forms.submissions(client, run, fields=fields)
            log.info("the form was %s", "submitted" if submitted else "not submitted")
            for form in submitted:
                with acting("form", str(run), await form.person(ledger)):
                    await keep(form.form)
            await forms.forget(client, run)


async def answer(forms: Forms[Any], text: str, fields: type[Fields], ledger: Ledger) -> Fields:
    """What a person submits to a run that was started to be asked; what the run then enters has who that was.

    Raises `GuardStopped` where no form comes within `FORM_SECONDS`, or the run was resumed without one.
    """
    given: list[tuple[Fields, str | None]] = []
    deadline = time.monotonic() + FORM_SECONDS

    async def over() -> bool:
        return time.monotonic() >= deadline

    async def keep(form: Fields) -> None:
        given.append((form, observed().person))

    await ask(forms, text, over, keep, fields=fields, seconds=FORM_SECONDS, ledger=ledger)
    if not given:
        minutes = FORM_SECONDS / 60
        raise GuardStopped(f"nothing was called: the form of this run was not filled in within {minutes:.0f} minutes")
    form, person = given[-1]
    typed_into_a_form(person)
    return form


async def _until_answered(client: PrefectClient, run: UUID, over: Over, every: float) -> bool:
    """Waits until the run is paused no more; False where it is `over` before."""
    unpaused = asyncio.ensure_future(_until_unpaused(client, run, every))
    try:
        while not unpaused.done():
            if await over():
                return False
            await asyncio.wait([unpaused], timeout=every)
        await unpaused
        return True
    finally:
        unpaused.cancel()
        await asyncio.wait([unpaused])


async def _until_unpaused(client: PrefectClient, run: UUID, every: float) -> None:
    """Waits until the run is paused no more, or is gone from Prefect; a server that is away is waited for."""
    failures = 0
    while failures < MOST_FAILURES:
        await asyncio.sleep(every)
        try:
            found = await client.read_flow_run(run)
        except ObjectNotFound:
            return
        except Exception:  # noqa: BLE001 - whatever a server that stops or starts answers
            failures += 1
            await until_it_answers()
            continue
        failures = 0
        if found.state and not found.state.is_paused():
            return
    raise EngineLost("Prefect's server does not say whether the run is paused")
