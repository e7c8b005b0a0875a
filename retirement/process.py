"""The process that we are: where its files lie, who acts in it, what signals cancel, and what is waited for.

Signals arrive in the main thread only, and an event loop there is broken off wherever it is. So the command line
and the flows of deployments run their work in a thread beside it: a signal is a cancellation and nothing else.

A name that an operator types is a claim. The account of the operating system, the machine and the way in are not:
`observed` is what the process sees for itself, and the ledger enters it with each act.
"""

import asyncio
import fcntl
import gc
import os
import pwd
import re
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import platformdirs

#: What ends a process on purpose: Ctrl-C, a service manager, and a terminal that is closed.
SIGNALS = tuple(signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__)

#: Seconds that work has after a second signal; whatever it waits for then, the process ends.
HURRY_SECONDS = 3.0

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def collect_rarely() -> None:
    """Has Python look for circular garbage after 50,000 new objects and not after 700, and rarely through all of them.

    Call it before much is imported: what Prefect imports never becomes garbage, and looking through it again and
    again was a tenth of the CPU time of a run (docs/decisions/0018).
    """
    gc.set_threshold(50_000, 25, 50)


def home() -> Path:
    """The folder of this installation: RETIREMENT_HOME, else the platform's user data folder."""
    chosen = os.environ.get("RETIREMENT_HOME")
    folder = Path(chosen).expanduser() if chosen else platformdirs.user_data_path("openedx-retirement")
    return folder.resolve()


def claim(file: Path) -> bool:
    """Takes a file for this process until it ends, in whatever way; False where another process has it."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Never closed here, and closed in what we start: the kernel gives the lock back when this process is gone.
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


def without_core_dumps() -> None:
    """Has this process, and those that it starts, leave no image of its memory: secrets and learners are in it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


T = TypeVar("T")

#: What a process that ends at once still has to do: each within moments, none may wait.
last_acts: list[Callable[[], None]] = []

#: Set where work was left alone that may never end: the process does not wait for its threads.
left_alone = threading.Event()


async def in_thread(work: Callable[[], T], seconds: float) -> T:
    """Runs what blocks in a thread of its own, and leaves it alone after so many seconds.

    Raises `TimeoutError` then, and what the work raises.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await asyncio.to_thread(work)
    except TimeoutError:
        if limit.expired():
            left_alone.set()
        raise


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that is waited for: its name in a sentence, and since when, by `time.monotonic`."""

    what: str
    since: float

    @property
    def sentence(self) -> str:
        """What a command says of it, without for how long."""
        return f"waiting for {self.what}"


@dataclass(slots=True)
class Count:
    """Long work that is counted: what is done, how many of it by now, and of how many where that is known."""

    name: str
    since: float
    total: int | None = None
    done: int = 0

    @property
    def what(self) -> str:
        """The name, with the numbers."""
        return f"{self.name}: {self.done}{f' of {self.total}' if self.total else ''}"

    @property
    def sentence(self) -> str:
        """What a command says of it, without for how long."""
        return self.what


_waits: dict[object, Wait | Count] = {}


@contextmanager
def _shown(what: Wait | Count) -> Iterator[None]:
    key = object()
    _waits[key] = what
    try:
        yield
    finally:
        _waits.pop(key, None)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Says for the length of the block what this process waits for; a command tells its operator (`waits`)."""
    with _shown(Wait(what, time.monotonic())):
        yield


@contextmanager
def counted(name: str, total: int | None = None) -> Iterator[Count]:
    """As `waiting`, for work on many things: its caller raises `done`, and a command tells its operator how far it is.

    `name` is what the numbers are of, as "receipts that were asked about".
    """
    with _shown(count := Count(name, time.monotonic(), total)):
        yield count


def in_parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items, so many at a time: of long work, or of what one statement or one request takes."""
    return (items[start : start + size] for start in range(0, len(items), size))


def waits(longer_than: float) -> list[Wait | Count]:
    """What has been waited for so many seconds at least, each name once, the longest first."""
    latest = time.monotonic() - longer_than
    found: dict[str, Wait | Count] = {}
    for each in sorted(dict(_waits).values(), key=lambda wait: wait.since):
        if each.since <= latest:
            found.setdefault(each.what, each)
    return list(found.values())


