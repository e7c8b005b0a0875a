"""`make chaos`: the fault matrix, the table of kills and the races, with real processes on real sockets.

    python -m tests.chaos [--program worker|command] [--database sqlite|postgresql] [--every N] [--seed N]

The whole of it is every request of both shapes, at all three moments, on both databases: by the engine alone,
and by the real commands with Prefect. Ends with 1 when anything is not as it should be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.doors import Moment
from tests.chaos.evidence import DATABASES
from tests.chaos.matrix import Line, matrix
from tests.chaos.racing import Race, race, race_of_commands
from tests.chaos.rounds import PLAYERS, Round, kills, kills_of_the_mender, wait_out
from tests.chaos.stage import SHAPES
from tests.chaos.theatre import NO_RUNTIME_FOLDER, Theatre, engine, left_behind, theatre

ACCOUNTS = "/api/user/v1/accounts/"

console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)


def main() -> int:
    """Plays everything that was asked for and prints it."""
    warnings.filterwarnings("ignore", message=NO_RUNTIME_FOLDER)
    chosen = _arguments()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="retirement-chaos-") as name:
        folder = Path(name)
        with ExitStack() as stack:
            environment = stack.enter_context(engine(folder / "home"))
            stage = stack.enter_context(theatre(folder / "theatre", environment, chosen.database))
            lines = list(matrix(stage, chosen.database[0], engine=True))
            console.print(_matrix_table(lines))
            _say(_wrong_lines(lines))
            rounds = [each for program in chosen.program for each in _kills(stage, program, chosen)]
            races = list(_races(stage, chosen))
            console.print(_race_table(races))
            _say(_wrong_races(races))
        problems = [each.problems for played in (lines, rounds, races) for each in played]
        wrong = sum(map(len, problems)) + _say(left_behind(folder))
    seconds = time.monotonic() - began
    counts = f"{len(lines)} cases, {len(rounds)} kills, {len(races)} races in {seconds:.0f} s"
    console.print(f"{counts}; {wrong} problems", highlight=False)
    return 1 if wrong else 0


def _say(problems: Iterable[str]) -> int:
    """Prints problems as soon as they are known, and counts them."""
    said = list(problems)
    for problem in said:
        console.print(problem, highlight=False, markup=False)
    return len(said)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kills everywhere.")
    parser.add_argument("--program", nargs="+", choices=PLAYERS, default=list(PLAYERS))
    parser.add_argument("--database", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument("--every", type=int, default=1, metavar="N", help="kill at every Nth request only")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the races")
    parser.add_argument("--races", type=int, default=3, metavar="N", help="races per shape and database")
    return parser.parse_args()


def _kills(stage: Theatre, program: str, chosen: argparse.Namespace) -> Iterator[Round]:
    for shape in SHAPES:
        for database in chosen.database:
            began = time.monotonic()
            played = list(kills(stage, shape, database, PLAYERS[program], chosen.every))
            console.print(_kill_table(f"{program}, {shape}, {database}", played, time.monotonic() - began))
            _say(_wrong_rounds(played))
            yield from played
    if program == "worker":
        yield from _kills_of_menders(stage, chosen)


def _kills_of_menders(stage: Theatre, chosen: argparse.Namespace) -> Iterator[Round]:
    for shape in SHAPES:
        for database in chosen.database:
            began = time.monotonic()
            played = list(kills_of_the_mender(stage, shape, database))
            title = f"the reconciler dies as well, {shape}, {database}"
            console.print(_kill_table(title, played, time.monotonic() - began))
            played.append(wait_out(stage, shape, database))
            _say(_wrong_rounds(played))
            yield from played


def _races(stage: Theatre, chosen: argparse.Namespace) -> Iterator[Race]:
    for shape in SHAPES:
        for database in chosen.database:
            for seed in range(chosen.seed, chosen.seed + chosen.races):
                yield race(stage, shape, database, seed)
            if "command" in chosen.program:
                yield race_of_commands(stage, shape, database, chosen.seed)


def _matrix_table(lines: Sequence[Line]) -> Table:
    table = Table(title="Faults reproduced on the archived driver, and how they end here", title_justify="left")
    for heading in ("case", "injected", "wanted", "runs", "LMS", "verdict"):
        table.add_column(heading, overflow="fold")
    for line in lines:
        case = line.case
        table.add_row(case.name, case.injected, case.better, line.endings, line.states, _verdict(line.problems))
    return table


def _kill_table(title: str, played: Sequence[Round], seconds: float) -> Table:
    """One row a request, one column a moment."""
    found = {(each.blow.at, each.blow.moment): each for each in played}
    wrong = sum(bool(each.problems) for each in played)
    table = Table(title=f"{title}: {len(played)} kills, {wrong} problems, {seconds:.0f} s", title_justify="left")
    for heading in ("", "request", *Moment):
        table.add_column(heading, overflow="fold", justify="right" if not heading else "left")
    for at in sorted({number for number, _ in found}):
        here = [found.get((at, moment)) for moment in Moment]
        request = next(each.request for each in here if each).replace(ACCOUNTS, "…/")
        table.add_row(str(at), request, *("" if each is None else _verdict(each.problems) for each in here))
    return table


def _race_table(races: Sequence[Race]) -> Table:
    table = Table(title="Two at one queue, killed at random", title_justify="left")
    for heading in ("who", "shape", "database", "seed", "learners", "starts", "kills", "verdict"):
        table.add_column(heading, overflow="fold")
    for each in races:
        numbers = map(str, (each.seed, each.learners, each.starts, each.kills))
        table.add_row(each.kind, each.shape, each.database, *numbers, _verdict(each.problems))
    return table


def _verdict(problems: Sequence[str]) -> str:
    return "[red]wrong[/]" if problems else "[green]ok[/]"


def _wrong_lines(lines: Sequence[Line]) -> Iterator[str]:
    for line in lines:
        yield from (f"case {line.case.name}: {problem}" for problem in line.problems)


def _wrong_rounds(rounds: Sequence[Round]) -> Iterator[str]:
    for each in rounds:
        where = f"{each.program}, {each.shape}, {each.database}, {each.blow.moment} request {each.blow.at}"
        yield from (f"{where} ({each.request}): {problem}" for problem in each.problems)


def _wrong_races(races: Sequence[Race]) -> Iterator[str]:
    for each in races:
        where = f"{each.kind}, {each.shape}, {each.database}, seed {each.seed}"
        yield from (f"{where}: {problem}" for problem in each.problems)


if __name__ == "__main__":
    sys.exit(main())
