"""Nothing of a learner gets into a log, whoever writes it."""

import io
import json
import logging
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from retirement.learner import Learner
from retirement.privacy import REDACTED, RedactingFilter, forget, known, redact, remember
from tests import locks, patient

WHEN = datetime(2026, 1, 1, tzinfo=UTC)

CANARY = Learner(
    user_id=17,
    retirement_id=1,
    username="kanarienvogel.9",
    email="kanarienvogel@example.com",
    name="Ana María Canary-Quill",
    retired_username="retired__user_17",
    retired_email="retired__user_17@retired.invalid",
    current_username="kanarienvogel.9",
    state="PENDING",
    last_state="PENDING",
    requested_at=WHEN,
    changed_at=WHEN,
)

RUN = """
import asyncio, logging
from dataclasses import replace
import httpx
from prefect import flow, get_run_logger
from retirement.privacy import known, redact_logs
from tests.flows.test_redaction import CANARY

@flow(name="says-too-much", flow_run_name="says-too-much", persist_result=False)
async def says_too_much() -> None:
    redact_logs()
    with known(CANARY):
        logging.getLogger("prefect.flow_runs").info("plain ana%sexample.com and %s", "@", CANARY.username)
        get_run_logger().warning("names %r", CANARY.name)
        async with httpx.AsyncClient() as client:
            await client.get(ADDRESS, params={"username": CANARY.username, "email": CANARY.email, "name": CANARY.name})
        try:
            raise ValueError(f"no such learner: {CANARY.name}")
        except ValueError:
            get_run_logger().exception("broke for %s", CANARY.email)

asyncio.run(says_too_much())
"""


def logged(message: str, *values: object, error: BaseException | None = None) -> str:
    """What a handler with the filter writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    handler.handle(
        logging.LogRecord("n", logging.INFO, "f.py", 1, message, values, error and (type(error), error, None))
    )
    return stream.getvalue()


@pytest.mark.parametrize("text", ["x ana@example.com", "GET /a/ana%40example.com/b", "<ana+tag@sub.example.museum>"])
def test_whatever_looks_like_an_address_is_taken_out(text: str) -> None:
    """Also of people whom nobody has remembered, and in a URL."""
    assert "example" not in redact(text)
    assert REDACTED in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "user kanarienvogel.9 not found",
        "KANARIENVOGEL.9",
        "GET /user/kanarienvogel.9/",
        "?name=Ana+Mar%C3%ADa+Canary-Quill&x=1",
        "/Ana%20Mar%C3%ADa%20Canary-Quill/",
        json.dumps({"name": CANARY.name}),
        repr(CANARY.name),
    ],
)
def test_a_learner_who_is_remembered_is_taken_out_in_every_spelling(text: str) -> None:
    """In clear, in a URL, in JSON, in capitals; and only as long as they are remembered."""
    with known(CANARY):
        assert not any(word in redact(text).casefold() for word in ("kanarien", "quill", "ana"))

    assert redact(text) == text


def test_two_learners_may_share_a_name() -> None:
    """Forgetting one of them keeps the other out of the logs."""
    other = replace(CANARY, user_id=18, username="other", current_username="other", email="other@example.com")
    remember(CANARY)
    remember(other)
    forget(CANARY)
    try:
        assert redact(f"{CANARY.name} is here") == f"{REDACTED} is here"
        assert redact("kanarienvogel.9") == "kanarienvogel.9"
    finally:
        forget(other)


def test_a_learner_who_is_remembered_by_a_run_and_by_its_step_is_taken_out_until_both_are_through() -> None:
    """The end of a step is not the end of the run."""
    with known(CANARY):
        with known(CANARY):
            assert redact(CANARY.username) == REDACTED
        assert redact(CANARY.username) == REDACTED

    assert redact(CANARY.username) == CANARY.username


def test_words_that_only_contain_a_name_stay() -> None:
    """A learner who is called Step would leave nothing to read otherwise."""
    with known(replace(CANARY, username="step", current_username="step", name="Step", email="step@example.com")):
        assert redact("stepwise over 3 steps") == "stepwise over 3 steps"


def test_values_and_tracebacks_are_covered() -> None:
    """A record is redacted as it will be read, not as its parts were given."""
    with known(CANARY):
        text = logged("a %s, b %d: %r", CANARY.email, 3, CANARY.name, error=ValueError(CANARY.username))

    assert text == f"a {REDACTED}, b 3: '{REDACTED}'\nValueError: {REDACTED}\n"


def test_a_line_that_cannot_be_put_together_shows_no_values() -> None:
    """Python's logging would print them to the terminal as they are."""
    assert logged("%d learners", CANARY.email) == "a log line that could not be put together\n"


def test_neither_our_lines_nor_those_of_httpx_reach_prefect_with_a_learner(
    tmp_path: Path, environment: dict[str, str], engine: str
) -> None:
    """With everything logged that there is: the API log and the terminal show that something was said, not of whom."""
    script = tmp_path / "run.py"
    script.write_text(RUN.replace("ADDRESS", repr(f"{engine}/health")))
    loud = {
        **locks.variables(engine),
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "httpx,httpcore,aiohttp",
        "PYTHONPATH": ".",
    }
    done = subprocess.run(
        [sys.executable, script], env={**environment, **loud}, capture_output=True, text=True, check=True
    )
    runs = patient.post(f"{engine}/flow_runs/filter", json={"flow_runs": {"name": {"any_": ["says-too-much"]}}}).json()
    body = {"logs": {"flow_run_id": {"any_": [runs[0]["id"]]}}, "limit": 200}
    stored = [f"{each['name']}: {each['message']}" for each in patient.post(f"{engine}/logs/filter", json=body).json()]
    everything = [*stored, *done.stdout.splitlines(), *done.stderr.splitlines()]

    assert f"prefect.flow_runs: plain {REDACTED} and {REDACTED}" in stored
    assert any(line.startswith("httpx: HTTP Request: GET") and REDACTED in line for line in stored)
    assert any(line.startswith("prefect.flow_runs: broke for") and "ValueError" in line for line in stored)
    assert [line for line in everything if re.search("kanarien|quill|ana@", line, re.IGNORECASE)] == []
