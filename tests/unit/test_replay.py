"""A service or the LMS came back from a backup: exactly those are erased again whom it has back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from retirement.connectors import registry
from retirement.errors import ConfigError, Ending
from retirement.followup.job import Asked, planned
from retirement.followup.late_steps import LateSteps
from retirement.followup.move_back import Finding
from retirement.followup.replay import Restored, forgotten
from retirement.sandbox.vendors import VENDORS
from retirement.sandbox.world.schema import metadata
from retirement.site import Site

from .doubles import World, holder, line, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")
LMS_LAST = (("LMS", "LMS", "retirement_lms_retire"),)
PROCTORING = ("PROCTORING", "LMS", "retirement_retire_proctoring_data")
SHORT = line(PROCTORING, ("CREDENTIALS", "CREDENTIALS", "replace_usernames"), *LMS_LAST)
ASKED = Asked("dpo", "the restore of March")
#: One who was erased before the backup, two after it, and one who waits meanwhile.
BEFORE, AFTER, WAITS = "al-canary", ("bo-canary", "cy-canary"), "di-canary"

Backup = dict[str, list[dict[str, Any]]]


def backup(world: World, *services: str) -> Backup:
    """Every row of these services."""
    tables = [each for each in metadata.sorted_tables if each.info["service"] in services]
    with world.sandbox._platform.world.database.transaction() as db:
        return {
            each.name: [
                {column.name: row[column.name] for column in each.columns if column.computed is None}
                for row in db.execute(select(each)).mappings()
            ]
            for each in tables
        }


def restore(world: World, rows: Backup) -> None:
    """Puts these services back as they were."""
    with world.sandbox._platform.world.database.transaction() as db:
        for name, theirs in rows.items():
            db.execute(metadata.tables[name].delete())
            if theirs:
                db.execute(metadata.tables[name].insert(), theirs)


async def week(world: World, site: Site, *services: str) -> tuple[Backup, datetime]:
    """A learner is retired, the backup is made, two more are retired, and a week passes."""
    names = (BEFORE, *AFTER, WAITS)
    world.seed(*(holder(name, enrollments=[]) for name in names), states=LINE.lms_states, worker_is_staff=True)
    await world.endings(site, BEFORE)
    world.calendar.pass_by(hours=1)
    made, at = backup(world, *services), world.calendar.now
    world.calendar.pass_by(hours=1)
    assert set((await world.endings(site, *AFTER)).values()) == {Ending.RETIRED}
    world.calendar.pass_by(days=7)
    return made, at


async def preview(job: LateSteps) -> list[Finding]:
    return [each async for each in job.preview()]


async def done(site: Site, restored: Restored) -> list[Finding]:
    """A preview, and then what it shows."""
    job = await forgotten(site, restored)
    found = await preview(job)
    return [each async for each in job.do(found, ASKED)] if planned(found) else found


def said(world: World, found: Iterable[Finding]) -> dict[str, str]:
    names = {number: name for name, number in world.user_ids.items()}
    return {names[each.user_id]: each.verdict.value for each in found if each.user_id}


def left(world: World) -> set[str]:
    """Those of whom something is left that a retirement should have cleared, without the one who waits."""
    return {name for name in (BEFORE, *AFTER) if world.sandbox.residue(name)}


async def test_two_services_that_are_a_week_older_forget_exactly_those_who_are_erased_again(world: World) -> None:
    """Proved by the services themselves, and a second run finds nothing to do."""
    site = world.site(LINE)
    made, at = await week(world, site, "credentials", "license_manager")
    restore(world, made)
    restored = Restored(("CREDENTIALS", "LICENSE_MANAGER"), at)
    assert left(world) == set(AFTER)

    would = await preview(await forgotten(site, restored))
    before = len(world.sandbox.requests)
    found = await done(site, restored)
    asked = {each["user_id"] for each in world.sandbox.requests[before:] if each["method"] in ("POST", "PATCH")}
    again = await preview(await forgotten(site, restored))

    assert said(world, would) == dict.fromkeys(AFTER, "would-erase")
    assert said(world, found) == dict.fromkeys(AFTER, "erased")
    assert (left(world), again) == (set(), [])
    assert asked - {None} == {world.user_ids[name] for name in AFTER}
    assert {world.state(name) for name in AFTER} == {"COMPLETE"}
    (act,) = [each for each in await world.ledger.events.find() if each.kind == "replay.asked"]
    assert (act.facts["services"], act.facts["learners"]) == (["CREDENTIALS", "LICENSE_MANAGER"], 2)
    assert "canary" not in str(await world.ledger.events.find())
    assert (await world.ledger.verify()).ok
    assert await world.endings(site, *AFTER) == dict.fromkeys(AFTER, Ending.RETIRED)


async def test_what_could_not_be_erased_is_erased_by_the_next_run(world: World) -> None:
    """What was erased since the restore is none of what was lost."""
    site = world.site(LINE)
    made, at = await week(world, site, "credentials")
    restore(world, made)
    world.sandbox.arm([{"service": "credentials", "path": "replace_usernames", "status": 409}])
    first = await done(site, Restored(("CREDENTIALS",), at))
    world.calendar.pass_by(hours=1)
    second = await done(site, Restored(("CREDENTIALS",), at))
    world.calendar.pass_by(hours=1)

    assert sorted(said(world, first).values()) == ["erased", "failed"]
    assert list(said(world, second).values()) == ["erased"]
    assert await done(site, Restored(("CREDENTIALS",), at)) == []
    assert left(world) == set()


async def test_an_lms_and_two_services_that_are_a_week_older_are_the_queues(world: World) -> None:
    """Its rows came back as well: the next queue run does all again that lies beyond them, and nothing else."""
    site = world.site(LINE)
    made, at = await week(world, site, "lms", "notes", "credentials", "license_manager")
    restore(world, made)
    services = ("LMS", "CREDENTIALS", "LICENSE_MANAGER")

    found = await preview(await forgotten(site, Restored(services, at)))
    endings = await world.endings(site, *AFTER)

    assert said(world, found) == dict.fromkeys(AFTER, "waiting")
    assert all("the next queue run does it" in each.text for each in found)
    assert (set(endings.values()), left(world)) == ({Ending.RETIRED}, set())
    assert await preview(await forgotten(world.site(LINE), Restored(services, at, world.calendar.now))) == []
    assert world.state(WAITS) == "PENDING"


async def test_a_restore_of_the_lms_and_two_services_is_made_good_for_exactly_the_forgotten(world: World) -> None:
    """The drill: what was erased before the backup is let be, and who asked after it is asked for and erased again."""
    site = world.site(LINE)
    later = {key: value for key, value in holder("ed-canary").items() if key != "state"}
    names = (BEFORE, *AFTER, WAITS)
    world.seed(*(holder(name, enrollments=[]) for name in names), later, states=LINE.lms_states, worker_is_staff=True)
    await world.endings(site, BEFORE)
    world.calendar.pass_by(hours=1)
    made, at = backup(world, "lms", "notes", "credentials", "license_manager"), world.calendar.now
    world.calendar.pass_by(hours=1)
    await site.lms.requests.make(["ed-canary"])
    assert set((await world.endings(site, *AFTER, "ed-canary")).values()) == {Ending.RETIRED}
    world.calendar.pass_by(days=7)
    restore(world, made)
    services, before = ("LMS", "CREDENTIALS", "LICENSE_MANAGER"), len(world.sandbox.requests)

    would = await preview(await forgotten(site, Restored(services, at)))
    found = await done(site, Restored(services, at))
    endings = await world.endings(site, *AFTER, "ed-canary")
    changed = {each["user_id"] for each in world.sandbox.requests[before:] if each["method"] in ("POST", "PATCH")}

    assert said(world, would) == {**dict.fromkeys(AFTER, "waiting"), "ed-canary": "would-request"}
    assert said(world, found) == {"ed-canary": "requested"}
    assert (set(endings.values()), left(world), world.sandbox.residue("ed-canary")) == ({Ending.RETIRED}, set(), [])
    assert changed - {None} == {world.user_ids[name] for name in (*AFTER, "ed-canary")}
    assert await preview(await forgotten(world.site(LINE), Restored(services, at, world.calendar.now))) == []
    assert world.state(WAITS) == "PENDING"
    assert (await world.ledger.verify()).ok


async def test_a_request_that_the_lms_has_lost_is_made_again(world: World) -> None:
    """It was made after the backup, so the account is as if nothing had been asked for."""
    site = world.site(LINE)
    learner = {key: value for key, value in holder("ed-canary").items() if key != "state"}
    world.seed(learner, states=LINE.lms_states, worker_is_staff=True)
    made, at = backup(world, "lms"), world.calendar.now
    world.calendar.pass_by(hours=1)
    await site.lms.requests.make(["ed-canary"])
    assert (await world.retire(site, "ed-canary")).ending is Ending.RETIRED
    world.calendar.pass_by(days=7)
    restore(world, made)

    (found,) = await done(site, Restored(("LMS",), at))

    assert (found.verdict.value, "--before-cool-off-is-over" in found.text) == ("requested", True)
    assert (await world.retire(site, "ed-canary")).ending is Ending.RETIRED
    assert world.sandbox.residue("ed-canary") == []


async def test_a_learner_with_a_hold_or_a_live_run_is_left(world: World) -> None:
    """And named by user id."""
    site = world.site(LINE)
    made, at = await week(world, site, "credentials")
    restore(world, made)
    until = world.calendar.now.date() + timedelta(days=9)
    await world.ledger.holds.add(
        user_id=world.user_ids["bo-canary"], org=None, service="CREDENTIALS", basis="a case", until=until, by="dpo"
    )
    learner = await world.learner(site, "cy-canary")
    lease = await world.ledger.learners.lease(learner, due_at=world.calendar.now, pipeline=None)

    found = await preview(await forgotten(site, Restored(("CREDENTIALS",), at)))
    assert said(world, found) == {"bo-canary": "would-erase", "cy-canary": "busy"}
    assert said(world, await done(site, Restored(("CREDENTIALS",), at))) == {"bo-canary": "held"}
    await lease.end("retired", "", "COMPLETE")


async def test_a_name_that_another_account_has_by_now_is_for_a_person(world: World) -> None:
    """What would be erased might be the other one's."""
    site = world.site(LINE)
    made, at = await week(world, site, "credentials")
    restore(world, made)
    table = metadata.tables["auth_user"]
    with world.sandbox._platform.world.database.transaction() as db:
        number = world.user_ids[WAITS]
        db.execute(table.update().where(table.c.learner == number).values(username="bo-canary"))

    found = await preview(await forgotten(site, Restored(("CREDENTIALS",), at)))

    assert said(world, found) == {"bo-canary": "unreached", "cy-canary": "would-erase"}
    assert "another account has the username" in next(each.text for each in found if "another" in each.text)


