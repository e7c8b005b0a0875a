"""`retirement doctor`: finds what would go wrong before a learner's retirement is touched.

Every check is a question that changes nothing. A check says what is wrong and the one thing to do about it.
"""

import shlex
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from retirement.config import Configuration
from retirement.config.buckets import ArchiveSettings
from retirement.connectors import ServiceSettings
from retirement.errors import (
    ConfigError,
    LedgerError,
    Misconfigured,
    RateLimited,
    RetirementError,
    ServiceError,
    Transient,
)
from retirement.ledger import Hold
from retirement.ledger.location import open_to_others
from retirement.ledger.room import require_writable, take_room
from retirement.pipeline import Step
from retirement.pipeline.strays import ADOPT, by_state, strays
from retirement.process import home
from retirement.site import Site, opened
from retirement.site.watch import Watched, watch
from retirement.wire.proxies import proxy_for

#: What Prefect's server, its log and its database take of the installation's folder in the beginning.
HOME_BYTES = 50_000_000

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

    @property
    def row(self) -> dict[str, str | None]:
        """For tables and `--json`."""
        return {"name": self.name, "verdict": self.verdict.value, "detail": self.detail, "fix": self.fix or None}


async def every_check(configuration: Configuration) -> AsyncGenerator[Check, None]:
    """Opens the site and answers every question about it; a ledger that cannot be opened is an answer."""
    for check in proxies(configuration.services):
        yield check
    try:
        async with opened(configuration) as site:
            async for check in examine(configuration, site):
                yield check
    except (LedgerError, ConfigError) as error:
        yield no_ledger(error)


async def examine(configuration: Configuration, site: Site) -> AsyncIterator[Check]:
    """Answers every question it can, the most basic first; later ones are left out when the LMS does not answer."""
    yield _file(configuration)
    for warning in configuration.warnings:
        yield Check("file", Verdict.WARNING, warning)
    yield _deadline(configuration)
    yield await _ledger(site, configuration.queue.limit)
    yield _home()
    for check in _accounts(site):
        yield check
    yield _anchor(configuration)
    if configuration.archive:
        yield await _archive(configuration.archive)
    token = await _token(site)
    yield token
    if token.verdict is not Verdict.FAILURE:
        async for check in _of_lms(configuration, site):
            yield check


async def _of_lms(configuration: Configuration, site: Site) -> AsyncIterator[Check]:
    """What only an LMS that takes our token answers, and the routes of all services."""
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
    yield await clock(site)
    yield await _depth(configuration, site, known)
    for check in await _out_of_reach(site):
        yield check


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


async def _ledger(site: Site, learners: int) -> Check:
    try:
        head = await site.ledger.events.head()
        await require_writable(site.ledger, learners)
        down = await site.ledger.breakers.down()
    except LedgerError as error:
        return no_ledger(error)
    if down:
        text = "; ".join(f"{each.service} {each.reason}" for each in down)
        return Check("ledger", Verdict.WARNING, f"breakers are open: {text}", "`retirement status --services`")
    return Check("ledger", Verdict.OK, f"{head.seq} entries; it can be written, with room for {learners} learners")


def _home() -> Check:
    """Whether the folder of the installation takes files; where it is not made yet, the folder that it will be in."""
    folder = next(each for each in (home(), *home().parents) if each.exists())
    try:
        take_room(folder, HOME_BYTES)
    except LedgerError as error:
        return Check(
            "home", Verdict.FAILURE, str(error), "make room, or set RETIREMENT_HOME to a folder on other storage"
        )
    return Check("home", Verdict.OK, f"{home()} can be written")


def _accounts(site: Site) -> Iterator[Check]:
    for file in open_to_others(site.ledger.location):
        text = f"{file}: other accounts of this machine may read or write it"
        yield Check("ledger", Verdict.WARNING, text, f"chmod 600 {shlex.quote(str(file))}")


def _anchor(configuration: Configuration) -> Check:
    if configuration.ledger.anchor is None:
        text = "none: a ledger that was lost or cut short would not be missed, and its holds with it"
        return Check("anchor", Verdict.WARNING, text, "set ledger.anchor to a file on other storage")
    return Check("anchor", Verdict.OK, str(configuration.ledger.anchor))


async def _archive(settings: ArchiveSettings) -> Check:
    """Whether the bucket of the archive answers; and that it will hold names."""
    fix = "see the section archive in docs/configuration.md; the cleanup deletes no row until the bucket answers"
    try:
        from retirement.site.bucket import archive_bucket
    except ModuleNotFoundError:
        return Check("archive", Verdict.FAILURE, "needs what is not installed", "install the extra s3")
    try:
        bucket = archive_bucket(settings)
        await bucket.require()
        await bucket.close()
    except RetirementError as error:
        return Check("archive", Verdict.FAILURE, str(error), fix)
    text = f"bucket {settings.bucket} answers; files name learners, and are deleted after {settings.expire_days} days"
    return Check("archive", Verdict.OK, text)


