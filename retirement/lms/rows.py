"""The LMS as the authority: which learners wait, in which state, and moving their rows on.

Erasing learner data that the LMS holds is `retirement.connectors.openedx`. Contract: sections 2.8, 2.11,
4.1–4.4 and 4.13. A move is not repeatable, so after a lost reply the row is read back before
anything is decided.
"""

import re
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from contextlib import aclosing
from datetime import date, datetime

from retirement.errors import (
    ConfigError,
    Misconfigured,
    NotFound,
    Refused,
    Rescinded,
    ServiceError,
    StateConflict,
    Transient,
)
from retirement.learner import Learner, UnreadableRow
from retirement.lms import pages
from retirement.lms.listing import Begin, Listing, Take, Unreadable
from retirement.lms.pages import BY_DATE, MOST, QUEUE
from retirement.pipeline import DEAD_ENDS, ERRORED, PENDING
from retirement.wire.api import Api
from retirement.wire.meanings import Meaning, meanings
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply, moment_of
from retirement.wire.success import a_list, an_object, nothing

STATUS = "/api/user/v1/accounts/{username}/retirement_status/"
UPDATE = "/api/user/v1/accounts/update_retirement_status/"
CANCEL = "/api/user/v1/accounts/cancel_retirement/"
#: What proves each request (contract, sections 4.1 to 4.4 and 4.13).
ANSWERS = {
    f"GET {QUEUE}": a_list(),
    f"GET {BY_DATE}": a_list(),
    f"GET {STATUS}": an_object("id", "user", "current_state"),
    f"PATCH {UPDATE}": nothing(),
    f"POST {CANCEL}": an_object("success"),
}


