"""Moves every learner of one state, whose request was made between two days, to another state or back to the last
end state that is proved.

The job of the reference's `retirement_bulk_status_update.py`, with a preview and a bound. Its rewind forces a row to
`last_state`, which for a learner in ERRORED is a working state that no run ever lists (contract, section 2.9).
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

from retirement.errors import ConfigError
from retirement.followup.complete_rows import windows
from retirement.followup.elsewhere import elsewhere
from retirement.followup.job import Asked, planned
from retirement.followup.move_back import Aim, Aiming, Finding, Verdict, move_back, proved
from retirement.followup.selection import Selection
from retirement.learner import Learner
from retirement.ledger import Hold, LearnerRecord
from retirement.lms.pages import FIRST_DAY
from retirement.pipeline import ABORTED, COMPLETE, ERRORED, Pipeline
from retirement.pipeline.proof import behind
from retirement.pipeline.strays import is_stray
from retirement.privacy import withheld
from retirement.site import Batch, Site

#: States that end a retirement without erasing anything, so that no proof is needed to move a row there.
_ENDS = (ERRORED, ABORTED)
#: Where a row goes without a new state.
BACK = "back to the last end state that is proved"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows, and where to: `state` as it is now, requested from `first` to `last` (UTC days, both included).

    `new_state` None: each row goes back to the last end state that is proved. `force`: also over steps that no run
    has proved.
    """

    state: str
    new_state: str | None = None
    first: date | None = None
    last: date | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class BulkUpdate:
    """The rows that are meant, as they were listed once, and what was odd about the list; see `listed`."""

    site: Site
    batch: Batch
    wanted: Wanted
    days: tuple[date, date]
    rows: tuple[Learner, ...]
    unreadable: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Where from, and where to."""
        wanted = self.wanted
        return f"learners go from {wanted.state} {f'to {wanted.new_state}' if wanted.new_state else BACK}"

    async def preview(self) -> AsyncGenerator[Finding, None]:
        """Says of each row what would be done, oldest request first, and of each that cannot be read why."""
        async for finding in self._each(self.rows, dry_run=True):
            yield finding
        for text in self.unreadable:
            yield Finding(None, Verdict.FAILED, self.wanted.state, None, text)

    async def do(self, found: Collection[Finding], asked: Asked) -> AsyncGenerator[Finding, None]:
        """Enters who asks for it and why, and moves the rows that a preview would move.

        What fails at one learner stops no other. Raises what every learner would meet: `ServiceError`, `LedgerError`.
        """
        meant = planned(found)
        rows = [row for row in self.rows if row.user_id in meant]
        if rows:
            await self._enter(asked, rows)
        async for finding in self._each(rows, dry_run=False):
            yield finding

    async def _each(self, rows: Sequence[Learner], *, dry_run: bool) -> AsyncGenerator[Finding, None]:
        site = self.site
        chosen, holds = Selection(None, await site.ledger.leases.live(), dry_run), await site.ledger.holds.find()
        if any(hold.org for hold in holds):
            self.batch.orgs |= await site.lms.accounts.enrolled_in(self.batch.without_orgs(rows))
        for row in rows:
            yield await self._one(chosen, row, self.batch.holds_on(row, holds))

    async def _one(self, chosen: Selection, row: Learner, holds: Sequence[Hold]) -> Finding:
        if holds:
            return Finding(row.user_id, Verdict.HELD, row.state, None, holds[0].sentence)
        if chosen.is_live(row.user_id):
            return Finding(row.user_id, Verdict.BUSY, row.state, None, "a live run has them")
        if row.state in self.site.pipeline.working_states and (found := await elsewhere(self.site, chosen, row)):
            return found
        aiming: Aiming = partial(_aim, wanted=self.wanted) if self.wanted.new_state else proved
        return await move_back(self.site, row, dry_run=chosen.dry_run, aiming=aiming)

    async def _enter(self, asked: Asked, rows: Sequence[Learner]) -> None:
        wanted, (first, last) = self.wanted, self.days
        await self.site.ledger.jobs.asked(
            "bulk-update",
            by=asked.by,
            reason=withheld(asked.reason, rows),
            before=wanted.state,
            after=wanted.new_state,
            first=first.isoformat(),
            last=last.isoformat(),
            force=wanted.force,
            learners=len(rows),
        )


async def listed(site: Site, wanted: Wanted, *, prefix: str = "") -> BulkUpdate:
    """Lists the rows that are meant. Changes nothing; a second run after a move finds none of those that were moved.

    Raises `ConfigError` for what cannot be meant, in the names of the fields with `prefix` before them, as `--` in a
    command; `ServiceError`.
    """
    _require_dates(wanted, prefix)
    await _require_states(site, wanted, prefix)
    days = await _span(site, wanted, prefix)
    rows: list[Learner] = []
    unreadable: list[str] = []
    for first, last in windows(*days):
        listing = await site.lms.rows.by_date(wanted.state, first, last)
        rows += listing.learners
        unreadable += listing.unreadable
    return BulkUpdate(site, site.batch(), wanted, days, tuple(rows), tuple(unreadable))


async def _span(site: Site, wanted: Wanted, prefix: str) -> tuple[date, date]:
    """The first and the last day of the requests, by the LMS' calendar: it refuses a day that has not begun there."""
    today = (await site.lms.rows.clock() or site.ledger.now()).date()
    first, last = wanted.first or FIRST_DAY, wanted.last or today
    for name, day in (("start", first), ("end", last)):
        if day > today:
            raise ConfigError(f"{_named(prefix, name, 'date')}: {day} is in the future; at the LMS it is {today}, UTC")
    return first, last


