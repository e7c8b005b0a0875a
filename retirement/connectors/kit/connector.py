"""The connector kit: what a connector declares, and the registry of those that are installed.

A connector is our code for one service. It declares typed settings and operations; an operation is a short
method whose policy stands on its decorator, so that an auditor can read it and the pipeline can be checked
before the first learner. Connectors of third parties register under the entry-point group
`retirement.connectors`, as ours do.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from importlib.metadata import entry_points
from typing import Any, ClassVar, Generic, Self, get_args

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeVar  # that of `typing` knows no defaults before Python 3.13

from retirement.connectors.kit.batching import Batches
from retirement.connectors.kit.declaration import Destroys, Operation, Route
from retirement.connectors.kit.outcomes import Erasure, Outcome, Verdict
from retirement.errors import ConfigError, Defect, NotFound, RetirementError
from retirement.learner import Learner
from retirement.privacy import id_mentions, known, naming_others, redacted
from retirement.wire.api import Api, Auth
from retirement.wire.limits import Limits
from retirement.wire.patience import Patience, patient
from retirement.wire.pool import pool
from retirement.wire.reply import Reply
from retirement.wire.success import Success
from retirement.wire.wiring import Wiring

ENTRY_POINTS = "retirement.connectors"
#: The packages of our own connectors begin so.
_OURS = "retirement."
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


#: The settings of a connector; any, where code is about all connectors, or where one adds none.
SettingsT = TypeVar("SettingsT", bound=ServiceSettings, default=Any)


class Connector(Generic[SettingsT]):
    """Base of connectors: one service, its settings and its operations. Building one does no I/O.

    `class Braze(Connector[BrazeSettings])` has `BrazeSettings` as its settings; one that adds none is a plain
    `Connector` and has `ServiceSettings`.
    """

    #: Name of the service, unless a configuration gives the connector to a service of another name.
    service: ClassVar[str]
    #: The class of the settings, as named in brackets.
    Settings: ClassVar[type[ServiceSettings]] = ServiceSettings
    #: What the service allows; shared by all who talk to it.
    limits: ClassVar[Limits] = Limits()
    #: What its requests beside those of `route` are answered with when they have worked, reads included.
    answers: ClassVar[Mapping[str, Success]] = {}
    #: Keys of the reference scripts' configuration file, and the settings that they are here.
    reference_keys: ClassVar[Mapping[str, str]] = {}
    #: Keys of that file whose use the vendor has ended, and one sentence each: what to configure instead.
    withdrawn_keys: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        named = (get_args(each) for each in vars(cls).get("__orig_bases__", ()))
        given = next((each[0] for each in named if each), None)
        if isinstance(given, type) and issubclass(given, ServiceSettings):
            cls.Settings = given

    def __init__(self, settings: SettingsT, api: Api) -> None:
        self.settings = settings
        self.api = api.expecting(self.successes())
        self._batches: dict[str, Batches] = {}

    @classmethod
    def connected(cls, service: str, settings: SettingsT, wiring: Wiring) -> Self:
        """The connector of a service, with what it talks through."""
        auth = cls.sign_in(service, settings, wiring)
        return cls(settings, wiring.api(service, settings.base_url, auth=auth, limits=cls.limits))

    @classmethod
    def sign_in(cls, service: str, settings: SettingsT, wiring: Wiring) -> Auth | None:
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
    def successes(cls) -> dict[str, Success]:
        """What proves each request of this connector, by method and path template."""
        declared = ((each.route, each.success) for each in cls.operations().values())
        own = {f"{route.method} {route.path}": success for route, success in declared if route and success}
        return {**cls.answers, **own}

    @classmethod
    def declared(cls, settings: SettingsT | None) -> dict[str, Operation]:
        """The operations as they are with these settings, where those say what an operation needs."""
        return cls.operations()

    @classmethod
    def destroys_username(cls, settings: SettingsT, name: str) -> Destroys:
        """Whether an operation destroys the username here, with these settings."""
        return Destroys.YES if cls.operations()[name].destroys_username else Destroys.NO

    def policy(self, name: str) -> Operation:
        """What an operation declares with these settings."""
        return self.declared(self.settings)[name]

    async def perform(self, name: str, learner: Learner) -> Erasure:
        """Does one operation for one learner. Raises `ServiceError` and `StateConflict`."""
        with self._keeping_out(learner):
            return self._checked(name, await self._performed(self.policy(name), learner), learner)

    async def repeat(self, name: str, receipt: str, learner: Learner) -> Erasure:
        """Does an operation once more, whose data is there again: on what its receipt names, and on nothing else.

        Raises `ServiceError`, and `LookupError` for an operation that could meet another person's record.
        """
        declared = self.policy(name)
        if not declared.can_be_repeated:
            raise LookupError(f"{self.api.service} {name} cannot be repeated")
        if declared.again is None:
            return await self.perform(name, learner)
        with patient(declared.patience), self._keeping_out(learner):
            return self._checked(name, await getattr(self, declared.again)(receipt), learner)

    def _checked(self, name: str, erasure: Erasure, learner: Learner) -> Erasure:
        """The erasure; raises `Defect` for a receipt that would name the learner."""
        receipt = erasure.receipt or ""
        if len(receipt) > LONGEST_RECEIPT or id_mentions(receipt, learner):
            raise self._unkeepable(name)
        return erasure

    def _unkeepable(self, name: str) -> Defect:
        return Defect(f"a defect in the connector of {self.api.service}: {name} gave a receipt that cannot be kept")

    async def _performed(self, declared: Operation, learner: Learner) -> Erasure:
        work = partial(self._in_batch, declared) if declared.batch else getattr(self, declared.name)
        try:
            with patient(declared.patience):
                done = await work(learner)
        except NotFound:
            if not declared.absent_on_404:
                raise
            done = Outcome.ABSENT
        return done if isinstance(done, Erasure) else Erasure(done)

    async def _in_batch(self, declared: Operation, learner: Learner) -> Erasure:
        if declared.name not in self._batches:
            size, seconds = 1, 0.0
            if isinstance(self.settings, BatchSettings):
                size, seconds = min(self.settings.batch_size, declared.batch or 1), self.settings.batch_seconds
            send = partial(self._sent, declared.name)
            self._batches[declared.name] = Batches(send, size=size, seconds=seconds, sleep=self.api.retry.sleep)
        return await self._batches[declared.name].erase(learner)

    async def _sent(self, name: str, learners: Sequence[Learner]) -> list[Erasure | RetirementError]:
        """One call for a batch. What a connector of a third party says of one of its learners names no other one."""
        with self._keeping_out(*learners):
            answers: Sequence[Erasure | RetirementError] = await getattr(self, name)(learners)
            if self._is_ours or len(answers) != len(learners):
                return list(answers)
            odd = naming_others([getattr(each, "receipt", None) or "" for each in answers], learners)
            kept = [redacted(each) if isinstance(each, RetirementError) else each for each in answers]
        return [self._unkeepable(name) if place in odd else each for place, each in enumerate(kept)]

    async def ask(self, name: str, receipt: str, learner: Learner | None) -> Verdict:
        """What became of an erasure, read-only. `learner` is None once the LMS has forgotten them.

        Raises `ServiceError`, and `LookupError` for an operation that cannot be asked about.
        """
        asks = self.policy(name).asks
        if asks is None:
            raise LookupError(f"{self.api.service} {name} cannot be asked about")
        with patient(Patience.LOOKUP), self._keeping_out(learner):
            verdict: Verdict = await getattr(self, asks)(receipt, learner)
        return verdict

    @property
    def _is_ours(self) -> bool:
        return type(self).__module__.startswith(_OURS)

    @contextmanager
    def _keeping_out(self, *learners: Learner | None) -> Iterator[None]:
        """Takes learners out of what a connector of a third party logs and raises, before it goes anywhere.

        Those of ours put no value of a learner into a text: a learner who is called `user` keeps no sentence short.
        """
        with ExitStack() as stack:
            for each in filter(None, learners):
                stack.enter_context(known(each))
            try:
                yield
            except RetirementError as error:
                if self._is_ours or (safe := redacted(error)) is error:
                    raise
                raise safe from None

    def route(self, name: str) -> Route | None:
        """Where an operation goes with these settings; None where it sends nothing."""
        return self.policy(name).route

    async def probe(self, name: str) -> None:
        """Asks whether the route of an operation exists, without doing anything. Raises `ServiceError`."""
        if route := self.route(name):
            # These routes take no GET. A service that answers 405 has the route, and has
            # looked at our credentials before; a missing route is an HTML 404.
            def knows(reply: Reply) -> bool:
                # A web server's page: it does not serve this host, wants another scheme, or lacks the route.
                page = 400 <= reply.status < 500 and reply.kind in ("html", "text")
                # A 404 of whatever kind: where the path names no learner, none can be missing.
                if page or (reply.status == 404 and "{" not in route.path):
                    raise reply.misconfigured("no such route: wrong base URL, or the feature is off")
                if reply.ok and reply.kind in ("json", "empty"):
                    raise reply.refused("it proves nothing: 405 is due, since the route takes no GET")
                return reply.status == 405

            await self.api.get(route.path, values=route.sample, patience=Patience.LOOKUP, judge=knows)


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
