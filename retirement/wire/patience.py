"""How long an answer may take, how large it may be, and whether a call may be made at all: declared in a block.

An operation knows how slow its service is, and a learner's run knows whether it still has the lease; the requests
are made some layers below. Both are therefore carried by the context, and both are set by `with` only, so that
neither reaches the request after the block.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum

#: Raises when the run that makes a call has lost the right to it.
Check = Callable[[], None]


MEGABYTE = 1024 * 1024
#: Seconds after which an idle connection is ours to close. Servers close it after 2 (gunicorn) or 5 (uvicorn, Node);
#: a request that meets that moment gets no answer, and where it may not be repeated the learner waits for a read-back.
IDLE_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one answer may take: seconds without a byte, seconds as a whole, and bytes after decoding."""

    read: float
    whole: float
    largest: int = 8 * MEGABYTE

    @property
    def timeout(self) -> dict[str, float]:
        """The limits of each read, write and connection, as a transport of httpx takes them."""
        return {"connect": 5.0, "read": self.read, "write": self.read, "pool": self.read}


class Patience(Enum):
    """The bounds of an answer, by class of operation."""

    #: What a request at the door waits for: keys and tokens of a provider.
    KEYS = Bounds(read=5, whole=10, largest=MEGABYTE)
    LOOKUP = Bounds(read=30, whole=60)
    #: Lists of the LMS have no pages (contract, section 1.4); a row takes some 700 bytes.
    LISTING = Bounds(read=30, whole=120, largest=64 * MEGABYTE)
    #: What is handed out once and never again.
    CLAIM = Bounds(read=120, whole=300, largest=256 * MEGABYTE)
    ERASURE = Bounds(read=120, whole=180)
    #: `unenroll` of a learner with hundreds of courses works for minutes (contract, section 4.18).
    SLOW = Bounds(read=600, whole=660)


_patience: ContextVar[Patience] = ContextVar("patience", default=Patience.ERASURE)
_permission: ContextVar[Check | None] = ContextVar("permission", default=None)


@contextmanager
def patient(patience: Patience) -> Iterator[None]:
    """For the requests of this block that do not say themselves how long their answer may take."""
    before = _patience.set(patience)
    try:
        yield
    finally:
        _patience.reset(before)


@contextmanager
def permitted(check: Check | None) -> Iterator[None]:
    """Calls `check` before each try of each request of this block; what it raises ends the request."""
    before = _permission.set(check)
    try:
        yield
    finally:
        _permission.reset(before)


def current_patience() -> Patience:
    """How long an answer may take where the request does not say."""
    return _patience.get()


def current_permission() -> Check | None:
    """What is called before each try of a request; None: nothing."""
    return _permission.get()