def proxies(services: Mapping[str, ServiceSettings]) -> Iterator[Check]:
    """Which proxy of the environment the requests of a service take. Raises `ConfigError` for one that is none."""
    for name, settings in services.items():
        if proxy := proxy_for(settings.base_url):
            yield Check("proxy", Verdict.OK, f"requests to {name} go through {proxy}")


def no_ledger(error: RetirementError) -> Check:
    """What is wrong with a ledger that cannot be opened or read."""
    return Check("ledger", Verdict.FAILURE, str(error), "without a ledger no service is called; see docs/operating.md")


async def _token(site: Site) -> Check:
    try:
        await site.tokens.current()
    except Misconfigured as error:
        return Check("token", Verdict.FAILURE, str(error), "check lms.url, client_id and client_secret")
    except RateLimited as error:
        return Check("token", Verdict.FAILURE, str(error), "wait until then; other clients of this address count too")
    except ServiceError as error:
        return Check("token", Verdict.FAILURE, str(error), "is the LMS up, and lms.url its address?")
    return Check("token", Verdict.OK, "the LMS gives the worker a JWT")


async def _known(site: Site) -> list[str] | Check:
    try:
        return await site.lms.rows.known_states(site.pipeline.lms_states)
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
    try:
        asking = _needing_staff(configuration, await site.ledger.holds.find())
    except LedgerError:
        return None  # the check of the ledger has said so
    if not asking:
        return None
    try:
        await site.lms.accounts.require_staff()
    except Misconfigured as error:
        text = f"{error}; needed for {' and '.join(asking)}"
        return Check("staff", Verdict.FAILURE, text, "make the worker staff in the LMS")
    except ServiceError as error:
        return Check("staff", Verdict.WARNING, str(error), "whether the worker is staff cannot be told now")
    return Check("staff", Verdict.OK, f"the worker is staff, needed for {' and '.join(asking)}")


def _needing_staff(configuration: Configuration, holds: Iterable[Hold]) -> list[str]:
    """What is set that the LMS answers to its staff only."""
    found = ["deadline_days_by_country"] if configuration.deadline_days_by_country else []
    if any(hold.org is not None for hold in holds):
        found.append("a hold on an organisation")
    return found


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


async def clock(site: Site) -> Check:
    """Whether the clocks of this machine and of the LMS differ by less than leases bear. Raises `ServiceError`."""
    since = site.clock()
    theirs = await site.lms.rows.clock()
    if theirs is None:
        return Check("clock", Verdict.WARNING, "the LMS sends no Date header that can be read")
    if seconds := site.skew(theirs, since):
        return Check(
            "clock", Verdict.FAILURE, f"this machine is {seconds:+.0f} s off the LMS", "set both clocks by NTP"
        )
    return Check("clock", Verdict.OK, f"within {site.ledger.lease_seconds / 4:.0f} s of the LMS")


async def _depth(configuration: Configuration, site: Site, known: list[str]) -> Check:
    states = [state for state in site.pipeline.queue_states if state in known]
    try:
        depth = len((await site.lms.rows.queue(states, configuration.cool_off_days)).learners) if states else 0
    except (ServiceError, ConfigError) as error:
        return Check("queue", Verdict.FAILURE, str(error))
    threshold = configuration.queue.threshold
    if depth > threshold:
        text = f"{depth} learners wait, more than queue.threshold ({threshold})"
        return Check("queue", Verdict.WARNING, text, "look whether they are genuine before raising the threshold")
    return Check("queue", Verdict.OK, f"{depth} learners wait; the threshold is {threshold}")


async def _out_of_reach(site: Site) -> list[Check]:
    """Whether learners are in states that no step has, or cannot be seen: no run takes them."""
    try:
        watched = await watch(site)
    except (ServiceError, LedgerError) as error:
        fix = "which learners are out of reach cannot be told now"
        return [Check("watch", Verdict.WARNING, str(error), fix)]
    checks = _strays(site, watched)
    if watched.unseen:
        ids = ", ".join(str(each.record.user_id) for each in watched.unseen)
        text = f"open in the ledger, and the LMS shows no row: user ids {ids}"
        checks.append(Check("watch", Verdict.WARNING, text, watched.unseen[0].why))
    return checks or [Check("watch", Verdict.OK, f"each learner is in a state that a step has; {watched.standing}")]


def _strays(site: Site, watched: Watched) -> list[Check]:
    lost = strays(site.pipeline, watched.learners)
    counts = [f"{state}, {len(user_ids)}" for state, user_ids in by_state(site.pipeline, lost).items()]
    late = sum(datetime.now(UTC) > site.due_at(each) for each in lost)
    text = f"in a state that no step has: {'; '.join(counts)} ({late} overdue)"
    return [Check("watch", Verdict.WARNING, text, ADOPT)] if lost else []
