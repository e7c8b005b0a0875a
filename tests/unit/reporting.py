"""What the tests of the partner report share: a site that has queued everybody, and who has to be told of whom."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from retirement.errors import Ending
from retirement.site import Site

from .doubles import USERNAME, World, holder, line

PIPELINE = line(("PARTNERS", "LMS", "retirement_partner_queue"), ("LMS", "LMS", "retirement_lms_retire"))
TAKE, CLEAN = "retirement_partner_report/", "retirement_partner_report_cleanup"
#: One who is COMPLETE, one in the middle, one whom nobody has to be told of, one whose name no path can carry.
ORGS = {USERNAME: {"OrgA", "OrgB"}, "bo": {"OrgA"}, "cyn": set(), "faye/slash": {"Zürich U."}}
#: Where the learner stands whom a service kept waiting.
WAITS = "PARTNERS_COMPLETE"


def learners() -> list[dict[str, Any]]:
    return [
        holder(name, enrollments=[{"org": org, "active": org != "OrgB"} for org in sorted(orgs)])
        for name, orgs in ORGS.items()
    ]


async def queued(world: World, *seeds: dict[str, Any]) -> Site:
    """A site whose steps have put everybody into the queue; all are COMPLETE but bo, who waits."""
    world.seed(*(seeds or learners()), states=PIPELINE.lms_states)
    site = world.site(PIPELINE)
    for name in world.sandbox.state()["learners"]:
        if name == "bo":
            world.sandbox.arm([{"path": "accounts/retire/", "status": 503, "times": 99}])
        report = await world.retire(site, name)
        world.sandbox.arm([])
        assert report.ending is (Ending.PARKED if name == "bo" else Ending.RETIRED), report
    return world.site(PIPELINE)


async def lose_a_claim(world: World, site: Site) -> None:
    """What a run leaves behind that died while its claim was answered."""
    await site.ledger.claims.begin()
    await site.lms.partner_queue.claim([].append)


def told(folder: Path) -> Counter[tuple[str, str]]:
    """How often each learner is in a file of each organisation."""
    return _told_in(folder.glob("*.csv"))


def told_below(folder: Path) -> Counter[tuple[str, str]]:
    """The same, in a folder where each organisation has one of its own."""
    assert all(path.parent.name.startswith(path.name.split("_")[1]) for path in folder.rglob("*.csv"))
    return _told_in(folder.rglob("*.csv"))


def _told_in(paths: Iterable[Path]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                found[row["original_username"], path.name.split("_")[1]] += 1
    return found


def due() -> Counter[tuple[str, str]]:
    """What has to be in the files at the end."""
    slugs = {"Zürich U.": "Zürich-U"}
    return Counter({(name, slugs.get(org, org)): 1 for name, orgs in ORGS.items() for org in orgs})


def flags(world: World) -> dict[str, bool]:
    rows = {name: each["partner_report"] for name, each in world.sandbox.state()["learners"].items()}
    return {name: row["is_being_processed"] for name, row in rows.items() if row}


def sent(world: World, path: str, method: str = "POST") -> int:
    return sum(path in each["path"] and each["method"] == method for each in world.sandbox.requests)
