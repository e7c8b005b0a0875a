"""Posting a few lines to an address of the operator, from code that runs in no event loop, such as the ledger's."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx

from retirement.errors import ConfigError, LedgerError
from retirement.wire.proxies import transport

#: Seconds of a whole post, whatever its parts take.
SECONDS = 30.0


def post_lines(name: str, url: str, lines: bytes, seconds: float = SECONDS) -> None:
    """Posts lines of ASCII; raises `LedgerError`, by the name of the setting, unless the answer is a success.

    Nothing of the answer is read but its status, and no redirect is followed. The address has been checked before.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="posting") as thread:
        try:
            status = thread.submit(lambda: asyncio.run(_posted(url, lines, seconds))).result()
        except TimeoutError:
            raise LedgerError(f"{name}: did not answer within {seconds:g} seconds") from None
        except ConfigError as error:  # a proxy or certificates of the environment
            raise LedgerError(f"{name}: cannot be posted to: {error}") from None
        except httpx.HTTPError as error:
            raise LedgerError(f"{name}: cannot be reached ({type(error).__name__})") from None
    if not 200 <= status < 300:
        raise LedgerError(f"{name}: answered {status}")


async def _posted(url: str, lines: bytes, seconds: float) -> int:
    async with (
        asyncio.timeout(seconds),
        httpx.AsyncClient(transport=transport(url, 1), timeout=seconds, trust_env=False) as client,
        client.stream("POST", url, content=lines, headers={"Content-Type": "text/plain; charset=us-ascii"}) as answer,
    ):
        return answer.status_code
