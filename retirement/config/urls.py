"""Base URLs: which of them can work, and which would send a token in clear."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:.]+")


def problem_of(url: str, *, allow_insecure: bool, remedy: str) -> str | None:
    """Why this is no base URL to use, None where it is one. `remedy` is how this file permits http."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no URL; write it as https://HOST[:PORT][/PATH]"
    if not _CHARACTERS.fullmatch(url) or not host or not _HOST.fullmatch(host) or parts.scheme not in ("http", "https"):
        return "is no URL with scheme and host; write it as https://HOST[:PORT][/PATH]"
    if parts.query or parts.fragment or parts.username is not None or "?" in url or "#" in url:
        return "must be a base URL: no user, query or fragment"
    if parts.scheme == "http" and not allow_insecure and not is_loopback(host):
        return f"is http:// to another machine, which shows tokens and learners on the way; use https://, or {remedy}"
    return None


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
