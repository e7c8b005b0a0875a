"""Requests of tests to servers that may be busy with a whole queue: whoever is asked takes their time."""

from functools import partial

import httpx

#: Seconds after which something that is waited for will not come any more.
PATIENCE = 300

get = partial(httpx.get, timeout=PATIENCE)
post = partial(httpx.post, timeout=PATIENCE)
delete = partial(httpx.delete, timeout=PATIENCE)
