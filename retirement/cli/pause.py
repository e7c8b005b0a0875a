"""Commands on schedules: pause them with a reason, which the ledger keeps, and start them again."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from retirement.cli.command import Call, command
from retirement.cli.options import ByOption, require_keepable
from retirement.config import SCHEDULED
from retirement.errors import ConfigError
from retirement.ledger import Ledger, opened
from retirement.reports import DONE
from retirement.site import ledger_location

SchedulesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="SCHEDULE", help=f"Which: {', '.join(SCHEDULED)}; default: every one."),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the ledger. Names no learner.")]


@command()
async def pause(call: Call, reason: ReasonOption, by: ByOption, schedules: SchedulesArgument = None) -> int:
    """Stop schedules until `resume`: their runs call no service; a run that a person starts goes on."""
    chosen = _chosen(schedules, reason, by)

    async def work(ledger: Ledger) -> list[str]:
        for each in chosen:
            await ledger.pauses.pause(each, reason=reason.strip(), by=by)
        return chosen

    return await _change(call, work, "paused")


@command()
async def resume(call: Call, reason: ReasonOption, by: ByOption, schedules: SchedulesArgument = None) -> int:
    """Start schedules again that `pause` has stopped; a pause in Prefect's UI is ended there."""
    chosen = _chosen(schedules, reason, by)

    async def work(ledger: Ledger) -> list[str]:
        paused = [each.schedule for each in await ledger.pauses.all() if each.schedule in chosen]
        if idle := [each for each in schedules or [] if each not in paused]:
            raise ConfigError(f"SCHEDULE: not paused in the ledger: {', '.join(idle)}")
        for each in paused:
            await ledger.pauses.resume(each, reason=reason.strip(), by=by)
        return paused

    return await _change(call, work, "resumed")


def _chosen(schedules: list[str] | None, reason: str, by: str) -> list[str]:
    """The schedules that are meant. Raises `ConfigError` for an unknown one, and for words that cannot be kept."""
    require_keepable(reason=reason, by=by)
    if unknown := [each for each in schedules or [] if each not in SCHEDULED]:
        raise ConfigError(f"SCHEDULE: there is no {', '.join(unknown)}; schedules are {', '.join(SCHEDULED)}")
    return list(dict.fromkeys(schedules or SCHEDULED))


async def _change(call: Call, work: Callable[[Ledger], Awaitable[list[str]]], what: str) -> int:
    async with opened(ledger_location(call.configuration)) as ledger:
        changed = await work(ledger)
    call.show({what: changed}, f"{what}: {', '.join(changed) or 'none'}")
    return DONE
