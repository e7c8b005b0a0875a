"""Partner reports in Google Drive: a file in each partner's folder, its people told once, wherever a run dies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from retirement.errors import ConfigError, Misconfigured
from retirement.partners import report as partners
from retirement.partners.expiry import Ages, ExpiryFinding, ExpiryResult, expire
from retirement.partners.sinks.drive import drive_sink
from retirement.sandbox.vendors.salesforce_sign_in import private_key as salesforce_key

from .batches import batch_of
from .doubles import World
from .drives import OnDrive, error
from .reporting import TAKE, due, flags, queued, sent

pytestmark = pytest.mark.anyio

UPLOAD = "/upload/drive/v3/files"
JSON = {"content-type": "application/json"}


@pytest.fixture
def drive(tmp_path: Path) -> OnDrive:
    """A drive with the partners' folders."""
    return OnDrive(tmp_path)


async def test_each_partner_has_a_file_and_its_people_are_told_once(world: World, drive: OnDrive) -> None:
    """Not those of denied domains, not anyone or a domain, who have no address, and not the account that delivers."""
    site = await queued(world)
    people: dict[str, str | None] = {"b@one.example": "user", "a@sub.campus.example": "user", "a@one.example": "group"}
    shared = [{"type": kind, "email": address} for address, kind in people.items()]
    drive.share(drive.id_of("OrgA"), *shared, {"type": "anyone", "email": None}, {"type": "domain", "email": None})
    place = drive.destination(None, denied_domains=("campus.example", "partner2.example", "partner3.example"))

    delivery = await partners.deliver(site, batch_of(site), place)

    assert (delivery.error, delivery.problems, drive.told(), flags(world)) == (None, [], due(), {})
    said = {each["parent"]: [text.split(" campus")[0] for text in each["comments"]] for each in drive.reports()}
    assert said == {
        drive.id_of("OrgA"): ["+a@one.example +b@one.example"],
        **{drive.id_of(org): [] for org in ("OrgB", "Zürich U.")},
    }


async def test_an_answer_that_is_lost_after_the_upload_makes_no_second_file(world: World, drive: OnDrive) -> None:
    """The upload is sent once; the next run finds the file."""
    site = await queued(world)
    drive.arm(UPLOAD, after=True, **error(503, "backendError"))
    first = await partners.deliver(site, batch_of(site), drive.destination(None))
    second = await partners.deliver(site, batch_of(site), drive.destination(None))

    assert (len(first.problems), len(drive.reports())) == (3, 3)
    assert (second.problems, drive.told(), flags(world)) == ([], due(), {})


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (error(403, "storageQuotaExceeded"), "drive: POST /upload/drive/v3/files answered 403: the drive has no room"),
        (error(403, "insufficientFilePermissions"), "drive: POST /upload/drive/v3/files answered 403"),
        ({"status": 200, "body": '{"id": "forgotten"}', "headers": JSON}, "drive: read back: no file of"),
    ],
)
async def test_what_drive_refuses_or_forgets_keeps_the_rows(
    world: World, drive: OnDrive, fault: dict[str, Any], text: str
) -> None:
    """It is told without Drive's words, and the next run delivers."""
    site = await queued(world)
    drive.arm(UPLOAD, **fault)

    first = await partners.deliver(site, batch_of(site), drive.destination(None))
    assert text in first.problems[0]
    assert "Canary" not in f"{first.problems}"
    assert flags(world)
    second = await partners.deliver(site, batch_of(site), drive.destination(None))

    assert (second.problems, drive.told(), flags(world)) == ([], due(), {})


async def test_a_partner_without_a_folder_or_with_two_stops_no_other(world: World, drive: OnDrive) -> None:
    """A folder in the trash is none; names are compared as NFKC."""
    site = await queued(world)
    drive.change(drive.id_of("OrgA"), trashed=True)
    drive.make("another", "ＯｒｇＢ")

    first = await partners.deliver(site, batch_of(site), drive.destination(None))
    drive.change(drive.id_of("OrgA"), trashed=False)
    drive.lose("another")
    second = await partners.deliver(site, batch_of(site), drive.destination(None))

    assert [line.partition(": ")[2].split(";")[0] for line in first.problems] == [
        "no folder has the name OrgA below folder",
        "2 folders have the name OrgB below folder",
    ]
    assert (second.problems, drive.told(), flags(world)) == ([], due(), {})


async def test_a_comment_that_fails_loses_no_delivery(world: World, drive: OnDrive) -> None:
    """The people of one folder cannot be listed."""
    site = await queued(world)
    drive.arm(f"/{drive.id_of('OrgA')}/permissions", **error(403, "insufficientFilePermissions"))

    delivery = await partners.deliver(site, batch_of(site), drive.destination(None))

    assert (delivery.problems, drive.told(), flags(world)) == ([], due(), {})


@pytest.mark.parametrize("account", ["of another key", "that is unknown"])
async def test_a_service_account_that_has_expired_is_a_line_before_anything_is_claimed(
    world: World, drive: OnDrive, account: str
) -> None:
    """Its key was replaced, or the account is gone."""
    site, file = await queued(world), drive.folder / "key.json"
    key = json.loads(file.read_text())
    changed = {"private_key": salesforce_key()} if account == "of another key" else {"client_email": "a@b.example"}
    file.write_text(json.dumps(key | changed))

    with pytest.raises(Misconfigured, match="drive: POST /token answered 400"):
        await partners.deliver(site, batch_of(site), drive.destination(None))

    assert sent(world, TAKE) == 0


@pytest.mark.parametrize("content", ["", "{}", json.dumps({"client_email": "a@b", "private_key": "x"})])
def test_a_key_that_is_none_is_a_line(drive: OnDrive, content: str) -> None:
    """And nothing of it is repeated."""
    (drive.folder / "key.json").write_text(content)
    with pytest.raises(ConfigError, match=r"partners\.sinks drive: key_file is no key of a service account"):
        drive_sink(drive.settings())
    (drive.folder / "key.json").unlink()
    with pytest.raises(ConfigError, match="key_file cannot be read: No such file"):
        drive_sink(drive.settings())


async def test_files_are_deleted_after_a_comment_that_says_when(world: World, drive: OnDrive) -> None:
    """Only what is as it was delivered; one that is gone is told as that."""
    site, found = await queued(world), list[ExpiryFinding]()
    await partners.deliver(site, batch_of(site), drive.destination(None))
    world.calendar.pass_by(days=40)

    await expire(site, batch_of(site), drive.destination(None), Ages(30, 7), found.append)
    assert [each.what for each in found] == [ExpiryResult.WARNED] * 3
    assert all("will be deleted from" in each["comments"][1] for each in drive.reports())
    world.calendar.pass_by(days=8)
    first, second, _ = drive.reports()
    drive.change(first["record"], sha256="another")
    drive.lose(second["record"])
    found.clear()
    await expire(site, batch_of(site), drive.destination(None), Ages(30, 7), found.append)

    assert sorted(each.what for each in found) == sorted([ExpiryResult.KEPT, ExpiryResult.GONE, ExpiryResult.DELETED])
    assert [each["record"] for each in drive.reports()] == [first["record"]]
