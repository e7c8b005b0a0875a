"""Requests of tests to servers that may be busy with a whole queue: the server takes its time."""

import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx

from tests import locks

#: Seconds after which something that is waited for will not come any more.
PATIENCE = 300

#: Seconds between two looks: short at first, and then so long that a look does not hinder what it waits for.
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.1

#: Made once: the certificates of this machine take longer to read than a server of ours to answer.
_CONTEXT = ssl.create_default_context()


def _asked(method: str, url: str, **given: Any) -> httpx.Response:
    return httpx.request(method, url, timeout=PATIENCE, verify=_CONTEXT, auth=locks.auth(url), **given)


get, post, delete, patch = (partial(_asked, method) for method in ("GET", "POST", "DELETE", "PATCH"))


def until(reached: Callable[[], Any]) -> Any:
    """Asks again and again until the answer is yes, and gives it back."""
    deadline, pause = time.monotonic() + PATIENCE, FIRST_PAUSE
    while not (answer := reached()):
        assert time.monotonic() < deadline, "what was waited for has not come"
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST_PAUSE)
    return answer
