"""What a sink is: a place that takes files for partners, and that can be asked what it has.

A file is delivered when it was read back with its size and digest. The name of a file is bound to its claim, so a
sink is looked at before it is written to, and a run that died leaves nothing that the next one does not find.
Errors of a sink name the sink and the partner, and never what is in a file.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import date

from retirement.errors import Refused
from retirement.partners.files import Report, digest
from retirement.site.stores import Store

#: Called before each thing that changes something; raises where the run may do nothing more.
Allowed = Callable[[], None]


def draft_of(name: str) -> str:
    """The name that a file has until it is complete."""
    return f".{name}.partial"


def is_draft(name: str, begin: str) -> bool:
    """Whether it is the draft of a file whose name begins so."""
    return name.startswith(f".{begin}") and name.endswith(".partial")


class Sink(ABC):
    """One sink. `place` says where it is, without a secret; `only` are the partners whose files it gets, None: all.

    `keeps_files`: what was delivered is in our reach, and can be deleted.
    """

    keeps_files = True

    def __init__(self, name: str, place: str, only: tuple[str, ...] | None = None) -> None:
        self.name, self.place, self.only = name, place, only

    def takes(self, partner: str) -> bool:
        """Whether files of this partner go there."""
        return self.only is None or partner in self.only

    @abstractmethod
    async def require(self) -> None:
        """Raises `ConfigError` where the settings cannot work, and `ServiceError` where the sink does not answer."""

    @abstractmethod
    async def discard_drafts(self, begin: str, allowed: Allowed) -> None:
        """Deletes what runs that died have left half written, of files whose names begin so.

        It names learners, and no later file has to have its name. Raises `ConfigError` and `ServiceError`.
        """

    @abstractmethod
    async def deliver(self, report: Report, allowed: Allowed) -> str:
        """Writes a file unless it is there, and reads it back; returns where it is.

        Raises `ConfigError` where a person has to change something for this partner, and `ServiceError`.
        """

    @abstractmethod
    async def write_index(self, name: str, content: bytes, allowed: Allowed) -> None:
        """Keeps the index of a claim, in sinks whose files only the operator sees as a whole."""

    @abstractmethod
    async def expire(self, place: str, sha256: str, allowed: Allowed) -> bool:
        """Deletes a delivered file; False where it is gone already. Raises `Refused` for a file of another content."""

    async def warn(self, _partner: str, _file: str, _place: str, _day: date, _allowed: Allowed) -> bool:
        """Tells the partner that the file at this place is deleted on a day; False where the sink has no way to."""
        return False

    @abstractmethod
    async def close(self) -> None:
        """Ends connections."""


class StoreSink(Sink):
    """A sink whose files have names that we give them; `by_partner`: each partner has a folder of its own."""

    def __init__(
        self, name: str, place: str, store: Store, *, by_partner: bool, only: tuple[str, ...] | None = None
    ) -> None:
        super().__init__(name, place, only)
        self._store, self._by_partner = store, by_partner

    async def require(self) -> None:
        """Asks the store."""
        await self._store.require()

    async def discard_drafts(self, begin: str, allowed: Allowed) -> None:
        """By the store, which has given them their names."""
        allowed()
        await self._store.discard_drafts(begin)

    async def deliver(self, report: Report, allowed: Allowed) -> str:
        """The file of a run that died is found by its name, and is not written again."""
        name = f"{report.folder}/{report.name}" if self._by_partner else report.name
        await self._put(name, report.content, allowed)
        return name

    async def write_index(self, name: str, content: bytes, allowed: Allowed) -> None:
        """Beside the folders of the partners, so that no partner sees the others'."""
        await self._put(name, content, allowed)

    async def _put(self, name: str, content: bytes, allowed: Allowed) -> None:
        if await self._store.read(name) == content:
            return
        allowed()
        await self._store.write(name, content)
        found = await self._store.read(name)
        if found != content:
            what = "it is not there" if found is None else f"{len(found)} bytes with SHA-256 {digest(found)[:16]} are"
            raise Refused(self.name, "read back", None, f"{what}, after {len(content)} bytes were accepted")

    async def expire(self, place: str, sha256: str, allowed: Allowed) -> bool:
        """Looks at the content before and after, since a store may accept a request and do nothing."""
        found = await self._store.stored(place)
        if found is None:
            # A store may keep what another hand has only hidden.
            allowed()
            await self._store.delete(place)
            return False
        if digest(found) != sha256:
            raise Refused(self.name, "delete", None, "another file has its name now, which was not delivered; it stays")
        allowed()
        await self._store.delete(place)
        if await self._store.stored(place) is not None:
            raise Refused(self.name, "delete", None, "the file is there after it was deleted")
        return True

    async def close(self) -> None:
        """Closes the store."""
        await self._store.close()
