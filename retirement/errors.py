"""What can go wrong, typed by what has to happen next; `Consequence` says it, for each class.

```
RetirementError
├── ConfigError            the operator must change a file
├── Interrupted            the run stops: learners under way are given back
├── GuardStopped           a guard stopped the run before it called anyone
│   ├── SchedulePaused     a person has paused the schedule of this run
│   └── SamePerson         a second yes came from the person of the first
├── Defect                 our code or a connector broke: the learner is ERRORED, the others go on
├── StateConflict          the learner's row is not where ours should be: leave it alone, write nothing
│   ├── Rescinded          the learner took the request back
│   ├── BusyElsewhere      another run has the lease of the learner, the queue or the job
│   └── Unproved           the row that was read again does not say that the learner is retired
├── Kept                   a registered hold keeps the learner, or what one service has of them
├── LeaseLost              our right to work on the learner is gone: stop before the next call
├── LedgerError            evidence cannot be written: stop before calling anyone
├── EngineLost             Prefect's server is gone: learners under way end, nobody is begun
└── ServiceError           (service, request, status, reason)
    ├── Transient          retry within seconds, then minutes, then park the learner
    │   ├── RateLimited    the service said when
    │   ├── Busy           the service works, and another learner is in the way of this one
    │   └── BreakerOpen    the service is known to be down: nothing was sent, park the learner
    ├── Misconfigured      every learner would fail alike: stop the run before more fail
    ├── NotFound           the service's own 404
    └── Refused            any other answer, or one we cannot read: the learner is ERRORED
```

A new error is one class here and one row of `docs/operating.md`. The text of every error is safe to store and
to show: it names services, routes as templates and statuses, never a body, a value of a path or anything else
that a remote sent. Prefect pickles exceptions, so `args` always equals the constructor's arguments; each of them is
an attribute of its name as well, by which `privacy.redacted` makes the error again without the learner.
"""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from pathlib import PurePath
from typing import ClassVar, Self


class Ending(StrEnum):
    """Where one run left one learner."""

    RETIRED = "retired"  #: COMPLETE
    ERRORED = "errored"  #: a service refused; the LMS row says ERRORED
    PARKED = "parked"  #: given back to the queue unharmed
    HELD = "held"  #: kept, wholly or in some service, by a registered hold; the rest is done
    BUSY_ELSEWHERE = "busy-elsewhere"  #: another run has the learner, or left them in a working state
    RESCINDED = "rescinded"  #: the request was taken back, by the learner or in the LMS' admin
    STOPPED = "stopped"  #: given back because the whole run stopped
    UNPROVED = "unproved"  #: every step ended, and the row that was read again does not say the same
    STRANDED = "stranded"  #: the LMS could not be told; `retirement reconcile` brings the row back

    @classmethod
    def _missing_(cls, value: object) -> "Ending | None":
        # What ledgers hold that were written before the ending had its present name.
        return cls.BUSY_ELSEWHERE if value == "held-elsewhere" else None

    @property
    def state(self) -> str:
        """The name of the final state of a learner's flow run in Prefect."""
        return "".join(word.capitalize() for word in self.value.split("-"))