def _require_dates(wanted: Wanted, prefix: str) -> None:
    if wanted.first and wanted.last and wanted.first > wanted.last:
        name = _named(prefix, "start", "date")
        raise ConfigError(f"{name}: {wanted.first} is after {wanted.last}, the last day; both days are included")


async def _require_states(site: Site, wanted: Wanted, prefix: str) -> None:
    pipeline, new = site.pipeline, wanted.new_state
    known = await site.lms.rows.known_states([*pipeline.lms_states, wanted.state])
    initial, target = _named(prefix, "initial", "state"), _named(prefix, "new", "state")
    if wanted.state not in known:
        raise ConfigError(f"{initial}: the LMS has no state {wanted.state}; states are {', '.join(known)}")
    if new is None:
        if not _is_left(pipeline, wanted.state):
            raise ConfigError(f"{initial}: a row in {wanted.state} cannot be rewound; give {target} to move it")
    elif new in pipeline.working_states:
        raise ConfigError(f"{target}: no run takes a learner in {new}, a working state; give the end state before it")
    elif new not in pipeline.lms_states:
        states = (state for state in pipeline.lms_states if state not in pipeline.working_states)
        raise ConfigError(f"{target}: {new} is no state of the pipeline's; give one of {', '.join(states)}")
    elif new == wanted.state:
        raise ConfigError(f"{target}: the rows are in {new} already")


def _is_left(pipeline: Pipeline, state: str) -> bool:
    """Whether a row in that state was left there by a run that did not end well."""
    return state in _ENDS or state in pipeline.working_states or is_stray(pipeline, state)


def _named(prefix: str, *words: str) -> str:
    return f"{prefix}{('-' if prefix else '_').join(words)}"


async def _aim(
    site: Site, row: Learner, ended: Collection[str], record: LearnerRecord | None, *, wanted: Wanted
) -> Aim:
    """The state that was given, unless steps lie between that no run has proved."""
    target = wanted.new_state or ""
    if target in _ENDS:
        return Aim(target, "no queue run takes the learner then", _note(target))
    lacking = _lacking(site.pipeline, row, ended, target)
    if lacking and not wanted.force:
        return Aim(None, f"no run has proved {', '.join(lacking)}: only with force is a row moved past it", "")
    again = behind(site.pipeline, target, ended) if target != COMPLETE else []
    text = "; ".join(
        (
            "counts as retired" if target == COMPLETE else "the next queue run goes on from there",
            *([f"past {', '.join(lacking)}, without proof"] if lacking else ()),
            *([f"done again: {', '.join(again)}"] if again else ()),
        )
    )
    return Aim(target, text, _note(target), tuple(again))


def _note(target: str) -> str:
    return f"Moved to {target} by an operator, with other learners."


def _lacking(pipeline: Pipeline, row: Learner, ended: Collection[str], target: str) -> list[str]:
    """The steps that the move would put behind the row, and that neither row nor ledger has as done."""
    state = row.last_state if row.state in _ENDS else row.state
    place = next((place for place, step in enumerate(pipeline) if step.start == state), 0)
    passed = pipeline.passed_at(state) or [step.name for step in pipeline.steps[:place]]
    return [name for name in pipeline.passed_at(target) if name not in passed and name not in ended]