class Rows:
    """The retirement rows of one LMS, in the states of one pipeline."""

    def __init__(self, api: Api, states: Sequence[str], *, most: int = MOST) -> None:
        """`most` rows are asked for in one answer; a longer list comes in several."""
        self._most = most
        self._api = api.expecting(ANSWERS)
        self._states = states
        self._alive = [state for state in states if state not in DEAD_ENDS]

    async def queue(self, states: Iterable[str], cool_off_days: int, limit: int | None = None) -> Listing:
        """Learners in these states whose request is older than the cool-off, oldest row first; `limit` of them."""
        if limit is not None:
            return (await pages.queue(self._api, list(states), cool_off_days, limit))[0]
        found = [page async for page in self.pages(states, cool_off_days)]
        if len(found) == 1:
            return found[0]
        # Of a learner who has moved meanwhile the later page counts.
        rows = {each.retirement_id: each for page in found for each in page.learners}
        return Listing([rows[row] for row in sorted(rows)], tuple(text for page in found for text in page.unreadable))

    def pages(self, states: Iterable[str], cool_off_days: int) -> AsyncGenerator[Listing, None]:
        """The same in pieces that are let go of one by one: for lists of which little is kept."""
        return pages.pages(self._api, list(states), cool_off_days, self._most)

    async def by_date(self, state: str, start: date, end: date) -> Listing:
        """Learners in one state whose request was made between two UTC days, both included."""
        return await pages.by_date(self._api, state, start, end)

    def by_days(self, state: str, start: date, end: date) -> AsyncGenerator[Listing, None]:
        """The same in pieces, for a span that may hold more learners than one answer can."""
        return pages.by_days(self._api, state, start, end, most=self._most)

    async def each_by_date(self, state: str, start: date, end: date, begin: Begin) -> Unreadable:
        """The same, for as many learners as there are: they are given to what `begin` makes for each try, one by one.

        Returns a sentence about each row that is not as the contract says.
        """
        return await pages.each_by_date(self._api, state, start, end, begin)

    async def find(self, user_id: int) -> Learner | None:
        """The learner of that LMS user id, in whatever state of the pipeline, None where there is no row."""
        return (await self.find_all({user_id})).get(user_id)

    async def find_all(self, user_ids: Collection[int], *, also: Collection[str] = ()) -> dict[int, Learner]:
        """The learners of these LMS user ids who have a row, by user id, in whatever state of the pipeline.

        The API finds rows by username only, so this lists the states without a cool-off and looks; the dead
        ends, which hold every learner ever retired, only when it has to. `also` are more states of the LMS.
        """
        found: dict[int, Learner] = {}
        await self.find_each(user_ids, lambda each: found.update({each.user_id: each}), also=also)
        return found

    async def find_each(self, user_ids: Collection[int], take: Take, *, also: Collection[str] = ()) -> set[int]:
        """The same, for as many learners as there are: gives each to `take`, maybe twice, and returns whom it found."""
        found: set[int] = set()
        alive = dict.fromkeys([*self._alive, *also])
        for states in (alive, DEAD_ENDS):
            if len(found) < len(user_ids):
                listed = pages.pages(self._api, list(states), 0, self._most, lambda each: each.user_id in user_ids)
                async with aclosing(listed):
                    async for page in listed:
                        for each in page.learners:
                            found.add(each.user_id)
                            take(each)
        return found

    async def status(self, username: str) -> Learner | None:
        """The row of an original username, None where there is none. The LMS ignores letter case here."""
        reply = await self._api.find(STATUS, values={"username": username})
        return _learner(reply) if reply else None

    async def refresh(self, learner: Learner) -> Learner | None:
        """The learner's row as it is now, None where the request is gone.

        A row that cannot be read is the LMS' trouble and not the learner's: `Transient`.
        """
        try:
            row = await self._row_of(learner)
        except Refused as error:
            raise Transient(error.service, error.request, error.status, error.reason) from None
        # A request that was taken back and made anew is another one, with a cool-off of its own.
        return row if row is not None and row.retirement_id == learner.retirement_id else None

    async def _row_of(self, learner: Learner) -> Learner | None:
        if learner.routable:
            row = await self.status(learner.username)
            # Two rows may differ in letter case only; the id tells whose this is (contract, section 1.6).
            if row is None or row.user_id == learner.user_id:
                return row
        # No path can carry this name: the row has to be picked from a list.
        foreign = {learner.state}.difference(DEAD_ENDS)
        return (await self.find_all({learner.user_id}, also=foreign)).get(learner.user_id)

    async def known_states(self, candidates: Sequence[str]) -> list[str]:
        """Those of the candidates that the LMS has, in the LMS' order; harmless.

        There is no listing of states. Naming one state twice makes the queue refuse the whole request, and
        the refusal lists what it found in execution order (contract, sections 4.1 and 2.1).
        """
        return _states_in(await self._named_twice(candidates))

    async def _named_twice(self, states: Sequence[str]) -> Reply:
        """The refusal of a question that names a state twice."""
        asked = [*dict.fromkeys(states), states[0]]
        params = [("cool_off_days", "0"), ("limit", "0"), *(("states", state) for state in asked)]
        return await self._api.get(
            QUEUE, params=params, patience=Patience.LOOKUP, judge=lambda reply: reply.status == 400 or None
        )

    async def cancel(self, learner: Learner) -> None:
        """Takes back the request of a learner in PENDING. Never sent twice: a lost reply is read back.

        Raises `StateConflict` when the learner is further on or the request gone, `Refused` when it is there still,
        and `Misconfigured` when the worker may not: to cancel is a permission of its own (contract, section 1.2).
        """
        _require_pending(learner, learner)
        try:
            reply = await self._api.post(
                CANCEL, json={"retirement_id": learner.retirement_id}, once=True, judge=_cancelled
            )
        except (Transient, Refused) as error:
            if error.consequence.passes and not error.in_doubt:
                raise
            row = await self.refresh(learner)
            if row is None and error.in_doubt:
                return
            _require_pending(learner, row)
            raise
        # A learner who is told that the account stays would be erased by the next run.
        if await self.refresh(learner) is not None:
            raise reply.refused("it says that it cancelled, and the request is there still")

    async def clock(self) -> datetime | None:
        """What time it is at the LMS, by its `Date` header; None where a proxy takes that away."""
        params = [("cool_off_days", "0"), ("limit", "0"), ("states", self._states[0])]
        reply = await self._api.get(QUEUE, params=params, patience=Patience.LOOKUP)
        return moment_of(reply.headers.get("date", ""))

    async def require_states(self) -> datetime | None:
        """Raises `ConfigError` unless the LMS has all the pipeline's states, in the pipeline's order.

        Returns what time it is there, as `clock` does.
        """
        wanted = self._states
        reply = await self._named_twice(wanted)
        known = _states_in(reply)
        if lacking := [state for state in wanted if state not in known]:
            raise ConfigError(
                f"the LMS lacks the states {', '.join(lacking)}: "
                "set RETIREMENT_STATES to what `retirement config states` prints and run populate_retirement_states"
            )
        if out_of_order := next((pair for pair in zip(wanted, known, strict=True) if pair[0] != pair[1]), None):
            raise ConfigError(
                f"the LMS has its states in another order than the pipeline: {out_of_order[1]} comes before "
                f"{out_of_order[0]} there; write the steps in the order of RETIREMENT_STATES"
            )
        return moment_of(reply.headers.get("date", ""))

    async def move(self, learner: Learner, state: str, text: str, *, since: str, force: bool = False) -> None:
        """Moves the learner's row from the state `since` to another; `text` is stored with the row.

        Raises `Rescinded` when the row is gone, `StateConflict` when another program moved it, `Misconfigured`
        when the LMS knows no such move. A forced move is never refused, so it looks before it moves.
        """
        # ERRORED lies ahead of every working state, so the LMS would take it over the move of another program.
        doubtful = force or state == ERRORED
        lost = False
        async for attempt in self._api.retry():
            with attempt:
                # Once a reply was lost a second PATCH would be refused, or repeat what a person undid.
                if doubtful and await self._arrived(learner, state, since):
                    return
                try:
                    await self._patch(learner, state, text, force)
                except Transient as error:
                    lost = lost or error.in_doubt
                    doubtful = doubtful or lost
                    raise
                except NotFound:
                    raise _gone(learner, since) from None
                except Refused as error:
                    # A move whose answer was lost may have arrived while we read the row (contract, section 7).
                    if not (lost and await self._arrived(learner, state, since)):
                        await self._explain(learner, state, since, error)

    async def _patch(self, learner: Learner, state: str, text: str, force: bool) -> None:
        body: dict[str, object] = {"username": learner.username, "new_state": state, "response": text}
        if force:
            body["force"] = True
        text_of_500 = "RetirementState matching query does not exist"
        no_state = meanings(Meaning(500, Reply.misconfigured, f"the LMS has no state {state}", says=text_of_500))

        def judge(reply: Reply) -> None:
            if reply.ok and reply.kind in ("empty", "json") and (reply.status, reply.kind) != (204, "empty"):
                # This answer is not the endpoint's: look where the row is.
                why = "an empty answer is due" if reply.kind == "json" else "204 is due"
                raise reply.transient(why, in_doubt=True)
            no_state(reply)

        await self._api.patch(UPDATE, json=body, once=True, judge=judge)

    async def _arrived(self, learner: Learner, state: str, since: str) -> bool:
        row = await self.refresh(learner)
        if row is None:
            raise _gone(learner, since)
        if row.state == state:
            return True
        if row.state != since:
            raise StateConflict(f"learner {learner.user_id} is in {row.state}, not in {since}: another run has it")
        return False

    async def _explain(self, learner: Learner, state: str, since: str, error: ServiceError) -> None:
        """A refused move: find out whether another run has the learner or the pipeline does not fit the LMS."""
        row = await self.refresh(learner)
        if row is not None and row.state == since:
            raise Misconfigured(
                "LMS", error.request, error.status, f"the LMS knows no move from {since} to {state}"
            ) from None
        where = "gone" if row is None else f"in {row.state}"
        raise StateConflict(f"learner {learner.user_id} is {where}, not in {since}: another run has it") from None


