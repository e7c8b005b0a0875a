"""`make hostile`: every route of a retirement, and every way in which a proxy before it can misbehave, as a table.

    python -m tests.hostile [--every N] [--jobs N] [WORD …]

Only the cases whose names hold all the words are played, say `braze gzip-bomb`. Ends with 1 when anything is not as
it should be.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.hostile.judging import Result, results
from tests.hostile.plays import Choice, Part, plays
from tests.hostile.recording import parts
from tests.hostile.table import summary, table, unbelieved


def main() -> int:
    """Plays what was asked for and prints it."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help="only cases whose names hold all of these")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth case")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes")
    chosen = parser.parse_args()
    began = time.monotonic()
    choice = Choice(chosen.every, words=tuple(chosen.words))
    found = _played(parts(plays()), choice, chosen.jobs)
    problems = [str(each) for each in found if each.problem] + (unbelieved(found) if choice.is_whole else [])
    _say([*table(found), "", *summary(found), "", *(f"WRONG  {each}" for each in problems)])
    _say([f"{len(found)} cases in {time.monotonic() - began:.0f} s; {len(problems)} problems"])
    return 1 if problems else 0


def _played(wanted: Sequence[Part], choice: Choice, jobs: int) -> list[Result]:
    """The results in the order of the plays, whatever ends first; says how far it is."""
    found: list[Result] = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as processes:
        running = [(part.play.name, processes.submit(results, part, choice)) for part in wanted]
        for number, (name, future) in enumerate(running, 1):
            sys.stderr.write(f"{number} of {len(running)}  {name} …\n")
            found += (played := future.result())
            sys.stderr.write("".join(f"  WRONG  {each}\n" for each in played if each.problem))
    return found


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
