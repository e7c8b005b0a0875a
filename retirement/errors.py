"""What can go wrong, typed by what has to happen next.

```
RetirementError
├── ConfigError            the operator must change a file                   exit 2
├── Interrupted            the run was told to stop; learners are given back  exit 1
├── Held                   a guard stopped the run before it called anyone   exit 3
├── Defect                 our code or a connector broke: the learner is ERRORED, the others go on
├── StateConflict          somebody else has the learner: leave them alone, write nothing
│   └── Rescinded          the learner took the request back
├── Kept                   a registered hold keeps the learner, or what one service has of them
├── LeaseLost              our right to work on the learner is gone: stop before the next call
├── LedgerError            evidence cannot be written: stop before calling anyone
└── ServiceError           (service, request, status, reason)
    ├── Transient          retry within seconds, then minutes, then park the learner
    │   ├── RateLimited    the service said when
    │   ├── Busy           the service works, and another learner is in the way of this one
    │   └── BreakerOpen    the service is known to be down: nothing was sent, park the learner
    ├── Misconfigured      every learner would fail alike: stop the run, harm nobody
    ├── NotFound           the service's own 404
    └── Refused            any other answer, or one we cannot read: the learner is ERRORED
```

The text of every error is safe to store and to show: it names services, routes as templates and
statuses, never a body, a value of a path or anything else that a remote sent. Prefect pickles
exceptions, so `args` always equals the constructor's arguments.
"""

import traceback
from pathlib import PurePath


class RetirementError(Exception):
    """Root of everything this package raises on purpose."""


class ConfigError(RetirementError):
    """The operator has to change a file, a setting or an option; each argument is one whole problem."""

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.args)


class Interrupted(RetirementError):
    """The run was told to stop; what had begun was ended or given back."""


class Held(RetirementError):
    """A guard stopped the run before anything was called."""


class Defect(RetirementError):
    """Our own code or a connector broke; the text says where and never what the exception said."""

    @classmethod
    def at(cls, error: BaseException) -> "Defect":
        """The defect behind an exception of somebody else's, whose text may name the learner."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        return cls(f"a defect in the program: {type(error).__name__}{place}")


class StateConflict(RetirementError):
    """The LMS row is not where our right to work would have it: leave the learner alone."""


class Rescinded(StateConflict):
    """The learner's request is gone from the LMS: they took it back before we started."""


class Kept(RetirementError):
    """A hold that was placed while the run went on; `service` None: it keeps the learner wholly."""

    def __init__(self, text: str, service: str | None = None) -> None:
        super().__init__(text, service)
        self.service = service

    def __str__(self) -> str:
        return str(self.args[0])


class LeaseLost(RetirementError):
    """Our right to work on the learner, or to run the queue, has expired or was taken over."""


class LedgerError(RetirementError):
    """The ledger cannot be read or written; without evidence nobody is called."""


class ServiceError(RetirementError):
    """A remote did not do what was asked; `request` is a method and a path template."""

    def __init__(self, service: str, request: str, status: int | None = None, reason: str = "") -> None:
        super().__init__(service, request, status, reason)
        self.service = service
        self.request = request
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        answer = "" if self.status is None else f" answered {self.status}"
        return f"{self.service}: {self.request}{answer}{': ' if self.reason else ''}{self.reason}"


class Transient(ServiceError):
    """It may work later. `in_doubt` says that the service may have done the work all the same."""

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


class BreakerOpen(Transient):
    """The service is known to be down, so nothing was sent; `reason` says since when."""


class Misconfigured(ServiceError):
    """Wrong credentials, permission, host or route: not the learner's fault."""


class NotFound(ServiceError):
    """The service itself, not its web server, says that there is no such thing."""


class Refused(ServiceError):
    """The service will not do this for this learner, or we cannot read what it said."""