def with_hubspot(world: World) -> Site:
    """A site that erases contacts of HubSpot by address, before the account."""
    pipeline = line(("HUBSPOT", "HUBSPOT", "delete_user"), *LMS_LAST)
    kind, site = registry()["HUBSPOT"], world.site(pipeline)
    settings = kind.Settings(**VENDORS["hubspot"].settings("http://hubspot.sandbox", {}))
    made = kind.connected("HUBSPOT", settings, world.wiring()[0])
    return replace(site, connectors={**site.connectors, "HUBSPOT": made})


@pytest.mark.parametrize(("vendors", "verdict"), [(["hubspot"], "erased"), ([], "unreached")])
async def test_what_was_found_by_an_address_is_erased_again_by_its_receipt_only(
    world: World, vendors: list[str], verdict: str
) -> None:
    """Without a receipt nothing says whose record has the address by now."""
    site = with_hubspot(world)
    world.seed(holder("bo-canary", vendors=vendors), states=site.pipeline.lms_states, worker_is_staff=True)
    made, at = backup(world, "hubspot"), world.calendar.now
    world.calendar.pass_by(hours=1)
    assert (await world.retire(site, "bo-canary")).ending is Ending.RETIRED
    world.calendar.pass_by(days=7)
    restore(world, made)

    found = await done(site, Restored(("HUBSPOT",), at))

    assert said(world, found) == {"bo-canary": verdict}
    deleted = [each for each in world.sandbox.requests if "gdpr-delete" in each["path"]]
    assert len(deleted) == 2 * len(vendors)


