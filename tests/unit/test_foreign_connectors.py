"""What connectors of third parties say of a learner, in any spelling, goes nowhere: errors, receipts, log lines."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from retirement.connectors import Connector, Erasure, Identity, Outcome, ServiceSettings, Verdict, operation
from retirement.errors import Defect, Misconfigured, RateLimited, Refused, RetirementError, ServiceError
from retirement.learner import Learner
from retirement.privacy import REDACTED, RedactingFilter, mentions, redact
from retirement.wire.api import Api
from retirement.wire.pool import pool

from .test_privacy import NOBODY

pytestmark = pytest.mark.anyio

LEARNER = replace(NOBODY, username="zoe-c9", email="zoe.canary.0001@post.example", name="Zoë Canary Ünal")


def hashed(made: Callable[[bytes], Any]) -> Callable[[str], str]:
    return lambda name: str(made(name.encode()).hexdigest())


def as_base64(name: str) -> str:
    return base64.b64encode(name.encode()).decode()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "capitals": str.upper,
    "percent": lambda name: quote(name, safe=""),
    "percent twice": lambda name: quote(quote(name, safe=""), safe=""),
    "base64": as_base64,
    "base64 without its end": lambda name: as_base64(name).rstrip("="),
    "base64 of a pair": lambda name: as_base64(f"user:{name}"),
    "base64 in a URL": lambda name: quote(as_base64(name), safe=""),
    "md5": hashed(hashlib.md5),
    "sha1": hashed(hashlib.sha1),
    "sha256": hashed(hashlib.sha256),
    "sha256 of small letters": lambda name: hashed(hashlib.sha256)(name.lower()).upper(),
    "bytes": lambda name: repr(name.encode()),
}
SPELLED = [
    pytest.param(spell(name), id=f"{kind} of {name}")
    for kind, spell in SPELLINGS.items()
    for name in (LEARNER.username, LEARNER.email, LEARNER.name)
]


class Leaky(Connector):
    """A connector of a third party that says what it should not: whatever `said` is."""

    service = "ACME"
    said = ""
    raised: type[ServiceError] = Refused

    @operation(Identity.EMAIL, asks="is_gone")
    async def erase(self, learner: Learner) -> Erasure:
        """Says it in request, reason and log."""
        logging.getLogger("acme").error("DELETE %s", self.said)
        raise self.raised("ACME", f"DELETE /users/{self.said}", 409, f"user {self.said} is locked")

    async def is_gone(self, receipt: str, learner: Learner | None) -> Verdict:
        """Says it in the reason."""
        raise self.raised("ACME", "GET /users", 500, f"no such user: {self.said}")


class Receipted(Leaky):
    """Gives what is said as its receipt."""

    @operation(Identity.EMAIL)
    async def erase(self, learner: Learner) -> Erasure:
        """Keeps it for good."""
        return Erasure(Outcome.ERASED, self.said)


class Own(ServiceError):
    """An error of a third party, whose text is its own affair."""

    def __str__(self) -> str:
        return f"{self.reason}; {LEARNER.name}"


def connector(kind: type[Leaky], said: str, raised: type[ServiceError] = Refused) -> Leaky:
    made = kind(ServiceSettings(url="https://acme.example"), Api("ACME", pool("http://offline.invalid", 1)))
    made.said, made.raised = said, raised
    return made


async def error_of(made: Leaky, *, asked: Learner | None = None) -> RetirementError:
    with pytest.raises(RetirementError) as caught:
        await (made.ask("erase", "7", asked) if asked else made.perform("erase", LEARNER))
    return caught.value


@pytest.fixture
def log() -> Any:
    """What a log with our filter shows."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    logger = logging.getLogger("acme")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


@pytest.mark.parametrize("said", SPELLED)
async def test_errors_receipts_and_logs_are_free_of_the_learner(said: str, log: io.StringIO) -> None:
    """In whatever spelling; the class, the status and what it means stay."""
    done, asked = await error_of(connector(Leaky, said)), await error_of(connector(Leaky, said), asked=LEARNER)

    for error in (done, asked):
        texts = [str(error), repr(error.args), "".join(traceback.format_exception(error))]
        assert not any(mentions(text, LEARNER) or said in text for text in texts)
        assert type(error) is Refused
    assert done.shared_by[2] == 409
    assert not mentions(log.getvalue(), LEARNER)
    assert said not in log.getvalue()
    assert isinstance(await error_of(connector(Receipted, said)), Defect)


async def test_what_names_no_learner_stays_as_it_is() -> None:
    """A sentence that helps is worth more than a net that catches all."""
    error = await error_of(connector(Leaky, "17"))

    assert str(error) == "ACME: DELETE /users/17 answered 409: user 17 is locked"
    assert Erasure(Outcome.ERASED, "job-17") == await connector(Receipted, "job-17").perform("erase", LEARNER)


async def test_the_part_before_the_at_sign_is_a_name_where_it_tells_its_owner() -> None:
    """With another sign between its words too; one plain word of an address is a word of sentences."""
    error = await error_of(connector(Leaky, "zoe_canary_0001"))

    assert f"user {REDACTED} is locked" in str(error)
    assert not mentions("a user is locked", replace(LEARNER, email="locked@post.example"))


async def test_an_error_of_a_class_of_theirs_becomes_one_of_ours() -> None:
    """Its text may be made of anything."""
    error = await error_of(connector(Leaky, "x", Own))

    assert type(error) is ServiceError
    assert not mentions(str(error), LEARNER)


async def test_what_an_error_means_survives() -> None:
    """How long to wait, and whether it may have been done all the same."""

    class Waits(RateLimited):
        def __init__(self, service: str, request: str, status: int | None = None, reason: str = "") -> None:
            super().__init__(service, request, status, reason, in_doubt=True, retry_after=7)

    error = await error_of(connector(Leaky, LEARNER.email, Waits))
    assert isinstance(error, RateLimited)
    assert (error.in_doubt, error.retry_after, error.status) == (True, 7, 409)


async def test_an_address_goes_although_the_lms_has_forgotten_whose_it_is() -> None:
    """Asked about a learner without a name; a probe has none either."""
    with pytest.raises(Misconfigured) as caught:
        await connector(Leaky, LEARNER.email, Misconfigured).ask("erase", "7", None)

    assert str(caught.value) == f"ACME: GET /users answered 500: no such user: {REDACTED}"
    assert redact("nothing personal") == "nothing personal"
