"""One seed from beginning to end: who is there, what happens when, and what has to be true afterwards."""

from __future__ import annotations

import asyncio
import random as globally_random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

from retirement.errors import Ending
from retirement.ledger import LedgerLocation, opened, verify
from retirement.pipeline import ABORTED, COMPLETE, Moves
from retirement.pipeline.endings import Report
from retirement.pipeline.strays import is_stray

from .cast import nothing_for
from .disk import Disk, close_connections, heard
from .disturbances import Disturbances
from .edits import edit_of
from .evidence import Evidence
from .processes import Office, Work
from .realm import Realm, Standing
from .setting import HOUR, Setting, dice, drawn
from .virtual import Life, MachineClock, VirtualLoop, bury, clear_graves, spawn
from .wire import Fate, Wire, nobody
from .witness import Violation, Witness

#: A run may take so long in virtual time; a hanging service costs ten minutes a call.
LONGEST_RUN = 12 * HOUR
#: So many quiet nights have to be enough for everybody.
NIGHTS = 8
_LASTING_PLACE = Path("/dev/shm")  # noqa: S108 - a memory disk where there is one; every seed has its own folder


@dataclass
class Result:
    """What one seed came to; `problems` is empty when every invariant held."""

    seed: int
    learners: int = 0
    requests: int = 0
    faults: int = 0
    crashes: int = 0
    freezes: int = 0
    jumps: int = 0
    losses: int = 0
    edits: int = 0
    problems: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)


@cache
def _empty_ledger() -> Path:
    """An empty ledger to copy, since making the tables takes longer than a seed."""
    folder = Path(tempfile.mkdtemp(prefix="simulation-"))
    place = LedgerLocation(f"sqlite:///{folder / 'empty.sqlite'}", key=b"k" * 32)

    async def make() -> None:
        async with opened(place):
            pass

    asyncio.run(make())
    return folder / "empty.sqlite"


