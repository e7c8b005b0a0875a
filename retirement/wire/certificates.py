"""The certificates of this machine: read once a process, for reading them takes longer than most requests."""

import ssl
from functools import cache

import httpx


@cache
def certificates(*, trust_env: bool = True) -> ssl.SSLContext:
    """Whom we trust; `trust_env`: also whom SSL_CERT_FILE and SSL_CERT_DIR name."""
    return httpx.create_ssl_context(trust_env=trust_env)
