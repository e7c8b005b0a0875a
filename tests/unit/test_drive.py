"""Partner reports in Google Drive: a file in each partner's folder, its people told once, wherever a run dies."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from retirement.errors import ConfigError, Misconfigured
from retirement.partners import report as partners
from retirement.partners.expiry import Ages, ExpiryFinding, ExpiryResult, expire
from retirement.partners.sinks.drive import drive_sink

from .batches import batch_of
from .doubles import World
from .drives import FOLDER, DriveServer, error
from .dying import Mortal
from .reporting import TAKE, due, flags, queued, sent

pytestmark = pytest.mark.anyio

LIST, UPLOAD = "GET /drive/v3/files", "POST /upload/drive/v3/files"


@pytest.fixture
def drive(tmp_path: Path) -> DriveServer:
    """A drive with the partners' folders."""
    server = DriveServer(tmp_path)
    server.reset()
    return server


async def test_each_partner_has_a_file_and_its_people_are_told_once(world: World, drive: DriveServer) -> None:
    """Without those of denied domains, and of anyone or a domain, who have no address."""
    site = await queued(world)
    people = [{"type": "user", "emailAddress": name} for name in ("b@one.example", "a@sub.campus.example")]
    drive.permissions["id-1"] = [*people, {"type": "anyone"}, {"type": "domain", "emailAddress": "a@one.example"}]
    place = drive.destination(None, denied_domains=("campus.example",))

    delivery = await partners.deliver(site, batch_of(site), place)

    assert (delivery.error, delivery.problems, drive.told(), flags(world)) == (None, [], due(), {})
    (said,) = [each["comments"] for each in drive.reports() if each["parents"] == ["id-1"]]
    assert [text.split(" campus")[0] for text in said] == ["+a@one.example +b@one.example"]
    assert not [each for each in drive.reports() if each["parents"] != ["id-1"] and each.get("comments")]


async def test_an_answer_that_is_lost_after_the_upload_makes_no_second_file(world: World, drive: DriveServer) -> None:
    """The upload is sent once; the next run finds the file."""
    site = await queued(world)
    place = drive.destination(Mortal(10**6, after=False))

    async def lose(request: httpx.Request) -> httpx.Response:
        answer = await DriveServer._answered(drive, request)
        return error(503, "backendError") if request.url.path.startswith("/upload") else answer

    vars(drive)["_answered"] = lose
    first = await partners.deliver(site, batch_of(site), place)
    del vars(drive)["_answered"]
    second = await partners.deliver(site, batch_of(site), drive.destination(None))

    assert (len(first.problems), len(drive.reports())) == (3, 3)
    assert (second.problems, drive.told(), flags(world)) == ([], due(), {})


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (error(403, "storageQuotaExceeded"), "drive: POST /upload/drive/v3/files answered 403: the drive has no room"),
        (error(403, "insufficientFilePermissions"), "drive: POST /upload/drive/v3/files answered 403"),
        (httpx.Response(200, json={"id": "forgotten"}), "drive: read back: no file of"),
    ],
)
async def test_what_drive_refuses_or_forgets_keeps_the_rows(
    world: World, drive: DriveServer, answer: httpx.Response, text: str
) -> None:
    """It is told without Drive's words, and the next run delivers."""
    site = await queued(world)
    drive.answers[UPLOAD] = [answer]

    first = await partners.deliver(site, batch_of(site), drive.destination(None))
    assert text in first.problems[0]
    assert "Canary" not in f"{first.problems}"
    assert flags(world)
    second = await partners.deliver(site, batch_of(site), drive.destination(None))

    assert (second.problems, drive.told(), flags(world)) == ([], due(), {})


async def test_a_partner_without_a_folder_or_with_two_stops_no_other(world: World, drive: DriveServer) -> None:
    """A folder in the trash is none; names are compared as NFKC."""
    site = await queued(world)
    drive.files["id-1"]["trashed"] = True
    drive.make("ＯｒｇＢ", "top", mimeType=FOLDER)

    first = await partners.deliver(site, batch_of(site), drive.destination(None))
    drive.files["id-1"]["trashed"] = False
    del drive.files["id-5"]
    second = await partners.deliver(site, batch_of(site), drive.destination(None))

    assert [line.partition(": ")[2].split(";")[0] for line in first.problems] == [
        "no folder has the name OrgA below folder",
        "2 folders have the name OrgB below folder",
    ]
    assert (second.problems, drive.told(), flags(world)) == ([], due(), {})


async def test_a_comment_that_fails_loses_no_delivery(world: World, drive: DriveServer) -> None:
    """The people of one folder cannot be listed."""
    site = await queued(world)
    drive.answers["GET /drive/v3/files/id-1/permissions"] = [error(403, "insufficientFilePermissions")]

    delivery = await partners.deliver(site, batch_of(site), drive.destination(None))

    assert (delivery.problems, drive.told(), flags(world)) == ([], due(), {})


async def test_a_service_account_that_has_expired_is_a_line_before_anything_is_claimed(
    world: World, drive: DriveServer
) -> None:
    """So is a folder that it does not see."""
    site = await queued(world)
    drive.answers["POST /token"] = [httpx.Response(400, json={"error": "invalid_grant"})]

    with pytest.raises(Misconfigured, match="drive: POST /token answered 400"):
        await partners.deliver(site, batch_of(site), drive.destination(None))

    assert sent(world, TAKE) == 0


@pytest.mark.parametrize("content", ["", "{}", json.dumps({"client_email": "a@b", "private_key": "x"})])
def test_a_key_that_is_none_is_a_line(drive: DriveServer, content: str) -> None:
    """And nothing of it is repeated."""
    (drive.folder / "key.json").write_text(content)
    with pytest.raises(ConfigError, match=r"partners\.sinks drive: key_file is no key of a service account"):
        drive_sink(drive.settings())
    (drive.folder / "key.json").unlink()
    with pytest.raises(ConfigError, match="key_file cannot be read: No such file"):
        drive_sink(drive.settings())


async def test_files_are_deleted_after_a_comment_that_says_when(world: World, drive: DriveServer) -> None:
    """Only what is as it was delivered; one that is gone is told as that."""
    site, found = await queued(world), list[ExpiryFinding]()
    for number in range(1, 4):
        drive.permissions[f"id-{number}"] = [{"type": "user", "emailAddress": "dpo@one.example"}]
    await partners.deliver(site, batch_of(site), drive.destination(None))
    world.calendar.pass_by(days=40)

    await expire(site, batch_of(site), drive.destination(None), Ages(30, 7), found.append)
    assert [each.what for each in found] == [ExpiryResult.WARNED] * 3
    assert all("will be deleted from" in each["comments"][1] for each in drive.reports())
    world.calendar.pass_by(days=8)
    first, second, _ = drive.reports()
    first["sha256Checksum"] = "another"
    del drive.files[second["id"]]
    found.clear()
    await expire(site, batch_of(site), drive.destination(None), Ages(30, 7), found.append)

    assert sorted(each.what for each in found) == sorted([ExpiryResult.KEPT, ExpiryResult.GONE, ExpiryResult.DELETED])
    assert [each["id"] for each in drive.reports()] == [first["id"]]