class Story:
    """One seed. `run` is the whole of it."""

    def __init__(self, seed: int, folder: Path, setting: Setting | None = None, moves: Moves = Moves.EACH) -> None:
        self.seed = seed
        self.result = Result(seed)
        self.random = dice("story", seed)
        self.setting = setting or drawn(self.random, seed, moves)
        self.loop = VirtualLoop()
        self.clock = MachineClock(self.loop)
        self.weather = self.setting.weather
        self.edit = None if setting else edit_of(dice("edit", seed), self.setting.pipeline, self.weather.clears)
        self.pipeline = self.edit.before if self.edit else self.setting.pipeline
        #: Learners who were through when the pipeline was edited: what is new in it comes too late for them.
        self.before_edit: set[int] = set()
        #: Whether an operator looks at the status each night.
        self.watched = setting is None and (self.edit is not None or dice("status", seed).random() < 0.1)
        states = self.edit.lms_states if self.edit else self.pipeline.lms_states
        nothing = nothing_for(self.edit.removed if self.edit else ())
        learners = [learner | nothing for learner in self.setting.learners]
        self.realm = Realm(self.loop, learners, states, self.setting.forum)
        self.disk = Disk(folder)
        shutil.copy(_empty_ledger(), self.disk.file)
        evidence = Evidence(self.disk.file)
        self.witness = Witness(self.realm, self.pipeline, evidence, self.clock, self.weather.refuses)
        self.witness.accept(self.realm.rows().values())
        self.wire = Wire(
            self.loop, self.realm, self.weather, self.witness, self.pipeline, dice("wire", seed), self.note
        )
        self.wire.died, self.wire.froze = self._died, self._froze
        self.lives: list[Life] = []
        self.ended: dict[Life, Any] = {}
        #: Processes that were not alone, and whether people moved rows.
        self.crowded: set[Life] = set()
        self.meddled = False
        self.office = Office(
            self.loop,
            replace(self.setting.plan, pipeline=self.pipeline),
            self.disk.place,
            self.wire,
            self.clock,
            self.disk.work,
            self.note,
            self.reported,
        )

    def note(self, line: str) -> None:
        """One line of the trace."""
        line = line.replace(str(self.disk.file.parent), "")  # which has another name each time
        self.result.trace.append(f"{self.loop.time():12.3f} {line}")

    # -- processes -----------------------------------------------------------------------------------------

    async def process(self, name: str, work: Work, *, safe: bool = False) -> Life:
        """Runs a process of ours to its end, or to its death."""
        life = Life(f"{name}-{len(self.lives)}")
        if others := self.mortal():
            self.crowded |= {life, *others}
        self.lives.append(life)
        life.ledger = self.witness.evidence.here()
        random = self.random
        stormy = not safe and self.storm(random)
        chance = random.random()
        fate = Fate(
            dies_at=1 + int(random.expovariate(0.03)) if stormy and chance < 0.45 else 0,
            freezes_at=1 + int(random.expovariate(0.05)) if stormy and 0.45 <= chance < 0.6 else 0,
            frozen_for=random.choice((30.0, 200.0, 900.0)),
        )
        if not safe:
            self.wire.fates[life] = fate
        interrupted = random.uniform(0, 120) if stormy and 0.6 <= chance < 0.7 else 0.0
        ended = self.ended[life] = self.loop.create_future()
        self.note(f"{life.name} starts")
        task = spawn(
            self.loop,
            life,
            self.office.run(life, partial(work, life), interrupted_after=interrupted),
        )
        task.add_done_callback(lambda task: self._over(life, task))
        timer = self.loop.call_later(LONGEST_RUN, self._too_long, life)
        await ended
        timer.cancel()
        return life

    def storm(self, random: Random) -> bool:
        """Whether processes may die now."""
        return self.loop.time() < self.weather.clears

    def _over(self, life: Life, task: Any) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.problem("a process broke", f"{life.name}: {type(error).__name__}: {error}")
        self._end(life)

    def _died(self, life: Life) -> None:
        self.result.crashes += 1
        self._end(life)

    def _froze(self, life: Life, seconds: float) -> None:
        """Some are noticed when their leases are over, and others do their work before they wake up."""
        lease = self.setting.plan.lease_seconds
        if seconds > lease and dice("rivals", self.seed, life.name).random() < 0.7:
            self.loop.call_later(lease + 1.0, spawn, self.loop, None, self._rival(), context=nobody())

    async def _rival(self) -> None:
        await self.process("reconcile", self.office.reconcile)
        await self.process("queue", self.office.queue)

    def _too_long(self, life: Life) -> None:
        self.problem("I5", f"{life.name} does not come to an end")
        self.wire.kill(life, "after half a day")

    def _end(self, life: Life) -> None:
        if not self.ended[life].done():
            self.ended[life].set_result(None)

    def reported(self, life: Life, report: Report) -> None:
        if report.ending is not Ending.RETIRED and not report.reason:
            self.problem("I5", f"{report.user_id} ended {report.ending.value} without a reason")
        froze = any(f" {life.name} freezes " in line for line in self.result.trace)
        if report.ending is Ending.RETIRED and not froze:
            self._checked(partial(self.witness.retired, life, report.user_id))
        unsure = froze or self.witness.disk_was_full or life in self.witness.displaced
        if "the lease of" in report.reason and not unsure:
            self.problem("lease", f"{life.name} lost the lease of {report.user_id} while it was at work")
        doubtful = (
            unsure
            or self.witness.jumped
            or life in self.crowded
            or self.meddled
            or {"duplicate", "straggler"} & {*self.weather.kinds}
        )
        if "another run has it" in report.reason and not doubtful:
            self.problem("alone", f"{life.name} left {report.user_id} to somebody else, and there is nobody")

    def problem(self, name: str, text: str) -> None:
        """Notes a broken invariant."""
        self.note(f"VIOLATION {name}: {text}")
        self.result.problems.append(f"{name}: {text}")

    # -- the schedule --------------------------------------------------------------------------------------

    async def nights(self) -> None:
        """The queue run on its schedule, started again now and then when it died."""
        period = self.setting.plan.queue_period
        quiet = 0
        while not self.settled():
            life = await self.process("queue", self.office.queue)
            self._checked(partial(self.witness.order, life))
            await self._status()
            if life.dead and self.random.random() < 0.6:
                await asyncio.sleep(self.random.choice((1.0, 90.0, 700.0)))
                continue
            if self.loop.time() > self.weather.clears:
                quiet += 1
                if self.weather.refuses:
                    await self.process("redrive", self.office.redrive, safe=True)
            if quiet > NIGHTS:
                return
            await asyncio.sleep(period - self.loop.time() % period + 1.0)

    async def hours(self) -> None:
        """The reconciler on its schedule; nothing is lost by not running it while nobody could be stuck."""
        period = self.setting.plan.reconcile_period
        while True:
            # A short period is for meeting live runs; later on it would only cost time.
            period = period if self.loop.time() < self.weather.clears else max(period, HOUR)
            await asyncio.sleep(period - self.loop.time() % period)
            if any(row.state in self.pipeline.working_states for row in self.realm.rows().values()):
                await self.process("reconcile", self.office.reconcile)
                self._orphans(period)

    async def _status(self) -> None:
        """An operator looks at the status and, once it is quiet, adopts the rows that an edit has left behind."""
        if not self.watched:
            return
        before, self.office.named = self._unfinished(), None
        await self.process("status", self.office.status, safe=True)
        if self.office.named is not None:
            for user_id, _ in sorted(before & self._unfinished()):
                if user_id not in self.office.named:
                    self.problem("named", f"{user_id} is not finished, and status does not name them")
        if self.loop.time() > self.weather.clears and any(is_stray(self.pipeline, row.state) for row in self._rows()):
            await self.process("adopt", self.office.adopt, safe=True)

    def _unfinished(self) -> set[tuple[int, int]]:
        return {(row.user_id, row.retirement_id) for row in self._rows() if row.state not in (COMPLETE, ABORTED)}

    def _rows(self) -> list[Standing]:
        return list(self.realm.rows().values())

    def edit_pipeline(self) -> None:
        """A new release of the configuration: what runs is killed, and what starts from now on has other steps."""
        assert self.edit is not None
        for life in self.mortal():
            self.wire.kill(life, "for another pipeline")
        removed, inserted = [step.name for step in self.edit.removed], sorted(self.edit.inserted)
        self.note(f"the pipeline is edited: {dict(self.edit.names)}, without {removed}, with {inserted}")
        self.result.edits += 1
        self.pipeline = self.wire.pipeline = self.edit.after
        self.office.plan = replace(self.office.plan, pipeline=self.pipeline)
        self.witness.edited(self.edit)
        self.before_edit = {row.user_id for row in self._rows() if row.state == COMPLETE}

    def _orphans(self, period: float) -> None:
        """I4: nobody stays in a working state for longer than a lease, a period, and another driver's hour."""
        longest = self.setting.plan.lease_seconds + period + HOUR + LONGEST_RUN
        if self.loop.time() > self.weather.clears + longest:
            for row in self.witness.orphans():
                self.problem("I4", f"{row.user_id} is still in {row.state} and nobody has them")

    def _checked(self, check: Callable[[], None]) -> None:
        try:
            check()
        except Violation as violation:
            self.problem(*violation.args)

    def disturb(self) -> None:
        """Sets everything that the schedule does not do on the clock."""
        Disturbances(self).schedule()
        if self.edit:
            self.loop.call_at(self.edit.at, self.edit_pipeline)

    def alive(self) -> list[Life]:
        """Processes that are at work."""
        return [life for life in self.lives if not life.dead and not self.ended[life].done()]

    def mortal(self) -> list[Life]:
        """Those of them that may be killed."""
        return [life for life in self.alive() if life in self.wire.fates]

    # -- the end -------------------------------------------------------------------------------------------

    def settled(self) -> bool:
        """Whether the weather is over and everybody is where they stay."""
        if self.loop.time() < self.weather.clears:
            return False
        return not self._open()

    def _open(self) -> list[str]:
        """Learners who are not where they stay."""
        return [
            f"{row.user_id} in {row.state}"
            for row in self.realm.rows().values()
            if row.state not in (COMPLETE, ABORTED)
        ]

    async def _live(self) -> None:
        self.disturb()
        hours = spawn(self.loop, None, self.hours())
        await self.nights()
        hours.cancel()
        # Whoever is still at work ends first.
        while working := self.alive():
            await asyncio.wait([self.ended[life] for life in working])

    def run(self) -> Result:
        """The whole seed."""
        globally_random.seed(self.seed)  # the jitter of the retries
        with heard() as log:
            try:
                self.loop.run_until_complete(spawn(self.loop, None, self._live()))
                self._check(log)
            except Exception as error:  # noqa: BLE001 - whatever breaks here is a finding about this seed
                self.problem("the simulation broke", f"{type(error).__name__}: {error}")
            finally:
                self._clear_away()
        return self.result

    def _check(self, log: list[str]) -> None:
        for error in self.wire.violations:
            name = str(error.args[0]) if isinstance(error, Violation) else "the simulation broke"
            self.problem(name, str(error.args[-1]) if error.args else type(error).__name__)
        for text in self._open():
            self.problem("I5", f"{text} after {NIGHTS} quiet nights")
        survivors = {"consent_datasharingconsent"} if self.setting.forum == "v2" else set()
        for user_id, places in self.realm.residue().items():
            left = [place for place in places if place.partition(".")[0] not in survivors]
            if left and not (user_id in self.before_edit and self.edit and self.edit.inserted):
                self.problem("I1", f"{user_id} is COMPLETE and left in {len(left)} places, such as {left[0]}")
        for complaint in self.loop.complaints:
            self.problem("an error that nobody took", complaint)
        self._check_ledger(log)

    def _check_ledger(self, log: list[str]) -> None:
        verdict = verify(self.disk.place)
        if verdict.problem is not None:
            self.problem("I7", str(verdict.problem))
        if not self.meddled:
            complete = {(row.user_id, row.retirement_id) for row in self._rows() if row.state == COMPLETE}
            for user_id, _ in sorted(self.witness.evidence.retired() - complete):
                self.problem("retired", f"the ledger calls {user_id} retired, and no row does")
        names = [str(each[key]) for each in self.setting.learners for key in ("username", "email", "name")]
        self._checked(partial(self.witness.runs, self.setting.plan.lease_seconds))
        self._checked(partial(self.witness.canaries, [*log, *self.result.trace], names))

    def _clear_away(self) -> None:
        result = self.result
        result.learners, result.requests = len(self.setting.learners), self.wire.requests
        result.faults = sum(self.weather.happened.values())
        result.freezes = sum(" freezes " in line for line in result.trace)
        self.witness.evidence.close()
        for life in self.lives:
            bury(life)
        close_connections()
        self.loop.close()


def play(seed: int, moves: Moves = Moves.EACH) -> Result:
    """Plays one seed in a folder of its own."""
    root = _LASTING_PLACE if _LASTING_PLACE.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=root) as folder:
        result = Story(seed, Path(folder), moves=moves).run()
    clear_graves(more_than=50)
    return result
