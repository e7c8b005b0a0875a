"""Entries of the cleanup: which learners the LMS is about to be asked to delete, and which it has deleted."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from retirement.ledger.access import Access
from retirement.ledger.archives import ARCHIVE_NAMED, FILE
from retirement.ledger.events import Event, event_of
from retirement.ledger.holds import active_holds
from retirement.ledger.leases import Lease, give_back, is_live, learner_scope, require_ours, take
from retirement.ledger.tables import Entry, Hold
from retirement.ledger.transaction import Piece, Transaction, parts_of

#: Plain entries, which change no row; `retirement` is among their facts. The cleanup was called archive once, and
#: entries keep the kind they were hashed with: auditors and scripts look for these words.
CLEANUP_ASKED, CLEANUP_CLEARED = "archive.asked", "archive.cleared"

_KINDS = (CLEANUP_ASKED, CLEANUP_CLEARED)


@dataclass(frozen=True, slots=True)
class CleanupIntent:
    """One learner whose row the LMS `lms` is to delete, judged by the ledger as of its entry `seq`.

    `orgs` None: the learner's organisations are not known yet. `override`: who decided and why, without a proof.
    `file`: where an archive has the row, or is about to have it; None: nowhere.
    """

    user_id: int
    retirement_id: int
    requested: date
    lms: str
    seq: int
    orgs: Collection[str] | None
    override: Mapping[str, str] | None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class AskedCleanups:
    """The leases on learners whose intents were entered, and the user ids left out, with the hold if it is one."""

    leases: tuple[Lease, ...]
    left_out: Mapping[int, Hold | None]


class Cleanups:
    """Enter intents and what became of them."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def asked(self, lease: Lease, intents: Sequence[CleanupIntent], named: str | None = None) -> AskedCleanups:
        """Enters that the LMS is about to be asked for these learners, and leases them; durable when this returns.

        A learner is left out who is held as of this transaction or leased to another run, and one with entries that
        are newer than the judgement. Where the organisations of a learner are not known, a hold on any
        organisation counts as theirs. `named` is a file that is about to be written for some of them. The leases
        on learners are not renewed; `answered` gives them back. Raises `LeaseLost`.
        """

        def ask(tx: Transaction) -> AskedCleanups:
            require_ours(tx, lease)
            holds = active_holds(tx)
            leases: list[Lease] = []
            left_out: dict[int, Hold | None] = {}
            if named:
                tx.enter(ARCHIVE_NAMED, facts={FILE: named})
            for intent in intents:
                hold = _first_on(holds, intent)
                scope = learner_scope(intent.user_id)
                if hold or is_live(tx, scope) or _is_outdated(tx, intent):
                    left_out[intent.user_id] = hold
                    continue
                leases.append(take(tx, self._access, scope, f"learner {intent.user_id}"))
                tx.enter(CLEANUP_ASKED, user_id=intent.user_id, facts=_facts(intent))
            return AskedCleanups(tuple(leases), left_out)

        return await self._access.write(ask)

    async def answered(self, asked: AskedCleanups) -> None:
        """Gives the learners back."""

        def free(tx: Transaction) -> None:
            for lease in asked.leases:
                give_back(tx, lease)

        await self._access.write(free)

    async def cleared(self, *rows: tuple[int, int]) -> None:
        """Enters that the LMS has deleted these rows; the keys are user id and retirement id."""

        def enter(tx: Transaction) -> None:
            for user_id, retirement_id in rows:
                tx.enter(CLEANUP_CLEARED, user_id=user_id, facts={"retirement": retirement_id})

        await self._access.write(enter)

    async def unanswered(self, lms: str) -> dict[tuple[int, int], date]:
        """Rows that this LMS was asked to delete with no result entered since: the day of their request to retire.

        The keys are user id and retirement id. Learners who are leased right now are left out.
        """
        return await self._access.read(lambda tx: _open(tx, lms))


def _facts(intent: CleanupIntent) -> dict[str, object]:
    about = {"retirement": intent.retirement_id, "requested": intent.requested.isoformat(), "lms": intent.lms}
    return about | dict(intent.override or {}) | ({FILE: intent.file} if intent.file else {})


def _is_outdated(tx: Transaction, intent: CleanupIntent) -> bool:
    """Whether something was entered about a learner after the judgement, but for intents of this run."""
    newer = (Entry.user_id == intent.user_id, Entry.seq > intent.seq, Entry.kind.not_in(_KINDS))
    return bool(tx.rows(Entry, *newer, piece=Piece(1)))


def _open(tx: Transaction, lms: str) -> dict[tuple[int, int], date]:
    asked: dict[tuple[int, int], Event] = {}
    # Every learner who ever retired is asked about and cleared: only the open ones are kept.
    for entries in parts_of(tx.connection, Entry.kind.in_(_KINDS)):
        for event in map(event_of, entries):
            row = (event.user_id or 0, event.facts["retirement"])
            if event.kind == CLEANUP_ASKED:
                asked[row] = event
            else:
                asked.pop(row, None)
    return {
        row: date.fromisoformat(event.facts["requested"]) for row, event in asked.items() if _is_open(tx, event, lms)
    }


def _is_open(tx: Transaction, event: Event, lms: str) -> bool:
    """Whether this LMS was asked for a row, and no run has the learner now."""
    return bool(event.facts["lms"] == lms) and not is_live(tx, learner_scope(event.user_id or 0))


def _first_on(holds: Iterable[Hold], intent: CleanupIntent) -> Hold | None:
    """The first hold that keeps the learner."""
    return next((hold for hold in holds if _is_on(hold, intent)), None)


def _is_on(hold: Hold, intent: CleanupIntent) -> bool:
    return (hold.org is not None and intent.orgs is None) or hold.is_on(intent.user_id, intent.orgs or ())
