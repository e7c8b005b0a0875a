"""`python -m tests.simulation --seeds 1000`: plays seeds and prints what broke, and how to see it again."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context

from retirement.pipeline import Moves

from .drills import DRILLS
from .story import Result, play
from .virtual import clear_graves


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many seeds (default 1000)")
    parser.add_argument("--from", type=int, default=0, metavar="M", dest="first", help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, metavar="K", help="this seed alone")
    parser.add_argument("--trace", action="store_true", help="print everything that happens in the seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--drill", choices=sorted(DRILLS), help="a drill instead of seeds")
    parser.add_argument("--moves", type=Moves, choices=list(Moves), default=Moves.EACH, help="how rows are moved")
    parser.add_argument("--stop", action="store_true", help="stop at the first seed that fails")
    return parser.parse_args()


def _played(seeds: range, jobs: int, moves: Moves) -> Iterator[Result]:
    one = partial(play, moves=moves)
    if jobs == 1 or len(seeds) == 1:
        yield from map(one, seeds)
        return
    with get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(one, seeds, chunksize=4)


def main() -> int:
    """Plays what was asked for; 1 when an invariant broke."""
    asked = _arguments()
    if asked.drill:
        problems = DRILLS[asked.drill]()
        _say("\n".join(problems) if problems else f"the {asked.drill} drill passed")
        return 1 if problems else 0
    seeds = range(asked.first, asked.first + asked.seeds) if asked.seed is None else range(asked.seed, asked.seed + 1)
    began = time.monotonic()
    results: list[Result] = []
    for result in _played(seeds, asked.jobs, asked.moves):
        results.append(result)
        if asked.trace:
            _say("\n".join(result.trace))
        for problem in result.problems:
            _say(f"seed {result.seed}: {problem}")
        if asked.stop and result.problems:
            break
    clear_graves()
    return _summed_up(results, time.monotonic() - began)


def _summed_up(results: list[Result], seconds: float) -> int:
    failed = [result.seed for result in results if result.problems]
    counts = {
        name: sum(getattr(result, name) for result in results)
        for name in ("learners", "requests", "faults", "crashes", "freezes", "jumps", "losses", "edits")
    }
    _say(f"{len(results)} seeds, " + ", ".join(f"{number:,} {name}" for name, number in counts.items()))
    _say(f"{seconds:.0f} s, {len(results) / max(seconds, 0.001):.1f} seeds/s; {len(failed)} seeds failed")
    for seed in failed[:20]:
        _say(f"to see it: python -m tests.simulation --seed {seed} --trace")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
