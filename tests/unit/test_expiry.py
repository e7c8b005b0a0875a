"""Delivered partner reports are deleted by their receipts, after the partners were told, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retirement.errors import BusyElsewhere, ConfigError, Interrupted, Misconfigured
from retirement.ledger import opened
from retirement.partners import report as partners
from retirement.partners.destination import Destination
from retirement.partners.expiry import Ages, ExpiryFinding, ExpiryResult, expire, problems, summary
from retirement.partners.sinks.folder import folder_sink
from retirement.site import Site

from .batches import batch_of
from .buckets import InBucket, s3_server, settings
from .doubles import AtOnce, Died, World
from .dying import Mortal
from .reporting import queued

pytestmark = pytest.mark.anyio

AGES = Ages(30, 7)
DELETED, WARNED, NOTED, GONE, KEPT = (ExpiryResult(each) for each in ("deleted", "warned", "noted", "gone", "kept"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files go."""
    (tmp_path / "reports").mkdir()
    return tmp_path / "reports"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The S3 server of this module."""
    with s3_server() as url:
        yield url


async def expired(site: Site, place: Destination, ages: Ages = AGES, **options: Any) -> list[ExpiryFinding]:
    found: list[ExpiryFinding] = []
    await expire(site, batch_of(site), place, ages, found.append, **options)
    return found


def whats(found: list[ExpiryFinding]) -> list[ExpiryResult]:
    return [each.what for each in found]


async def reported(world: World, place: Destination) -> Site:
    site = await queued(world)
    delivery = await partners.deliver(site, batch_of(site), place)
    assert (delivery.error, delivery.problems) == (None, [])
    return site


async def test_a_file_is_deleted_after_its_partner_was_told(world: World, folder: Path) -> None:
    """Not before, not without, and not twice; the index, which names no learner, and foreign files stay."""
    place = Destination(folder, "campus.example")
    site = await reported(world, place)
    (folder / "campus.example_OrgA_2020-01-01_claim-1.csv").write_text("of another hand")

    early = await expired(site, place)
    world.calendar.pass_by(days=23)
    told = await expired(site, place)
    world.calendar.pass_by(days=6)
    between = await expired(site, place)
    world.calendar.pass_by(days=1)
    shown = await expired(site, place, dry_run=True)
    assert len(list(folder.glob("*.csv"))) == 4
    deleted = await expired(site, place)
    calm = await expired(site, place)

    assert (early, between, calm) == ([], [], [])
    assert (whats(told), whats(shown), whats(deleted)) == ([NOTED] * 3, [ExpiryResult.WOULD_DELETE] * 3, [DELETED] * 3)
    assert [path.name for path in folder.glob("*.csv")] == ["campus.example_OrgA_2020-01-01_claim-1.csv"]
    assert len(list(folder.glob("*.index.json"))) == 1
    assert (summary(deleted), problems(deleted)) == ("3 files: 3 deleted", [])
    assert {each.expired_at for each in await site.ledger.deliveries.find()} == {world.calendar()}
    assert (await site.ledger.verify()).ok


async def test_a_site_that_begins_late_tells_first(world: World, folder: Path) -> None:
    """Files of long ago wait for the days of the warning; without warnings they go at once."""
    place = Destination(folder, "campus.example")
    site = await reported(world, place)
    world.calendar.pass_by(days=300)

    told = await expired(site, place)
    soon = await expired(site, place)
    at_once = await expired(site, place, Ages(30, 0))

    assert (whats(told), soon, whats(at_once)) == ([NOTED] * 3, [], [DELETED] * 3)
    assert world.calendar().date().isoformat() not in told[0].text


async def test_what_is_not_what_was_delivered_stays(world: World, folder: Path, tmp_path: Path) -> None:
    """A file of another content, and a folder at another place, are told; a file that is gone is entered as that."""
    place = Destination(folder, "campus.example")
    site = await reported(world, place)
    world.calendar.pass_by(days=40)
    first, second, third = sorted(folder.glob("*.csv"))
    first.write_text("of another hand")
    second.unlink()
    (tmp_path / "other").mkdir()

    elsewhere = await expired(site, replace(place, folder=tmp_path / "other"), Ages(30, 0))
    nowhere = await expired(site, Destination(None, "x", ()), Ages(30, 0))
    found = await expired(site, place, Ages(30, 0))

    assert (whats(elsewhere), whats(nowhere)) == ([KEPT] * 3, [KEPT] * 3)
    assert f"was delivered to {folder}" in elsewhere[0].text
    assert "is not in the configuration" in nowhere[0].text
    assert sorted(whats(found)) == sorted([KEPT, GONE, DELETED])
    assert "another file has its name now" in problems(found)[0]
    assert (first.exists(), third.exists()) == (True, False)


async def test_every_version_of_an_object_is_deleted(world: World, server: str) -> None:
    """Of a bucket that keeps versions, and however objects are encrypted by now; an index stays."""
    bucket = InBucket(settings(server, bucket="versions", prefix="reports")).made()
    client = bucket._bucket.client
    client.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    site = await reported(world, bucket.destination(None))
    place = InBucket(bucket.settings.model_copy(update={"sse": "aws:kms"})).destination(None)

    assert whats(await expired(site, place, Ages(1, 0))) == []
    world.calendar.pass_by(days=2)
    assert whats(await expired(site, place, Ages(1, 0))) == [DELETED] * 3

    left = client.list_object_versions(Bucket="versions")
    assert [each["Key"].rpartition(".")[2] for each in left["Versions"]] == ["json"]
    assert "DeleteMarkers" not in left


async def test_an_object_that_another_hand_has_hidden_is_deleted_in_every_version(world: World, server: str) -> None:
    """With versions, a plain deletion leaves the file to all who ask for the version."""
    bucket = InBucket(settings(server, bucket="hidden", prefix="reports")).made()
    client = bucket._bucket.client
    client.put_bucket_versioning(Bucket="hidden", VersioningConfiguration={"Status": "Enabled"})
    site = await reported(world, bucket.destination(None))
    for key in bucket.objects():
        if key.endswith(".csv"):
            client.delete_object(Bucket="hidden", Key=key)
    world.calendar.pass_by(days=2)

    assert whats(await expired(site, bucket.destination(None), Ages(1, 0))) == [GONE] * 3

    left = client.list_object_versions(Bucket="hidden")
    assert [each["Key"].rpartition(".")[2] for each in left["Versions"]] == ["json"]
    assert "DeleteMarkers" not in left


async def test_a_sink_that_fails_keeps_its_files_and_no_other_sink(world: World, folder: Path, tmp_path: Path) -> None:
    """It is asked once in a run; what a store accepts and does not do is no deletion."""
    (tmp_path / "second").mkdir()
    other = folder_sink(tmp_path / "second", "second", "--output")
    place = Destination(folder, "campus.example", (other,))
    site = await reported(world, place)
    world.calendar.pass_by(days=40)
    store = vars(other)["_store"]

    async def refuse(_name: str) -> None:
        raise Misconfigured("second", "delete", None, "no")

    async def forget(_name: str) -> None:
        return None

    vars(store)["delete"] = refuse
    refused = await expired(site, place, Ages(30, 0))
    vars(store)["delete"] = forget
    forgotten = await expired(site, place, Ages(30, 0))

    assert sorted(whats(refused)) == sorted([DELETED] * 3 + [KEPT] * 3)
    assert [each.text for each in refused if each.what is KEPT][1].startswith("the sink second is not in")
    assert whats(forgotten) == [KEPT] * 3
    assert "is there after it was deleted" in forgotten[0].text


async def test_a_run_that_died_anywhere_is_finished_by_the_next(world: World, folder: Path) -> None:
    """Each file is deleted and entered once."""
    place = Destination(folder, "campus.example")
    site = await reported(world, place)
    world.calendar.pass_by(days=40)
    deaths = 0
    for at in range(1, 12):
        async with opened(site.ledger.location, clock=world.calendar, executor=AtOnce()) as ledger:
            mortal = Mortal(at, after=bool(at % 2))
            mortal.haunt(ledger)
            try:
                await expired(replace(site, ledger=ledger), place, Ages(30, 0))
            except Died:
                deaths += 1
            world.calendar.pass_by(minutes=10)

    receipts = await site.ledger.deliveries.find()
    assert deaths >= 3
    assert (list(folder.glob("*.csv")), all(each.expired_at for each in receipts)) == ([], True)
    assert len(await site.ledger.events.find(kind="report.expired")) == 3


async def test_one_run_at_a_time_and_no_deletion_without_a_warning(world: World, folder: Path) -> None:
    """The lease is that of the report; a run that is told to stop does nothing more."""
    place = Destination(folder, "campus.example")
    site = await reported(world, place)
    world.calendar.pass_by(days=40)

    with pytest.raises(ConfigError, match=r"30 must be more than partners\.warn_days, which is 30"):
        await expired(site, place, Ages(30, 30))
    lease = await site.ledger.leases.take("partner-report", what="the partner report")
    with pytest.raises(BusyElsewhere):
        await expired(site, place)
    await site.ledger.leases.release(lease)
    batch_of(site).stop.set(Interrupted("the run was told to stop"))
    with pytest.raises(Interrupted):
        await expired(site, place)

    assert len(list(folder.glob("*.csv"))) == 3
