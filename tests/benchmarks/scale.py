"""`make scale`: queue runs of more and more learners, and how what a learner costs grows with their number.

Each run has a home, a server, a database and a ledger of its own. Before the first one a run of one learner shows what
is used without any, so each line can say what the learners cost that the line before had not.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import yaml
from sqlalchemy import make_url

from retirement.pipeline import Moves
from tests.benchmarks import listings
from tests.benchmarks.throughput import all_complete, ours, sandbox

#: What grows, as its heading has it, and by how much it is divided to be read.
COLUMNS = {
    "CPU-s": 1.0,
    "of flow": 1.0,
    "of server": 1.0,
    "engine kB": 1e3,
    "ledger kB": 1e3,
}


@dataclass(frozen=True)
class Run:
    """What one queue run used."""

    learners: int
    seconds: float
    #: All that grows with the learners, by heading.
    used: dict[str, float]
    #: The most bytes in memory of a process, by part.
    memory: dict[str, int]


def size_of(folder: Path) -> int:
    """The bytes of all files below a folder, which may be a link; 0 where it is none."""
    return sum(each.stat().st_size for each in folder.resolve().rglob("*") if each.is_file())


def run(learners: int, at_once: int, moves: Moves) -> Run:
    """Retires so many learners, and raises `SystemExit` where one is not retired or one record is lost."""
    with tempfile.TemporaryDirectory(prefix="retirement-scale-") as folder:
        home, config = Path(folder), Path(folder) / "retirement.yaml"
        os.environ["RETIREMENT_HOME"] = folder
        with sandbox(learners, 0.0, config, at_once, moves) as where:
            a_minute, _, used = ours(config, learners)
            all_complete(where, learners)
        url = make_url(yaml.safe_load(config.read_text(encoding="utf-8"))["ledger"]["url"])
        ledger = home / str(url.database)  # as the configuration has it, from its own folder
        parts = used.seconds()
        return Run(
            learners,
            learners / a_minute * 60,
            {
                "CPU-s": sum(parts.values()),
                "of flow": parts.get("flow", 0.0),
                "of server": parts.get("server", 0.0),
                # Without the log of writes, which PostgreSQL uses again.
                "engine kB": float(size_of(home / "engine" / "postgres" / "base")),
                "ledger kB": float(sum(each.stat().st_size for each in home.glob(f"{ledger.name}*"))),
            },
            used.memory(),
        )


def lines(runs: Sequence[Run]) -> Iterator[str]:
    """A table: what one more learner costs, against the run before, and how often that of the line before."""
    widths = f"{'learners':>9} {'minutes':>8} " + " ".join(f"{heading:>16}" for heading in COLUMNS)
    yield f"{widths}  most MB of a process"
    before: dict[str, float] = {}
    for last, each in pairwise(runs):
        more = each.learners - last.learners
        costs = {heading: (each.used[heading] - last.used[heading]) / more for heading in COLUMNS}
        cells = (
            f"{cost / COLUMNS[heading]:.3f}{_growth(cost, before.get(heading)):>8}".rjust(16)
            for heading, cost in costs.items()
        )
        memory = ", ".join(
            f"{part} {bytes_ / 1e6:.0f}{_growth(bytes_, last.memory.get(part) if before else None)}"
            for part, bytes_ in sorted(each.memory.items())
        )
        yield f"{each.learners:>9} {each.seconds / 60:>8.1f} {' '.join(cells)}  {memory}"
        before = costs


def _growth(now: float, before: float | None) -> str:
    return f" x {now / before:.2f}" if before else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", default=[100, 1_000, 10_000], help="learners of each run")
    parser.add_argument("--at-once", type=int, default=20, help="learners at the same time")
    parser.add_argument("--moves", type=Moves, choices=list(Moves), default=Moves.EACH, help="lms.moves")
    parser.add_argument("--listings", type=int, nargs="+", default=[], help="rows of the LMS instead: see listings.py")
    options = parser.parse_args()
    if options.listings:
        listings.main(options.listings)
        return
    print("what one more learner costs, and how often that of the line before; no record was lost", flush=True)
    runs = [run(1, options.at_once, options.moves)]
    for size in sorted(options.sizes):
        runs.append(run(size, options.at_once, options.moves))
        heading, *_, last = lines(runs)
        print(last if runs[2:] else f"{heading}\n{last}", flush=True)


if __name__ == "__main__":
    main()