@pytest.mark.parametrize(
    ("services", "hours", "until", "text"),
    [
        (("BRAZE",), 1, None, "--service: BRAZE is not configured; services are LMS, "),
        (("CREDENTIALS",), None, None, "--since: give the moment of the backup"),
        (("CREDENTIALS",), -1, None, "--since: the backup is older than the restore and than now"),
        (("CREDENTIALS",), 1, 2, "--since: the backup is older than the restore"),
        (("CREDENTIALS",), 1, -1, "--restored-at: the moment of the restore is in the future"),
    ],
)
async def test_what_cannot_be_meant_is_one_line(
    world: World, services: tuple[str, ...], hours: int | None, until: int | None, text: str
) -> None:
    """Nothing is entered."""
    world.seed(holder("bo"), states=LINE.lms_states)
    now = world.calendar.now

    def before(ago: int | None) -> datetime | None:
        return None if ago is None else now - timedelta(hours=ago)

    with pytest.raises(ConfigError) as raised:
        await forgotten(world.site(LINE), Restored(services, before(hours), before(until)), prefix="--")
    assert str(raised.value).startswith(text)
    assert len(str(raised.value).splitlines()) == 1


async def half_erased(world: World, site: Site) -> datetime:
    """A learner whose run has ended after the first step, after a backup."""
    world.seed(holder("bo-canary"), states=SHORT.lms_states, worker_is_staff=True)
    at = world.calendar.now
    world.calendar.pass_by(hours=1)
    world.sandbox.arm([{"service": "credentials", "status": 409, "times": 9}])
    assert (await world.retire(site, "bo-canary")).ending is Ending.ERRORED
    world.calendar.pass_by(days=7)
    return at


