"""`retirement status`: learners by state, one learner, one e-mail address, or the services."""

from collections.abc import Coroutine, Iterator
from typing import Annotated, Any

import typer

from retirement.cli.command import Call, command
from retirement.cli.names import asked_for
from retirement.config import Configuration
from retirement.errors import ConfigError
from retirement.flows.kit.planned import planned
from retirement.followup.overview import not_retired, overview
from retirement.followup.overview import services as all_services
from retirement.followup.standing import evidence, standing
from retirement.ledger import opened as opened_ledger
from retirement.reports import DONE, SOME_FAILED
from retirement.site import ledger_location, opened
from retirement.site.address import was_erased


@command()
def status(
    call: Call,
    user_id: int | None = None,
    email: Annotated[
        str | None,
        typer.Option("--email", help="Was an address erased? - to be asked for it, or to pipe it in; it is not kept."),
    ] = None,
    services: Annotated[bool, typer.Option("--services", help="Which services are down, and since when.")] = False,
) -> Coroutine[Any, Any, int]:
    """Show learners by state, and those who are overdue; or one learner, one address, the services."""
    if sum((user_id is not None, email is not None, services)) > 1:
        raise typer.BadParameter("give one of --user-id, --email and --services")
    return _status(call, user_id, asked_for("--email", email), services=services)


async def _status(call: Call, user_id: int | None, address: str | None, *, services: bool) -> int:
    if address is not None:
        document = await _address(call.configuration, address)
    elif services:
        document = await _services(call.configuration)
    else:
        document = await _from_site(call.configuration, user_id)
    found = document.pop("found", True)
    call.show(document, *_lines(document))
    return DONE if found else SOME_FAILED


async def _from_site(configuration: Configuration, user_id: int | None) -> dict[str, Any]:
    async with opened(configuration) as site:
        document = await standing(site, user_id) if user_id else await overview(configuration, site)
    return document if user_id else document | {"schedules": await planned()}


def _lines(document: dict[str, Any]) -> Iterator[str]:
    for key, value in document.items():
        if _has_rows(value):
            yield f"{key}:"
            for each in value:
                yield "  " + ", ".join(f"{name} {_plain(cell)}" for name, cell in each.items())
        else:
            yield f"{key.replace('_', ' ')}: {'not known' if (key, value) == ('erased', None) else _plain(value)}"


def _has_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        value = [f"{key} {count}" for key, count in value.items()]
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return _word(value)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


async def _services(configuration: Configuration) -> dict[str, Any]:
    async with opened_ledger(ledger_location(configuration)) as ledger:
        return {"services": await all_services(configuration, ledger)}


async def _address(configuration: Configuration, email: str) -> dict[str, Any]:
    """Answers by keyed digest and by rows of the LMS in memory: the address itself is stored nowhere."""
    if "@" not in email:
        raise ConfigError("--email: this is no e-mail address")
    async with opened(configuration) as site:
        answer = await was_erased(site, email)
    return {
        "erased": answer.erased,
        "retirements": [evidence(each) for each in answer.retirements],
        "not_retired": not_retired(answer.not_retired),
        "not_asked": list(answer.not_asked),
        "found": answer.erased is True,
    }
