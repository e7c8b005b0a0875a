"""Proxies of the environment: for https only, never for this machine, and a garbled one is one line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from retirement.connectors import ServiceSettings
from retirement.errors import ConfigError, Transient
from retirement.site.doctor import proxies
from retirement.wire.api import Api, Retry
from retirement.wire.pool import pool
from retirement.wire.proxies import VARIABLES, proxy_for

LMS = "https://lms.example/prefix"
PROXY = "http://user:secret@proxy.example:3128"


@pytest.fixture(autouse=True)
def _no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@asynccontextmanager
async def listening(answer: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that gives one answer to everything; its port, and what it was asked."""
    asked: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()


async def post(url: str) -> None:
    client = pool(url, 1)
    try:
        await Api("SVC", client, retry=Retry(attempts=1)).post("/x/", form={"client_secret": "s"})
    finally:
        await client.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
async def test_a_request_to_this_machine_takes_no_proxy(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its secret would stand at the proxy in clear."""
    async with listening(b"HTTP/1.1 204 No Content") as (port, asked), listening(b"HTTP/1.1 502 No") as (other, seen):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{other}")
        await post(f"http://127.0.0.1:{port}")

    assert (len(asked), seen) == (1, [])


@pytest.mark.anyio
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
async def test_https_takes_the_proxy_and_shows_it_the_host_only(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tunnel; what a refusing proxy says passes by itself."""
    async with listening(b"HTTP/1.1 502 No") as (port, seen):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
        with pytest.raises(Transient, match="the proxy refused"):
            await post(LMS)

    assert [each.split(b"\r\n")[0] for each in seen] == [b"CONNECT lms.example:443 HTTP/1.1"]
    assert b"secret" not in seen[0]


@pytest.mark.parametrize(
    ("url", "environ"),
    [
        ("http://lms.internal", {"HTTP_PROXY": PROXY, "ALL_PROXY": PROXY}),
        ("http://127.0.0.1:8000", {"ALL_PROXY": "http://["}),
        ("https://localhost:8000", {"HTTPS_PROXY": PROXY}),
        ("https://[::1]:8000", {"HTTPS_PROXY": PROXY}),
        ("https://127.9.9.9", {"HTTPS_PROXY": PROXY}),
        (LMS, {}),
        (LMS, {"HTTP_PROXY": PROXY}),
        (LMS, {"HTTPS_PROXY": " "}),
        (LMS, {"HTTPS_PROXY": PROXY, "NO_PROXY": "other, lms.example"}),
        (LMS, {"HTTPS_PROXY": PROXY, "no_proxy": ".example"}),
        (LMS, {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}),
    ],
)
def test_where_no_proxy_is_taken(url: str, environ: dict[str, str]) -> None:
    """Plain http, this machine, and what `NO_PROXY` has."""
    assert proxy_for(url, environ) is None


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        ({"HTTPS_PROXY": PROXY}, "http://proxy.example:3128 (HTTPS_PROXY)"),
        ({"ALL_PROXY": PROXY, "https_proxy": "proxy.example:80"}, "http://proxy.example (https_proxy)"),
        ({"all_proxy": "https://proxy.example", "NO_PROXY": "my-lms.example"}, "https://proxy.example (all_proxy)"),
    ],
)
def test_what_is_shown_of_a_proxy_has_no_password(environ: dict[str, str], shown: str) -> None:
    """As `doctor` says it."""
    proxy = proxy_for(LMS, environ)

    assert str(proxy) == shown
    assert "secret" not in repr(proxy)


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("value", ["http://[", "http://", "ftp://proxy:1", "http://proxy:99999999", "://x"])
def test_a_garbled_variable_is_one_line_that_names_it(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No defect of the program, and its value, which may hold a password, is not shown."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigError) as caught:
        pool(LMS, 1)

    assert str(caught.value).startswith(f"{variable} is no proxy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_without_its_package_is_one_line(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://proxy:1080")
    monkeypatch.setattr("retirement.wire.proxies.find_spec", lambda _name: None)

    with pytest.raises(ConfigError, match=r"^ALL_PROXY is a SOCKS proxy.*pip install aiohttp-socks"):
        pool(LMS, 1)


def test_doctor_shows_the_proxy_of_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each service that takes one; those of this machine and of `NO_PROXY` are left out."""
    urls = {"LMS": LMS, "CREDENTIALS": "https://credentials.example", "DISCOVERY": "http://127.0.0.1:8381"}
    services = {name: ServiceSettings(url=url) for name, url in urls.items()}
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", "credentials.example")

    shown = [each.detail for each in proxies(services)]

    assert shown == ["requests to LMS go through http://proxy.example:3128 (HTTPS_PROXY)"]
