"""Google Drive v3 as its documentation has it (contract of the services, B9), in memory, with a place in it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from email import message_from_bytes
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from retirement.config.partners import DriveSettings
from retirement.partners.destination import Destination
from retirement.partners.sinks.drive import SCOPE, drive_sink
from retirement.wire.api import Pool

from .dying import Mortal

FOLDER = "application/vnd.google-apps.folder"
ORGS = ("OrgA", "OrgB", "Zürich U.")
URL, ACCOUNT = "https://drive.sandbox", "reports@campus.iam.gserviceaccount.com"
TOKEN = "https://oauth.sandbox/token"
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def error(status: int, reason: str) -> httpx.Response:
    """An error in Google's form."""
    text = "CanaryName says no"
    body = {"code": status, "message": text, "errors": [{"domain": "global", "reason": reason, "message": text}]}
    return httpx.Response(status, json={"error": body})


@dataclass
class DriveServer:
    """Files by id. `answers` are given in the place of the next answers to a method and path, as often as they are."""

    folder: Path
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    permissions: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    answers: dict[str, list[httpx.Response]] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)
    mortal: Mortal | None = None
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        given = {"type": "service_account", "client_email": ACCOUNT, "private_key": PEM, "token_uri": TOKEN}
        (self.folder / "key.json").write_text(json.dumps(given))

    def reset(self) -> None:
        """As it was, with a folder for each organisation, and one that is in the trash."""
        self.files, self.permissions, self.requests = {}, {}, []
        for org in ORGS:
            self.make(org, "top", mimeType=FOLDER)
        self.make("OrgA", "top", mimeType=FOLDER, trashed=True)

    def make(self, name: str, parent: str, content: bytes = b"", **more: Any) -> str:
        """A file; its id."""
        file = f"id-{next(self._ids)}"
        sums = (
            {}
            if more.get("mimeType") == FOLDER
            else {"size": str(len(content)), "sha256Checksum": sha256(content).hexdigest()}
        )
        self.files[file] = {
            "id": file,
            "name": name,
            "parents": [parent],
            "content": content,
            "trashed": False,
            **sums,
            **more,
        }
        return file

    def settings(self, **changes: Any) -> DriveSettings:
        given = {
            "name": "drive",
            "kind": "drive",
            "folder": "top",
            "key_file": str(self.folder / "key.json"),
            "url": URL,
        }
        return DriveSettings(**given | changes)

    def pool(self, url: str, _at_once: int = 2) -> Pool:
        return httpx.AsyncClient(base_url=url, transport=httpx.MockTransport(self._handle))

    def destination(self, mortal: Mortal | None, **changes: Any) -> Destination:
        self.mortal = mortal
        return Destination(None, "campus.example", (drive_sink(self.settings(**changes), self.pool),))

    def reports(self) -> list[dict[str, Any]]:
        return [each for each in self.files.values() if each["name"].endswith(".csv")]

    def told(self) -> Counter[tuple[str, str]]:
        """How often each learner is in a file of each organisation."""
        found: Counter[tuple[str, str]] = Counter()
        for each in self.reports():
            partner = self.files[each["parents"][0]]["name"]
            for row in csv.DictReader(io.StringIO(each["content"].decode("utf-8"), newline="")):
                found[row["original_username"], partner.replace("Zürich U.", "Zürich-U")] += 1
        return found

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        if self.mortal:
            return await self.mortal.awaiting(self._answered)(request)
        return await self._answered(request)

    async def _answered(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if waiting := self.answers.get(f"{request.method} {request.url.path}"):
            return waiting.pop(0)
        if request.url.path == "/token":
            return _token(parse_qs(request.content.decode()))
        if request.headers.get("authorization") != "Bearer access":
            return error(401, "authError")
        assert request.url.params.get("supportsAllDrives") == "true" or "/comments" in request.url.path
        if request.url.path == "/drive/v3/files":
            return self._list(dict(request.url.params))
        if request.url.path == "/upload/drive/v3/files":
            return self._upload(request)
        file, _, below = request.url.path.removeprefix("/drive/v3/files/").partition("/")
        if file not in self.files:
            return error(404, "notFound")
        return self._below(request, file, below) if below else self._file(request, file)

    def _file(self, request: httpx.Request, file: str) -> httpx.Response:
        if request.method == "DELETE":
            del self.files[file]
            return httpx.Response(204)
        shown = ("id", "size", "sha256Checksum", "trashed")
        return httpx.Response(200, json={name: self.files[file].get(name) for name in shown})

    def _below(self, request: httpx.Request, file: str, below: str) -> httpx.Response:
        assert "fields" in request.url.params
        if below == "permissions":
            return httpx.Response(200, json={"permissions": self.permissions.get(file, [])})
        comments = self.files[file].setdefault("comments", [])
        if request.method == "POST":
            comments.append(json.loads(request.content)["content"])
            return httpx.Response(200, json={"id": f"comment-{len(comments)}"})
        return httpx.Response(200, json={"comments": [{"content": each} for each in comments]})

    def _list(self, params: dict[str, str]) -> httpx.Response:
        """One file a page, and an empty page first: a page may be empty although there are more."""
        query = params["q"]
        wanted = {key: re.search(pattern, query) for key, pattern in _CONDITIONS.items()}
        found = [
            each
            for each in self.files.values()
            if wanted["parent"] and wanted["parent"][1] in each["parents"]
            if not wanted["name"] or _plain(wanted["name"][1]) == each["name"]
            if not wanted["type"] or wanted["type"][1] == each.get("mimeType")
            if "trashed = false" not in query or not each["trashed"]
        ]
        at = int(params.get("pageToken", "0"))
        shown = [
            {name: value for name, value in each.items() if name != "content"} for each in found[at - 1 : at] if at
        ]
        more = {"nextPageToken": str(at + 1)} if at < len(found) else {}
        return httpx.Response(200, json={"files": shown, **more})

    def _upload(self, request: httpx.Request) -> httpx.Response:
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        message = message_from_bytes(head + request.content)
        metadata, media = message.get_payload()
        given = json.loads(metadata.get_payload(decode=True))
        raw = request.content.split(b"Content-Type: text/csv\r\n\r\n")[1].rpartition(b"\r\n--")[0]
        assert media.get_content_type() == "text/csv"
        return httpx.Response(200, json={"id": self.make(given["name"], given["parents"][0], raw, mimeType="text/csv")})


_CONDITIONS = {
    "parent": r"'([^']*)' in parents",
    "name": r"name = '((?:[^'\\\\]|\\\\.)*)'",
    "type": r"mimeType = '([^']*)'",
}


def _plain(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted)


def _token(form: dict[str, list[str]]) -> httpx.Response:
    claims = jwt.decode(form["assertion"][0], _KEY.public_key(), algorithms=["RS256"], audience=TOKEN)
    assert (claims["iss"], claims["scope"], "sub" in claims) == (ACCOUNT, SCOPE, False)
    return httpx.Response(200, json={"access_token": "access", "token_type": "Bearer", "expires_in": 3599})
