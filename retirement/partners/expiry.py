"""Deletes delivered files from their sinks after some days, and tells the partners some days before.

Only files with a receipt, only where they were delivered, and only while they are what was delivered: a file that
another hand has written is left alone. No file is deleted before its partner was told, as many days before as the
settings say. Copies that a partner has taken are out of reach (contract of the services, B9.5).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from retirement.config import Configuration
from retirement.errors import ConfigError, Refused, RetirementError, ServiceError
from retirement.ledger.deliveries import FileReceipt
from retirement.partners.destination import Destination
from retirement.partners.sinks.kit import Sink
from retirement.site import Batch, Site

_DAY = timedelta(days=1)


class ExpiryResult(StrEnum):
    """What came of one file."""

    DELETED = "deleted"
    GONE = "gone"  #: it was not there any more
    WARNED = "warned"  #: the partner was told by the sink
    NOTED = "noted"  #: the sink has no way to tell the partner; the warning stands in the ledger and in the output
    WOULD_DELETE = "would delete"
    WOULD_WARN = "would warn"
    KEPT = "kept"  #: it has to be deleted or told of, and that failed


@dataclass(frozen=True, slots=True)
class ExpiryFinding:
    """One file by its sink and name, and what came of it."""

    sink: str
    file: str
    what: ExpiryResult
    text: str = ""

    @property
    def row(self) -> dict[str, str]:
        """As a row of a table."""
        return {"sink": self.sink, "file": self.file, "what": self.what.value, "text": self.text}


@dataclass(frozen=True, slots=True)
class Ages:
    """The days after which a file is deleted, and how many days before the partner is told; 0: not at all."""

    days: int
    warn_days: int

    def is_to_be_told(self, receipt: FileReceipt, now: datetime) -> bool:
        """Whether the partner has to be told now."""
        soon = now - receipt.at >= (self.days - self.warn_days) * _DAY
        return bool(self.warn_days) and receipt.warned_at is None and soon

    def is_due(self, receipt: FileReceipt, now: datetime) -> bool:
        """Whether the file has to be deleted now."""
        told = receipt.warned_at is not None and now - receipt.warned_at >= self.warn_days * _DAY
        return now - receipt.at >= self.days * _DAY and (told or not self.warn_days)

    def day(self, receipt: FileReceipt, now: datetime) -> date:
        """The first day on which a file may be deleted of which the partner is told now."""
        return max(receipt.at + self.days * _DAY, now + self.warn_days * _DAY).date()


async def expire(
    site: Site,
    batch: Batch,
    destination: Destination,
    ages: Ages,
    tell: Callable[[ExpiryFinding], None],
    *,
    dry_run: bool = False,
) -> None:
    """Deletes what is due, oldest first, and tells partners of what soon is; `dry_run` only says what it would do.

    Raises `ConfigError` for a file that would be deleted before its partner can be told, `BusyElsewhere` while another
    run has the reports, and `Interrupted`. The next run goes on from where this one ended.
    """
    if ages.warn_days >= ages.days:
        raise ConfigError(f"--days: {ages.days} must be more than partners.warn_days, which is {ages.warn_days}")
    lease = await site.ledger.leases.take("partner-report", what="the partner report")
    run = _Run(site, batch, destination, ages, tell, lambda: site.ledger.leases.check(lease))
    try:
        await run.through(dry_run=dry_run)
    finally:
        await site.ledger.leases.release(lease)
        for error in await destination.close():
            tell(ExpiryFinding("", "", ExpiryResult.KEPT, str(error)))


@dataclass(frozen=True, slots=True)
class _Run:
    site: Site
    batch: Batch
    destination: Destination
    ages: Ages
    tell: Callable[[ExpiryFinding], None]
    check: Callable[[], None]

    async def through(self, *, dry_run: bool) -> None:
        sinks = {sink.name: sink for sink in self.destination.sinks}
        now = self.site.ledger.now()
        for receipt, is_due in self._work(await self.site.ledger.deliveries.find(), now):
            self._ensure_allowed()
            try:
                sink = _sink_of(receipt, sinks)
                if is_due and not sink.keeps_files:
                    continue
                if dry_run:
                    self._found(receipt, ExpiryResult.WOULD_DELETE if is_due else ExpiryResult.WOULD_WARN)
                    continue
                await (self._delete(sink, receipt) if is_due else self._warn(sink, receipt, now))
            except (ConfigError, ServiceError) as error:
                self._found(receipt, ExpiryResult.KEPT, str(error))
                if isinstance(error, ServiceError) and not isinstance(error, Refused):
                    # Its other files would wait as long for the same answer.
                    sinks.pop(receipt.file.sink, None)

    def _work(self, receipts: list[FileReceipt], now: datetime) -> Iterator[tuple[FileReceipt, bool]]:
        """The receipts with something to do; True: the file is due."""
        for receipt in receipts:
            if receipt.expired_at is None and (is_due := self.ages.is_due(receipt, now)):
                yield receipt, is_due
            elif receipt.expired_at is None and self.ages.is_to_be_told(receipt, now):
                yield receipt, False

    async def _delete(self, sink: Sink, receipt: FileReceipt) -> None:
        found = await sink.expire(receipt.file.place, receipt.file.digest, self._ensure_allowed)
        await self.site.ledger.deliveries.expired(receipt.id, found=found)
        self._found(receipt, ExpiryResult.DELETED if found else ExpiryResult.GONE)

    async def _warn(self, sink: Sink, receipt: FileReceipt, now: datetime) -> None:
        day = self.ages.day(receipt, now)
        is_told = await sink.warn(
            receipt.file.partner, receipt.file.file, receipt.file.place, day, self._ensure_allowed
        )
        await self.site.ledger.deliveries.warned(receipt.id)
        self._found(receipt, ExpiryResult.WARNED if is_told else ExpiryResult.NOTED, f"it is deleted from {day} on")

    def _found(self, receipt: FileReceipt, what: ExpiryResult, text: str = "") -> None:
        self.tell(ExpiryFinding(receipt.file.sink, receipt.file.file, what, text))

    def _ensure_allowed(self) -> None:
        self.batch.ensure_allowed(self.check)


def _sink_of(receipt: FileReceipt, sinks: dict[str, Sink]) -> Sink:
    """The sink of a receipt. Raises `ConfigError` where it is not there any more, or is another one."""
    file = receipt.file
    sink = sinks.get(file.sink)
    if sink is None:
        raise ConfigError(f"the sink {file.sink} is not in the configuration, or did not answer in this run")
    if file.at != sink.place:
        raise ConfigError(
            f"the file was delivered to {file.at or 'an unknown place'}, and {sink.name} is {sink.place} now"
        )
    return sink


def summary(found: list[ExpiryFinding]) -> str:
    """What a run came to, in one line."""
    counts = {what: sum(each.what is what for each in found) for what in ExpiryResult}
    told = [f"{count} {what.value}" for what, count in counts.items() if count]
    return f"{len(found)} files: {', '.join(told)}" if told else "no file is due"


def problems(found: list[ExpiryFinding]) -> list[str]:
    """What a person has to look at, or the next run has to do."""
    return [f"{each.sink}: {each.file}: {each.text}" for each in found if each.what is ExpiryResult.KEPT]


def error_of(problem: RetirementError | None) -> list[str]:
    """What ended a run, as lines."""
    return str(problem).splitlines() if problem else []


def ages_of(configuration: Configuration, days: int | None = None) -> Ages:
    """The days of the settings, `days` in their place. Raises `ConfigError` where nothing says how many."""
    partners = configuration.partners
    chosen = partners.expire_days if days is None else days
    if chosen is None:
        raise ConfigError("--days: say after how many days files are deleted, or set partners.expire_days")
    return Ages(chosen, partners.warn_days)
