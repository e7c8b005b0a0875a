"""Python's garbage collector, which the commands and flows have look rarely."""

import gc

from retirement.process import collect_rarely


def test_the_collector_looks_rarely_and_is_still_on() -> None:
    """Without it the cycles of exceptions and their frames would stay for ever."""
    before = gc.get_threshold()
    try:
        collect_rarely()

        assert gc.isenabled()
        assert gc.get_threshold()[0] > 10 * before[0] or before[0] >= 50_000
    finally:
        gc.set_threshold(*before)
