"""The connector kit: what a connector declares, and the registry of those that are installed.

A connector is our code for one service. It declares typed settings and operations; an operation is a short
method whose policy stands on its decorator, so that an auditor can read it and the pipeline can be checked
before the first learner. Connectors of third parties register under the entry-point group
`retirement.connectors`, as ours do.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from retirement.connectors.batching import Batches
from retirement.connectors.declaration import Destroys, Identity, Operation, Repeats, Route, operation
from retirement.connectors.evidence import Erasure, FollowUp, Outcome, Verdict
from retirement.errors import ConfigError, Defect, Misconfigured, NotFound, Refused
from retirement.http import Api, Auth, Judge, Patience, Reply, patience_of_operation, pool
from retirement.learner import Learner
from retirement.limits import Limits, Rate
from retirement.wiring import Wiring

__all__ = [
    "BatchSettings",
    "Connector",
    "Destroys",
    "Erasure",
    "FollowUp",
    "Identity",
    "Limits",
    "Operation",
    "Outcome",
    "Rate",
    "Repeats",
    "Route",
    "ServiceSettings",
    "Verdict",
    "empty_only",
    "json_404_only",
    "offline",
    "operation",
    "private_route",
    "registry",
]

ENTRY_POINTS = "retirement.connectors"
#: Kinds of records that stand in receipts, and are names of people too.
KINDS_OF_RECORDS = frozenset({"lead", "contact"})
#: Longest receipt, in characters: an id or a few, never a document.
LONGEST_RECEIPT = 2_000


class ServiceSettings(BaseModel):
    """Settings that every service has; a connector adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(description="Base URL of the service, with its path prefix where it has one.")
    allow_insecure: bool = Field(
        default=False,
        description="Permit an http:// address that is not on this machine. For closed networks only.",
    )

    @property
    def base_url(self) -> str:
        """Where requests go; a vendor with regions knows its hosts, and `url` is then for others."""
        return self.url


class BatchSettings(ServiceSettings):
    """Settings of a service that takes many learners in one call."""

    batch_size: int = Field(default=1, ge=1, description="Most learners of a run that share one call; 1: none do.")
    batch_seconds: float = Field(
        default=2, ge=0, le=60, description="How long the first learner of a batch waits for others."
    )


class Connector:
    """Base of connectors: one service, its settings and its operations. Building one does no I/O."""

    #: Name of the service, unless a configuration gives the connector to a service of another name.
    service: ClassVar[str]
    Settings: ClassVar[type[ServiceSettings]] = ServiceSettings
    #: What the service allows; shared by all who talk to it.
    limits: ClassVar[Limits] = Limits()
    #: Keys of the reference scripts' configuration file, and the settings that they are here.
    reference_keys: ClassVar[Mapping[str, str]] = {}
    #: Keys of that file whose use the vendor has ended, and one sentence each: what to configure instead.
    withdrawn_keys: ClassVar[Mapping[str, str]] = {}

    def __init__(self, settings: ServiceSettings, api: Api) -> None:
        self.settings = settings
        self.api = api
        self._batches: dict[str, Batches] = {}

    @classmethod
    def connected(cls, service: str, settings: ServiceSettings, wiring: Wiring) -> Self:
        """The connector of a service, with what it talks through."""
        auth = cls.sign_in(service, settings, wiring)
        return cls(settings, wiring.api(service, settings.base_url, auth=auth, limits=cls.limits))

    @classmethod
    def sign_in(cls, service: str, settings: Any, wiring: Wiring) -> Auth | None:
        """How requests are signed: by default with the JWT of the retirement worker, as Open edX has it."""
        return wiring.jwt

    async def close(self) -> None:
        """Gives back what the connector has opened for itself; pools belong to the process."""

    @classmethod
    def operations(cls) -> dict[str, Operation]:
        """Every operation that this connector declares, by name."""
        methods = (getattr(cls, name) for name in sorted(dir(cls)) if not name.startswith("_"))
        declared = (getattr(method, "__operation__", None) for method in methods)
        return {each.name: each for each in declared if isinstance(each, Operation)}

    @classmethod
    def declared(cls, settings: ServiceSettings | None) -> dict[str, Operation]:
        """The operations as they are with these settings, where those say what an operation needs."""
        return cls.operations()

    @classmethod
    def destroys_username(cls, settings: ServiceSettings, name: str) -> Destroys:
        """Whether an operation destroys the username here, with these settings."""
        return Destroys.YES if cls.operations()[name].destroys_username else Destroys.NO

    def policy(self, name: str) -> Operation:
        """What an operation declares with these settings."""
        return self.declared(self.settings)[name]

    async def perform(self, name: str, learner: Learner) -> Erasure:
        """Does one operation for one learner. Raises `ServiceError` and `StateConflict`."""
        declared = self.policy(name)
        patience_of_operation.set(declared.patience)
        try:
            done = await self._in_batch(declared, learner) if declared.batch else await getattr(self, name)(learner)
        except NotFound:
            if not declared.absent_on_404:
                raise
            done = Outcome.ABSENT
        erasure = done if isinstance(done, Erasure) else Erasure(done)
        if erasure.receipt is not None and not _may_be_kept(erasure.receipt, learner):
            raise Defect(f"a defect in the connector of {self.api.service}: {name} gave a receipt that cannot be kept")
        return erasure

    async def _in_batch(self, declared: Operation, learner: Learner) -> Erasure:
        if declared.name not in self._batches:
            size, seconds = 1, 0.0
            if isinstance(self.settings, BatchSettings):
                size, seconds = min(self.settings.batch_size, declared.batch or 1), self.settings.batch_seconds
            send = getattr(self, declared.name)
            self._batches[declared.name] = Batches(send, size=size, seconds=seconds, sleep=self.api.retry.sleep)
        return await self._batches[declared.name].erase(learner)

    async def ask(self, name: str, receipt: str, learner: Learner | None) -> Verdict:
        """What became of an erasure, read-only. `learner` is None once the LMS has forgotten them.

        Raises `ServiceError`, and `LookupError` for an operation that cannot be asked about.
        """
        asks = self.policy(name).asks
        if asks is None:
            raise LookupError(f"{self.api.service} {name} cannot be asked about")
        patience_of_operation.set(Patience.LOOKUP)
        verdict: Verdict = await getattr(self, asks)(receipt, learner)
        return verdict

    def route(self, name: str) -> Route | None:
        """Where an operation goes with these settings; None where it sends nothing."""
        return self.policy(name).route

    async def probe(self, name: str) -> None:
        """Asks whether the route of an operation exists, without doing anything. Raises `ServiceError`."""
        if route := self.route(name):
            # These routes take no GET. Whoever answers that the method is wrong has the route, and has
            # looked at our credentials before; a missing route is an HTML 404.
            def knows(reply: Reply) -> bool:
                # A web server's page: it does not serve this host, wants another scheme, or lacks the route.
                page = 400 <= reply.status < 500 and reply.kind in ("html", "text")
                # A 404 of whatever kind: where nobody is named, nobody can be missing.
                if page or (reply.status == 404 and "{" not in route.path):
                    why = "no such route: wrong base URL, or the feature is off"
                    raise Misconfigured(self.api.service, f"GET {route.path}", reply.status, why)
                return reply.status == 405

            await self.api.get(route.path, values=route.sample, patience=Patience.LOOKUP, judge=knows)


