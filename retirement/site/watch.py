"""Which learners are watched: each whose retirement has not ended, in whatever state the row is.

The LMS lists rows by state, and no states. So it is asked by every name that is known: states of the pipeline, of
`lms.states`, of the platform's own list and of usual services, and all that the ledger has met. What the ledger has
open is looked for besides: among the rows that have ended, and then one by one, by the account.
"""

from collections import Counter
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass, replace
from datetime import UTC

from retirement.errors import Misconfigured, Refused, ServiceError
from retirement.learner import Learner, is_routable
from retirement.ledger import TAKEN_BACK, LearnerRecord
from retirement.pipeline import ABORTED, COMPLETE, ERRORED
from retirement.pipeline.proof import not_proved
from retirement.pipeline.strays import is_stray, stray_text
from retirement.process import in_parts
from retirement.site.site import Site
from retirement.site.states import usual_states

#: States in which a retirement has ended.
ENDED = (ABORTED, COMPLETE)
#: Names in one question, for they stand in the URL, of which some servers take 4,096 bytes.
NAMES_AT_ONCE = 64
#: Accounts that are looked for one by one, in one go.
LOOK_UPS = 100

#: What helps where a row was ended by others before our runs had proved it.
SET_BACK = (
    "set the row to PENDING in the LMS' Django admin, and the next run does what is lacking; "
    "where it is meant to stay so, `retirement hold add` says why"
)
#: Why a request is named whose row is gone; what its steps have deleted is gone as well.
HALF_ERASED = "the request was taken back when steps of it had ended, so the account lives on half erased"

_START = "RETIRING_"


@dataclass(frozen=True, slots=True)
class Unseen:
    """A retirement that the ledger has open and whose row was not found; `why` says what keeps it from being found.

    Or others have made the row one that no run takes: then that is `why`, and `state` is the state.
    """

    record: LearnerRecord
    why: str
    state: str | None = None

    @property
    def text(self) -> str:
        """What is known of it, and what helps."""
        last = f", last in {self.record.state}" if self.record.state else ""
        if self.state:
            return f"the ledger has a retirement open{last}, and {self.why}: {SET_BACK}"
        return f"the ledger has a retirement open{last}, and the LMS shows no row in any state known here: {self.why}"


@dataclass(frozen=True, slots=True)
class Watched:
    """Learners whose retirement has not ended, the states of the LMS in its order, and what could not be seen."""

    learners: tuple[Learner, ...]
    order: tuple[str, ...]
    unreadable: tuple[str, ...] = ()
    unseen: tuple[Unseen, ...] = ()

    def row_of(self, user_id: int) -> Learner | None:
        """The row of a learner who is watched."""
        return next((each for each in self.learners if each.user_id == user_id), None)

    def without(self, user_ids: Container[int]) -> "Watched":
        """The same, without the rows of these learners."""
        return replace(self, learners=tuple(each for each in self.learners if each.user_id not in user_ids))

    @property
    def standing(self) -> str:
        """How many learners are where, in one line."""
        counts = Counter(each.state for each in self.learners)
        parts = [f"{state} {count}" for state, count in sorted(counts.items())]
        if self.unseen:
            parts.append(f"not to be seen {len(self.unseen)}")
        if not parts:
            return "no retirement is open"
        redriven = ": `retirement redrive` brings ERRORED learners back" if counts[ERRORED] else ""
        return f"open in the LMS are {', '.join(parts)}{redriven}"


async def watch(site: Site) -> Watched:
    """Lists the learners who are watched; changes nothing. Raises `ServiceError` and `LedgerError`."""
    order = await _known(site, await _names(site))
    listing = await site.lms.rows.queue([state for state in order if state not in ENDED], 0)
    found, unseen = await _looked_for(site, {each.user_id for each in listing.learners})
    if foreign := {each.state for each in found} - set(order):
        order = await _known(site, [*order, *sorted(foreign)])
    return Watched((*listing.learners, *found), tuple(order), listing.unreadable, tuple(unseen))


async def locate(site: Site, user_id: int) -> Learner | None:
    """The row of a learner in whatever state; None where there is none, as far as it can be told.

    Raises `ServiceError` and `LedgerError`.
    """
    return (await locate_all(site, {user_id})).get(user_id) or await by_account(site, user_id)


async def by_account(site: Site, user_id: int) -> Learner | None:
    """The row of a learner whom no list has shown, by the account; None where there is none, as far as it can be told.

    Raises `ServiceError`.
    """
    try:
        return await _of_account(site, user_id)
    except (Misconfigured, Refused):
        return None  # the worker is not staff, or no path carries the name


async def locate_all(site: Site, user_ids: Collection[int]) -> dict[int, Learner]:
    """The rows of these learners, by user id, in whatever state that is known by name; asks for no account."""
    found = await site.lms.rows.find_all(user_ids)
    if len(found) < len(user_ids):
        found |= {each.user_id: each for each in (await watch(site)).learners if each.user_id in user_ids}
    return found


async def look_at_each(site: Site, user_ids: Collection[int], take: Callable[[Learner], object]) -> None:
    """What `locate_all` finds, for as many learners as there are: each is given to `take`, maybe twice."""
    found = await site.lms.rows.find_each(user_ids, take)
    if len(found) < len(user_ids):
        for each in (await watch(site)).learners:
            if each.user_id in user_ids and each.user_id not in found:
                take(each)


