"""Demographics: nothing there is a success, a missing route is none."""

from __future__ import annotations

from typing import Any

import pytest

from retirement.connectors import Erasure, Outcome, registry
from retirement.connectors.demographics import RETIRE
from retirement.errors import Misconfigured, Refused, RetirementError, Transient
from tests.unit.doubles import holder
from tests.vendors.conftest import Desk

pytestmark = pytest.mark.anyio

VENDOR = "demographics"


async def test_the_answers_are_deleted(desk: Desk) -> None:
    """By LMS user id, in one call."""
    assert desk.left()

    assert Erasure(Outcome.ERASED) == await desk.perform("retire_learner")
    assert desk.left() == []
    assert desk.sent() == [("POST", RETIRE)]


async def test_a_second_call_finds_nobody(desk: Desk) -> None:
    """404 of the service itself: absent."""
    await desk.perform("retire_learner")

    assert Erasure(Outcome.ABSENT) == await desk.perform("retire_learner")


async def test_who_never_answered_is_absent(desk: Desk) -> None:
    """The reference driver reads 404 so, too."""
    desk.seed(holder())

    assert Erasure(Outcome.ABSENT) == await desk.perform("retire_learner")


@pytest.mark.parametrize("email", ["o'brien+a/b@example.com", "ünï@example.com", f"{'a' * 242}@example.com"])
async def test_addresses_do_not_matter(desk: Desk, email: str) -> None:
    """The call names the LMS user id and nothing else."""
    desk.seed(holder(vendors=[VENDOR], email=email))
    await desk.perform("retire_learner")

    assert desk.left() == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 404, "body": "<h1>Not Found</h1>"}, Misconfigured),
        ({"status": 404, "body": "", "headers": {"content-type": "text/plain"}}, Misconfigured),
        ({"status": 405, "body": "<h1>No</h1>"}, Misconfigured),
        ({"status": 401, "body": {"detail": "Invalid token."}}, Misconfigured),
        ({"status": 403, "body": {"detail": "no"}}, Misconfigured),
        ({"status": 400, "body": {"lms_user_id": ["bad"]}}, Refused),
        ({"status": 500, "body": "<h1>Oops</h1>"}, Transient),
        ({"status": 200, "body": {"error": "it did not work"}}, Refused),
        ({"status": 200, "body": {"success": False}}, Refused),
        ({"status": 200, "body": ["nothing"]}, Refused),
        ({"status": 200, "body": "<h1>Sign in</h1>"}, Misconfigured),
        ({"status": 302, "body": "", "headers": {"location": "/login"}}, Misconfigured),
        ({"status": 200}, Refused),
        ({"status": 202, "body": {"success": True}}, Refused),
    ],
)
async def test_an_answer_means_what_the_contract_says(
    desk: Desk, fault: dict[str, Any], kind: type[RetirementError]
) -> None:
    """Only JSON of the service says that nothing was there, and no success reports a failure."""
    assert type(await desk.error("retire_learner", fault)) is kind


@pytest.mark.parametrize("fault", [{"status": 204}, {"status": 200, "body": {"success": True}}])
async def test_an_empty_204_and_an_object_are_a_success(desk: Desk, fault: dict[str, Any]) -> None:
    """Which one the service has is known to its owners only."""
    desk.arm(fault)

    assert Erasure(Outcome.ERASED) == await desk.connector().perform("retire_learner", await desk.learner())


async def test_the_probe_asks_without_doing(desk: Desk) -> None:
    """The route takes no GET; nothing is changed."""
    await desk.connector().probe("retire_learner")

    assert desk.sent() == [("GET", RETIRE)]
    assert desk.left()


async def test_a_probe_of_another_address_fails(desk: Desk) -> None:
    """An HTML 404 is a missing route."""
    with pytest.raises(Misconfigured):
        await desk.connector(url="http://demographics.sandbox/elsewhere").probe("retire_learner")


def test_an_unknown_setting_is_refused() -> None:
    """A misspelt one must not pass for a default."""
    settings: dict[str, Any] = {"url": "https://demographics.example", "urll": "x"}
    with pytest.raises(ValueError, match="urll"):
        registry()["DEMOGRAPHICS"].Settings(**settings)