async def test_a_learner_who_took_the_request_back_is_not_asked_for_again(world: World) -> None:
    """Nor is anything erased by the user id: the account lives on."""
    site = world.site(SHORT)
    at = await half_erased(world, site)
    table = metadata.tables["user_api_userretirementstatus"]
    with world.sandbox._platform.world.database.transaction() as db:
        db.execute(table.delete())

    found = await done(site, Restored(("LMS",), at))

    assert said(world, found) == {"bo-canary": "left"}
    assert "the LMS shows no row of it: a person has to look" in found[0].text


async def test_an_aborted_learner_loses_nothing_more(world: World) -> None:
    """An operator has let the account live on."""
    site = world.site(SHORT)
    at = await half_erased(world, site)
    learner = await world.learner(site, "bo-canary")
    await site.lms.rows.move(learner, "ABORTED", "", since=learner.state, force=True)

    found = await done(site, Restored(("LMS",), at))

    assert said(world, found) == {"bo-canary": "left"}
    assert "may live on: nothing more is erased" in found[0].text


async def test_a_retirement_under_way_is_not_said_to_be_done_by_the_queue(world: World) -> None:
    """Its runs know nothing of a service that was restored, and go on behind the step."""
    site = world.site(line(("CREDENTIALS", "CREDENTIALS", "replace_usernames"), PROCTORING, *LMS_LAST))
    world.seed(holder("bo-canary"), states=site.pipeline.lms_states, worker_is_staff=True)
    at = world.calendar.now
    world.calendar.pass_by(hours=1)
    world.sandbox.arm([{"path": "proctoring", "status": 409, "times": 9}])
    assert (await world.retire(site, "bo-canary")).ending is Ending.ERRORED
    world.calendar.pass_by(days=7)

    (found,) = await done(site, Restored(("CREDENTIALS",), at))

    assert (found.verdict.value, "replay once more" in found.text) == ("left", True)


#: What a run does one after the other; each is followed by a gap in which a backup or a restore may be.
_RUN = ("the run began", "the service was asked", "the service answered", "the run ended")
_WINDOWS = [(backup, restore) for backup in range(5) for restore in range(backup, 5)]


async def _run_with_gaps(world: World, site: Site, *, dies: bool) -> list[datetime]:
    """A run that does one thing after the other, and dies before its end or not; the moments of the gaps."""
    gaps: list[datetime] = []

    def gap() -> None:
        """Within the time of a lease."""
        world.calendar.pass_by(seconds=5)
        gaps.append(world.calendar.now)
        world.calendar.pass_by(seconds=5)

    learner = await world.learner(site, "bo-canary")
    gap()
    lease = await world.ledger.learners.lease(learner, due_at=world.calendar.now, pipeline=None)
    gap()
    await lease.intend("RETIRING_CREDENTIALS", "CREDENTIALS", "replace_usernames")
    gap()
    await lease.prove("RETIRING_CREDENTIALS", "erased")
    gap()
    if not dies:
        await lease.end("retired", "", "COMPLETE")
    gap()
    return gaps


@pytest.mark.parametrize("dies", [False, True], ids=["ends", "dies"])
async def test_what_a_restore_has_lost_is_told_by_the_service_and_not_by_the_run(world: World, dies: bool) -> None:
    """A run may begin before the backup and end after the restore, or die: what counts is when its step was done."""
    site = world.site(SHORT)
    world.seed(holder("bo-canary"), states=SHORT.lms_states, worker_is_staff=True)
    gaps = await _run_with_gaps(world, site, dies=dies)
    found = {}
    for backup_gap, restore_gap in _WINDOWS:
        window = (gaps[backup_gap], gaps[restore_gap] + timedelta(seconds=1))
        job = await forgotten(site, Restored(("CREDENTIALS",), *window))
        found[backup_gap, restore_gap] = bool(job.lacks)

    asked, answered = _RUN.index("the service was asked"), _RUN.index("the service answered")
    # In the backup if it had answered by then; in what was restored if it was asked after that.
    assert found == {(old, new): old <= answered and new > asked for old, new in _WINDOWS}