def _states_in(reply: Reply) -> list[str]:
    """The states that the LMS says it has, in its order."""
    found = re.search(r"Found: \[(.*)\]$", reply.data if isinstance(reply.data, str) else "", re.DOTALL)
    if not found:
        raise reply.refused("it does not list the states that it knows")
    return re.findall(r"'([^']*)'", found[1])


def _learner(reply: Reply) -> Learner:
    try:
        return Learner.from_row(reply.data)
    except UnreadableRow as error:
        raise reply.refused(str(error)) from None


def _gone(learner: Learner, since: str) -> StateConflict:
    """Only a PENDING request can be taken back (contract, section 4.13); a later row was renamed or removed."""
    if since == PENDING:
        return Rescinded(f"learner {learner.user_id} has no retirement request any more")
    return StateConflict(f"learner {learner.user_id} has lost the retirement request that was in {since}")


def _require_pending(learner: Learner, row: Learner | None) -> None:
    """Raises `StateConflict` unless a learner's row is there, and in PENDING."""
    if row is None:
        raise _gone(learner, PENDING) from None
    if row.state != PENDING:
        why = f"learner {row.user_id} is in {row.state}: only a request in {PENDING} can be cancelled"
        raise StateConflict(why) from None


def _cancelled(reply: Reply) -> None:
    if reply.status == 403:
        raise reply.misconfigured("to cancel takes a superuser, or staff with user_api.change_userretirementstatus")
    ours = reply.ok and reply.kind in ("empty", "json")
    if ours and (reply.status, reply.data) != (200, {"success": True}):
        raise reply.transient("it does not say that it cancelled", in_doubt=True)