class ExitCode(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    SOME_FAILED = 1
    MISCONFIGURED = 2
    GUARD_STOPPED = 3
    BUSY_ELSEWHERE = 4


class RowAfter(StrEnum):
    """What becomes of the learner's row in the LMS."""

    GIVEN_BACK = "given back"  #: to the last proved end state, where the queue finds it again
    ERRORED = "ERRORED"
    NOT_OURS = "not ours"  #: the run may not move it any more, and does not have to
    STAYS = "stays"  #: where it is: no move may be made that the ledger does not know

    @property
    def may_move(self) -> bool:
        """Whether this run may still move the row."""
        return self in (RowAfter.GIVEN_BACK, RowAfter.ERRORED)


class RunAfter(StrEnum):
    """What becomes of a run of many learners."""

    GOES_ON = "goes on"
    STOPS = "stops"
    STOPS_IF_SHARED = "stops if shared"  #: once a second learner meets the same, or the only one has


@dataclass(frozen=True, slots=True)
class Consequence:
    """What happens next. `ending` is that of the learner who met the error, where the row can be moved as said."""

    row: RowAfter
    run: RunAfter
    ending: Ending
    exit_code: ExitCode = ExitCode.SOME_FAILED  #: of a command that this error ends
    state: str | None = None  #: name of the final state of a flow that this error ends; None: that of the class
    is_failure: bool = True  #: whether that state is a failed one; else a cancelled one
    passes: bool = False  #: it passes by itself, so the steps of other services go on meanwhile
    is_repeated: bool = False  #: the task of the step is run again, minutes later
    trips_breaker: bool = False  #: it counts towards the breaker of the service
    fails_step: bool = True  #: the ledger has it as a failure of the step that met it
    leaves_doubt: bool = False  #: the service may have done the work of the step that met it all the same

    @property
    def weight(self) -> int:
        """Which of two errors decides: one that forbids to move the row, then one that does not pass by itself."""
        return 2 if not self.row.may_move else 0 if self.passes else 1


_ERRORED = Consequence(RowAfter.ERRORED, RunAfter.GOES_ON, Ending.ERRORED)
_NO_START = Consequence(RowAfter.GIVEN_BACK, RunAfter.STOPS, Ending.STOPPED)
_NOT_OURS = Consequence(RowAfter.NOT_OURS, RunAfter.GOES_ON, Ending.BUSY_ELSEWHERE)


class RetirementError(Exception):
    """Root of everything this package raises on purpose."""

    consequence: ClassVar[Consequence] = _ERRORED
    #: The service that the error is about, by its name in the configuration; None where it is about none.
    service: str | None = None

    @property
    def shared_by(self) -> tuple[object, ...]:
        """What two errors have in common that two learners have met alike."""
        return (type(self), str(self))

    @property
    def state(self) -> str:
        """The name of the final state of a flow that this error ends."""
        return self.consequence.state or type(self).__name__


class ConfigError(RetirementError):
    """The operator has to change a file, a setting or an option; each argument is one whole problem."""

    consequence = replace(_NO_START, exit_code=ExitCode.MISCONFIGURED)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.args)


class Interrupted(RetirementError):
    """The run stops, since it was told to or for what another learner met; what had begun is ended or given back."""

    consequence = replace(_NO_START, state="Stopped", is_failure=False, fails_step=False)


class GuardStopped(RetirementError):
    """A guard stopped the run before anything was called."""

    consequence = replace(_NO_START, exit_code=ExitCode.GUARD_STOPPED, is_failure=False)


class SchedulePaused(GuardStopped):
    """The run is a scheduled one, and a person has paused its schedule: no service was called."""


class SamePerson(GuardStopped):
    """What needs two different people got its second yes from the person of the first: it stays as it was."""


class Defect(RetirementError):
    """Our own code or a connector broke; the text says where and never what the exception said."""

    consequence = replace(_ERRORED, leaves_doubt=True)

    @classmethod
    def at(cls, error: BaseException) -> Self:
        """The defect behind an exception of another library, whose text may name the learner."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        return cls(f"a defect in the program: {name_of(type(error))}{place}")


def name_of(kind: type) -> str:
    """The name of a class, or of the nearest above it that its module has by that name.

    One that is made while the program runs may be named after what was in the answer of a service.
    """
    return next(each.__name__ for each in kind.__mro__ if _is_written(each))


def names_where(
    fits: Callable[[type[RetirementError]], bool], kind: type[RetirementError] = RetirementError
) -> frozenset[str]:
    """The names under which the ledger has errors of those classes that fit, among a class and all made of it."""
    below = (names_where(fits, each) for each in kind.__subclasses__())
    return frozenset({kind.__name__} if fits(kind) else ()).union(*below)


def _is_written(kind: type) -> bool:
    found: object = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind


def as_ours(error: Exception) -> RetirementError:
    """The error itself where this package raised it, else the defect that it shows."""
    return error if isinstance(error, RetirementError) else Defect.at(error)


class StateConflict(RetirementError):
    """The LMS row is not where our right to work would have it: leave the learner alone."""

    consequence = _NOT_OURS


class Rescinded(StateConflict):
    """The learner's request is gone from the LMS: they took it back before we started."""

    consequence = replace(_NOT_OURS, ending=Ending.RESCINDED)


