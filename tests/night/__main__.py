"""`make night`: a site lives through three nights by itself, with accidents; `--short` is one of few learners.

    python -m tests.night [--short]

Prints the timeline. Ends with 1 when anything is not as it should be.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.flows.conftest import sandbox
from tests.night.nights import SHORT, UNUSUAL, WHOLE, Length, Nights, seed
from tests.night.service import Service, Timeline, Watch
from tests.ports import free_port


def main() -> int:
    """Plays the nights and prints what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.night", description="Three nights of a site.")
    parser.add_argument("--short", action="store_true", help="one night of a few learners, at most four minutes")
    length = SHORT if parser.parse_args().short else WHOLE
    timeline = Timeline()
    with nights(length, timeline) as played:
        if length is WHOLE:
            _whole(played)
        else:
            _short(played)
        wrong = played.everyone_is_where_they_should_be()
    for each in wrong:
        timeline.say(f"WRONG: {each}")
    timeline.say(f"{length.learners} learners, {len(wrong)} problems, {len(played.service.ends)} restarts of serve")
    return 1 if wrong else 0


def _whole(played: Nights) -> None:
    played.begin()
    played.summer_time()
    played.outage_and_a_dead_worker()
    played.question()
    played.pause_over_a_restart(more_learners=True)
    played.until_retired(3)


def _short(played: Nights) -> None:
    """Each wait for the next minute of the schedule serves two ends."""
    played.begin(queue={**UNUSUAL, "at_once": 1})
    played.summer_time()
    played.pause_over_a_restart(more_learners=False)
    played.question_and_a_dead_worker()


@contextmanager
def nights(length: Length, timeline: Timeline) -> Iterator[Nights]:
    """A site with its service, which are gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="retirement-night-"))
    # The account of PostgreSQL has to reach the folder.
    home.chmod(0o755)
    try:
        with sandbox(home, "--latency-ms", "20", seed=seed(length)) as platform:
            service = Service(home, platform.config, free_port(), timeline)
            played = Nights(platform, service, Watch(service.api, timeline), length, home)
            try:
                yield played
            finally:
                service.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
