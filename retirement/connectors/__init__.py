"""The connector kit: what a connector declares, and the registry of those that are installed.

A connector is our code for one service. It declares typed settings and operations; an operation is a short
method whose policy stands on its decorator, so that an auditor can read it and the pipeline can be checked
before the first learner. Connectors of third parties register under the entry-point group
`retirement.connectors`, as ours do.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from retirement.errors import ConfigError, Misconfigured, NotFound, Refused
from retirement.http import Api, Judge, Patience, Reply
from retirement.learner import Learner

ENTRY_POINTS = "retirement.connectors"


class Outcome(StrEnum):
    """What became of the learner's data in one service."""

    ERASED = "erased"  #: removed, as far as the service's answer goes
    ABSENT = "absent"  #: the service holds nothing of this learner
    ACCEPTED = "accepted"  #: the service will do it later
    MANUAL = "manual"  #: a person has to do it
    RETAINED = "retained"  #: kept on a legal basis


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
    #: Some releases of the service do and some do not, and nobody said which one this is.
    PERHAPS = "perhaps"


class ServiceSettings(BaseModel):
    """Settings that every service has; a connector adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(description="Base URL of the service, with its path prefix where it has one.")
    allow_insecure: bool = Field(
        default=False,
        description="Permit an http:// address that is not on this machine. For closed networks only.",
    )


@dataclass(frozen=True, slots=True)
class Route:
    """Where an operation goes, as method and path template; `doctor` asks whether it exists."""

    method: str
    path: str
    sample: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Operation:
    """The declared policy of one operation; its doc is its first docstring line, the operator's manual."""

    name: str
    doc: str
    needs: frozenset[Identity]
    finds_by_username: bool
    destroys_username: bool
    comes_last: bool
    absent_on_404: bool
    route: Route | None
    goes_with: str | None
    refused_because: str | None


Method = Callable[[Any, Learner], Awaitable[Outcome]]


def operation(
    *needs: Identity,
    route: tuple[str, str] | None = None,
    sample: Mapping[str, object] | None = None,
    finds_by_username: bool = False,
    destroys_username: bool = False,
    comes_last: bool = False,
    absent_on_404: bool = False,
    goes_with: str | None = None,
    refused_because: str | None = None,
) -> Callable[[Method], Method]:
    """Declares a method of a connector as an operation.

    `needs` is what it is told about the learner. `route` is where it goes; `sample` fills the template for a
    harmless question. `finds_by_username`: the service looks its data up by the account's current username.
    `destroys_username`: after it such a look-up finds nothing. `comes_last`: every step of the service that is
    told the username has to end before. `absent_on_404`: the service's own 404 means
    that it holds nothing (never an HTML page). `goes_with`: it has no request of its own any more, another
    operation does its work and has to be in the pipeline. `refused_because`: known, and never to be used.
    """

    def declare(method: Method) -> Method:
        declared = Operation(
            name=method.__name__,
            doc=(method.__doc__ or "").strip().partition("\n")[0],
            needs=frozenset(needs),
            finds_by_username=finds_by_username,
            destroys_username=destroys_username,
            comes_last=comes_last,
            absent_on_404=absent_on_404,
            route=Route(*route, sample or {}) if route else None,
            goes_with=goes_with,
            refused_because=refused_because,
        )
        method.__operation__ = declared  # type: ignore[attr-defined]  # functions take attributes; typing has no word for it
        return method

    return declare


class Connector:
    """Base of connectors: one service, its settings and its operations. Building one does no I/O."""

    service: ClassVar[str]
    Settings: ClassVar[type[ServiceSettings]] = ServiceSettings

    def __init__(self, settings: ServiceSettings, api: Api) -> None:
        self.settings = settings
        self.api = api

    @classmethod
    def operations(cls) -> dict[str, Operation]:
        """Every operation that this connector declares, by name."""
        methods = (getattr(cls, name) for name in sorted(dir(cls)) if not name.startswith("_"))
        declared = (getattr(method, "__operation__", None) for method in methods)
        return {each.name: each for each in declared if isinstance(each, Operation)}

    @classmethod
    def destroys_username(cls, settings: ServiceSettings, name: str) -> Destroys:
        """Whether an operation destroys the username here, with these settings."""
        return Destroys.YES if cls.operations()[name].destroys_username else Destroys.NO

    async def perform(self, name: str, learner: Learner) -> Outcome:
        """Does one operation for one learner. Raises `ServiceError` and `StateConflict`."""
        declared = self.operations()[name]
        method: Method = getattr(type(self), name)
        try:
            return await method(self, learner)
        except NotFound:
            if declared.absent_on_404:
                return Outcome.ABSENT
            raise

    def route(self, name: str) -> Route | None:
        """Where an operation goes with these settings; None where it sends nothing."""
        return self.operations()[name].route

    async def probe(self, name: str) -> None:
        """Asks whether the route of an operation exists, without doing anything. Raises `ServiceError`."""
        if route := self.route(name):
            # These routes take no GET. Whoever answers that the method is wrong has the route, and has
            # looked at our credentials before; a missing route is an HTML 404.
            def knows(reply: Reply) -> bool:
                if 400 <= reply.status < 500 and reply.kind in ("html", "text"):
                    # A web server's page: it does not serve this host, wants another scheme, or lacks the route.
                    why = "no such route: wrong base URL, or the feature is off"
                    raise Misconfigured(self.service, f"GET {route.path}", reply.status, why)
                return reply.status == 405

            await self.api.get(route.path, values=route.sample, patience=Patience.LOOKUP, judge=knows)


def json_404_only(service: str, path: str) -> Judge:
    """For routes that stock services lack: an empty 404 may be a gateway's, and proves nothing (contract, A15)."""

    def judge(reply: Reply) -> None:
        if reply.status == 404 and reply.kind != "json":
            raise Misconfigured(service, f"POST {path}", 404, "no such route: stock services lack it")

    return judge


def empty_only(service: str, request: str) -> Judge:
    """For routes whose only success is an empty answer: whatever says something else has not done the work."""

    def judge(reply: Reply) -> None:
        if 200 <= reply.status < 300 and reply.kind == "json":
            raise Refused(service, request, reply.status, "an empty answer is due")

    return judge


@cache
def registry() -> dict[str, type[Connector]]:
    """Every installed connector by its service name. Raises `ConfigError` when two claim one name."""
    found: dict[str, type[Connector]] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            connector = entry.load()
        except (ImportError, AttributeError) as error:
            text = f"the connector {entry.value}, installed as {entry.name}, cannot be imported"
            raise ConfigError(f"{text}: {type(error).__name__}; mend or uninstall its package") from None
        if connector.service in found:
            other = found[connector.service].__module__
            raise ConfigError(f"two connectors claim {connector.service}: {other} and {connector.__module__}")
        found[connector.service] = connector
    return dict(sorted(found.items()))