class BusyElsewhere(StateConflict):
    """Another run, here or on another machine, has the lease: of a learner, of the queue, or of a job."""

    consequence = replace(_NOT_OURS, exit_code=ExitCode.BUSY_ELSEWHERE, is_failure=False)


class Unproved(StateConflict):
    """Every step has ended, and the row does not say that the learner is retired: an answer was not true."""

    consequence = replace(_NOT_OURS, ending=Ending.UNPROVED)


class Kept(RetirementError):
    """A hold that was placed while the run went on; `service` None: it keeps the learner wholly."""

    consequence = Consequence(RowAfter.GIVEN_BACK, RunAfter.GOES_ON, Ending.HELD, fails_step=False)

    def __init__(self, text: str, service: str | None = None) -> None:
        super().__init__(text, service)
        self.text = text
        self.service = service

    def __str__(self) -> str:
        return self.text


class LeaseLost(RetirementError):
    """Our right to work on the learner, or to run the queue, has expired or was taken over."""

    consequence = replace(_NOT_OURS, fails_step=False)


class LedgerError(RetirementError):
    """The ledger cannot be read or written; without evidence no service is called."""

    consequence = Consequence(RowAfter.STAYS, RunAfter.STOPS, Ending.STRANDED, ExitCode.MISCONFIGURED, fails_step=False)


class EngineLost(RetirementError):
    """Prefect's server or its database is gone in the middle of a run; LMS and ledger know who is where."""

    consequence = replace(_NO_START, exit_code=ExitCode.MISCONFIGURED)


class ServiceError(RetirementError):
    """A remote did not do what was asked; `request` is a method and a path template."""

    consequence = replace(_ERRORED, exit_code=ExitCode.MISCONFIGURED)
    #: Whether the service may have done the work all the same.
    in_doubt: bool = False

    def __init__(self, service: str, request: str, status: int | None = None, reason: str = "") -> None:
        super().__init__(service, request, status, reason)
        self.service: str = service
        self.request = request
        self.status = status
        self.reason = reason

    @property
    def shared_by(self) -> tuple[object, ...]:
        """The same answer to the same request, whatever reason it gives."""
        return (self.service, self.request, self.status)

    def __str__(self) -> str:
        answer = "" if self.status is None else f" answered {self.status}"
        return f"{self.service}: {self.request}{answer}{': ' if self.reason else ''}{self.reason}"


class Transient(ServiceError):
    """It may work later. `in_doubt` says that the service may have done the work all the same."""

    consequence = Consequence(
        RowAfter.GIVEN_BACK,
        RunAfter.GOES_ON,
        Ending.PARKED,
        ExitCode.MISCONFIGURED,
        passes=True,
        is_repeated=True,
        trips_breaker=True,
        leaves_doubt=True,
    )

    def __init__(
        self,
        service: str,
        request: str,
        status: int | None = None,
        reason: str = "",
        in_doubt: bool = False,
    ) -> None:
        super().__init__(service, request, status, reason)
        self.args = (service, request, status, reason, in_doubt)
        self.in_doubt = in_doubt


class RateLimited(Transient):
    """The service asked for a pause of `retry_after` seconds."""

    def __init__(
        self,
        service: str,
        request: str,
        status: int | None = None,
        reason: str = "",
        in_doubt: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(service, request, status, reason, in_doubt)
        self.args = (service, request, status, reason, in_doubt, retry_after)
        self.retry_after = retry_after


class Busy(Transient):
    """The service works and cannot take this learner yet, since another one is in the way."""

    consequence = replace(Transient.consequence, trips_breaker=False, leaves_doubt=False)


class BreakerOpen(Transient):
    """The service is known to be down, so nothing was sent; `reason` says since when."""

    consequence = replace(
        Transient.consequence, is_repeated=False, trips_breaker=False, fails_step=False, leaves_doubt=False
    )


class Misconfigured(ServiceError):
    """Wrong credentials, permission, host or route: not the learner's fault."""

    consequence = Consequence(RowAfter.GIVEN_BACK, RunAfter.STOPS_IF_SHARED, Ending.STOPPED, ExitCode.MISCONFIGURED)


class NotFound(ServiceError):
    """The service itself, not its web server, says that there is no such thing."""


class Refused(ServiceError):
    """The service will not do this for this learner, or we cannot read what it said."""
