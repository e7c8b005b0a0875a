"""A learner is found by username or e-mail address: in memory, in whatever state, and never by a guess."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from retirement.errors import ConfigError
from retirement.pipeline import COMPLETE, ERRORED, PENDING
from retirement.site.by_name import Name, find

from .doubles import Forward, World, holder, line, names_nobody

pytestmark = pytest.mark.anyio

TODAY = line(("LMS_MISC", "LMS", "retirement_lms_retire_misc"), ("LMS", "LMS", "retirement_lms_retire"))
STATES = [PENDING, "NOTES_COMPLETE", *TODAY.lms_states[1:]]


@pytest.mark.parametrize("state", [PENDING, "NOTES_COMPLETE", "RETIRING_LMS", ERRORED, COMPLETE])
async def test_a_row_is_found_by_either_name_whatever_its_state(world: World, state: str) -> None:
    """Case and blanks do not count, and a step that was taken out hides no learner."""
    world.seed(holder("bo", state=state), holder("bo2"), states=STATES)
    site, bo = world.site(TODAY), world.user_ids["bo"]

    assert await find(site, Name("username", " BO ")) == bo
    assert await find(site, Name("email", "Bo@Mail.example")) == bo


@pytest.mark.parametrize("username", ["faye/slash", "gü.x", "h+i@j", "p%20q"])
async def test_a_name_stands_in_no_request(world: World, username: str) -> None:
    """A learner who waits is found among the rows that the LMS lists, also where no path carries the name."""
    world.seed(holder(username), states=STATES)
    site = world.site(TODAY)
    asked: list[str] = []
    world.around = lambda request, forward: asked.append(str(request.url)) or forward(request)

    for name in (Name("username", username), Name("email", f"{''.join(filter(str.isalnum, username))}@mail.example")):
        assert await find(site, name) == world.user_ids[username]

    assert asked
    assert not [url for url in asked if "retirement_status" in url or "mail.example" in url]


@pytest.mark.parametrize("answered", ["bo", "cy"])
async def test_a_row_in_a_state_that_nothing_names_is_taken_only_with_that_name(world: World, answered: str) -> None:
    """No list shows it, so the LMS is asked by the name; an answer about another learner is none."""
    world.seed(holder("bo", state="QUARANTINE"), holder("cy", state="QUARANTINE"), states=[*STATES, "QUARANTINE"])
    site = world.site(TODAY)

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if "retirement_status" in request.url.path:
            request = httpx.Request("GET", str(request.url).replace("/bo/", f"/{answered}/"), headers=request.headers)
        return await forward(request)

    world.around = around
    if answered == "bo":
        assert await find(site, Name("username", "bo")) == world.user_ids["bo"]
    else:
        with pytest.raises(ConfigError, match="no row of the LMS"):
            await find(site, Name("username", "bo"))


async def test_a_learner_of_whom_the_lms_has_no_row_is_found_in_the_ledger(world: World) -> None:
    """The cleanup has deleted the row, and a certificate is asked for."""
    world.seed(holder("bo"), states=STATES)
    site = world.site(TODAY)
    bo = await world.learner(site, "bo")
    lease = await world.ledger.learners.lease(bo, due_at=site.due_at(bo), pipeline=TODAY.digest)
    await lease.end("retired", "", COMPLETE)
    world.seed(states=STATES)

    assert await find(site, Name("email", bo.email)) == await find(site, Name("username", "bo")) == bo.user_id


async def test_an_address_of_two_learners_names_both_and_chooses_none(world: World) -> None:
    """It was registered anew after the first retirement."""
    world.seed(holder(), states=STATES)
    site = world.site(TODAY)
    now = await world.learner(site, next(iter(world.user_ids)))
    before = replace(now, user_id=7, retirement_id=1, username="before")
    lease = await world.ledger.learners.lease(before, due_at=site.due_at(now), pipeline=TODAY.digest)
    await lease.end("retired", "", COMPLETE)

    with pytest.raises(ConfigError) as refused:
        await find(site, Name("email", now.email))

    said = str(refused.value)
    assert said == (
        f"--email: 2 learners have it: learner 7 (retired), learner {now.user_id} (PENDING); give --user-id"
    )
    assert names_nobody(said)
    assert await find(site, Name("username", now.username)) == now.user_id


@pytest.mark.parametrize(
    "name", [Name("username", "nobody"), Name("email", "no@mail.example"), Name("email", " "), Name("username", "")]
)
async def test_a_name_that_no_row_has_is_an_error_without_the_name(world: World, name: Name) -> None:
    """What could not be compared is said: rows that no listing shows, keys that are lost."""
    world.seed(holder("bo"), states=[*STATES, "QUARANTINE"], worker_is_staff=False)
    site = world.site(TODAY)
    bo = await world.learner(site, "bo")
    lease = await world.ledger.learners.lease(bo, due_at=site.due_at(bo), pipeline=TODAY.digest)
    await lease.end("parked", "", "LMS_MISC_COMPLETE")
    await world.force("bo", "QUARANTINE")

    with pytest.raises(ConfigError) as refused:
        await find(site, name)

    assert str(refused.value) == (
        f"--{name.kind}: no row of the LMS and no retirement of the ledger has it; "
        "1 rows could not be read: `retirement status` shows them"
    )
    assert "nobody" not in repr(name)
