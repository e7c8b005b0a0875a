"""`retirement doctor`: finds what would go wrong before anybody's retirement is touched.

Every check is a question that changes nothing. A check says what is wrong and the one thing to do about it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from retirement.config import Configuration
from retirement.errors import ConfigError, LedgerError, Misconfigured, RetirementError, ServiceError, Transient
from retirement.pipeline import Step
from retirement.site import Site

#: One month from the request is what GDPR Art. 12(3) leaves; a clock further off than this shifts due dates.
CLOCK_SECONDS = 60.0

STATES_FIX = "set RETIREMENT_STATES to what `retirement config states` prints, then run populate_retirement_states"


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Check:
    """One answered question; `fix` is what to do where the verdict is not ok."""

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


async def examine(configuration: Configuration, site: Site) -> AsyncIterator[Check]:
    """Answers every question it can, the most basic first; later ones are left out when the LMS does not answer."""
    yield _file(configuration)
    for warning in configuration.warnings:
        yield Check("file", Verdict.WARNING, warning)
    yield _deadline(configuration)
    yield await _ledger(site)
    yield _anchor(configuration)
    token = await _token(site)
    yield token
    if token.verdict is Verdict.FAILURE:
        return
    known = await _known(site)
    if isinstance(known, Check):
        yield known
        return
    yield Check("permission", Verdict.OK, "the worker may read the retirement queue")
    for check in _states(site, known):
        yield check
    if staff := await _staff(configuration, site):
        yield staff
    for step in site.pipeline:
        yield await _route(site, step)
    yield await _clock(site)
    yield await _depth(configuration, site, known)


def _file(configuration: Configuration) -> Check:
    steps = len(configuration.pipeline)
    return Check("file", Verdict.OK, f"{configuration.source} ({configuration.dialect}): {steps} steps")


def _deadline(configuration: Configuration) -> Check:
    deadline = configuration.shortest_deadline_days
    slack = deadline - configuration.cool_off_days
    text = f"cool-off {configuration.cool_off_days} days, deadline {deadline} days after the request"
    if slack < 0:
        return Check("deadline", Verdict.FAILURE, text, f"lower cool_off_days below {deadline}")
    if slack <= 1:
        return Check("deadline", Verdict.WARNING, f"{text}: one failed night breaks it", "lower cool_off_days")
    return Check("deadline", Verdict.OK, f"{text}: {slack} days to work in")


async def _ledger(site: Site) -> Check:
    try:
        head = await site.ledger.head()
        down = [breaker for breaker in await site.ledger.breakers() if breaker.state == "open"]
    except LedgerError as error:
        return no_ledger(error)
    if down:
        text = "; ".join(f"{each.service} {each.reason}" for each in down)
        return Check("ledger", Verdict.WARNING, f"breakers are open: {text}", "`retirement status --services`")
    return Check("ledger", Verdict.OK, f"{head.seq} entries")


def _anchor(configuration: Configuration) -> Check:
    if configuration.ledger.anchor is None:
        text = "none: a ledger that was lost or cut short would not be missed, and its holds with it"
        return Check("anchor", Verdict.WARNING, text, "set ledger.anchor to a file on other storage")
    return Check("anchor", Verdict.OK, str(configuration.ledger.anchor))


def no_ledger(error: RetirementError) -> Check:
    """What is wrong with a ledger that cannot be opened or read."""
    return Check("ledger", Verdict.FAILURE, str(error), "without a ledger nobody is called; see docs/operating.md")


async def _token(site: Site) -> Check:
    try:
        await site.tokens.current()
    except Misconfigured as error:
        return Check("token", Verdict.FAILURE, str(error), "check lms.url, client_id and client_secret")
    except ServiceError as error:
        return Check("token", Verdict.FAILURE, str(error), "is the LMS up, and lms.url its address?")
    return Check("token", Verdict.OK, "the LMS gives the worker a JWT")


async def _known(site: Site) -> list[str] | Check:
    try:
        return await site.lms.known_states(site.pipeline.lms_states)
    except Misconfigured as error:
        fix = "make RETIREMENT_SERVICE_WORKER_USERNAME of the LMS the owner of this OAuth client"
        return Check("permission", Verdict.FAILURE, str(error), fix)
    except ServiceError as error:
        return Check("permission", Verdict.FAILURE, str(error), "is the LMS up?")


def _states(site: Site, known: list[str]) -> list[Check]:
    wanted = site.pipeline.lms_states
    checks = [
        Check(f"state {state}", Verdict.OK, "the LMS has it")
        if state in known
        else Check(f"state {state}", Verdict.FAILURE, "the LMS lacks it", STATES_FIX)
        for state in wanted
    ]
    ordered = [state for state in wanted if state in known]
    if ordered != known:
        text = f"the LMS has them as {', '.join(known)}"
        checks.append(Check("order of states", Verdict.FAILURE, text, "write the steps in the LMS' order"))
    else:
        checks.append(Check("order of states", Verdict.OK, "as the steps are written"))
    return checks


async def _staff(configuration: Configuration, site: Site) -> Check | None:
    """Whether the worker may ask what deadlines by country and holds on organisations need; None where none are set."""
    asking = ["deadline_days_by_country"] if configuration.deadline_days_by_country else []
    try:
        if any(hold.org is not None for hold in await site.ledger.holds()):
            asking.append("a hold on an organisation")
        if not asking:
            return None
        await site.lms.require_staff()
    except LedgerError:
        return None  # the check of the ledger has said so
    except Misconfigured as error:
        text = f"{error}; needed for {' and '.join(asking)}"
        return Check("staff", Verdict.FAILURE, text, "make the worker staff in the LMS")
    except ServiceError as error:
        return Check("staff", Verdict.WARNING, str(error), "whether the worker is staff cannot be told now")
    return Check("staff", Verdict.OK, f"the worker is staff, needed for {' and '.join(asking)}")


async def _route(site: Site, step: Step) -> Check:
    connector = site.connectors[step.service]
    name = f"route {step.service} {step.operation}"
    route = connector.route(step.operation)
    if route is None:
        return Check(name, Verdict.OK, "sends nothing")
    try:
        await connector.probe(step.operation)
    except Transient as error:
        return Check(name, Verdict.WARNING, str(error), "the service does not answer now; learners would wait for it")
    except RetirementError as error:
        return Check(name, Verdict.FAILURE, str(error), _route_fix(step))
    return Check(name, Verdict.OK, f"{route.method} {route.path}")


def _route_fix(step: Step) -> str:
    if step.operation == "retire_learner" and step.service in ("CREDENTIALS", "ECOMMERCE"):
        return "stock services have no such route; use the operation replace_usernames, or remove the step"
    return f"check the URL and the permissions of {step.service}, or whether the feature is on there"


async def _clock(site: Site) -> Check:
    theirs = await site.lms.clock()
    if theirs is None:
        return Check("clock", Verdict.WARNING, "the LMS sends no Date header that can be read")
    skew = (datetime.now(UTC) - theirs).total_seconds()
    if abs(skew) > CLOCK_SECONDS:
        return Check("clock", Verdict.FAILURE, f"this machine is {skew:+.0f} s off the LMS", "set both clocks by NTP")
    return Check("clock", Verdict.OK, f"within {CLOCK_SECONDS:.0f} s of the LMS")


async def _depth(configuration: Configuration, site: Site, known: list[str]) -> Check:
    states = [state for state in site.pipeline.queue_states if state in known]
    try:
        depth = len(await site.lms.queue(states, configuration.cool_off_days)) if states else 0
    except (ServiceError, ConfigError) as error:
        return Check("queue", Verdict.FAILURE, str(error))
    threshold = configuration.queue.threshold
    if depth > threshold:
        text = f"{depth} learners wait, more than queue.threshold ({threshold})"
        return Check("queue", Verdict.WARNING, text, "look whether they are genuine before raising the threshold")
    return Check("queue", Verdict.OK, f"{depth} learners wait; the threshold is {threshold}")
