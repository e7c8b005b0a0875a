"""Opens the site that a configuration describes, and asks once whether it works."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from pathlib import Path

from retirement.config import Configuration, load
from retirement.config.ledger import LedgerSettings
from retirement.config.values import AUTO
from retirement.connectors.openedx import Forum, OpenEdxSettings
from retirement.errors import ConfigError
from retirement.ledger import Ledger, LedgerLocation, Signing
from retirement.ledger import opened as opened_ledger
from retirement.lms import Lms
from retirement.process import home
from retirement.site.deadlines import Deadlines
from retirement.site.site import Site
from retirement.wire.api import Api, Retry
from retirement.wire.auth import TokenSource, lms_tokens
from retirement.wire.limits import Gate, Limits, SharedGate, Turn, shared_turns
from retirement.wire.pace import Paces
from retirement.wire.pool import Pool, pool
from retirement.wire.posting import post_lines
from retirement.wire.wiring import Wiring

#: Learners at the same time for whom a token is asked for: all wait for one.
_ONE = 1


@asynccontextmanager
async def tokens_of(configuration: Configuration) -> AsyncIterator[TokenSource]:
    """The tokens of the LMS for a process that opens its site again and again. Sends nothing.

    The LMS counts the requests for them, those of the runs on this machine as well (contract, section 1.3).
    """
    connections = pool(configuration.lms.url, _ONE)
    try:
        yield _lms_tokens(configuration, connections)
    finally:
        await connections.aclose()


def _lms_tokens(configuration: Configuration, connections: Pool) -> TokenSource:
    lms = configuration.lms
    retry = Retry(configuration.retry.attempts, configuration.retry.seconds)
    return lms_tokens(Api("LMS", connections, retry=retry), lms.client_id, lms.client_secret)


@asynccontextmanager
async def opened(configuration: Configuration, *, tokens: TokenSource | None = None) -> AsyncIterator[Site]:
    """The site that a configuration describes; closes connections and ledger at the end. Sends nothing.

    `tokens` are those of the LMS where other openings share them. Raises `LedgerError` and `ConfigError` where the
    ledger cannot be opened.
    """
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(
            opened_ledger(
                ledger_location(configuration),
                lease_seconds=configuration.lease_seconds,
                breaker_learners=configuration.breaker.learners,
                breaker_seconds=configuration.breaker.seconds,
                breaker_longest_seconds=configuration.breaker.longest_seconds,
            )
        )
        queue = configuration.queue
        paces = Paces(queue.most_at_once) if queue.at_once == AUTO else None
        tokens, wiring = _wired(configuration, stack, paces, tokens)
        connectors = {
            service: connector.connected(service, configuration.services[service], wiring)
            for service, connector in configuration.connectors.items()
        }
        for each in connectors.values():
            stack.push_async_callback(each.close)
        yield Site(
            pipeline=configuration.pipeline,
            lms=Lms(wiring.api("LMS", configuration.lms.url, auth=wiring.jwt), configuration.pipeline.lms_states),
            tokens=tokens,
            connectors=connectors,
            ledger=ledger,
            deadlines=Deadlines(configuration.deadline_days, configuration.deadline_days_by_country),
            lms_states=configuration.lms.states or (),
            has_old_forum=_has_old_forum(configuration),
            moves=configuration.lms.moves,
            nights=configuration.breaker.nights,
            paces=paces,
        )


def _wired(
    configuration: Configuration, stack: AsyncExitStack, paces: Paces | None, tokens: TokenSource | None
) -> tuple[TokenSource, Wiring]:
    """What the connectors of a process talk through; one pool for each host, closed with the stack."""
    lms, at_once = configuration.lms, configuration.queue.most_at_once
    retry = Retry(configuration.retry.attempts, configuration.retry.seconds)
    pools: dict[str, Pool] = {}

    def pool_of(url: str) -> Pool:
        if url not in pools:
            pools[url] = pool(url, at_once)
        return pools[url]

    async def close() -> None:
        for each in pools.values():
            await each.aclose()

    stack.push_async_callback(close)
    tokens = tokens or _lms_tokens(configuration, pool_of(lms.url))

    def gate(service: str, limits: Limits) -> Gate:
        return SharedGate(service, limits, paces.of(service) if paces else None)

    return tokens, Wiring(pool_of, tokens, retry=retry, gate=gate)


def ledger_location(configuration: Configuration) -> LedgerLocation:
    """Where the ledger of a site is: what the configuration says, else a file of this installation."""
    settings = configuration.ledger
    url = settings.url.get_secret_value() if settings.url else home() / "ledger" / "ledger.sqlite"
    anchor, key = _path(settings.anchor), _path(settings.key)
    place = LedgerLocation(
        url=url,
        anchor=anchor,
        key=key,
        keys=tuple(Path(path).expanduser() for path in settings.keys),
        schema=settings.postgresql_schema,
    )
    site = settings.site or configuration.lms.url.rstrip("/")
    return replace(place, signing=_signing(settings, place), site=site)


def _path(given: str | None) -> Path | None:
    return Path(given).expanduser() if given else None


def _signing(settings: LedgerSettings, place: LedgerLocation) -> Signing | None:
    """By which key heads are signed: its file is beside that of the digests unless the configuration says otherwise."""
    beside = place.key_file
    key = _path(settings.signing_key) or (beside and beside.with_name(f"{beside.name.removesuffix('.key')}.signing"))
    public = _path(settings.public_key)
    url = settings.head_url
    post = partial(post_lines, "ledger.head_url", url) if url else None
    return Signing(key, settings.sign_command, public, settings.head_command, post) if key else None


def _has_old_forum(configuration: Configuration) -> bool:
    settings = configuration.services["LMS"]
    return isinstance(settings, OpenEdxSettings) and settings.forum is Forum.V2


#: What the command line has opened and asked already, for the flow that it calls in this process.
_ready: ContextVar[tuple[Configuration, Site]] = ContextVar("ready")


def is_ready() -> bool:
    """Whether this process has a site that is ready, so that no configuration has to be found for one."""
    return _ready.get(None) is not None


@asynccontextmanager
async def ready(
    path: str | Path | None, secret_block: Callable[[str], str] | None = None, turn: Turn | None = None
) -> AsyncIterator[tuple[Configuration, Site]]:
    """A configuration and its site, loaded, opened and asked whether they work; once per process and run.

    `turn` is what a run of an engine waits for before it asks a service that has limits.
    Raises `ConfigError` and `ServiceError` before any learner is touched.
    """
    with shared_turns(turn):
        if found := _ready.get(None):
            yield found
            return
        configuration = load(path, secret_block=secret_block)
        async with opened(configuration) as site:
            try:
                await site.preflight()
            except ConfigError as error:
                problems = (f"{configuration.source}: pipeline: {problem}" for problem in error.args)
                raise ConfigError(*problems) from None
            token = _ready.set((configuration, site))
            try:
                yield configuration, site
            finally:
                _ready.reset(token)


@asynccontextmanager
async def evidence(path: str | Path | None, secret_block: Callable[[str], str] | None = None) -> AsyncIterator[Ledger]:
    """The ledger of the site that is ready in this process, else that of a configuration alone. Sends nothing."""
    if found := _ready.get(None):
        yield found[1].ledger
        return
    async with opened_ledger(ledger_location(load(path, secret_block=secret_block))) as ledger:
        yield ledger
