"""Proxies: which one of the environment a request takes, decided here and not by the HTTP library.

Plain http is for this machine and closed networks, so it takes none: a proxy would see secrets and learners. Requests
to this machine take none either. For https it is `HTTPS_PROXY`, else `ALL_PROXY`, unless `NO_PROXY` has the host.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import urlsplit

import httpx

from retirement.errors import ConfigError
from retirement.wire.certificates import certificates
from retirement.wire.urls import is_loopback

#: In this order; as elsewhere the small spelling wins.
VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
NOT_FOR = ("no_proxy", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy and the variable that names it; its text shows no password."""

    variable: str
    url: httpx.Proxy = field(repr=False)

    def __str__(self) -> str:
        port = f":{self.url.url.port}" if self.url.url.port else ""
        return f"{self.url.url.scheme}://{self.url.url.host}{port} ({self.variable})"


def proxy_for(url: str, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """The proxy that requests to a base URL take, None where they go straight.

    Raises `ConfigError` for a variable that names none.
    """
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL:
        return None  # the configuration says what is wrong with it
    if _goes_straight(target, environ):
        return None
    variable = next((name for name in VARIABLES if environ.get(name, "").strip()), None)
    return _named(variable, environ[variable].strip()) if variable else None


def transport(url: str, most: int, environ: Mapping[str, str] = os.environ) -> httpx.AsyncBaseTransport:
    """At most so many connections to a base URL, through the proxy that is due. Raises `ConfigError`."""
    proxy = proxy_for(url, environ)
    # Here, since what sends nothing needs no network.
    from retirement.wire.network import Network

    return Network(most, certificates(), proxy.url if proxy else None)


def _goes_straight(target: httpx.URL, environ: Mapping[str, str]) -> bool:
    """Whether a request takes no proxy, whatever the variables name."""
    if target.scheme != "https" or is_loopback(target.host):
        return True
    return _has(next((environ[name] for name in NOT_FOR if environ.get(name)), ""), target)


def _has(excepted: str, target: httpx.URL) -> bool:
    """Whether `NO_PROXY` has the host, a domain of it, or all."""
    host = target.host.lower()
    names = {each.strip().lower().lstrip(".") for each in excepted.split(",")} - {""}
    return not names.isdisjoint(("*", host, f"{host}:{target.port or 443}")) or any(
        host.endswith(f".{name}") for name in names
    )


def _named(variable: str, value: str) -> Proxy:
    proxy = _parsed(value if "://" in value else f"http://{value}")
    if proxy is None:
        raise ConfigError(f"{variable} is no proxy; write it as http://HOST:PORT, or take the variable away")
    if proxy.url.scheme.startswith("socks") and find_spec("aiohttp_socks") is None:
        why = "is a SOCKS proxy, which takes `pip install aiohttp-socks`; install it, or name an http proxy"
        raise ConfigError(f"{variable} {why}")
    return Proxy(variable, proxy)


def _parsed(text: str) -> httpx.Proxy | None:
    try:
        parts = urlsplit(text)
        return httpx.Proxy(text) if parts.hostname and parts.port != 0 else None
    except (httpx.InvalidURL, ValueError):
        return None
