"""What the tests of the ledger share: learners, a clock that is moved, an executor without threads."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from retirement.learner import Learner
from retirement.ledger import Action, Area, Claim, Holder, LearnerLease, Ledger, LedgerLocation, Piece, Said, opened

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = bytes(range(32))


class Clock:
    """A clock in UTC that stands until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class AtOnce(Executor):
    """Runs what it is given before it returns: no thread, and the same order each time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - an executor hands on whatever there is
            future.set_exception(error)
        return future


async def claims_of(ledger: Ledger, state: str | None = None) -> list[Claim]:
    """Every claim of the partner queue, or those in one state, oldest first."""
    found = await ledger.claims.newest(Piece(1000))
    return [each for each in reversed(found) if state in (None, each.state)]


def learner(user_id: int = 17, *, retirement_id: int | None = None, domain: str = "canary.example") -> Learner:
    """A learner whose names are unmistakable."""
    return Learner(
        user_id=user_id,
        retirement_id=retirement_id or user_id + 1000,
        username=f"CanaryUser{user_id}",
        email=f"CanaryMail{user_id}@{domain}",
        name="CanaryName CanaryFamily",
        retired_username="retired__user_x",
        retired_email="retired__user_x@retired.invalid",
        current_username=f"CanaryUser{user_id}",
        state="PENDING",
        last_state="PENDING",
        requested_at=START,
        changed_at=START,
    )


@dataclass
class Desk:
    """A place for a ledger, and how to open it with a clock that stands still."""

    place: LedgerLocation
    clock: Clock
    folder: Path

    def open(self, **options: Any) -> AbstractAsyncContextManager[Ledger]:
        """Opens the ledger; leases last 60 seconds of the clock."""
        usual: dict[str, Any] = {"clock": self.clock, "lease_seconds": 60.0}
        return opened(self.place, **(usual | options))


async def begin(ledger: Ledger, user_id: int = 17, **options: Any) -> LearnerLease:
    """Takes a learner with the usual facts."""
    return await ledger.learners.lease(learner(user_id, **options), due_at=START + timedelta(days=30), pipeline="p1")


async def live_through(ledger: Ledger) -> None:
    """Leaves a row in every table of evidence."""
    lease = await begin(ledger, 17)
    await lease.intend("FORUM", "LMS", "retire_forum")
    await lease.prove("FORUM", "erased")
    await lease.intend("MAIL", "BRAZE", "delete")
    await lease.end("parked", "BRAZE is down", "FORUM_COMPLETE")
    await ledger.receipts.add(
        user_id=17, retirement_id=1017, step="FORUM", service="LMS", reference="job-1", next_check_at=START
    )
    await ledger.holds.add(user_id=17, org=None, service=None, basis="a court", until=START.date(), by="legal")
    asked = await ledger.decisions.ask(
        "run-1", trips=["600 wait"], depth=600, expires_at=ledger.now() + timedelta(hours=1), about=[17], wanted=1
    )
    await ledger.decisions.answer(asked, Said("approved", "boss", "known", 100))
    await ledger.queue_runs.begin("run-1", 600, 100)
    await ledger.queue_runs.end("run-1", {"retired": 99, "parked": 1}, 12.5)
    await ledger.breakers.open("BRAZE", reason="maintenance", by="ops")
    await ledger.pauses.pause("queue", reason="an upgrade", by="ops")
    await ledger.permissions.set(Holder("https://id.example", "1"), Area.SYSTEM, "", [Action.VIEW])
    claim = await ledger.claims.begin()
    await ledger.claims.seal(claim, b"CanaryClaim", [17])
