"""Whose code a sample of the profiler is."""

import pytest

from tests.benchmarks.where import FLOW, OF_SERVER, REST, part_of, shares

LOOP = "run (asyncio/runners.py:118)"


@pytest.mark.parametrize(
    ("stack", "part"),
    [
        ([LOOP, "send (retirement/wire/api.py:1)", "send (aiohttp/client.py:2)"], "requests to services"),
        ([LOOP, "step (retirement/retire/learner_run.py:1)"], "steps and learners"),
        (["_commit (retirement/ledger/writer.py:1)", "execute (sqlalchemy/engine/base.py:2)"], "ledger"),
        ([LOOP, "run_below (retirement/flows/kit/below.py:1)", "send (httpx/_client.py:2)"], "what Prefect is told"),
        ([LOOP], REST),
        ([], REST),
    ],
)
def test_what_a_library_does_in_our_process_is_its_callers(stack: list[str], part: str) -> None:
    """The innermost frame that is ours or Prefect's says whose the sample is."""
    assert part_of(stack, FLOW) == part


def test_in_the_server_the_database_is_a_part_of_its_own() -> None:
    """A greenlet has no frame of its caller."""
    samples = (
        f"{LOOP};app (fastapi/routing.py:1);set_state (prefect/server/models/flow_runs.py:2) 1\n"
        "execute (sqlalchemy/orm/session.py:1);compile (sqlalchemy/sql/compiler.py:2) 2\n"
        f"{LOOP};app (fastapi/routing.py:1);json (json/encoder.py:2) 1\n"
    )

    assert shares(samples, OF_SERVER) == {"SQLAlchemy and asyncpg": 0.5, "orchestration": 0.25, "routes": 0.25}
