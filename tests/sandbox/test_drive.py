"""The simulated Google Drive, as the contract has the real one (services.md B9), and a rehearsal of reports."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from retirement.cli.sandbox import write_config
from retirement.config import load
from retirement.partners.destination import destination_of
from retirement.sandbox import Sandbox
from retirement.sandbox.vendors.drive import FOLDER, PARTNERS
from retirement.sandbox.vendors.drive_sign_in import SCOPE, account_key

pytestmark = pytest.mark.anyio

URL = "http://drive.sandbox"
ALL = {"supportsAllDrives": "true", "includeItemsFromAllDrives": "true"}
FILES = "/drive/v3/files"
SEED = {"learners": [{"username": "ann", "enrollments": [{"org": "OrgA"}, {"org": "O'Hara \\ Sons"}]}]}


def _form(**claims: Any) -> dict[str, str]:
    key, now = account_key(URL), int(time.time())
    given = {"iss": key["client_email"], "aud": key["token_uri"], "scope": SCOPE, "iat": now, "exp": now + 600}
    signed = jwt.encode(given | claims, key["private_key"], algorithm="RS256")
    return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": signed}


@pytest.fixture
def sandbox() -> Sandbox:
    """A platform with a learner of two organisations."""
    return Sandbox(SEED)


@pytest.fixture
async def drive(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """A client that is signed in."""
    async with httpx.AsyncClient(base_url=URL, transport=httpx.ASGITransport(sandbox.apps["drive"])) as client:
        token = (await client.post("/token", data=_form())).json()["access_token"]
        client.headers["authorization"] = f"Bearer {token}"
        yield client


async def _upload(drive: httpx.AsyncClient, content: bytes, **metadata: Any) -> httpx.Response:
    head = f"--x\r\nContent-Type: application/json\r\n\r\n{json.dumps(metadata)}\r\n"
    kind = {"content-type": 'multipart/related; boundary="x"'}
    params = {"uploadType": "multipart", "fields": "id,size,md5Checksum,sha256Checksum", **ALL}
    body = head.encode() + b"--x\r\nContent-Type: text/csv\r\n\r\n" + content + b"\r\n--x--"
    return await drive.post(f"/upload{FILES}", params=params, headers=kind, content=body)


async def _listed(drive: httpx.AsyncClient, query: str, **params: str) -> list[dict[str, Any]]:
    found, token = [], ""
    while True:
        answer = await drive.get(FILES, params={"q": query, **ALL, **params, **({"pageToken": token} if token else {})})
        found += answer.json()["files"]
        if not (token := answer.json().get("nextPageToken", "")):
            return found


def _reason(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]


async def test_folders_of_the_seeds_organisations_are_found_page_by_page(drive: httpx.AsyncClient) -> None:
    """The first page is empty; quotes and backslashes are escaped; without both parameters nothing is seen."""
    folders = f"'{PARTNERS}' in parents and mimeType = '{FOLDER}' and trashed = false"

    assert [each["name"] for each in await _listed(drive, folders)] == ["OrgA", "O'Hara \\ Sons"]
    assert [each["name"] for each in await _listed(drive, r"name = 'O\'Hara \\ Sons'")] == ["O'Hara \\ Sons"]
    assert await _listed(drive, folders, includeItemsFromAllDrives="false") == []
    assert await _listed(drive, folders, fields="files(id)") == [{"id": f"1SandboxPartner{n}"} for n in (1, 2)]


async def test_a_file_has_the_sizes_and_sums_of_its_bytes_and_a_name_that_others_may_have(
    drive: httpx.AsyncClient,
) -> None:
    """Line breaks at its end included; what is in the trash is listed unless the query excludes it."""
    content = b"a,b\r\n1,\xff\r\n\r\n"
    sums = {"size": "12", "md5Checksum": md5(content).hexdigest(), "sha256Checksum": sha256(content).hexdigest()}  # noqa: S324  # as Drive has it

    first, second = [
        (await _upload(drive, content, name="r.csv", parents=["1SandboxPartner1"])).json() for _ in range(2)
    ]
    await drive.patch(f"{FILES}/{first['id']}", params=ALL, json={"trashed": True})

    assert [{name: each[name] for name in sums} for each in (first, second)] == [sums, sums]
    assert len(await _listed(drive, "name = 'r.csv'")) == 2
    assert [each["id"] for each in await _listed(drive, "name='r.csv' and trashed=false")] == [second["id"]]


async def test_folders_are_made_shared_and_deleted_with_all_that_is_below(drive: httpx.AsyncClient) -> None:
    """People of the drive have access to each of its files; a second deletion finds nothing."""
    made = await drive.post(FILES, params=ALL, json={"name": "New", "mimeType": FOLDER, "parents": [PARTNERS]})
    folder = f"{FILES}/{made.json()['id']}"
    person = {"type": "user", "role": "reader", "emailAddress": "dpo@new.example"}
    await drive.post(f"{folder}/permissions", params=ALL, json=person)
    file = (await _upload(drive, b"x", name="r.csv", parents=[made.json()["id"]])).json()["id"]
    shared = await drive.get(f"{FILES}/{file}/permissions", params={**ALL, "fields": "permissions(emailAddress)"})

    gone = [(await drive.delete(folder, params=ALL)).status_code for _ in range(2)]

    own = {"emailAddress": account_key(URL)["client_email"]}
    assert shared.json()["permissions"] == [own, {"emailAddress": "dpo@new.example"}]
    assert gone == [204, 404]
    assert _reason(await drive.get(f"{FILES}/{file}", params=ALL)) == (404, "notFound")


async def test_a_comment_is_said_as_often_as_it_is_sent(drive: httpx.AsyncClient) -> None:
    """The API requires `fields` for comments, and gives twenty of them a page."""
    place = f"{FILES}/1SandboxPartner1/comments"
    for _ in range(21):
        await drive.post(place, params={"fields": "id"}, json={"content": "read this"})
    first = (await drive.get(place, params={"fields": "nextPageToken,comments(content)"})).json()
    rest = {"fields": "comments(content)", "pageToken": first["nextPageToken"]}

    assert first["comments"] == [{"content": "read this"}] * 20
    assert (await drive.get(place, params=rest)).json() == {"comments": [{"content": "read this"}]}
    assert _reason(await drive.get(place)) == (400, "required")


async def test_what_drive_refuses_has_a_reason(drive: httpx.AsyncClient) -> None:
    """A service account has no room of its own, and nothing is a file of a shared drive without the parameter."""
    answers = {
        (403, "storageQuotaExceeded"): await _upload(drive, b"x", name="r.csv"),
        (404, "notFound"): await drive.get(f"{FILES}/1SandboxPartner1"),
        (400, "invalid"): await drive.get(FILES, params={"q": "name contains 'x'", **ALL}),
        (400, "badContent"): await drive.post(f"/upload{FILES}", params=ALL, content=b"x"),
    }

    assert [_reason(answer) for answer in answers.values()] == list(answers)
    for page in ({"pageSize": "1001"}, {"pageToken": "x"}):
        assert _reason(await drive.get(FILES, params={"q": "trashed = false", **ALL, **page})) == (400, "invalid")


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"iss": "another@sandbox.example"}, "invalid_grant"),
        ({"aud": "https://elsewhere.example/token"}, "invalid_grant"),
        ({"scope": "https://www.googleapis.com/auth/drive.metadata"}, "invalid_scope"),
        ({"exp": int(time.time()) - 1}, "invalid_grant"),
        ({"iat": 0}, "invalid_grant"),
        ({"sub": "person@campus.example"}, "unauthorized_client"),
    ],
)
async def test_an_assertion_that_the_account_may_not_sign_gets_no_token(
    drive: httpx.AsyncClient, claims: dict[str, Any], error: str
) -> None:
    """Each claim for itself."""
    assert (await drive.post("/token", data=_form(**claims))).json()["error"] == error


async def test_a_token_ends_after_an_hour(sandbox: Sandbox, drive: httpx.AsyncClient) -> None:
    """By the clock of the vendors."""
    assert (await drive.get(f"{FILES}/{PARTNERS}", params=ALL)).status_code == 200
    sandbox.advance(3600)
    assert _reason(await drive.get(f"{FILES}/{PARTNERS}", params=ALL)) == (401, "authError")


@pytest.mark.parametrize(("pipeline", "sinks"), [("all", ["drive"]), ("default", [])])
def test_a_rehearsal_with_every_service_delivers_reports_to_drive(
    sandbox: Sandbox, tmp_path: Path, pipeline: str, sinks: list[str]
) -> None:
    """The key of the account stands beside the configuration, and only its owner reads it."""
    urls = {name: f"http://127.0.0.1:{number}" for number, name in enumerate(sandbox.apps, 9000)}
    write_config(tmp_path / "rehearsal.yaml", pipeline, urls, sandbox.clients["worker"])

    found = destination_of(load(tmp_path / "rehearsal.yaml"), tmp_path)

    assert [each.name for each in found.others] == sinks
    assert [file.stat().st_mode & 0o777 for file in tmp_path.glob("*-drive-key.json")] == [0o600 for _ in sinks]
