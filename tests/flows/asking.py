"""A flow that asks for an approval and ends with the answer, run in a thread or served: for the tests of both."""

import asyncio
import json
import sys
import threading
import time
from dataclasses import asdict
from typing import Any

from prefect import State, aserve, flow
from prefect.states import Cancelled, Completed

from retirement.flows.kit.approval import Text, ask
from retirement.flows.kit.ending import ending
from retirement.ledger import Said

TEXT = Text(("12 learners wait, more than the threshold of 10",), depth=12, most=12, how_many=5)


@flow(name="ask-somebody", persist_result=False)
async def ask_somebody(seconds: float = 60) -> State[Any]:
    """Ends Approved or No, with what was said as its message; Stopped when it was told to."""
    given: list[Said] = []
    deadline = time.monotonic() + seconds

    async def over() -> bool:
        return time.monotonic() >= deadline

    async def keep(said: Said) -> None:
        given.append(said)

    async def body() -> State[Any]:
        await ask(TEXT, over, keep, seconds=seconds, every=0.2)
        message = json.dumps([asdict(said) for said in given])
        if [said.answer for said in given] == ["approved"]:
            return Completed(name="Approved", message=message)
        return Cancelled(name="No", message=message)

    return await ending(body)


async def serve() -> None:
    """Runs on request, each in a process of its own."""
    await aserve(await ask_somebody.ato_deployment(name="here"), print_starting_message=False)


def call(name: str, seconds: float) -> None:
    """One run in this process, beside the main thread as the command line does it."""
    named = ask_somebody.with_options(flow_run_name=name)
    thread = threading.Thread(target=lambda: asyncio.run(named(seconds, return_state=True)))
    thread.start()
    thread.join()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    else:
        call(sys.argv[1], float(sys.argv[2]))
