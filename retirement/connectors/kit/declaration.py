"""What an operation declares: its policy stands on its decorator, so that an auditor can read it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypedDict, TypeVar, Unpack

from retirement.connectors.kit.judging import PRIVATE
from retirement.connectors.kit.outcomes import FollowUp
from retirement.wire.patience import Patience
from retirement.wire.success import Success

#: A method of a connector, as `operation` describes it.
Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])


class Identity(StrEnum):
    """What an operation needs to know about the learner."""

    USER_ID = "user_id"
    USERNAME = "username"
    EMAIL = "email"
    NAME = "name"
    RETIRED_USERNAME = "retired_username"
    RETIRED_EMAIL = "retired_email"


class Destroys(StrEnum):
    """Whether an operation destroys the username that others of the same service look up."""

    NO = "no"
    YES = "yes"
    #: Some releases of the service do and some do not, and no setting says which one this is.
    PERHAPS = "perhaps"


class Repeats(StrEnum):
    """What makes a second call harmless, since a run may die after the first."""

    SAFE = "safe"  #: the service does not mind
    LOOK_FIRST = "look-first"  #: the operation looks whether it has been done


#: What no other learner ever has: names and addresses become free, and are taken by others.
PERMANENT = frozenset({Identity.USER_ID, Identity.RETIRED_USERNAME, Identity.RETIRED_EMAIL})


@dataclass(frozen=True, slots=True)
class Route:
    """Where an operation goes, as method and path template; `doctor` asks whether it exists."""

    method: str
    path: str
    sample: Mapping[str, object]


class Policy(TypedDict, total=False):
    """What the decorator may say about an operation, besides the identities that it needs and its route."""

    finds_by_username: bool
    looks_up_in: str
    destroys_username: bool
    comes_last: bool
    absent_on_404: bool
    patience: Patience
    repeats: Repeats
    batch: int
    asks: str
    again: str
    follow_up: FollowUp
    goes_with: str
    refused_because: str
    safer_after: str
    status_only: bool
    success: Success


@dataclass(frozen=True, slots=True)
class Operation:
    """The declared policy of one operation; its doc is its first docstring line, the operator's manual."""

    name: str
    doc: str
    #: What the service is told about the learner.
    needs: frozenset[Identity]
    route: Route | None
    #: The service looks its data up by the account's current username.
    finds_by_username: bool = False
    #: Another service, in which it looks the learner up by username.
    looks_up_in: str | None = None
    #: After it such a look-up finds nothing.
    destroys_username: bool = False
    #: Every step of the service that is told the username has to end before.
    comes_last: bool = False
    #: The service's own 404 means that it holds nothing; an HTML page never does.
    absent_on_404: bool = False
    #: How long an answer may take.
    patience: Patience = Patience.ERASURE
    repeats: Repeats = Repeats.SAFE
    #: Most learners that one call takes; None: the service takes one.
    batch: int | None = None
    #: The method `async (self, receipt, learner | None) -> Verdict` that asks what became of an erasure,
    asks: str | None = None
    #: the method `async (self, receipt) -> Erasure` that erases once more nothing but what the receipt names,
    again: str | None = None
    #: and when it is asked.
    follow_up: FollowUp | None = None
    #: It has no request of its own any more: another operation does its work and has to be in the pipeline.
    goes_with: str | None = None
    #: Known, and never to be used.
    refused_because: str | None = None
    #: `SERVICE.operation` that ends what would bring the user back (sessions, events): best done before this one.
    safer_after: str | None = None
    #: Nothing is known of the body of its success but that it is an object, or empty, and reports no failure: the
    #: service is private. Its success is `PRIVATE`.
    status_only: bool = False
    #: What the request of its route is answered with when it has worked; every other 2xx is refused.
    success: Success | None = None

    @property
    def can_be_repeated(self) -> bool:
        """Whether it can be done once more, after its data came back, without a record of another person."""
        return self.again is not None or (bool(self.needs) and self.needs <= PERMANENT)


def operation(
    *needs: Identity,
    route: tuple[str, str] | None = None,
    sample: Mapping[str, object] | None = None,
    **policy: Unpack[Policy],
) -> Callable[[Method], Method]:
    """Declares a method of a connector as an operation; the fields of `Operation` say what a policy means.

    The method is `async (self, learner) -> Outcome | Erasure`; with `batch` it is
    `async (self, learners) -> Sequence[Erasure | RetirementError]`, one for each in their order. `route` is where
    it goes, and `sample` fills the template for a harmless question.
    """

    def declare(method: Method) -> Method:
        doc = (method.__doc__ or "").strip().partition("\n")[0]
        where = Route(*route, sample or {}) if route else None
        if policy.get("status_only"):
            policy.setdefault("success", PRIVATE)
        declared = Operation(method.__name__, doc, frozenset(needs), where, **policy)
        method.__operation__ = declared  # type: ignore[attr-defined]  # functions take attributes; typing has no word for it
        return method

    return declare
