"""The invariants, watched from outside: on the wire, in the LMS' rows, and in the ledger's file.

Nothing here asks our code what it thinks: rows are read from the platform's database and evidence from the
ledger's own tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from retirement.pipeline import COMPLETE, ERRORED, PENDING, Pipeline

from .edits import Edit
from .evidence import Evidence
from .realm import Realm, Standing
from .virtual import Life, MachineClock


class Violation(Exception):
    """An invariant does not hold; the first argument is its name."""


@dataclass
class Call:
    """One request of a process of ours that erases something."""

    life: Life
    user_id: int
    step: str


@dataclass
class Witness:
    """Watches one seed."""

    realm: Realm
    pipeline: Pipeline
    evidence: Evidence
    clock: MachineClock
    may_refuse: bool
    #: Steps that lay behind a learner when we first saw their row, by retirement; restored and moved rows too.
    given: dict[tuple[int, int], set[str]] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    #: Announced calls that were sent once; `http` sends them again by itself, within seconds.
    sent: set[tuple[str, int, str, str]] = field(default_factory=set)
    #: The ledger could not be written for a while, so leases may have run out under a run that works.
    disk_was_full: bool = False
    #: The machine's clock was wrong by more than a lease, and these processes were alive when it was set: others may
    #: take what they have for nobody's, and the times that were written do not tell what was first.
    jumped: bool = False
    displaced: set[Life] = field(default_factory=set)
    announced: dict[tuple[int, str, str], int] = field(default_factory=dict)
    edit: Edit | None = None  #: that was made of the pipeline

    def edited(self, edit: Edit) -> None:
        """The pipeline is another one from now on; what others have done under the old names is done."""
        self.pipeline, self.edit = edit.after, edit
        self.given = {
            whose: names | {edit.names.get(name, name) for name in names} for whose, names in self.given.items()
        }

    def accept(self, rows: Iterable[Standing]) -> None:
        """Takes rows as they are for given: the seed, an operator or a restored backup put them there."""
        for row in rows:
            given = self._behind(self.pipeline, row)
            if self.edit:
                former = self._behind(self.edit.before, row)
                given = given - self.edit.inserted | former | {self.edit.names.get(name, name) for name in former}
            self.given[row.user_id, row.retirement_id] = given

    def _behind(self, pipeline: Pipeline, row: Standing) -> set[str]:
        """The steps of a pipeline that a row has behind it."""
        if row.state == COMPLETE:
            return {step.name for step in pipeline}
        finished = pipeline.finished_at(row.state)
        place = next((n for n, step in enumerate(pipeline) if step.start == row.state), 0)
        return set(finished) if finished is not None else {step.name for step in pipeline.steps[:place]}

    # -- on the wire ---------------------------------------------------------------------------------------

    def begins(self, life: Life, user_id: int, step: str) -> Call:
        """A call that erases something is about to arrive."""
        call = Call(life, user_id, step)
        row = self.realm.rows().get(user_id)
        if user_id in self.cancelled and row is None:
            raise Violation("I2", f"{life.name} calls {step} for {user_id}, who took the request back")
        if self.evidence.of(life).kept(user_id) and not self.jumped:
            raise Violation("hold", f"{life.name} calls {step} for {user_id}, whom a hold keeps")
        for other in self.calls:
            rivals = other.life is not life and not other.life.dead
            if other.user_id == user_id and rivals and not {life, other.life} & self.displaced:
                raise Violation("one live run", f"{life.name} and {other.life.name} call for {user_id} at once")
            if other.user_id == user_id and other.life is life and other.step == step:
                raise Violation("one live call", f"{life.name} calls {step} for {user_id} twice at once")
        if row is not None:
            self._in_the_ledger(life, row, step)
        self.calls.append(call)
        return call

    def _in_the_ledger(self, life: Life, row: Standing, step: str) -> None:
        what = f"{life.name} calls {step} for {row.user_id}"
        evidence = self.evidence.of(life)
        intent = evidence.intended(row, step) or self.evidence.intended(row, step)
        if intent is None:
            raise Violation("intent", f"{what} and the ledger knows of no intent")
        if step in evidence.proved(row):
            raise Violation("done twice", f"{what}, which is proved already")
        if life not in self.displaced:
            self._in_time(life, row, step, *intent)

    def _in_time(self, life: Life, row: Standing, step: str, at: str, service: str) -> None:
        """What was true when the intent was written; where the clock was set, the times do not tell."""
        what = f"{life.name} calls {step} for {row.user_id}"
        if (first := (life.name, row.user_id, step, at)) not in self.sent:
            self.sent.add(first)
            self._leased(life, row.user_id, what)
        since = self.evidence.of(life).down_since(service)
        if since is not None and since < at:
            raise Violation("breaker", f"{what} although {service} is known to be down")
        if life.told_to_stop is not None and life.told_to_stop < at:
            raise Violation("stop", f"{what} after it was told to stop")

    def _leased(self, life: Life, user_id: int, what: str) -> None:
        mine = self.evidence.of(life).leased(life, user_id, self.clock().isoformat(timespec="microseconds"))
        if not mine and not self.disk_was_full:
            raise Violation("lease", f"{what} without the lease")

    def ends(self, call: Call) -> None:
        """The call is over, for the one who made it."""
        self.calls.remove(call)

    def moved(self, life: Life, before: Standing, after: Standing) -> None:
        """A row was moved by a process of ours."""
        user_id, order = before.user_id, self.realm.order
        if order[after.state] < order[before.state]:
            key = (user_id, before.state, after.state)
            self.announced[key] = self.announced.get(key, 0) + 1
            if self.evidence.of(life).announced(*key) < self.announced[key]:
                raise Violation("I3", f"{life.name} took {user_id} from {before.state} back to {after.state} unlogged")
        if after.state == ERRORED:
            self._errored(life, user_id)
        elif after.state != PENDING:
            self._not_ahead(life, after)

    def retired(self, life: Life, user_id: int) -> None:
        """A process has called a learner retired."""
        row = self.realm.rows().get(user_id)
        if row is None or row.state != COMPLETE:
            raise Violation("retired", f"{life.name} calls {user_id} retired, whose row is {row and row.state}")

    def _errored(self, life: Life, user_id: int) -> None:
        if not self.may_refuse:
            raise Violation("transient", f"{life.name} sets {user_id} to ERRORED although nothing refused")
        evidence = self.evidence.of(life)
        if evidence.last_failure(user_id) in evidence.open_breakers():
            raise Violation("I10", f"{life.name} sets {user_id} to ERRORED while the breaker is open")

    def _not_ahead(self, life: Life, row: Standing) -> None:
        place = next((n for n, step in enumerate(self.pipeline) if step.start == row.state), None)
        if row.state == COMPLETE:
            needed = {step.name for step in self.pipeline}
        elif place is not None:
            needed = {step.name for step in self.pipeline.steps[:place]}
        else:
            needed = set(self.pipeline.finished_at(row.state) or ())
        proved = self.evidence.of(life).proved(row)
        lacking = needed - proved - self.given.get((row.user_id, row.retirement_id), set())
        if lacking:
            name = "I1" if row.state == COMPLETE else "not ahead"
            raise Violation(name, f"{life.name} moves {row.user_id} to {row.state} without {sorted(lacking)}")

    # -- in between and at the end -------------------------------------------------------------------------

    def orphans(self) -> list[Standing]:
        """Rows in a working state that nobody has a lease on."""
        live = self.evidence.live(self.clock().isoformat(timespec="microseconds"))
        working = set(self.pipeline.working_states)
        return [row for row in self.realm.rows().values() if row.state in working and row.user_id not in live]

    def order(self, life: Life) -> None:
        """I9: a run takes its learners on in the order of their slack."""
        query = "SELECT user_id, body FROM event WHERE kind = 'run.began' ORDER BY seq"
        mine = [
            user_id
            for user_id, body in self.evidence.of(life).rows(query)
            if json.loads(body)["facts"]["holder"] == f"holder-{life.name}"
        ]
        due = dict(self.evidence.of(life).rows("SELECT user_id, max(due_at) FROM learner GROUP BY user_id"))
        if mine != sorted(mine, key=lambda user_id: due[user_id]):
            raise Violation("I9", f"{life.name} began with {mine}, which is not the order of their deadlines")

    def runs(self, lease_seconds: float) -> None:
        """One live run for each learner, and nothing from a run that was overtaken, by the ledger's own entries."""
        fences: dict[int, int] = {}
        open_since: dict[int, datetime] = {}
        for at, kind, user_id, body in self.evidence.rows("SELECT at, kind, user_id, body FROM event ORDER BY seq"):
            facts, time = json.loads(body)["facts"], datetime.fromisoformat(at)
            if kind == "run.began":
                before = open_since.get(user_id)
                early = before is not None and time < before + timedelta(seconds=lease_seconds)
                if early and not self.jumped:
                    raise Violation("one live run", f"a run began with {user_id} at {at}, in the lease of another one")
                open_since[user_id] = time
            elif kind in ("run.ended", "run.closed"):
                open_since.pop(user_id, None)
            if user_id is not None and "fence" in facts:
                if facts["fence"] < fences.get(user_id, 0):
                    raise Violation("fence", f"{kind} of {user_id} is from a run that was overtaken")
                fences[user_id] = facts["fence"]

    def canaries(self, texts: Sequence[str], names: Iterable[str]) -> None:
        """I8: nothing of any learner's identity in the ledger's files, the log or what was reported."""
        written = b"".join(path.read_bytes() for path in self.evidence.path.parent.glob(f"{self.evidence.path.name}*"))
        everything = written.lower() + b"\n".join(text.encode().lower() for text in texts)
        for name in names:
            for form in (name, json.dumps(name)[1:-1]):
                if form.lower().encode() in everything:
                    raise Violation("I8", "a learner's identity is in the ledger, the log or a report")
