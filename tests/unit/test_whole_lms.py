"""What a whole LMS answers where no time helps: accounts without a profile, and a forum that is switched off."""

from __future__ import annotations

from typing import Any

import pytest

from retirement.errors import Ending, Misconfigured
from retirement.pipeline import ERRORED, Pipeline

from .batches import batch_of
from .doubles import World, holder, names_nobody, shipped

pytestmark = pytest.mark.anyio

LINE, MINIMAL = shipped("default"), shipped("minimal")
FORUM = "RETIRING_FORUMS"


def said(world: World, username: str) -> str:
    """The last text that the LMS has stored with a row."""
    texts: str = world.sandbox.state()["learners"][username]["retirement"]["responses"]
    return texts.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("version", "without", "step"),
    [
        (1, {}, "RETIRING_ENROLLMENTS"),
        (2, {}, "RETIRING_ENROLLMENTS"),
        (1, {"enrollments": []}, "RETIRING_LMS"),
        (1, {"enrollments": [{"org": "OrgC", "active": False}]}, "RETIRING_LMS"),
    ],
    ids=["unenroll", "newer-unenroll", "never-enrolled", "enrollment-ended"],
)
async def test_an_account_without_a_profile_is_errored_with_the_remedy(
    world: World, version: int, without: dict[str, Any], step: str
) -> None:
    """It is this learner's own: no run stops, no breaker opens, and the others are retired."""
    world.seed(holder("otis", profile=False, **without), holder("bo"), states=MINIMAL.lms_states)
    site = world.site(MINIMAL, unenroll_version=version)

    report = await world.retire(site, "otis")

    assert (report.ending, world.state("otis")) == (Ending.ERRORED, ERRORED)
    for text in (report.reason, said(world, "otis")):
        assert "the account has no profile: make one in the LMS' Django admin, then `retirement redrive`" in text
        assert names_nobody(text)
    (failed,) = await world.ledger.events.find(kind="step.failed")
    assert (failed.facts["step"], failed.facts["error"]) == (step, "Refused")
    assert (await world.retire(site, "bo")).ending is Ending.RETIRED
    assert not await world.ledger.breakers.down()


@pytest.mark.parametrize("forum", [True, False], ids=["has-posts", "never-wrote"])
@pytest.mark.parametrize("pipeline", [LINE, shipped("dag")], ids=["line", "graph"])
async def test_a_forum_that_is_switched_off_stops_the_run_by_its_name(
    world: World, pipeline: Pipeline, forum: bool
) -> None:
    """It answers so to every learner and for ever: a wrong set-up, and no service that is down."""
    world.seed(*(holder(name, forum=forum) for name in ("bo", "cy")), states=pipeline.lms_states, forum="off")
    site = world.site(pipeline)
    reports = [await world.retire(site, name) for name in ("bo", "cy")]

    assert {each.ending for each in reports} <= {Ending.STOPPED, Ending.PARKED}
    assert "the forum is switched off in the LMS' Django admin: enable ForumsConfig" in reports[0].reason
    assert isinstance(batch_of(site).stop.reason, Misconfigured)
    assert {world.state(name) for name in ("bo", "cy")}.isdisjoint({ERRORED, FORUM})
    assert not await world.ledger.breakers.down()


@pytest.mark.parametrize(
    ("service", "path", "status"),
    [
        ("lms", "retire_forum", 503),
        ("credentials", "replace_usernames", 403),
        ("lms", "edxnotes", 429),
        ("lms", "accounts/retire/", 500),
    ],
)
async def test_the_row_says_why_a_learner_was_given_back(world: World, service: str, path: str, status: int) -> None:
    """Whether anything is wrong with the learner cannot be told from one answer, so no text claims it."""
    world.seed(holder("bo"), states=LINE.lms_states)
    world.sandbox.arm([{"service": service, "path": path, "status": status, "times": 99}])
    site = world.site(LINE)

    report = await world.retire(site, "bo")

    assert report.ending in (Ending.PARKED, Ending.STOPPED)
    text = said(world, "bo")
    assert text.startswith("Given back to the queue: ")
    assert str(status) in text
    assert "nothing is wrong" not in text
    assert names_nobody(text)
