"""The archive as the reference wrote it: who the learners were is in a bucket before the LMS forgets them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from retirement.config import load
from retirement.errors import ConfigError, Misconfigured, Refused, Transient
from retirement.followup import complete_rows
from retirement.followup.archive import Archive, archive_of, archiving
from retirement.followup.clearance import CleanupResult
from retirement.ledger import LedgerLocation, opened
from retirement.site.doctor import examine
from tests.config.desk import ENVIRON, OWN

from .archives import Attic, bucket_of, settings, store_of
from .buckets import s3_server, without_encryption
from .cleaning import CLEANUP, NAMES, PIPELINE, TOLD, cleaned_up, held, retired, rows, sent, whats
from .doubles import PERSONAL, USERNAME, Deadly, Forward, World, holder

pytestmark = pytest.mark.anyio

BUCKET = "attic"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The server of this module."""
    with s3_server() as url:
        yield url


@pytest.fixture
def attic(server: str, tmp_path: Path) -> Attic:
    """A bucket of its own."""
    return Attic(server, f"b{abs(hash(tmp_path))}").made()


def refusing(world: World, name: str) -> None:
    """The LMS refuses each list with that name, as where two rows differ in letter case only."""

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith(CLEANUP) and name in json.loads(request.content)["usernames"]:
            return httpx.Response(400, json="Not all usernames exist in the COMPLETE state.")
        return await forward(request)

    world.around = around


