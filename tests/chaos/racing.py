"""Two workers on one queue, killed at random and started again, until everybody is COMPLETE.

Everything random comes from one seed; what the two processes do to each other's timing does not.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from tests.chaos.doors import Blow, Door, Moment
from tests.chaos.rounds import LONGEST_LINGER, found
from tests.chaos.theatre import Ended, Theatre
from tests.forks import Run
from tests.patient import PATIENCE

#: Kills after which the workers may live, for the race to come to its end.
MOST_KILLS = 12
#: Starts after which a race that goes on is one that never ends.
MOST_STARTS = 200
#: A worker dies at one of its first so many requests.
LATEST_BLOW = 150
#: How far the first of two commands is before the second one comes, in requests.
WELL_ON_ITS_WAY = 30
#: How long each request takes at least: without it none could overlap with another.
HOLD_SECONDS = 0.004


@dataclass(frozen=True)
class Race:
    """One race: how often workers were started and killed, and what it left wrong."""

    kind: str
    shape: str
    database: str
    seed: int
    learners: int
    starts: int
    kills: int
    problems: tuple[str, ...]


class _Field:
    """The workers that run, and the holders whose leases have yet to run out."""

    def __init__(self, theatre: Theatre, seed: int) -> None:
        self.theatre = theatre
        self.dice = random.Random(seed)  # noqa: S311 - it has to come out the same again
        self.running: dict[int, Run] = {}
        self.starts = self.kills = 0
        self.problems: list[str] = []
        self._dead: list[str] = []

    def start(self, door: int) -> None:
        """Starts a worker that reconciles, then takes whoever waits in an order of its own."""
        blow = None
        if self.kills < MOST_KILLS:
            at, moment = self.dice.randint(1, LATEST_BLOW), self.dice.choice(list(Moment))
            blow = Blow(at, moment, self.dice.uniform(0, LONGEST_LINGER))
        order = str(self.dice.randrange(1_000_000))
        arguments = ("--reconcile", "--shuffle", order, "--at-once", "3")
        self.starts += 1
        self.running[door] = self.theatre.start("worker", *arguments, door=door, blow=blow)

    def next_end(self) -> int:
        """Waits until a worker is gone, and says at which door; leases of the dead run out now or one end later."""
        run = self.theatre.first(self.running.values())
        door = next(door for door, each in self.running.items() if each is run)
        del self.running[door]
        for holder in self._dead:
            self.theatre.evidence.age(holder)
        self._dead.clear()
        ended = self.theatre.end(run, door)
        if ended.killed:
            self.kills += 1
            self._bury(ended)
        elif ended.code not in (0, 1):
            self.problems.append(f"a worker ended with {ended.code}: {ended.err.strip()}")
        return door

    def _bury(self, ended: Ended) -> None:
        holders = [each["holder"] for each in ended.words if "holder" in each]
        if self.dice.random() < 0.5:
            self._dead += holders
            return
        for holder in holders:
            self.theatre.evidence.age(holder)


def race(theatre: Theatre, shape: str, database: str, seed: int, learners: int = 20) -> Race:
    """Two workers of the engine alone; then one reconcile and one queue run, and nobody's hand."""
    theatre.open(shape, database, learners)
    theatre.watch.hold = HOLD_SECONDS
    field = _Field(theatre, seed)
    for door in (0, 1):
        field.start(door)
    while field.running:
        door = field.next_end()
        over = set(theatre.stage.states_now().values()) == {"COMPLETE"}
        if not over and field.starts < MOST_STARTS:
            field.start(door)
    theatre.evidence.age()
    last = theatre.play("worker", "--reconcile")
    if last.code != 0:
        field.problems.append(f"the last run ended with {last.code}: {last.err.strip()}")
    problems = (*field.problems, *found(theatre))
    return Race("two workers", shape, database, seed, learners, field.starts, field.kills, problems)


def race_of_commands(theatre: Theatre, shape: str, database: str, seed: int, learners: int = 20) -> Race:
    """Two `retire-queue` at once: the second leaves at once, the first is killed, and the next one ends it all."""
    theatre.open(shape, database, learners)
    theatre.watch.hold = HOLD_SECONDS
    dice = random.Random(seed)  # noqa: S311
    problems = []
    first = theatre.start("command", "retire-queue", "--json")
    _until_well_on_its_way(theatre.stage.doors[0])
    second = theatre.play("command", "retire-queue", "--json", door=1)
    if second.code != 4:
        problems.append(f"the second command ended with {second.code}: {second.err.strip()}")
    if any(request.startswith(("PATCH", "PUT")) for request in second.requests):
        problems.append("the second command moved a learner")
    theatre.stage.doors[0].strike(dice.choice(list(Moment)), dice.uniform(0, LONGEST_LINGER))
    if not theatre.end(first).killed:
        problems.append("the first command was over before it could be killed")
    theatre.evidence.age()
    for arguments in (("reconcile", "--json"), ("retire-queue", "--json")):
        run = theatre.play("command", *arguments, door=1)
        if run.code != 0:
            problems.append(f"{arguments[0]} after the kill ended with {run.code}: {run.err.strip()}")
    problems += found(theatre)
    return Race("two commands", shape, database, seed, learners, 4, 1, tuple(problems))


def _until_well_on_its_way(door: Door) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(door.visit.requests) < WELL_ON_ITS_WAY:
        if time.monotonic() > deadline:
            raise TimeoutError("the first command sends nothing")
        time.sleep(0.002)