async def absence(site: Site, user_id: int) -> str:
    """What to say where `locate` finds no row: what the ledger has of the learner."""
    unseen = next((each for each in (await watch(site)).unseen if each.record.user_id == user_id), None)
    if unseen:
        return f"learner {user_id}: {unseen.text}"
    return f"the LMS has no retirement of learner {user_id}"


async def whereabouts(site: Site, user_id: int) -> str:
    """Where a learner's row is, in a sentence. Raises `ServiceError` and `LedgerError`."""
    row = await locate(site, user_id)
    if row is None:
        return await absence(site, user_id)
    return stray_text(user_id, row.state) if is_stray(site.pipeline, row.state) else f"learner {user_id} is {row.state}"


async def _names(site: Site) -> list[str]:
    met = sorted(await site.ledger.unended.states())
    ends = [f"{state.removeprefix(_START)}_COMPLETE" for state in met if state.startswith(_START)]
    known = [*site.pipeline.lms_states, *site.lms_states, *usual_states(site.connectors), *met, *ends]
    return list(dict.fromkeys(known))


async def _known(site: Site, names: Sequence[str]) -> list[str]:
    """Those of the names that the LMS has, in its order."""
    known = list(names)
    while len(known) > NAMES_AT_ONCE:
        parts = in_parts(known, NAMES_AT_ONCE)
        found = [state for part in parts for state in await site.lms.rows.known_states(part)]
        if len(found) == len(known):
            return found  # the LMS has them all; their order across the parts is not known
        known = found
    return await site.lms.rows.known_states(known)


async def _looked_for(site: Site, seen: Collection[int]) -> tuple[list[Learner], list[Unseen]]:
    """Rows of what the ledger has open and no list has shown, and those that could not be found."""
    lacking, ended = await _lacking(site, seen)
    found: list[Learner] = []
    unseen = [each for record, row in ended if (each := _ended_by_others(site, record, row))]
    unseen += [Unseen(record, f"only {LOOK_UPS} are looked for at a time") for record in lacking[LOOK_UPS:]]
    for record in lacking[:LOOK_UPS]:
        row = await _looked_up(site, record)
        if isinstance(row, Unseen):
            unseen.append(row)
        elif row and row.state not in ENDED:
            found.append(row)
    return found, unseen


async def _lacking(
    site: Site, seen: Collection[int]
) -> tuple[list[LearnerRecord], list[tuple[LearnerRecord, Learner]]]:
    """What the ledger has open of learners that no list of open rows shows: without a row, and with one that ended."""
    open_ones = [each for each in await site.ledger.unended.retirements() if each.user_id not in seen]
    rows = await _ended(site, open_ones)
    over = [each for each in open_ones if (each.user_id, each.retirement_id) in rows]
    known = await site.ledger.learners.retirements([each.user_id for each in over]) if over else []
    ended = [(each, row) for each in known if (row := rows.get((each.user_id, each.retirement_id)))]
    there = {(each.user_id, each.retirement_id) for each in over}
    return [each for each in open_ones if (each.user_id, each.retirement_id) not in there], ended


def _ended_by_others(site: Site, record: LearnerRecord, row: Learner) -> Unseen | None:
    """A retirement whose row others have ended before our runs had; None where every step is proved, or none began."""
    if row.state == COMPLETE:
        why = not_proved(site.pipeline, record)
    else:
        why = f"the row is {row.state}, and {', '.join(record.finished)} had ended" if record.finished else ""
    return Unseen(record, why, row.state) if why else None


async def _looked_up(site: Site, record: LearnerRecord) -> Learner | Unseen | None:
    """The row of an open retirement, by its account; None where the LMS has none."""
    try:
        row = await _of_account(site, record.user_id)
    except Misconfigured as error:
        why = f"make the worker staff in the LMS, or name the site's RETIREMENT_STATES in lms.states ({error})"
        return Unseen(record, why)
    except ServiceError as error:
        return Unseen(record, str(error))
    return Unseen(record, HALF_ERASED) if row is None and record.ending in TAKEN_BACK else row


async def _ended(site: Site, records: Sequence[LearnerRecord]) -> dict[tuple[int, int], Learner]:
    """The rows of retirements that have ended; listed by the days of their requests, for all who ever retired."""
    days = [each.requested_at.astimezone(UTC).date() for each in records]
    if not days:
        return {}
    wanted = {(each.user_id, each.retirement_id) for each in records}
    found: dict[tuple[int, int], Learner] = {}
    for state in ENDED:
        async for page in site.lms.rows.by_days(state, min(days), max(days)):
            found |= {key: each for each in page.learners if (key := (each.user_id, each.retirement_id)) in wanted}
    return found


async def _of_account(site: Site, user_id: int) -> Learner | None:
    """The row of an account, by the username that it has now.

    Raises `Misconfigured` where the worker is not staff, `Refused` where no path carries the name.
    """
    username = await site.lms.accounts.username(user_id)
    if username is None:
        return None
    if not is_routable(username):
        raise Refused("LMS", "GET retirement_status", None, "no path carries the username of this account")
    row = await site.lms.rows.status(username)
    return row if row and row.user_id == user_id else None
