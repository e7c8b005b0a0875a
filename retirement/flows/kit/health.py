"""Whether a Prefect server answers, and what is wrong with its address or its password where it does not."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx

from retirement.errors import ConfigError, EngineLost, name_of
from retirement.flows.kit.environment import LOOPBACK
from retirement.wire.certificates import certificates

#: Seconds for one question as a whole, also where its answer comes a byte at a time.
PATIENCE_SECONDS = 5.0
#: The same of a server that is at work for us.
LOADED_SECONDS = 20.0

#: What a server does that does not answer.
_SILENCE = (httpx.HTTPError, httpx.InvalidURL, TimeoutError)
#: Answers about what a request has in it: unreadable, too large, not what is asked for.
_OF_THE_REQUEST = (400, 413, 422)


async def is_up(api_url: str) -> bool:
    """Whether a server says that it runs; it says so without a password."""
    return await _says(f"{api_url}/health")


async def is_alive(api_url: str) -> bool:
    """Whether a server that was up is there, with its database. One that is slow to say so is."""
    try:
        async with _client(api_url, seconds=LOADED_SECONDS) as client:
            # A gateway may hide it, or ask for a password: whatever is no failure of the server's is an answer.
            return (await client.get(f"{api_url}/ready")).status_code < 500
    except _SILENCE:
        return False


def is_failure(error: Exception) -> bool:
    """Whether a client's error says that no answer came, or that the server is at fault and not the request."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
    return isinstance(error, httpx.TransportError)


@contextmanager
def lost_as(sentence: str) -> Iterator[None]:
    """Raises `EngineLost` with this sentence where a client of Prefect's raises what `is_failure` says of the block."""
    try:
        yield
    except Exception as error:  # raised again unless the server is at fault
        if is_failure(error):
            raise EngineLost(sentence) from None
        raise


def is_of_the_request(error: Exception) -> bool:
    """Whether a client's error is about what a request has in it, so that it fails whenever it is sent.

    Any other one is that of the server, or of what stands before it: a gateway's 401, 404 or 429 passes.
    """
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _OF_THE_REQUEST
    return isinstance(error, UnicodeError | TypeError)


def in_short(error: Exception) -> str:
    """What a client's error is, without what it says: that may have the request in it."""
    status = f" {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else ""
    return f"{name_of(type(error))}{status}"


async def require_server(api_url: str, environ: Mapping[str, str] | None = None) -> None:
    """Raises `ConfigError` where no Prefect server takes requests of ours at this address."""
    if not await is_up(api_url):
        if await is_up(f"{api_url}/api"):
            raise ConfigError(f"PREFECT_API_URL: {api_url} is the address of the UI; the API's ends with /api")
        raise ConfigError(f"PREFECT_API_URL: no Prefect server answers at {api_url}; start it, or unset the variable")
    await _require_permission(api_url, os.environ if environ is None else environ)


async def _require_permission(api_url: str, given: Mapping[str, str]) -> None:
    """Raises `ConfigError` where the server does not take the password, or the key, of this environment."""
    try:
        async with _client(api_url) as client:
            # Health is open to all, this is not.
            answer = await client.post(f"{api_url}/flows/count", json={}, headers=_signed(given))
    except _SILENCE:
        return
    if answer.status_code in (401, 403):
        name = "PREFECT_API_KEY" if given.get("PREFECT_API_KEY") else "PREFECT_API_AUTH_STRING"
        why = "is not what it takes" if given.get(name) else "is not set, and it asks for one"
        raise ConfigError(f"{name}: the Prefect server at {api_url} answered {answer.status_code}: the variable {why}")


async def asks_for_a_credential(api_url: str) -> bool:
    """Whether a server refuses requests without one. Raises `EngineLost` where it does not answer."""
    try:
        async with _client(api_url) as client:
            answer = await client.post(f"{api_url}/flows/count", json={})
    except _SILENCE:
        raise _lost(api_url) from None
    return answer.status_code in (401, 403)


async def asked(api_url: str, path: str, body: Mapping[str, Any]) -> Any:
    """What a server answers to a question. Raises `EngineLost` where it does not."""
    answer = await _answer(api_url, path, dict(body))
    try:
        return answer.json()
    except ValueError:
        raise _lost(api_url) from None


async def told(api_url: str, path: str, body: Any) -> None:
    """Tells a server something to which it has no answer. Raises `EngineLost` where it does not take it."""
    await _answer(api_url, path, body)


async def _answer(api_url: str, path: str, body: Any) -> httpx.Response:
    try:
        async with _client(api_url, seconds=LOADED_SECONDS) as client:
            answer = await client.post(f"{api_url}/{path}", json=body, headers=_signed(os.environ))
            return answer.raise_for_status()
    except _SILENCE:
        raise _lost(api_url) from None


def _lost(api_url: str) -> EngineLost:
    return EngineLost(f"the Prefect server at {api_url} does not answer")


def _signed(given: Mapping[str, str]) -> dict[str, str]:
    if key := given.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    if words := given.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {base64.b64encode(words.encode()).decode()}"}
    return {}


async def _says(url: str) -> bool:
    """Whether the answer is 200 and JSON: a server of pages has one for every address."""
    try:
        async with _client(url) as client:
            answer = await client.get(url)
    except _SILENCE:
        return False
    return answer.status_code == 200 and "json" in answer.headers.get("content-type", "")


@asynccontextmanager
async def _client(url: str, seconds: float = PATIENCE_SECONDS) -> AsyncIterator[httpx.AsyncClient]:
    trusting = httpx.URL(url).host not in LOOPBACK
    verify = certificates(trust_env=trusting)
    async with (
        asyncio.timeout(seconds),
        httpx.AsyncClient(timeout=seconds, trust_env=trusting, verify=verify) as client,
    ):
        yield client
