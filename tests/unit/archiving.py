"""What the tests of the archive share: learners who were retired long ago, and what became of their rows."""

from __future__ import annotations

from typing import Any

from retirement import archive as archives
from retirement.archive import Choice
from retirement.certificate import Certificate, certificate_of
from retirement.forgetting import Archived, Told, What
from retirement.ledger.extract import extract
from retirement.site import Site

from .doubles import USERNAME, World, holder, line

PIPELINE = line(("MISC", "LMS", "retirement_lms_retire_misc"), ("LMS", "LMS", "retirement_lms_retire"))
NAMES = [USERNAME, "bo", "cy", "di", "ed"]
CLEANUP = "/retirement_cleanup/"
TOLD = Told("retired by the former driver", "dpo", incomplete=True, receipts=True)


async def retired(world: World, *names: str, days: int = 31) -> Site:
    """A site whose learners were retired so many days ago."""
    world.seed(*(holder(name) for name in names), states=PIPELINE.lms_states)
    site = world.site(PIPELINE)
    for name in names:
        await world.retire(site, name)
    world.age(days)
    return site


async def archived(site: Site, dry_run: bool = False, **choice: Any) -> list[Archived]:
    found: list[Archived] = []
    await archives.archive(site, Choice(**{"days": 30} | choice), found.append, dry_run=dry_run)
    return found


def whats(found: list[Archived]) -> list[What]:
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
    record = await site.ledger.record(user_id)
    assert record is not None
    about = {"user_id": user_id, "retirement_id": record.retirement_id, "step": "MISC", "service": "SEGMENT"}
    return await site.ledger.add_receipt(**about, reference="job-1")
