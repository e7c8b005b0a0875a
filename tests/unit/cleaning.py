"""What the tests of the cleanup share: learners who were retired long ago, and what became of their rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx

from retirement.certificate import Certificate, certificate_of
from retirement.followup.archive import Archive
from retirement.followup.cleanup import clean_up
from retirement.followup.cleanup_run import Choice
from retirement.followup.clearance import CleanupFinding, CleanupResult, Override
from retirement.learner import Learner
from retirement.ledger import CleanupIntent
from retirement.ledger.extract import extract
from retirement.site import Site

from .batches import batch_of
from .doubles import USERNAME, Forward, World, holder, line

PIPELINE = line(("MISC", "LMS", "retirement_lms_retire_misc"), ("LMS", "LMS", "retirement_lms_retire"))
#: A state of the LMS that no step has.
EXTRA = "RETIRING_PIGEONS"
#: What a site may take the LMS to have.
STATES = [*PIPELINE.lms_states, EXTRA, "NOT_HERE"]
NAMES = [USERNAME, "bo", "cy", "di", "ed"]
CLEANUP = "/retirement_cleanup/"
TOLD = Override("retired by the former driver", "dpo", incomplete=True, receipts=True)


async def retired(world: World, *names: str, days: int = 31) -> Site:
    """A site whose learners were retired so many days ago."""
    world.seed(*(holder(name) for name in names), states=[*PIPELINE.lms_states[:-3], EXTRA, *PIPELINE.lms_states[-3:]])
    site = world.site(PIPELINE)
    for name in names:
        await world.retire(site, name)
    world.age(days)
    return site


async def cleaned_up(
    site: Site, dry_run: bool = False, archive: Archive | None = None, **choice: Any
) -> list[CleanupFinding]:
    found: list[CleanupFinding] = []
    chosen = Choice(**{"days": 30} | choice)
    batch = batch_of(site)
    await clean_up(site, batch, chosen, found.append, states=STATES, archive=archive, dry_run=dry_run)
    return found


def whats(found: list[CleanupFinding]) -> list[CleanupResult]:
    return [each.what for each in found]


def rows(world: World) -> set[str]:
    """Whose row the LMS still has."""
    return {name for name, each in world.sandbox.state()["learners"].items() if each["retirement"]}


def sent(world: World) -> int:
    return sum(each["path"].endswith(CLEANUP) for each in world.sandbox.requests)


async def certificate(site: Site, user_id: int) -> Certificate:
    return certificate_of(await extract(site.ledger, user_id))


async def promised(site: Site, user_id: int) -> int:
    """A receipt of a service that has still to confirm."""
    record = await site.ledger.learners.newest(user_id)
    assert record is not None
    about = {"user_id": user_id, "retirement_id": record.retirement_id, "step": "MISC", "service": "SEGMENT"}
    return await site.ledger.receipts.add(**about, reference="job-1")


def held(world: World, site: Site, **on: Any) -> Any:
    until = world.calendar().date() + timedelta(days=9)
    whom = {"user_id": None, "org": None, "service": None} | on
    return site.ledger.holds.add(**whom, basis="lawsuit", until=until, by="dpo")


def intended(site: Site, learner: Learner, told: Override | None) -> CleanupIntent:
    """What a run enters that has judged the learner by the whole ledger."""
    whose = (learner.user_id, learner.retirement_id, learner.requested_at.date())
    return CleanupIntent(*whose, site.lms.host, 2**40, None, told.facts if told else None)


def rewritten(world: World, path: str, change: Any) -> None:
    """Changes what the LMS lists there, once it has listed anybody."""

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await forward(request)
        if not request.url.path.endswith(path) or answer.status_code != 200:
            return answer
        listed = httpx.Response(200, content=await answer.aread()).json()
        return httpx.Response(200, json=change(listed) if listed else listed)

    world.around = around


async def unanswered(world: World, days: float = 31) -> Site:
    """A site whose earlier run had asked and was not answered; the LMS has done nothing."""
    site = await retired(world, USERNAME, days=days)
    world.sandbox.arm([{"path": CLEANUP, "method": "POST", "drop": True}])
    assert whats(await cleaned_up(site)) == [CleanupResult.UNANSWERED]
    return site
