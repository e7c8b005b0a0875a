"""What every request passes before a route sees it, and what every answer carries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from retirement.api.around import origin_of

from .desk import ADMIN, ISSUER, URL, Desk, bearer, token

pytestmark = pytest.mark.anyio

GRANT = {"userId": "someone", "domainId": "system", "actions": ["view"]}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1:4280", "localhost", "door.example.com.evil.example", "door.example.com:80", "", "x y"],
)
async def test_a_request_to_another_host_is_refused(desk: Desk, host: str) -> None:
    """So a page whose name was pointed at the door after it was loaded reads nothing."""
    async with desk.open() as client:
        answer = await client.get("/api/health", headers={"Host": host})

    assert answer.status_code == 400


@pytest.mark.parametrize("host", ["door.example.com", "DOOR.example.com", "door.example.com:443"])
async def test_the_door_answers_to_its_own_name(desk: Desk, host: str) -> None:
    """In any case, with the usual port or without."""
    async with desk.open() as client:
        assert (await client.get("/api/health", headers={"Host": host})).status_code == 200


async def test_two_hosts_are_none(desk: Desk) -> None:
    """A proxy may have looked at the other one."""
    async with desk.open() as client:
        request = client.build_request("GET", "/api/health")
        request.headers = httpx.Headers([("Host", "door.example.com"), ("Host", "evil.example")])
        assert (await client.send(request)).status_code == 400


async def test_what_a_stranger_says_about_a_request_before_does_not_count(desk: Desk) -> None:
    """Of a proxy that is trusted it does, as far as the proxy has seen it."""
    async with desk.open() as client:
        spoofed = await client.get("/api/health", headers={"X-Forwarded-Host": "evil.example"})
        claimed = await client.get(
            "/api/health", headers={"Host": "inner:4280", "X-Forwarded-Host": "door.example.com"}
        )
    desk.settings["trusted_proxies"] = ["10.0.0.0/8"]
    async with desk.open(peer="10.1.2.3") as client:
        passed = await client.get("/api/health", headers={"Host": "inner:4280", "X-Forwarded-Host": "door.example.com"})
        foreign = await client.get("/api/health", headers={"X-Forwarded-Host": "evil.example"})

    assert [each.status_code for each in (spoofed, claimed, passed, foreign)] == [200, 400, 200, 400]


@pytest.mark.parametrize(
    "path",
    [
        *("//api/me", "/api//me", "/api/../api/me", "/api/%2e%2e/me", "/api/%2E%2E/me", "/api%2fme", "/api/me%5c"),
        *("/api/me%00", "/api/%252e%252e/me", "/api/me/..", "/api/./me"),
    ],
)
async def test_a_path_with_more_than_one_reading_is_refused(desk: Desk, path: str) -> None:
    """What one program takes for a folder, another one takes for a letter."""
    async with desk.open():
        assert await desk.status(path.encode(), bearer(token())) == 400
        assert await desk.status(b"/api/me", bearer(token())) == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://door.example.com", f"{URL}.evil.example"])
async def test_a_page_of_another_origin_changes_nothing(desk: Desk, origin: str) -> None:
    """Not even with a token that it has found somewhere."""
    async with desk.open() as client:
        answer = await client.post("/api/permissions", json=GRANT, headers=bearer(token()) | {"Origin": origin})
        own = await client.post("/api/permissions", json=GRANT, headers=bearer(token()) | {"Origin": URL})

    assert (answer.status_code, own.status_code) == (403, 204)


async def test_a_body_that_is_too_large_is_not_read(desk: Desk) -> None:
    """By what it says of itself, and where it says nothing, while it comes in."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 10_000

    async with desk.open() as client:
        told = await client.post("/api/permissions", content=b"x" * 2_000_000, headers=bearer(token()))
        came = await client.post("/api/permissions", content=endless(), headers=bearer(token()))

    assert (told.status_code, came.status_code) == (413, 400)


async def test_every_answer_has_what_keeps_browsers_careful(desk: Desk) -> None:
    """Refusals, too."""
    async with desk.open() as client:
        answers = [await client.get("/api/health"), await client.get("/api/me"), await client.get("/nowhere")]
        answers.append(await client.get("/api/health", headers={"Host": "evil.example"}))

    for answer in answers:
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert "server" not in answer.headers
    assert [answer.status_code for answer in answers] == [200, 401, 401, 400]


async def test_what_was_not_understood_is_said_without_its_value(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A body may hold anything."""
    bad: Mapping[str, object] = GRANT | {"actions": ["erase ana@example.com"]}
    async with desk.open() as client:
        answer = await client.post("/api/permissions", json=bad, headers=bearer(token()))
        garbage = await client.post("/api/permissions", content=b"ana@example.com", headers=bearer(token()))

    assert (answer.status_code, garbage.status_code) == (400, 400)
    assert answer.json()["detail"].startswith("actions.0: Input should be 'view'")
    assert "ana@example.com" not in answer.text + garbage.text + caplog.text
    assert f"{ISSUER} {ADMIN}" not in caplog.text


@pytest.mark.parametrize(
    "url", ["https://door.example.com", "https://door.example.com:443", "HTTPS://Door.example.com/"]
)
def test_the_origin_is_written_as_browsers_write_it(url: str) -> None:
    """They leave the usual port out, and pages of the door would change nothing."""
    assert origin_of(url) == "https://door.example.com"
    assert origin_of("http://[::1]:4280") == "http://[::1]:4280"
