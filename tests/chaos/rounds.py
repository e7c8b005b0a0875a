"""A worker is killed at one request; reconcile and queue run later everything has to be as if nothing happened."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

from tests.chaos.doors import Blow, Moment, Patch
from tests.chaos.stage import steps
from tests.chaos.theatre import Ended, Theatre, step_names
from tests.patient import PATIENCE

#: Seconds that a worker may live after an answer, by a random number: long enough for a commit or two.
LONGEST_LINGER = 0.008
#: A kill that leaves the row in a working state, the second step done and not yet in the ledger.
STRANDED = Blow(8, Moment.DURING)
#: Seconds; the configuration allows no shorter lease.
SHORTEST_LEASE = 15
#: Seconds between the last renewal of a lease and the death of its holder, at the most.
SLACK_SECONDS = 2


@dataclass(frozen=True)
class Round:
    """One kill and what came of it; no problems: as it should be."""

    shape: str
    database: str
    program: str
    blow: Blow
    request: str
    problems: tuple[str, ...]


@dataclass
class Player:
    """How the victim and the two runs after it are played: by the engine alone, or by the real commands."""

    program: str
    work: tuple[str, ...]
    mend: tuple[tuple[str, ...], ...]

    def recover(self, theatre: Theatre) -> Iterator[Ended]:
        """One reconcile and one queue run."""
        for arguments in self.mend:
            yield theatre.play(self.program, *arguments)


WORKER = Player("worker", (), (("--reconcile",),))
COMMAND = Player("command", ("retire-queue", "--json"), (("reconcile", "--json"), ("retire-queue", "--json")))
PLAYERS = {"worker": WORKER, "command": COMMAND}


def kills(
    theatre: Theatre, shape: str, database: str, player: Player, every: int = 1, first: int = 1
) -> Iterator[Round]:
    """Kills a worker at every request (or every so many, from `first` on) of a retirement, at all three moments."""
    for moment in Moment:
        for at in count(first, every):
            played = kill(theatre, shape, database, player, Blow(at, moment, _linger(shape, at)))
            if played is None:
                break
            yield played


def _linger(shape: str, at: int) -> float:
    # The same request has the same wait, whichever rounds are played.
    return random.Random(f"{shape}{at}").uniform(0, LONGEST_LINGER)  # noqa: S311


def kill(theatre: Theatre, shape: str, database: str, player: Player, blow: Blow) -> Round | None:
    """One round; None when the retirement has not so many requests."""
    theatre.open(shape, database)
    victim = theatre.play(player.program, *player.work, blow=blow)
    if len(victim.requests) < blow.at:
        return None
    problems = [] if victim.killed or victim.code == 0 else [f"the victim ended by itself with {victim.code}"]
    theatre.evidence.age()
    for run in player.recover(theatre):
        problems += [] if run.code == 0 else [f"a run after the kill ended with {run.code}: {run.err.strip()}"]
    problems += found(theatre)
    return Round(shape, database, player.program, blow, victim.requests[blow.at - 1], tuple(problems))


def kills_of_the_mender(
    theatre: Theatre, shape: str, database: str, requests: Sequence[int] = range(1, 9)
) -> Iterator[Round]:
    """The run that brings a learner back is killed as well, at each of these requests, and the next one ends it."""
    for moment in Moment:
        for at in requests:
            theatre.open(shape, database)
            theatre.play("worker", blow=STRANDED)
            theatre.evidence.age()
            blow = Blow(at, moment, _linger(shape, at))
            mender = theatre.play("worker", "--reconcile", blow=blow)
            theatre.evidence.age()
            last = theatre.play("worker", "--reconcile")
            problems = [] if last.code == 0 else [f"the last run ended with {last.code}: {last.err.strip()}"]
            problems += found(theatre)
            yield Round(shape, database, "mender", blow, mender.requests[at - 1], tuple(problems))


def wait_out(theatre: Theatre, shape: str, database: str) -> Round:
    """One kill after which nobody helps the time: the lease runs out by itself, and until then it is respected."""
    theatre.open(shape, database, lease_seconds=SHORTEST_LEASE)
    victim = theatre.play("worker", blow=STRANDED)
    problems, died = [], time.monotonic()
    while set(theatre.stage.states_now().values()) != {"COMPLETE"} and time.monotonic() - died < PATIENCE:
        theatre.play("worker", "--reconcile")
        time.sleep(0.5)
    if (waited := time.monotonic() - died) < SHORTEST_LEASE - SLACK_SECONDS:
        problems.append(f"a dead worker's lease of {SHORTEST_LEASE} s was broken after {waited:.0f} s")
    problems += found(theatre)
    return Round(shape, database, "wait", STRANDED, victim.requests[STRANDED.at - 1], tuple(problems))


def found(theatre: Theatre) -> list[str]:
    """Everything that is not as a retirement in peace would have left it."""
    return [*_at_the_end(theatre), *_on_the_way(theatre), *theatre.evidence.broken(), *theatre.told()]


def _at_the_end(theatre: Theatre) -> Iterator[str]:
    stage, evidence, names = theatre.stage, theatre.evidence, step_names(theatre.shape)
    states = stage.states_now()
    yield from (f"a learner is {state}, not COMPLETE" for state in states.values() if state != "COMPLETE")
    for place in stage.ask(lambda sandbox: sandbox.residue()):
        yield f"the {place['what']} is left in {place['service']}.{place['table']}.{place['column']}"
    outcomes, done, endings = evidence.outcomes(), stage.done(), evidence.endings()
    for user_id in stage.user_ids.values():
        counted = outcomes.get(user_id, Counter[str]())
        for name in names:
            if counted[name] != 1:
                yield f"{name} has {counted[name]} outcomes"
            elif name not in done[user_id]:
                yield f"{name} has an outcome, and no request of it was answered"
        if endings.get(user_id) != "retired":
            yield f"the ledger says that the learner ended as {endings.get(user_id)}"
    for scope in evidence.leases(datetime.now(UTC).isoformat(timespec="microseconds")):
        yield f"the lease {scope.partition(':')[0]} was never given back"


def _on_the_way(theatre: Theatre) -> Iterator[str]:
    for patch in theatre.watch.patches:
        if patch.status in (204, None) and (missing := sorted(_claimed(theatre.shape, patch) - patch.proved)):
            yield f"the row went to {patch.state} before the ledger had {', '.join(missing)}"
        if premature := sorted(patch.proved - patch.done):
            yield f"at the move to {patch.state} the ledger had {', '.join(premature)}, which was not done"
    yield from theatre.watch.overlaps


def _claimed(shape: str, patch: Patch) -> frozenset[str]:
    """The steps that a state says are behind the learner."""
    names: list[str] = []
    for step in steps(shape):
        if patch.state == step["start"]:
            return frozenset(names)
        names.append(step["start"])
        if patch.state == step["end"]:
            return frozenset(names)
    return frozenset(names if patch.state == "COMPLETE" else ())
