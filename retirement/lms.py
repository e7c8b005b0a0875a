"""The LMS as the authority: who waits, in which state, and moving them on.

Erasing learner data that the LMS holds is `retirement.connectors.openedx`. Contract: sections 2.8, 2.11,
4.1–4.4 and 4.13. A move is not repeatable, so after a lost reply the row is read back before
anything is decided.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from retirement.accounts import listed
from retirement.clearing import Clearing
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
from retirement.http import Api, Patience, Reply, moment_of
from retirement.learner import Learner, UnreadableRow
from retirement.pipeline import DEAD_ENDS, ERRORED, PENDING

QUEUE = "/api/user/v1/accounts/retirement_queue/"
BY_DATE = "/api/user/v1/accounts/retirements_by_status_and_date/"
STATUS = "/api/user/v1/accounts/{username}/retirement_status/"
UPDATE = "/api/user/v1/accounts/update_retirement_status/"
CANCEL = "/api/user/v1/accounts/cancel_retirement/"


class Lms(Clearing):
    """The retirement endpoints of one LMS, whose states are those of one pipeline."""

    def __init__(self, api: Api, states: Sequence[str]) -> None:
        super().__init__(api)
        self._states = states
        #: What was wrong with rows of the last listing that could not be read.
        self.unreadable: list[str] = []

    async def queue(self, states: Iterable[str], cool_off_days: int, limit: int | None = None) -> list[Learner]:
        """Learners in these states whose request is older than the cool-off, oldest row first."""
        params = [("cool_off_days", str(cool_off_days)), *(("states", state) for state in states)]
        if limit is not None:
            params.append(("limit", str(limit)))
        reply = await self._api.get(QUEUE, params=params, patience=Patience.LOOKUP)
        return self._readable(listed(f"GET {QUEUE}", reply), "the queue")

    def _readable(self, rows: Iterable[object], what: str) -> list[Learner]:
        learners: list[Learner] = []
        self.unreadable = []
        for place, row in enumerate(rows, 1):
            try:
                learners.append(Learner.from_row(row))
            except UnreadableRow as error:
                # One odd row keeps nobody else waiting.
                self.unreadable.append(f"row {place} of {what} cannot be read: {error}")
        return learners

    async def by_date(self, state: str, start: date, end: date) -> list[Learner]:
        """Learners in one state whose request was made between two UTC days, both included."""
        params = [("start_date", start.isoformat()), ("end_date", end.isoformat()), ("state", state)]
        reply = await self._api.get(BY_DATE, params=params, patience=Patience.LOOKUP)
        return self._readable(listed(f"GET {BY_DATE}", reply), f"those in {state}")

    async def find(self, user_id: int) -> Learner | None:
        """The learner of that LMS user id, in whatever state of the pipeline, None where there is no row.

        The API finds rows by username only, so this lists the states without a cool-off and looks; the dead
        ends, which hold everybody who was ever retired, only when it has to.
        """
        alive = [state for state in self._states if state not in DEAD_ENDS]
        for states in (alive, [state for state in self._states if state in DEAD_ENDS]):
            found = next((each for each in await self.queue(states, 0) if each.user_id == user_id), None)
            if found:
                return found
        return None

    async def status(self, username: str) -> Learner | None:
        """The row of an original username, None where there is none. The LMS ignores letter case here."""
        try:
            reply = await self._api.get(STATUS, values={"username": username}, patience=Patience.LOOKUP)
        except NotFound:
            return None
        return self._learner(f"GET {STATUS}", reply.data)

    async def refresh(self, learner: Learner) -> Learner | None:
        """The learner's row as it is now, None where the request is gone.

        A row that nobody can read is the LMS' trouble and not the learner's: `Transient`.
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
        return await self.find(learner.user_id)

    async def known_states(self, candidates: Sequence[str]) -> list[str]:
        """Those of the candidates that the LMS has, in the LMS' order; harmless.

        There is no listing of states. Naming one state twice makes the queue refuse the whole request, and
        the refusal lists what it found in execution order (contract, sections 4.1 and 2.1).
        """
        asked = [*dict.fromkeys(candidates), candidates[0]]
        params = [("cool_off_days", "0"), ("limit", "0"), *(("states", state) for state in asked)]
        reply = await self._api.get(
            QUEUE, params=params, patience=Patience.LOOKUP, judge=lambda reply: reply.status == 400 or None
        )
        found = re.search(r"Found: \[(.*)\]$", reply.data if isinstance(reply.data, str) else "", re.DOTALL)
        if not found:
            raise Refused("LMS", f"GET {QUEUE}", reply.status, "it does not list the states that it knows")
        return re.findall(r"'([^']*)'", found[1])

    async def cancel(self, learner: Learner) -> None:
        """Takes back the request of a learner in PENDING. Never sent twice: a lost reply is read back.

        Raises `StateConflict` when the learner is further on or the request gone, and `Misconfigured` when the
        worker may not: retiring and cancelling are two permissions (contract, section 1.2).
        """

        def judge(reply: Reply) -> None:
            if reply.status == 403:
                reason = "to cancel takes a superuser, or staff with user_api.change_userretirementstatus"
                raise Misconfigured("LMS", f"POST {CANCEL}", 403, reason)
            if reply.status == 200 and reply.kind == "json" and reply.data != {"success": True}:
                raise Transient("LMS", f"POST {CANCEL}", 200, "it does not say that it cancelled", in_doubt=True)

        if learner.state != PENDING:
            raise _too_late(learner)
        try:
            await self._api.post(CANCEL, json={"retirement_id": learner.retirement_id}, once=True, judge=judge)
        except (Transient, Refused) as error:
            if isinstance(error, Transient) and not error.in_doubt:
                raise
            row = await self.refresh(learner)
            gone = row is None or row.retirement_id != learner.retirement_id
            if gone and isinstance(error, Transient):
                return
            if gone:
                raise _gone(learner, PENDING) from None
            if row and row.state != PENDING:
                raise _too_late(row) from None
            raise

    async def clock(self) -> datetime | None:
        """What time it is at the LMS, by its `Date` header; None where a proxy takes that away."""
        params = [("cool_off_days", "0"), ("limit", "0"), ("states", self._states[0])]
        reply = await self._api.get(QUEUE, params=params, patience=Patience.LOOKUP)
        return moment_of(reply.headers.get("date", ""))

    async def require_states(self) -> None:
        """Raises `ConfigError` unless the LMS has all the pipeline's states, in the pipeline's order."""
        wanted = self._states
        known = await self.known_states(wanted)
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

    async def move(self, learner: Learner, state: str, text: str, *, since: str, force: bool = False) -> None:
        """Moves the learner's row from the state `since` to another; `text` is stored with the row.

        Raises `Rescinded` when the row is gone, `StateConflict` when somebody else moved it, `Misconfigured`
        when the LMS knows no such move. A forced move is never refused, so it looks before it moves.
        """
        # ERRORED lies ahead of every working state, so the LMS would take it over somebody else's move.
        doubtful = force or state == ERRORED
        lost = False
        async for attempt in self._api.retry():
            with attempt:
                # Once a reply was lost a second PATCH would be refused, or repeat what somebody undid.
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

        def judge(reply: Reply) -> None:
            if 200 <= reply.status < 300 and reply.kind == "json":
                # Whoever said this, it was not this endpoint: look where the row is.
                raise Transient("LMS", f"PATCH {UPDATE}", reply.status, "an empty answer is due", True)
            if reply.status == 500 and reply.says("RetirementState matching query does not exist"):
                raise Misconfigured("LMS", f"PATCH {UPDATE}", 500, f"the LMS has no state {state}")

        await self._api.patch(UPDATE, json=body, once=True, judge=judge)

    async def _arrived(self, learner: Learner, state: str, since: str) -> bool:
        row = await self.refresh(learner)
        if row is None:
            raise _gone(learner, since)
        if row.state == state:
            return True
        if row.state != since:
            raise StateConflict(f"learner {learner.user_id} is in {row.state}, not in {since}: somebody else has them")
        return False

    async def _explain(self, learner: Learner, state: str, since: str, error: ServiceError) -> None:
        """A refused move: find out whether another run has the learner or the pipeline does not fit the LMS."""
        row = await self.refresh(learner)
        if row is not None and row.state == since:
            raise Misconfigured(
                "LMS", error.request, error.status, f"the LMS knows no move from {since} to {state}"
            ) from None
        where = "gone" if row is None else f"in {row.state}"
        raise StateConflict(f"learner {learner.user_id} is {where}, not in {since}: somebody else has them") from None

    def _learner(self, request: str, row: object) -> Learner:
        try:
            return Learner.from_row(row)
        except UnreadableRow as error:
            raise Refused("LMS", request, 200, str(error)) from None


def _gone(learner: Learner, since: str) -> StateConflict:
    """Only a PENDING request can be taken back (contract, section 4.13); a later row was renamed or removed."""
    if since == PENDING:
        return Rescinded(f"learner {learner.user_id} has no retirement request any more")
    return StateConflict(f"learner {learner.user_id} has lost the retirement request that was in {since}")


def _too_late(row: Learner) -> StateConflict:
    return StateConflict(f"learner {row.user_id} is in {row.state}: only a request in {PENDING} can be cancelled")
