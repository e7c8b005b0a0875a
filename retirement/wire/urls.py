"""Base URLs: which of them can work, and which would send a token in clear."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_PUNYCODE = (
    "has a host outside ASCII; write its punycode (xn--…), as "
    "`python3 -c \"print('HOST'.encode('idna').decode())\"` prints it"
)
_NO_HOST = "has a host that is no name and no address; look at its spelling"
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:.]+")


def problem_of(url: str, *, allow_insecure: bool, remedy: str) -> str | None:
    """Why this is no base URL to use, None where it is one. `remedy` is how this file permits http."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no URL; write it as https://HOST[:PORT][/PATH]"
    if problem := _problem_of_form(url, parts, host):
        return problem
    if allow_insecure or parts.scheme == "https" or is_loopback(host):
        return None
    return f"is http:// to another machine, which shows tokens and learners on the way; use https://, or {remedy}"


def _problem_of_form(url: str, parts: SplitResult, host: str) -> str | None:
    if not host.isascii():
        return _PUNYCODE
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or not _CHARACTERS.fullmatch(url):
        return "is no URL with scheme and host; write it as https://HOST[:PORT][/PATH]"
    # Here, since `--help` needs no HTTP.
    import httpx

    try:
        _ = httpx.URL(url).host
    except (httpx.InvalidURL, UnicodeError):
        # Punycode that says nothing, an address with a number too many: the HTTP library would raise at each request.
        return _NO_HOST
    if parts.username is not None or "?" in url or "#" in url:
        return "must be a base URL: no user, query or fragment"
    return None


def require_safe(name: str, url: str, *, allow_insecure: bool) -> None:
    """Raises `ValueError` unless tokens may be sent to this address, which the setting `name` holds."""
    if problem := problem_of(url, allow_insecure=allow_insecure, remedy="set allow_insecure"):
        raise ValueError(f"{name} {problem}")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
