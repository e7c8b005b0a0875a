"""Ports of this machine for servers that tests start."""

import socket


def free_port() -> int:
    """A port that no server had a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number: int = probe.getsockname()[1]
        return number