def _may_be_kept(receipt: str, learner: Learner) -> bool:
    """Whether a receipt is short and names nobody, as far as this learner's own texts show.

    A name counts as a whole word, and neither a number nor a word that ids of services are made of does: an id
    that merely contains one names nobody.
    """
    shown = receipt.casefold()
    if len(receipt) > LONGEST_RECEIPT or (learner.email and learner.email.casefold() in shown):
        return False
    words = (text.casefold() for text in (learner.username, learner.name))
    return not any(
        len(word) > 2
        and not word.isdecimal()
        and word not in KINDS_OF_RECORDS
        and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", shown)
        for word in words
    )


def json_404_only(service: str, path: str) -> Judge:
    """For routes that stock services lack: an empty 404 may be a gateway's, and proves nothing (contract, A15)."""

    def judge(reply: Reply) -> None:
        if reply.status == 404 and reply.kind != "json":
            raise Misconfigured(service, f"POST {path}", 404, "no such route: stock services lack it")

    return judge


#: Keys of an answer that reports trouble, in the words of Open edX services.
TROUBLE = frozenset({"error", "errors", "detail", "developer_message", "error_code"})


def private_route(service: str, path: str) -> Judge:
    """For routes of private builds, whose contract knows "any 2xx" only: a body that reports a failure is one."""
    missing = json_404_only(service, path)

    def judge(reply: Reply) -> bool | None:
        if 200 <= reply.status < 300 and reply.kind == "json":
            data = reply.data
            if not isinstance(data, dict) or not TROUBLE.isdisjoint(data) or data.get("success", True) is not True:
                raise Refused(service, f"POST {path}", reply.status, "the answer reports a failure")
        return missing(reply)

    return judge


def empty_only(service: str, request: str) -> Judge:
    """For routes whose only success is an empty answer: whatever says something else has not done the work."""

    def judge(reply: Reply) -> None:
        if 200 <= reply.status < 300 and reply.kind == "json":
            raise Refused(service, request, reply.status, "an empty answer is due")

    return judge


def offline(service: str, wiring: Wiring) -> Api:
    """For a connector that sends no requests: its name and its patience. What is sent all the same goes nowhere."""
    return Api(service, pool("http://offline.invalid", 1), retry=wiring.retry)


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