async def test_rows_are_in_the_archive_before_the_lms_deletes_them(world: World, attic: Attic) -> None:
    """As the reference has them, encrypted, marked, and no name in the ledger; a second run writes nothing."""
    site = await retired(world, *NAMES)
    seen: list[Counter[str]] = []

    async def looking(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith(CLEANUP):
            seen.append(attic.names())
        return await forward(request)

    world.around = looking
    learner = await world.learner(site, USERNAME)
    found = await cleaned_up(site, archive=attic.archive())
    again = await cleaned_up(site, archive=attic.archive())

    assert seen == [Counter(NAMES)]
    assert (whats(found), again, rows(world)) == ([CleanupResult.CLEARED] * len(NAMES), [], set())
    ((key, each),) = attic.objects().items()
    assert key.startswith(f"raw/{world.calendar().strftime('%Y/%m/retirement_archive_%Y_%d_%m_')}")
    assert (each["ServerSideEncryption"], each["ContentType"]) == ("AES256", "application/gzip")
    day = (world.calendar() + timedelta(days=365)).date().isoformat()
    assert each["Metadata"] == {"personal-data": "yes", "delete-after": day}
    assert {line["user_id"] for line in attic.lines()} == set(world.user_ids.values())
    line = next(line for line in attic.lines() if line["original_username"] == USERNAME)
    assert line["retired_username"] == learner.retired_username
    assert line["retirement_request_date"] == learner.requested_at.replace(tzinfo=None).isoformat(" ")
    assert {each.text for each in found} == {f"archived in {attic.settings.endpoint_url}/{attic.settings.bucket}/{key}"}
    entries = await site.ledger.events.find()
    assert not [secret for secret in PERSONAL if secret in f"{entries}"]
    assert (await site.ledger.verify()).ok


@pytest.mark.parametrize("learners", [12, pytest.param(1000, marks=pytest.mark.nightly)])
async def test_of_many_rows_with_an_odd_one_each_other_is_archived_once(
    world: World, attic: Attic, learners: int
) -> None:
    """The odd one is in no file, since its row is in the LMS still; a re-run archives and deletes nothing."""
    names = [f"learner{number}" for number in range(learners)]
    odd = names[learners // 3]
    world.seed(*(holder(name, state="COMPLETE") for name in names), states=PIPELINE.lms_states)
    world.age(31)
    site = world.site(PIPELINE)
    refusing(world, odd)

    found = {each.user_id: each.what for each in await cleaned_up(site, archive=attic.archive(), override=TOLD)}
    before = set(attic.objects())
    again = await cleaned_up(site, archive=attic.archive(), override=TOLD)

    assert found.pop(world.user_ids[odd]) is CleanupResult.REFUSED
    assert (len(found), set(found.values())) == (learners - 1, {CleanupResult.CLEARED})
    assert rows(world) == {odd}
    assert attic.names() == Counter({*names} - {odd})
    assert [(each.user_id, each.what) for each in again] == [(world.user_ids[odd], CleanupResult.REFUSED)]
    assert (set(attic.objects()), attic.names()) == (before, Counter({*names} - {odd}))


async def test_a_row_that_is_moved_away_leaves_the_archive(world: World, attic: Attic) -> None:
    """In the same run, and where a run died over it in the next one."""
    site = await retired(world, *NAMES)

    async def undone(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith(CLEANUP) and world.state("di") == "COMPLETE":
            await world.force("di", "PENDING")
            world.around = undone
        return await forward(request)

    world.around = undone
    await cleaned_up(site, archive=attic.archive())
    assert (rows(world), attic.names()) == ({"di"}, Counter({*NAMES} - {"di"}))

    world.around = None
    await world.force("di", "COMPLETE")
    world.age(31)
    world.sandbox.arm([{"path": CLEANUP, "method": "POST", "drop": True}])
    assert whats(await cleaned_up(site, archive=attic.archive(), override=TOLD)) == [CleanupResult.UNANSWERED]
    assert attic.names() == Counter(NAMES)
    await world.force("di", "PENDING")
    assert whats(await cleaned_up(site, archive=attic.archive())) == [CleanupResult.KEPT]
    assert attic.names() == Counter({*NAMES} - {"di"})


async def test_a_lost_answer_of_the_lms_archives_no_row_twice(world: World, attic: Attic) -> None:
    """The next run finds the rows in the file that the first one named."""
    site = await retired(world, *NAMES)
    world.sandbox.arm([{"path": CLEANUP, "method": "POST", "drop": True}])

    assert whats(await cleaned_up(site, archive=attic.archive())) == [CleanupResult.UNANSWERED] * len(NAMES)
    assert whats(await cleaned_up(site, archive=attic.archive())) == [CleanupResult.CLEARED] * len(NAMES)
    assert (rows(world), attic.names(), len(attic.objects())) == (set(), Counter(NAMES), 1)


@pytest.mark.parametrize("after", [True, pytest.param(False, marks=pytest.mark.nightly)], ids=["after", "before"])
async def test_a_run_that_died_anywhere_archives_each_row_once(
    world: World, server: str, tmp_path: Path, after: bool, monkeypatch: pytest.MonkeyPatch, every_nth: int, first: int
) -> None:
    """At each request, transaction, and thing asked of the bucket; the next run finishes it."""
    monkeypatch.setattr(complete_rows, "FIRST_DAY", world.calendar().date() - timedelta(days=40))
    deaths = first
    while True:
        place = LedgerLocation(f"sqlite:///{tmp_path / f'dying-{deaths}.sqlite'}")
        attic = Attic(server, f"dying-{after}-{deaths}".lower()).made()
        async with opened(place, clock=world.calendar) as world.ledger:
            world.seed(*(holder(name, state="COMPLETE") for name in NAMES[:2]), states=PIPELINE.lms_states)
            world.age(31)
        deadly = Deadly(deaths + 1, after)
        mortal = _dying_with(deadly, attic.archive())
        if await world.outlives(deadly, lambda: cleaned_up(world.site(PIPELINE), archive=mortal, override=TOLD), place):  # noqa: B023
            break
        deaths += 1
        world.calendar.pass_by(minutes=10)
        async with opened(place, clock=world.calendar) as world.ledger:
            site = world.site(PIPELINE)
            found = await cleaned_up(site, archive=attic.archive(), override=TOLD)
            assert {each.what for each in found} <= {CleanupResult.CLEARED}, f"died at {deaths}"
            assert (rows(world), attic.names()) == (set(), Counter(NAMES[:2])), f"died at {deaths}"
            assert await cleaned_up(site, archive=attic.archive(), override=TOLD) == [], f"died at {deaths}"
        deaths += every_nth - 1

    assert deaths > 15


def _dying_with(deadly: Deadly, archive: Archive) -> Archive:
    """An archive whose bucket is asked nothing by the dead."""
    store = store_of(archive)

    def mortal(work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def asked(*given: Any) -> Any:
            return await deadly(given, lambda given: work(*given))  # type: ignore[arg-type]

        return asked

    for name in ("require", "read", "stored", "write_marked"):
        store[name] = mortal(getattr(vars(archive)["_store"], name))
    return archive


@pytest.mark.sweep
@pytest.mark.parametrize("error", [Transient, Refused, Misconfigured])
async def test_an_archive_that_cannot_be_written_keeps_every_row(
    world: World, attic: Attic, error: type[Transient]
) -> None:
    """And the next run archives and deletes them."""
    site = await retired(world, *NAMES)
    broken = attic.archive()

    async def fails(*_: Any) -> None:
        raise error("archive", "PUT object", 503, "SlowDown")

    store_of(broken)["write_marked"] = fails
    with pytest.raises(error):
        await cleaned_up(site, archive=broken)
    assert (len(rows(world)), sent(world)) == (len(NAMES), 0)
    await cleaned_up(site, archive=attic.archive())
    assert (rows(world), attic.names()) == (set(), Counter(NAMES))


async def test_a_bucket_that_accepts_and_forgets_keeps_every_row(world: World, attic: Attic) -> None:
    """What is read back counts."""
    site = await retired(world, *NAMES)
    forgetful = attic.archive()

    async def forgets(*_: Any) -> None:
        """Nothing is written."""

    store_of(forgetful)["write_marked"] = forgets
    with pytest.raises(Refused, match="archive: read back: it is not there"):
        await cleaned_up(site, archive=forgetful)
    assert (len(rows(world)), sent(world)) == (len(NAMES), 0)


async def test_a_store_that_does_not_encrypt_keeps_no_file(world: World, server: str) -> None:
    """Each run would leave one with every name in clear, for as long as archives are kept."""
    site = await retired(world, *NAMES)
    attic = Attic(server, "in-clear", sse="aws:kms").made()
    deaf = attic.archive()
    without_encryption(bucket_of(deaf))

    for _ in range(2):
        with pytest.raises(Misconfigured, match="the store has not encrypted it with aws:kms, see sse of archive"):
            await cleaned_up(site, archive=deaf)
        assert (len(rows(world)), sent(world), attic.objects()) == (len(NAMES), 0, {})
    await cleaned_up(site, archive=attic.archive())
    assert (rows(world), attic.names(), len(attic.objects())) == (set(), Counter(NAMES), 1)


async def test_another_encryption_in_the_settings_archives_no_row_twice(world: World, server: str) -> None:
    """The rows of the file from before are known, it is encrypted anew, and a row that was moved leaves it."""
    site = await retired(world, *NAMES)
    attic = Attic(server, "encrypted-anew").made()
    world.sandbox.arm([{"path": CLEANUP, "method": "POST", "drop": True}])
    assert whats(await cleaned_up(site, archive=attic.archive())) == [CleanupResult.UNANSWERED] * len(NAMES)
    await world.force("di", "PENDING")
    other = Attic(server, "encrypted-anew", sse="aws:kms")
    found = await cleaned_up(site, archive=other.archive())

    assert Counter(whats(found)) == Counter({CleanupResult.CLEARED: len(NAMES) - 1, CleanupResult.KEPT: 1})
    assert (rows(world), attic.names()) == ({"di"}, Counter({*NAMES} - {"di"}))
    assert [each["ServerSideEncryption"] for each in attic.objects().values()] == ["aws:kms"]


async def test_a_bucket_that_is_not_there_ends_the_run_before_anything(world: World, server: str) -> None:
    """And so does one of another site, which lets us do nothing."""
    site = await retired(world, USERNAME)

    with pytest.raises(Misconfigured, match="archive: HEAD bucket answered 404: there is no bucket nowhere"):
        await cleaned_up(site, archive=archive_of(settings(server, bucket="nowhere")))
    assert (len(rows(world)), sent(world)) == (1, 0)


async def test_a_hold_that_comes_in_between_leaves_no_name_in_the_archive(world: World, attic: Attic) -> None:
    """Whoever is left out of the request is left out of the file."""
    site = await retired(world, *NAMES[:2])
    asked = site.ledger.cleanups.asked

    async def held_meanwhile(*given: Any) -> Any:
        await held(world, site, user_id=world.user_ids["bo"])
        return await asked(*given)

    vars(site.ledger.cleanups)["asked"] = held_meanwhile
    found = await cleaned_up(site, archive=attic.archive())

    assert Counter(whats(found)) == Counter({CleanupResult.CLEARED: 1, CleanupResult.HELD: 1})
    assert attic.names() == Counter([USERNAME])


async def test_looking_writes_no_archive(world: World, attic: Attic) -> None:
    """The reference's dry run writes the file, and logs what is in it."""
    site = await retired(world, *NAMES)

    assert whats(await cleaned_up(site, archive=attic.archive(), dry_run=True)) == [CleanupResult.WOULD_CLEAR] * 5
    assert attic.objects() == {}


async def test_files_expire_with_all_their_versions(world: World, server: str) -> None:
    """After the days of the settings, once; a former bucket is named until it is given back."""
    attic = Attic(server, "versions-of-archive").made(versions=True)
    site = await retired(world, *NAMES)
    await cleaned_up(site, archive=attic.archive())
    (key,) = attic.objects()

    assert (await cleaned_up(site, archive=attic.archive()), len(attic.objects())) == ([], 1)
    (without,) = await cleaned_up(site)
    assert (without.user_id, without.what) == (None, CleanupResult.KEPT)
    assert without.text.startswith("1 files of an archive name learners; give the section archive back")
    (elsewhere,) = await cleaned_up(site, archive=Attic(server, "versions-elsewhere").made().outlasted())
    assert (elsewhere.user_id, elsewhere.what) == (None, CleanupResult.KEPT)
    assert f"versions-of-archive/{key} has to be deleted, and the archive is {server}" in elsewhere.text
    assert len(attic.objects()) == 1

    assert (await cleaned_up(site, archive=attic.outlasted()), attic.objects()) == ([], {})
    versions = attic.client.list_object_versions(Bucket=attic.settings.bucket)
    assert (versions.get("Versions"), versions.get("DeleteMarkers")) == (None, None)
    head = await site.ledger.events.head()
    assert (await cleaned_up(site), (await site.ledger.events.head()).seq - head.seq) == ([], 0)


async def test_a_file_that_cannot_be_deleted_is_told_and_keeps_no_row(world: World, attic: Attic) -> None:
    """Such as one under a lock of the bucket."""
    site = await retired(world, USERNAME)
    await cleaned_up(site, archive=attic.archive())
    locked = attic.outlasted()

    async def locks(*_: Any) -> None:
        raise Misconfigured("archive", "DELETE object", 403, "AccessDenied")

    store_of(locked)["delete"] = locks
    (found,) = await cleaned_up(site, archive=locked)

    assert (found.user_id, found.what) == (None, CleanupResult.KEPT)
    assert found.text.endswith("has to be deleted: archive: DELETE object answered 403: AccessDenied")
    assert await cleaned_up(site, archive=attic.archive()) == []


async def test_without_the_section_there_is_no_archive() -> None:
    """The ledger is ours, and holds no name."""
    async with archiving(None) as archive:
        assert archive is None


async def test_settings_that_boto_refuses_are_a_line() -> None:
    """Before anything is asked."""
    with pytest.raises(ConfigError, match="archive: boto3 refuses the settings: InvalidRegionError"):
        archive_of(settings("https://s3.example.com", region="no region"))


async def test_doctor_asks_for_the_bucket(world: World, attic: Attic, tmp_path: Path) -> None:
    """And says that it holds names, and for how long."""
    site = world.site(PIPELINE)
    path = tmp_path / "retirement.yaml"
    found: list[tuple[str, str]] = []
    for bucket in (attic.settings.bucket, "nowhere"):
        url, key = attic.settings.endpoint_url, "access_key_id: key, secret_access_key: '${KEY}', region: us-east-1"
        path.write_text(f"{OWN}archive: {{bucket: {bucket}, expire_days: 365, endpoint_url: '{url}', {key}}}\n")
        configuration = load(path, environ=ENVIRON | {"KEY": "secret"})
        checks = [each async for each in examine(configuration, site)]
        found += [(each.verdict.value, each.detail) for each in checks if each.name == "archive"]

    assert found == [
        ("ok", f"bucket {attic.settings.bucket} answers; files name learners, and are deleted after 365 days"),
        ("failure", "archive: HEAD bucket answered 404: there is no bucket nowhere"),
    ]
