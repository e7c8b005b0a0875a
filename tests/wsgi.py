"""A WSGI application of others on a socket, such as an OpenID provider."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import make_server

from tests.in_thread import in_thread


@contextmanager
def serving_wsgi(app: Callable[..., Any]) -> Iterator[str]:
    """The address of a WSGI application, as long as the block lasts."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    with in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}"
