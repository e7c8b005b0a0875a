"""`retirement doctor --coverage`: what a site may still know of a learner who is retired, as far as can be told.

Compared are the configuration, the operations of its services, the states of the LMS, and a catalogue of the
places which hold learners and which no request can clean. Nothing here is wrong by itself: a gap is a question
that needs an answer. Sections are those of the contract of the services.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from retirement.config import Configuration
from retirement.connectors import Operation
from retirement.pipeline import REQUIRED_STATES
from retirement.site.states import usual_states

#: States that are no gap: no step has ever belonged to them, or none does any more.
IDLE_STATES = frozenset({"LOCKING_ACCOUNT", "LOCKING_COMPLETE", "RETIRING_EMAIL_LISTS", "EMAIL_LISTS_COMPLETE"})


class Kind(StrEnum):
    """What a gap is in."""

    SERVICE = "service"  #: configured, and no step calls it
    OPERATION = "operation"  #: of a service that steps call, and not in the pipeline
    STATE = "state"  #: the LMS has it, and no step uses it
    STORE = "store"  #: holds learners, and nothing erases them there


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that the pipeline does not reach; `fix` is what to do about it, `section` where it is known from."""

    kind: Kind
    name: str
    detail: str
    fix: str
    section: str = ""


@dataclass(frozen=True, slots=True)
class Store:
    """A place that keeps learners; `erased_by` are the steps (service, operation) after which it does not."""

    name: str
    detail: str
    fix: str
    section: str
    erased_by: tuple[tuple[str, str], ...] = ()


STORES = (
    Store(
        "enterprise learner audits",
        "the LMS keeps e-mails and ids in the audits of Blackboard, Canvas, Cornerstone and xAPI, and the link of "
        "the learner to an enterprise; partners' own systems keep what they were sent",
        "delete the rows of the learner's LMS user id by a SQL step, and ask the partners",
        "A5",
    ),
    Store(
        "enterprise-access",
        "assignments keep the learner's e-mail until 90 days after they expired, and payloads of Stripe for ever",
        "schedule its command that scrubs assignments, and clean the payloads by a SQL step",
        "A6",
    ),
    Store(
        "enterprise-subsidy and enterprise-catalog",
        "rows of local users keep username and e-mail",
        "replace both by a SQL step, where these services run",
        "A6",
    ),
    Store(
        "forum posts",
        "title and body of every post, with its author's name",
        "add a step LMS retirement_retire_forum; words of others that quote a learner are for the moderators",
        "A8",
        erased_by=(("LMS", "retirement_retire_forum"),),
    ),
    Store(
        "submissions and uploads of open responses",
        "answers and files under the anonymous id of each course; texts may hold names",
        "delete the files by that id in the storage of the uploads, or record on what basis they are kept",
        "A12",
    ),
    Store(
        "analytics (insights)",
        "reports by username, in an archived service without a route to erase",
        "shut the service down, or clean its database by a SQL step",
        "A13",
    ),
    Store(
        "Aspects (ClickHouse)",
        "with Aspects' PII on, tables of users and profiles; the LMS starts their deletion and does not look "
        "whether it ends",
        "ask ClickHouse by a SQL step: no row of the LMS user id is left, and system.mutations says is_done",
        "A13",
    ),
    Store(
        "registrar",
        "rows of learners in programs, by LMS user id and the partner's own key",
        "clean them by a SQL step, or shut the service down: it is deprecated",
        "A14",
    ),
    Store(
        "edx-exams",
        "attempts at exams; whether the service has a route to retire is not known",
        "ask its maintainers for your release, and clean its rows by a SQL step",
        "A14",
    ),
    Store(
        "verified names (edx-name-affirmation)",
        "the name on certificates and on identity documents, in the LMS; cleared by the account step, if at all",
        "look into its tables after a retirement on your release, and clean them by a SQL step",
        "A14",
    ),
    Store(
        "reports on Google Drive",
        "files that the reference scripts gave to partners, with username, e-mail and name in clear",
        "delete the files older than your partners need, and ask for the copies that they have taken",
        "B9",
    ),
    Store(
        "files of `retirement partner-report`",
        "username, e-mail and name of retired learners, in the folder that it was told and in each sink",
        "run `retirement expire-reports`, on a schedule (`expire_schedule`)",
        "B9",
    ),
    Store(
        "archive in S3",
        "files of the reference scripts with username, e-mail and name of all retired learners, for ever",
        "set a retention for the bucket and delete all versions; the ledger proves erasure without names",
        "B10",
    ),
    Store(
        "what the scripts sent and logged",
        "alert mails, tasks in Salesforce whose subject is an e-mail address, logs of jobs",
        "delete them, and give the logs of jobs a retention",
        "G9",
    ),
)


def gaps(configuration: Configuration) -> list[Gap]:
    """What can be told without a request."""
    return [*_services(configuration), *_operations(configuration), *_stores(configuration)]


def candidates(configuration: Configuration) -> list[str]:
    """States to ask the LMS for, in an order of no meaning: it lists none that it is not asked for by name."""
    wanted = [*configuration.pipeline.lms_states, *(configuration.lms.states or ())]
    return list(dict.fromkeys([*wanted, *usual_states(configuration.services)]))


def unused_states(configuration: Configuration, known: Sequence[str] = ()) -> list[Gap]:
    """States that the site has and no step uses: those of `lms.states`, and `known`, which the LMS says it has."""
    used = {*REQUIRED_STATES, *configuration.pipeline.lms_states, *IDLE_STATES}
    fix = "a step may be missing from this file; where none is, take the state out of RETIREMENT_STATES when you can"
    there = dict.fromkeys([*(configuration.lms.states or ()), *known])
    return [Gap(Kind.STATE, state, "the LMS has it, and no step uses it", fix) for state in there if state not in used]


def _services(configuration: Configuration) -> Iterator[Gap]:
    used = {step.service for step in configuration.pipeline}
    for service in sorted(configuration.services.keys() - used - {"LMS"}):
        text = "it is configured, and no step calls it"
        yield Gap(Kind.SERVICE, service, text, f"add a step of {service}, or take its settings out")


def _operations(configuration: Configuration) -> Iterator[Gap]:
    called = _called(configuration)
    fix = "add a step, unless another of this service does its work or the site lacks the feature"
    for service in sorted({service for service, _ in called}):
        declared = configuration.connectors[service].declared(configuration.services[service])
        for name, operation in declared.items():
            if (service, name) not in called and _needs_a_step(operation):
                yield Gap(Kind.OPERATION, f"{service} {name}", operation.doc, fix)


def _called(configuration: Configuration) -> set[tuple[str, str]]:
    """Service and operation of every step."""
    return {(step.service, step.operation) for step in configuration.pipeline}


def _needs_a_step(operation: Operation) -> bool:
    """Whether nothing is done of it without a step of its own; some are refused, and some go with another."""
    return not operation.refused_because and not operation.goes_with


def _stores(configuration: Configuration) -> Iterator[Gap]:
    called = _called(configuration)
    for store in STORES:
        if not called.intersection(store.erased_by):
            yield Gap(Kind.STORE, store.name, store.detail, store.fix, store.section)


def rows(found: Iterable[Gap]) -> list[dict[str, str | None]]:
    """The gaps as plain data, for programs."""
    return [
        {
            "kind": gap.kind.value,
            "name": gap.name,
            "detail": gap.detail,
            "fix": gap.fix,
            "section": gap.section or None,
        }
        for gap in found
    ]
