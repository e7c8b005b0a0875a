"""`retirement status`: learners by state, one learner, one e-mail address, or the services."""

from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from retirement.cli.command import Call, command
from retirement.cli.names import asked_for
from retirement.config import Configuration
from retirement.errors import ConfigError, Ending, EngineLost
from retirement.flows.kit.server import in_use
from retirement.flows.kit.watchdog import seen
from retirement.followup.overview import not_retired, overview
from retirement.learner import Learner
from retirement.ledger import Breaker, LearnerRecord, learner_scope
from retirement.ledger import opened as opened_ledger
from retirement.pipeline.strays import is_stray, stray_text
from retirement.reports import DONE, SOME_FAILED
from retirement.site import Site, ledger_location, opened
from retirement.site.address import unfinished, was_erased
from retirement.site.watch import absence, locate


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
        document = await _one(site, user_id) if user_id else await overview(configuration, site)
    return document if user_id else document | {"schedules": await _schedules()}


async def _schedules() -> list[dict[str, Any]]:
    """Last and next run of each schedule; none where no Prefect server is up, or none that takes us."""
    try:
        with in_use() as engine:
            return [each.row for each in await seen(engine.api_url, datetime.now(UTC))] if engine else []
    except (EngineLost, ConfigError):
        return []


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
        known = {breaker.service: breaker for breaker in await ledger.breakers.all()}
    return {"services": [_service(each, known.get(each)) for each in sorted({*configuration.services, *known})]}


def _service(service: str, breaker: Breaker | None) -> dict[str, Any]:
    if breaker is None:
        return {"service": service, "breaker": "closed"} | dict.fromkeys(("since", "next_look", "reason", "by"))
    return {
        "service": service,
        "breaker": breaker.state,
        "since": _iso(breaker.since),
        "next_look": _iso(breaker.retry_at),
        "reason": breaker.reason,
        "by": breaker.by,
    }


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


async def _address(configuration: Configuration, email: str) -> dict[str, Any]:
    """Answers by keyed digest and by rows of the LMS in memory: the address itself is stored nowhere."""
    if "@" not in email:
        raise ConfigError("--email: this is no e-mail address")
    async with opened(configuration) as site:
        answer = await was_erased(site, email)
    return {
        "erased": answer.erased,
        "retirements": [_evidence(each) for each in answer.retirements],
        "not_retired": not_retired(answer.not_retired),
        "not_asked": list(answer.not_asked),
        "found": answer.erased is True,
    }


def _evidence(record: LearnerRecord) -> dict[str, Any]:
    return {
        "user_id": record.user_id,
        "retirement": record.retirement_id,
        "requested_at": record.requested_at.isoformat(),
        "due_at": record.due_at.isoformat(),
        "ending": _of_today(record.ending),
        "reason": record.reason or None,
        "ended_at": _iso(record.ended_at),
        "retired_at": _iso(record.retired_at),
        "steps": record.finished,
    }


def _of_today(ending: str | None) -> str | None:
    """An ending by the name that it has today; words that are no ending, such as `closed`, stay."""
    try:
        return ending and Ending(ending).value
    except ValueError:
        return ending


async def _one(site: Site, user_id: int) -> dict[str, Any]:
    learner = await locate(site, user_id)
    records = await site.ledger.learners.retirements({user_id})
    record = records[-1] if records else None
    row = _row_in_the_lms(learner, record.due_at if record else site.due_at(learner)) if learner else {"state": None}
    lease = (await site.ledger.leases.live()).get(learner_scope(user_id))
    return {
        "user_id": user_id,
        **row,
        **await _hint(site, user_id, learner, record),
        "live_run": f"until {lease.expires_at.isoformat()}" if lease else None,
        "ledger": _evidence(record) if record else None,
        "not_retired": not_retired(unfinished(records)),
        "found": learner is not None or record is not None,
    }


async def _hint(site: Site, user_id: int, learner: Learner | None, record: LearnerRecord | None) -> dict[str, str]:
    """What helps a learner that no run takes."""
    if learner and is_stray(site.pipeline, learner.state):
        return {"what_helps": stray_text(user_id, learner.state)}
    if learner is None and record and record.retired_at is None:
        return {"row": await absence(site, user_id)}
    return {}


def _row_in_the_lms(learner: Learner, due_at: datetime) -> dict[str, str | None]:
    return {
        "state": learner.state,
        "last_state": learner.last_state,
        "requested_at": learner.requested_at.isoformat(),
        "changed_at": learner.changed_at.isoformat(),
        "due_at": due_at.isoformat(),
    }
