"""`retirement status`: where everybody is, one learner, one e-mail address, or the services."""

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from retirement.cli.output import ConfigOption, JsonOption, UserIdOption, asked_for, console, run, show_json
from retirement.cli.secrets import secret_block
from retirement.config import Configuration, load
from retirement.confirmation import is_overdue
from retirement.errors import ConfigError
from retirement.learner import Learner
from retirement.ledger import LearnerRecord, Ledger, learner_scope
from retirement.ledger import opened as opened_ledger
from retirement.pipeline import ABORTED, COMPLETE, DEAD_ENDS, PENDING, Pipeline
from retirement.reports import DONE, SOME_FAILED
from retirement.site import Site, ledger_place, opened

#: So many failures of one step in a row are no passing trouble of the service any more.
OFTEN = 5


def status(
    user_id: UserIdOption = None,
    email: Annotated[
        str | None,
        typer.Option("--email", help="Was an address erased? - to be asked for it, or to pipe it in; it is not kept."),
    ] = None,
    services: Annotated[bool, typer.Option("--services", help="Which services are down, and since when.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who is in which state and who is overdue; or one learner, one address, the services."""
    if sum((user_id is not None, email is not None, services)) > 1:
        raise typer.BadParameter("give one of --user-id, --email and --services")
    address = asked_for("--email", email, as_json=as_json)

    async def command() -> int:
        configuration = load(config, secret_block=secret_block)
        if address is not None or services:
            async with opened_ledger(ledger_place(configuration)) as ledger:
                document = await _services(ledger, configuration) if services else await _address(ledger, str(address))
        else:
            async with opened(configuration) as site:
                document = await _one(site, user_id) if user_id else await _everybody(configuration, site)
        found = document.pop("found", True)
        if as_json:
            show_json(document)
        else:
            _show(document)
        return DONE if found else SOME_FAILED

    run(command, as_json=as_json)


def _show(document: dict[str, Any]) -> None:
    for key, value in document.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            console.print(f"{key}:", highlight=False)
            for each in value:
                cells = ", ".join(f"{name} {_plain(cell)}" for name, cell in each.items())
                console.print(f"  {cells}", highlight=False, markup=False)
        else:
            console.print(f"{key.replace('_', ' ')}: {_plain(value)}", highlight=False)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


async def _services(ledger: Ledger, configuration: Configuration) -> dict[str, Any]:
    known = {breaker.service: breaker for breaker in await ledger.breakers()}
    rows = []
    for service in sorted({*configuration.services, *known}):
        breaker = known.get(service)
        rows.append(
            {
                "service": service,
                "breaker": breaker.state if breaker else "closed",
                "since": breaker.since.isoformat() if breaker else None,
                "next_look": breaker.retry_at.isoformat() if breaker and breaker.retry_at else None,
                "reason": breaker.reason if breaker else None,
                "by": breaker.by if breaker else None,
            }
        )
    return {"services": rows}


async def _address(ledger: Ledger, email: str) -> dict[str, Any]:
    """Answers by keyed digest: the address itself is stored nowhere."""
    if "@" not in email:
        raise ConfigError("--email: this is no e-mail address")
    records = await ledger.by_email(email)
    # A later run may have ended otherwise, for a report to a partner; what is erased stays so.
    erased = any(record.retired_at for record in records)
    return {"erased": erased, "retirements": [_evidence(record) for record in records], "found": erased}


def _evidence(record: LearnerRecord) -> dict[str, Any]:
    return {
        "user_id": record.user_id,
        "requested_at": record.requested_at.isoformat(),
        "due_at": record.due_at.isoformat(),
        "ending": record.ending,
        "reason": record.reason or None,
        "ended_at": record.ended_at.isoformat() if record.ended_at else None,
        "retired_at": record.retired_at.isoformat() if record.retired_at else None,
        "steps": record.finished,
    }


async def _one(site: Site, user_id: int) -> dict[str, Any]:
    learner = await site.lms.find(user_id)
    record = await site.ledger.record(user_id)
    document: dict[str, Any] = {"user_id": user_id, "state": learner.state if learner else None}
    if learner:
        document |= {
            "last_state": learner.last_state,
            "requested_at": learner.requested_at.isoformat(),
            "changed_at": learner.changed_at.isoformat(),
            "due_at": (record.due_at if record else site.due_at(learner)).isoformat(),
        }
    lease = (await site.ledger.live_leases()).get(learner_scope(user_id))
    document["live_run"] = f"until {lease.expires_at.isoformat()}" if lease else None
    document["ledger"] = _evidence(record) if record else None
    return document | {"found": learner is not None or record is not None}


async def _everybody(configuration: Configuration, site: Site) -> dict[str, Any]:
    wanted = dict.fromkeys([*site.pipeline.lms_states, *(configuration.lms.states or ())])
    known = await site.lms.known_states(list(wanted))
    document = _all(configuration, site.pipeline, await site.lms.queue(known, 0), site)
    live = await site.ledger.live_leases()
    document["without_a_live_run"] = [each for each in document["in_working_state"] if learner_scope(each) not in live]
    parked = await site.ledger.records(endings=["parked", "stranded"])
    document["parked_often"] = [each.user_id for each in parked if _failures(each) >= OFTEN]
    document["services_down"] = [each.service for each in await site.ledger.breakers() if each.state == "open"]
    receipts = [each for each in await site.ledger.receipts(open_only=True) if each.operation]
    document["open_receipts"] = len(receipts)
    document["overdue_receipts"] = [each.id for each in receipts if is_overdue(site, each)]
    document["holds"] = len(await site.ledger.holds())
    return document


def _failures(record: LearnerRecord) -> int:
    """How often the step that failed last has failed in a row."""
    tried = list(reversed(record.attempts))
    own = [each for each in tried if each.step == tried[0].step] if tried else []
    return len(list(itertools.takewhile(lambda each: each.error is not None, own)))


def _all(configuration: Configuration, pipeline: Pipeline, learners: list[Learner], site: Site) -> dict[str, Any]:
    now = datetime.now(UTC)
    cool_off = timedelta(days=configuration.cool_off_days)
    counts = Counter(learner.state for learner in learners)
    open_ones = [learner for learner in learners if learner.state not in DEAD_ENDS]
    working = set(pipeline.working_states)
    late = [each for each in learners if each.state not in (ABORTED, COMPLETE) and now > site.due_at(each)]
    return {
        "states": dict(sorted(counts.items())),
        "cooling_off": sum(now - each.requested_at <= cool_off for each in open_ones if each.state == PENDING),
        "waiting": sum(now - each.requested_at > cool_off for each in open_ones if each.state not in working),
        "in_working_state": [each.user_id for each in open_ones if each.state in working],
        "errored": [each.user_id for each in learners if each.state == "ERRORED"],
        "overdue": [each.user_id for each in late],
    }
