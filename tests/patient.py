"""Requests of tests to servers that may be busy with a whole queue: whoever is asked takes their time."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx

#: Seconds after which something that is waited for will not come any more.
PATIENCE = 300

get = partial(httpx.get, timeout=PATIENCE)
post = partial(httpx.post, timeout=PATIENCE)
delete = partial(httpx.delete, timeout=PATIENCE)


def until(reached: Callable[[], Any]) -> Any:
    """Asks again and again until the answer is yes, and gives it back; whoever is asked takes their time."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := reached()):
        assert time.monotonic() < deadline, "what was waited for has not come"
        time.sleep(0.005)
    return answer
