"""commerce-coordinator: two kinds of 400, a 500 that is the customer's, and digests that hide names."""

from __future__ import annotations

from typing import Any

import pytest

from retirement.connectors import Erasure, Outcome, registry
from retirement.connectors.commerce_coordinator import RETIRE
from retirement.errors import Misconfigured, Refused, RetirementError, Transient
from tests.unit.doubles import USERNAME, holder
from tests.vendors.conftest import Desk

pytestmark = pytest.mark.anyio

VENDOR = "commerce_coordinator"


async def test_names_of_the_customer_become_digests(desk: Desk) -> None:
    """E-mail and username are not there any more; it is found by LMS user id."""
    assert {place["column"] for place in desk.left()} == {"email", "edx_username"}

    assert Erasure(Outcome.ERASED) == await desk.perform("retire_learner")
    assert desk.left() == []
    assert desk.sent() == [("POST", RETIRE)]


async def test_a_second_call_is_fine(desk: Desk) -> None:
    """It makes digests of digests, and brings nothing back."""
    await desk.perform("retire_learner")

    assert Erasure(Outcome.ERASED) == await desk.perform("retire_learner")
    assert desk.left() == []


async def test_no_customer_looks_like_an_erasure(desk: Desk) -> None:
    """The service does not tell them apart, so neither do we."""
    desk.seed(holder())

    assert Erasure(Outcome.ERASED) == await desk.perform("retire_learner")


@pytest.mark.parametrize("email", ["o'brien+a/b@example.com", "ünï@example.com", f"{'a' * 242}@example.com"])
async def test_addresses_do_not_matter(desk: Desk, email: str) -> None:
    """The call names the LMS user id and nothing else."""
    desk.seed(holder(vendors=[VENDOR], email=email))
    await desk.perform("retire_learner")

    assert desk.left() == []


async def test_a_customer_without_a_name_is_refused_after_more_tries(desk: Desk) -> None:
    """The service fails on them for ever; their data has to be repaired."""
    desk.seed(holder(vendors=[VENDOR], name=""))
    learner, connector = await desk.learner(), desk.connector()

    with pytest.raises(Refused, match="first name"):
        await connector.perform("retire_learner", learner)
    assert desk.sent() == [("POST", RETIRE)] * 4


async def test_a_500_that_passes_is_nobodys(desk: Desk) -> None:
    """Whoever gives up at the first one makes a person look for nothing."""
    desk.arm({"status": 500, "times": 2, "body": "Exception occurred while retiring Commercetools customer"})
    learner, connector = await desk.learner(), desk.connector()

    assert Erasure(Outcome.ERASED) == await connector.perform("retire_learner", learner)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, '"Exception occurred while returning order"', Transient),
        (400, '"Invalid input provided"', Misconfigured),
        (400, '"something else"', Refused),
        (404, '{"detail":"Not found."}', Misconfigured),
        (403, '{"detail":"no"}', Misconfigured),
        (429, '{"detail":"Request was throttled."}', Transient),
        (500, '"Exception occurred while retiring Commercetools customer"', Refused),
        (503, '{"detail":"down"}', Transient),
        (200, '"it did not work"', Refused),
    ],
)
async def test_an_answer_means_what_the_contract_says(
    desk: Desk, status: int, body: str, kind: type[RetirementError]
) -> None:
    """A 400 may pass, a 500 may be for ever, and a text in a success is none."""
    fault = {"status": status, "body": body, "headers": {"content-type": "application/json"}}

    assert type(await desk.error("retire_learner", fault)) is kind


@pytest.mark.parametrize(("status", "kind"), [(404, Misconfigured), (500, Transient), (200, Misconfigured)])
async def test_a_page_says_nothing_about_a_customer(desk: Desk, status: int, kind: type[RetirementError]) -> None:
    """A missing route, a server in trouble, a login page."""
    assert type(await desk.error("retire_learner", {"status": status, "body": "<h1>Oops</h1>"})) is kind


async def test_the_probe_asks_without_doing(desk: Desk) -> None:
    """The route takes no GET; nothing is changed."""
    await desk.connector().probe("retire_learner")

    assert desk.sent() == [("GET", RETIRE)]
    assert desk.left()


async def test_a_probe_of_another_address_fails(desk: Desk) -> None:
    """An HTML 404 is a missing route."""
    with pytest.raises(Misconfigured):
        await desk.connector(url="http://commerce_coordinator.sandbox/elsewhere").probe("retire_learner")


def test_an_unknown_setting_is_refused() -> None:
    """A misspelt one must not pass for a default."""
    settings: dict[str, Any] = {"url": "https://coordinator.example", "urll": "x"}
    with pytest.raises(ValueError, match="urll"):
        registry()["COMMERCE_COORDINATOR"].Settings(**settings)


async def test_it_is_asked_no_faster_than_it_allows(desk: Desk) -> None:
    """75 calls a minute; the next one waits."""
    learner, connector = await desk.learner(USERNAME), desk.connector()
    for _ in range(75):
        await connector.perform("retire_learner", learner)
    assert desk.world.naps.taken == []

    await connector.perform("retire_learner", learner)

    assert 0 < desk.world.naps.taken[0] < 60
