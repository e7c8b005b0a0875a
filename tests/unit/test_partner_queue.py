"""The partner report queue: taken once and never again, deleted all or nothing."""

from __future__ import annotations

import traceback
from typing import Any

import httpx
import pytest

from retirement.errors import Misconfigured, Refused, ServiceError, Transient
from retirement.lms import Lms
from retirement.site import Site

from .doubles import USERNAME, Script, World, holder, names_nobody, shipped

pytestmark = pytest.mark.anyio

PIPELINE = shipped("default")
NAMES = [USERNAME, "Bo", "zoë", "dee dee", "faye/slash"]


def queue(world: World, report: str, names: list[str] = NAMES) -> Site:
    world.seed(*(holder(name, partner_report=report) for name in names), states=PIPELINE.lms_states)
    return world.site(PIPELINE)


def reports(world: World) -> dict[str, bool]:
    """Who is in the queue still, and whether they are being processed."""
    rows = {name: each["partner_report"] for name, each in world.sandbox.state()["learners"].items()}
    return {name: row["is_being_processed"] for name, row in rows.items() if row}


def sent(world: World) -> int:
    return sum("partner_report" in each["path"] for each in world.sandbox.requests)


async def test_a_claim_is_whatever_the_lms_hands_out(world: World) -> None:
    """Once; the second time there is nothing."""
    site = queue(world, "queued")

    rows, again = list[Any](), list[Any]()
    await site.lms.partner_queue.claim(rows.append)
    await site.lms.partner_queue.claim(again.append)

    assert [row["original_username"] for row in rows] == NAMES
    assert reports(world) == dict.fromkeys(NAMES, True)
    assert again == []


@pytest.mark.parametrize(
    ("fault", "taken"),
    [
        ({"after": True, "drop": True}, True),
        ({"after": True, "status": 504}, True),
        ({"after": True, "truncate": True}, True),
        ({"drop": True}, False),
        ({"status": 504}, False),
        ({"status": 500}, False),
    ],
)
async def test_a_lost_claim_is_in_doubt_and_never_repeated(world: World, fault: dict[str, Any], taken: bool) -> None:
    """Rows that were handed out do not come again: a second answer, empty, would look like success."""
    site = queue(world, "queued")
    world.sandbox.arm([{"path": "retirement_partner_report/", "method": "POST", **fault}])

    with pytest.raises(Transient) as caught:
        await site.lms.partner_queue.claim([].append)

    assert caught.value.in_doubt
    assert (sent(world), set(reports(world).values())) == (1, {taken})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(200, html="<h1>Log in</h1>"), Misconfigured),
        (httpx.Response(404, html="<h1>Not Found</h1>"), Misconfigured),
        (httpx.Response(403, json={"detail": "no"}), Misconfigured),
        (httpx.Response(409), Refused),
        (httpx.Response(429, headers={"retry-after": "1"}), Transient),
        (httpx.ConnectError("down"), Transient),
    ],
)
async def test_a_claim_that_did_nothing_is_not_in_doubt(answer: Any, expected: type[ServiceError]) -> None:
    """And is sent once all the same."""
    script = Script(answer)

    with pytest.raises(expected) as caught:
        await Lms(script.api(), PIPELINE.lms_states).partner_queue.claim([].append)

    assert not getattr(caught.value, "in_doubt", False)
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, json={"a": 1}), httpx.Response(204), httpx.Response(200, json=None)]
)
async def test_a_claim_without_a_list_is_in_doubt(answer: httpx.Response) -> None:
    """Somebody answered, and what was handed out is not in the answer."""
    with pytest.raises(Transient) as caught:
        await Lms(Script(answer).api(), PIPELINE.lms_states).partner_queue.claim([].append)

    assert caught.value.in_doubt


async def test_reported_learners_are_deleted_at_once(world: World) -> None:
    """A name given twice counts once; nobody is nobody."""
    site = queue(world, "taken")

    assert await site.lms.partner_queue.delete([*NAMES, NAMES[0]]) == []
    assert (reports(world), sent(world)) == ({}, 1)
    assert await site.lms.partner_queue.delete([]) == []
    assert sent(world) == 1


@pytest.mark.parametrize("odd", [["nobody"], ["nobody", "BO"], ["nobody", "x", "y", "z"]])
async def test_names_without_a_row_keep_nobody_else(world: World, odd: list[str]) -> None:
    """The LMS refuses the whole list: unknown names, and other capitals."""
    site = queue(world, "taken")

    assert sorted(await site.lms.partner_queue.delete([*NAMES[:2], *odd, *NAMES[2:]])) == sorted(odd)
    assert reports(world) == {}


async def test_a_learner_who_was_never_claimed_stays(world: World) -> None:
    """Their report is still due."""
    site = queue(world, "queued", ["waits"])

    assert await site.lms.partner_queue.delete(["waits"]) == ["waits"]
    assert reports(world) == {"waits": False}


async def test_all_gone_already_is_one_question(world: World) -> None:
    """The refusal says that it found none."""
    site = queue(world, "taken")
    await site.lms.partner_queue.delete(NAMES)
    before = sent(world)

    assert await site.lms.partner_queue.delete(NAMES) == NAMES
    assert sent(world) == before + 1


@pytest.mark.parametrize(
    ("fault", "gone"),
    [
        ({"after": True, "drop": True}, NAMES),
        ({"after": True, "status": 504}, NAMES),
        ({"drop": True}, []),
        ({"status": 502}, []),
    ],
)
async def test_a_lost_deletion_is_repeated(world: World, fault: dict[str, Any], gone: list[str]) -> None:
    """It is done either way; what the lost one had done has no row any more."""
    site = queue(world, "taken")
    world.sandbox.arm([{"path": "retirement_partner_report_cleanup", "method": "POST", **fault}])

    assert await site.lms.partner_queue.delete(NAMES) == gone
    assert reports(world) == {}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(404, html="<h1>Not Found</h1>"), Misconfigured),
        (httpx.Response(200, html="<h1>Log in</h1>"), Misconfigured),
        (httpx.Response(403, json={"detail": "no"}), Misconfigured),
        (httpx.Response(500, html="<h1>Server Error</h1>"), Transient),
    ],
)
async def test_errors_of_a_deletion_quote_nobody(answer: httpx.Response, expected: type[Exception]) -> None:
    """The LMS' own text lists every name."""
    with pytest.raises(expected) as caught:
        await Lms(Script(answer).api(), PIPELINE.lms_states).partner_queue.delete([USERNAME])

    assert names_nobody("".join(traceback.format_exception(caught.value)))


async def test_one_row_is_deleted_if_it_was_handed_out(world: World) -> None:
    """The answer is the only thing that tells."""
    taken = queue(world, "taken").lms.partner_queue
    assert (await taken.delete_one(NAMES[4]), await taken.delete_one(NAMES[4])) == (True, False)
    waiting = queue(world, "queued", ["waits"]).lms.partner_queue
    assert not await waiting.delete_one("waits")
    assert reports(world) == {"waits": False}


@pytest.mark.parametrize("after", [True, False])
async def test_one_deletion_is_sent_once(world: World, after: bool) -> None:
    """A second answer would be about the second request."""
    site = queue(world, "taken")
    world.sandbox.arm([{"path": "retirement_partner_report_cleanup", "method": "POST", "after": after, "drop": True}])

    with pytest.raises(Transient) as caught:
        await site.lms.partner_queue.delete_one(USERNAME)

    assert caught.value.in_doubt
    assert (sent(world), USERNAME in reports(world)) == (1, not after)