class Beside:
    """A body that runs in a thread and an event loop of its own, with the context of its caller."""

    def __init__(
        self,
        body: Callable[[], Coroutine[Any, Any, Any]],
        *,
        loop_factory: LoopFactory | None = None,
        at_once: Callable[[], None] | None = None,
    ) -> None:
        """`at_once` ends the process; it is called when the body still runs `HURRY_SECONDS` after a second signal.

        Without it only the first signal counts, for one stop comes from several sides at a time.
        """
        self.told = False
        self.told_by_signal = False
        self._at_once = at_once
        self._hurry: threading.Timer | None = None
        self._body = body
        self._loop_factory = loop_factory
        self._ended: Future[Any] = Future()
        self._task: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def start(self) -> "Future[Any]":
        """Starts the body; its result or exception is the future's."""
        context = copy_context()
        threading.Thread(target=context.run, args=(self._work,), name="beside", daemon=True).start()
        return self._ended

    def tell(self) -> None:
        """Cancels the body; a second time it has `HURRY_SECONDS` left, or is let be where nothing may end it."""
        if self.told:
            if self._at_once is None:
                return
            self._let_hurry(self._at_once)
        self.told = True
        if self._task:
            loop, task = self._task
            with suppress(RuntimeError):  # the loop has closed by itself meanwhile
                loop.call_soon_threadsafe(task.cancel)

    @contextmanager
    def told_by_signals(self) -> Iterator[None]:
        """Takes the signals until the block ends; then they are again whose they were."""

        def on_signal(_number: int, _frame: object) -> None:
            self.told_by_signal = True
            self.tell()

        # A hangup that was to be ignored, as `nohup` has it, stays so.
        taken = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, on_signal) for number in taken}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _let_hurry(self, at_once: Callable[[], None]) -> None:
        if self._hurry is None:

            def end() -> None:
                if not self._ended.done():
                    at_once()

            self._hurry = threading.Timer(HURRY_SECONDS, end)
            self._hurry.daemon = True
            self._hurry.start()

    def _work(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                self._ended.set_result(runner.run(self._main()))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for it
            self._ended.set_exception(error)

    async def _main(self) -> Any:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an event loop runs tasks")
        self._task = (asyncio.get_running_loop(), task)
        if self.told:  # before there was anything to cancel
            raise asyncio.CancelledError
        return await self._body()


#: The ways in: a command; a form on a page of Prefect; a schedule; a run that was started in Prefect; a program that
#: uses the package; the operators' door.
Channel = Literal["console", "form", "schedule", "prefect", "program", "door"]


# What operating systems take as the name of an account or a machine; nothing else is repeated.
_NAME = re.compile(r"[\w.@$\\-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at a process. `sudo` is the account that became another one, `run` the run of Prefect that acted.

    `person` is who has signed in at the door, as the provider calls them: `ISSUER SUBJECT`.
    """

    account: str
    host: str
    channel: Channel
    sudo: str | None = None
    run: str | None = None
    person: str | None = None

    @property
    def facts(self) -> dict[str, str]:
        """As an entry has it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Way:
    channel: Channel
    run: str | None
    person: str | None = None


_UNKNOWN = _Way("program", None)
_way: ContextVar[_Way] = ContextVar("way", default=_UNKNOWN)


def observed() -> Observed:
    """Who acts here and now."""
    way = _way.get()
    return Observed(_account(os.geteuid()), _host(), way.channel, _sudo(), way.run, way.person)


@contextmanager
def acting(channel: Channel, run: str | None = None, person: str | None = None) -> Iterator[None]:
    """What is entered in the block came in by this way."""
    token = _way.set(_Way(channel, run, person))
    try:
        yield
    finally:
        _way.reset(token)


def typed_into_a_form(person: str | None = None) -> None:
    """From here on the run does what a person has typed into its form; `person` has submitted it at the door."""
    _way.set(replace(_way.get(), channel="form", person=person))


def is_unknown_way() -> bool:
    """Whether none has said yet by which way this came in."""
    return _way.get() is _UNKNOWN


@cache
def _account(number: int) -> str:
    """The name of an account of the operating system; its number where the system has no name for it.

    Asked once: the names may be in a directory, and each transaction of the ledger wants to know.
    """
    try:
        return _plain(pwd.getpwuid(number).pw_name) or str(number)
    except KeyError:
        return str(number)


def _sudo() -> str | None:
    """The account that called sudo: a variable, which a process that is no child of sudo could have set as well."""
    return _plain(os.environ.get("SUDO_USER", ""))


@cache
def _host() -> str:
    return _plain(socket.gethostname()) or "unknown"


def _plain(name: str) -> str | None:
    return name if _NAME.fullmatch(name) else None
