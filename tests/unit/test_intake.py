"""What a queue run takes on: who waits, in which order, how many, and what is unusual about them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from retirement.config import Configuration, load
from retirement.errors import LedgerError, Misconfigured, Refused, Transient
from retirement.queue.intake import Intake
from retirement.sandbox import pipelines
from retirement.site.deadlines import Deadlines

from .batches import take_in
from .doubles import Forward, World, holder, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")
URLS = {name: f"https://{name}.example" for name in ("lms", "credentials", "license_manager", "ecommerce", "discovery")}


def configuration(folder: Path, **changes: Any) -> Configuration:
    """The configuration of the simulated platform, with changes; JSON is YAML."""
    client = {"client_id": "some-client", "client_secret": "some-secret"}
    file = folder / "retirement.yaml"
    file.touch(mode=0o600)
    file.write_text(json.dumps({**pipelines.configuration("default", URLS, client), **changes}))
    return load(file)


async def taken(world: World, folder: Path, cool_off_days: int = 0, **changes: Any) -> Intake:
    """What a run would take on now."""
    return await take_in(world.site(LINE), configuration(folder, **changes), cool_off_days)


async def hold(world: World, username: str, service: str | None = None) -> None:
    """Places a hold on a learner that lasts three days."""
    user_id, until = world.user_ids[username], (world.calendar.now + timedelta(days=3)).date()
    await world.ledger.holds.add(
        user_id=user_id, org=None, service=service, basis="litigation", until=until, by="counsel"
    )


def names(world: World, user_ids: list[int]) -> list[str]:
    """Learners of the seed by user id."""
    known = {number: name for name, number in world.user_ids.items()}
    return [known[user_id] for user_id in user_ids]


async def test_the_most_urgent_come_first(world: World, tmp_path: Path) -> None:
    """By deadline, whatever order the LMS lists; the limit cuts the others off."""
    world.seed(*(holder(f"d-{days}", requested_days_ago=days) for days in (9, 29, 20)), states=LINE.lms_states)

    intake = await taken(world, tmp_path)

    assert names(world, [each.user_id for each in intake.waiting]) == ["d-29", "d-20", "d-9"]
    assert names(world, [each.user_id for each in intake.batch(2)]) == ["d-29", "d-20"]
    assert (intake.depth, intake.held, intake.unreadable, intake.trips) == (3, {}, (), ())


async def test_who_cools_off_does_not_wait_and_is_foreseen(world: World, tmp_path: Path) -> None:
    """The LMS decides about the cool-off; the forecast knows of them all the same."""
    world.seed(holder("old", requested_days_ago=8), holder("young", requested_days_ago=2), states=LINE.lms_states)

    intake = await taken(world, tmp_path, cool_off_days=7)

    assert names(world, [each.user_id for each in intake.waiting]) == ["old"]


async def test_held_learners_take_nobodys_place(world: World, tmp_path: Path) -> None:
    """Nobody begins with them: a hold that ended meanwhile would make them more than were agreed to."""
    world.seed(*(holder(f"d-{days}", requested_days_ago=days) for days in (9, 29, 20)), states=LINE.lms_states)
    await hold(world, "d-29")

    intake = await taken(world, tmp_path)

    assert names(world, sorted(intake.held)) == ["d-29"]
    assert names(world, [each.user_id for each in intake.batch(1)]) == ["d-20"]
    assert names(world, [each.user_id for each in intake.batch(9)]) == ["d-20", "d-9"]
    assert names(world, [each.user_id for each in intake.batch(9)]) == ["d-20", "d-9"]


async def test_whoever_is_kept_in_part_comes_after_the_others(world: World, tmp_path: Path) -> None:
    """All but the kept step is done for them: they would take a place night after night for nothing."""
    world.seed(*(holder(f"d-{days}", requested_days_ago=days) for days in (9, 29)), states=LINE.lms_states)
    await hold(world, "d-29", "CREDENTIALS")
    assert names(world, [each.user_id for each in (await taken(world, tmp_path)).batch(1)]) == ["d-29"]
    await world.retire(world.site(LINE), "d-29")

    intake = await taken(world, tmp_path)

    assert names(world, sorted(intake.partly)) == ["d-29"]
    assert names(world, [each.user_id for each in intake.batch(1)]) == ["d-9"]
    assert names(world, [each.user_id for each in intake.batch(9)]) == ["d-9", "d-29"]


async def test_a_row_that_cannot_be_read_counts_and_keeps_nobody_waiting(world: World, tmp_path: Path) -> None:
    """It is part of the depth, and named by its place alone."""
    world.seed(holder("canary-0"), holder("canary-1"), states=LINE.lms_states)

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await forward(request)
        if "retirement_queue" not in request.url.path:
            return answer
        await answer.aread()
        first, *others = answer.json()
        return httpx.Response(200, json=[first | {"original_email": None}, *others])

    world.around = around
    intake = await taken(world, tmp_path)

    assert (len(intake.waiting), intake.depth) == (1, 2)
    assert "original_email" in intake.unreadable[0]
    assert "canary" not in intake.unreadable[0]


async def test_unusual_queues_trip_the_guard(world: World, tmp_path: Path) -> None:
    """Depth before any limit, staff by user id; no e-mail domain appears in clear."""
    world.seed(*(holder(f"d-{days}") for days in range(4)), states=LINE.lms_states)
    staff = [world.user_ids["d-2"]]

    intake = await taken(world, tmp_path, queue={"threshold": 3, "limit": 1}, guard={"staff_ids": staff})

    assert [trip.kind for trip in intake.trips] == ["depth", "staff"]
    assert "4 learners wait" in intake.trips[0].sentence
    assert str(staff[0]) in intake.trips[1].sentence
    assert not any("mail.example" in trip.sentence for trip in intake.trips)


async def test_a_country_has_its_own_deadline(world: World, tmp_path: Path) -> None:
    """A younger request may be due earlier."""
    world.seed(
        holder("far", requested_days_ago=9),
        holder("near", requested_days_ago=2, country="BR"),
        states=LINE.lms_states,
        worker_is_staff=True,
    )
    site = replace(world.site(LINE), deadlines=Deadlines(30, {"BR": 10}))

    intake = await take_in(site, configuration(tmp_path), 0)

    assert names(world, [each.user_id for each in intake.waiting]) == ["near", "far"]


async def test_who_may_not_see_countries_is_told_before_anybody_is_begun(world: World, tmp_path: Path) -> None:
    """A deadline by country needs a worker that is staff."""
    world.seed(holder(), states=LINE.lms_states)
    site = replace(world.site(LINE), deadlines=Deadlines(30, {"BR": 10}))

    with pytest.raises(Misconfigured):
        await take_in(site, configuration(tmp_path), 0)


@pytest.mark.parametrize(
    ("fault", "error"),
    [({"status": 503}, Transient), ({"drop": True}, Transient), ({"status": 400}, Refused)],
    ids=["503", "no-answer", "400"],
)
async def test_a_queue_that_cannot_be_listed_is_said(
    world: World, tmp_path: Path, fault: dict[str, Any], error: type[Exception]
) -> None:
    """Nobody is taken on by half."""
    world.seed(holder(), states=LINE.lms_states)
    world.sandbox.arm([{"path": "retirement_queue", "times": 99, **fault}])

    with pytest.raises(error):
        await taken(world, tmp_path)


async def test_a_ledger_that_cannot_be_read_is_said(world: World, tmp_path: Path) -> None:
    """Without history and holds nobody is taken on."""
    world.seed(holder(), states=LINE.lms_states)
    await world.ledger.access.write(
        lambda tx: tx.connection.exec_driver_sql("ALTER TABLE hold RENAME TO gone") and None
    )

    with pytest.raises(LedgerError):
        await taken(world, tmp_path)


async def test_looking_changes_nothing(world: World, tmp_path: Path) -> None:
    """Neither a row nor the ledger."""
    world.seed(holder(), states=LINE.lms_states)
    head = await world.ledger.events.head()

    await taken(world, tmp_path)

    assert await world.ledger.events.head() == head
    assert {each["method"] for each in world.sandbox.requests if "oauth2" not in each["path"]} == {"GET"}


async def test_learners_of_a_held_organisation_take_nobodys_place(world: World, tmp_path: Path) -> None:
    """A hold on an organisation is a hold on each of its learners."""
    theirs = [{"org": "OrgB", "active": True}]
    seeds = [holder("hers", enrollments=theirs, requested_days_ago=29), holder("free", enrollments=[])]
    world.seed(*seeds, states=LINE.lms_states, worker_is_staff=True)
    until = (world.calendar.now + timedelta(days=3)).date()
    await world.ledger.holds.add(user_id=None, org="orgb", service=None, basis="audit", until=until, by="counsel")

    intake = await taken(world, tmp_path)

    assert names(world, sorted(intake.held)) == ["hers"]
    assert names(world, [each.user_id for each in intake.batch(1)]) == ["free"]


async def test_a_longer_cool_off_does_not_slice_a_deep_queue(world: World, tmp_path: Path) -> None:
    """The guard weighs everybody who is past the configured one."""
    world.seed(*(holder(f"d-{days}", requested_days_ago=days) for days in (9, 29, 20)), states=LINE.lms_states)

    intake = await taken(world, tmp_path, cool_off_days=25, queue={"threshold": 2})

    assert (intake.depth, [trip.kind for trip in intake.trips]) == (1, ["depth"])


async def test_an_answer_is_about_those_who_were_asked_about(world: World, tmp_path: Path) -> None:
    """Whoever joined the queue while a person thought about it waits for the next run."""
    world.seed(*(holder(f"d-{days}", requested_days_ago=days) for days in (9, 29, 20)), states=LINE.lms_states)
    intake = await taken(world, tmp_path)

    asked = intake.only({world.user_ids["d-9"], world.user_ids["d-20"]})

    assert names(world, [each.user_id for each in asked.batch(9)]) == ["d-20", "d-9"]
