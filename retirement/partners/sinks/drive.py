"""Google Drive as a sink: a folder for each partner, whose people are told by a comment on the file.

Contract: services, B9. Drive allows two files of one name, so a folder is looked through before a file is created, and
a created file has our key among its properties. What Drive says of size and SHA-256 is what is read back. The folder
should be on a shared drive: service accounts have no room of their own.
"""

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from retirement.config.partners import DriveSettings
from retirement.connectors.salesforce.assertion import GRANT, assertion, rsa_key
from retirement.errors import ConfigError, Refused, ServiceError
from retirement.partners.files import Report
from retirement.partners.mapping import comparable
from retirement.partners.sinks.kit import Allowed, Sink
from retirement.site import stores
from retirement.wire import urls
from retirement.wire.api import Api, Retry
from retirement.wire.auth import TokenAuth, TokenSource
from retirement.wire.pool import Pool, pool
from retirement.wire.reply import Reply
from retirement.wire.success import an_object, nothing

logger = logging.getLogger(__name__)

SCOPE = "https://www.googleapis.com/auth/drive"
FILES, FILE, UPLOAD = "/drive/v3/files", "/drive/v3/files/{file}", "/upload/drive/v3/files"
PERMISSIONS, COMMENTS = f"{FILE}/permissions", f"{FILE}/comments"
ANSWERS = {
    f"GET {FILES}": an_object("files"),
    f"GET {FILE}": an_object("id"),
    f"POST {UPLOAD}": an_object("id"),
    f"DELETE {FILE}": nothing(),
    f"GET {PERMISSIONS}": an_object("permissions"),
    f"GET {COMMENTS}": an_object("comments"),
    f"POST {COMMENTS}": an_object("id"),
}
_FOLDER = "application/vnd.google-apps.folder"
_EVERYWHERE = (("supportsAllDrives", "true"), ("includeItemsFromAllDrives", "true"))
_ALL_DRIVES = (("supportsAllDrives", "true"),)
#: Reasons of a 403 that pass by themselves, and those of a full drive.
_PASSES = frozenset({"userRateLimitExceeded", "rateLimitExceeded", "backendError"})
_FULL = frozenset({"storageQuotaExceeded", "teamDriveFileLimitExceeded", "quotaExceeded"})
_BOUNDARY = "retirement-partner-report"
_NEWS = "a new report names learners whose accounts were deleted on their request; please delete what you hold of them."


class _Key(BaseModel):
    # hide_input_in_errors: a validation error would quote the key otherwise.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    client_email: str
    private_key: SecretStr
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105  # an address, no secret


class Drive(Sink):
    """The partners' folders below one folder."""

    def __init__(self, settings: DriveSettings, api: Api, tokens: Pool, account: str) -> None:
        super().__init__(settings.name, f"drive:{settings.folder}", settings.only)
        self._account = account.lower()
        self._settings, self._api, self._tokens = settings, api.expecting(ANSWERS), tokens
        self._folders: dict[str, list[str]] | None = None

    async def require(self) -> None:
        """Lists the folders."""
        await self._every_folder()

    async def discard_drafts(self, begin: str, allowed: Allowed) -> None:
        """A file is there as a whole or not at all."""

    async def deliver(self, report: Report, allowed: Allowed) -> str:
        """Finds or creates the file, and tells the partner's people; returns the id of the file."""
        folder = await self._folder_of(report.partner)
        file = await self._find(folder, report)
        if file is None:
            allowed()
            await self._create(folder, report)
            file = await self._find(folder, report)
        if file is None:
            raise Refused(
                self.name, "read back", None, f"no file of {len(report.content)} bytes and that SHA-256 is there"
            )
        if self._settings.comments:
            await self._tell(folder, file, f"{report.name}: {_NEWS}", allowed)
        return file

    async def write_index(self, name: str, content: bytes, allowed: Allowed) -> None:
        """Each partner sees a folder of its own, and the operator the folders' names."""

    async def expire(self, place: str, sha256: str, allowed: Allowed) -> bool:
        """Deletes the file, past the trash, while it is what was delivered."""
        found = await self._look(place)
        if found is None:
            return False
        if found.get("sha256Checksum") != sha256:
            raise Refused(self.name, "delete", None, "the file has another content than was delivered; it stays")
        allowed()
        await self._api.delete(FILE, values={"file": place}, params=_ALL_DRIVES, judge=_judge)
        if await self._look(place) is not None:
            raise Refused(self.name, "delete", None, "the file is there after it was deleted")
        return True

    async def warn(self, partner: str, file: str, place: str, day: date, allowed: Allowed) -> bool:
        """Tells the partner's people by a comment on the file, where any of them may be told."""
        folder = await self._folder_of(partner)
        return await self._tell(folder, place, f"{file}: this report will be deleted from {day} on.", allowed)

    async def close(self) -> None:
        """Closes the connections."""
        await self._api.aclose()
        await self._tokens.aclose()

    async def _look(self, file: str) -> dict[str, Any] | None:
        fields = ("fields", "id,size,sha256Checksum,trashed")
        reply = await self._api.find(FILE, values={"file": file}, params=(fields, *_ALL_DRIVES), judge=_judge)
        return None if reply is None or reply.at("trashed") is True else reply.mapping

    async def _folder_of(self, partner: str) -> str:
        """The id of the partner's folder. Raises `ConfigError` where there is none, or more than one."""
        found = (await self._every_folder()).get(comparable(partner), [])
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(f"{len(found)} folders have the name {partner} below folder; rename all but one")
        raise ConfigError(f"no folder has the name {partner} below folder; make it, and share it with the partner")

    async def _every_folder(self) -> dict[str, list[str]]:
        if self._folders is None:
            query = f"{_quoted(self._settings.folder)} in parents and mimeType = {_quoted(_FOLDER)} and trashed = false"
            folders: dict[str, list[str]] = {}
            async for each in self._list(query, "id,name"):
                folders.setdefault(comparable(str(each.get("name"))), []).append(str(each.get("id")))
            self._folders = folders
        return self._folders

    async def _find(self, folder: str, report: Report) -> str | None:
        """The id of the file in the folder that is this report, None where none is."""
        query = f"{_quoted(folder)} in parents and name = {_quoted(report.name)} and trashed = false"
        async for each in self._list(query, "id,size,sha256Checksum"):
            if each.get("sha256Checksum") == report.sha256 and str(each.get("size")) == str(len(report.content)):
                return str(each.get("id"))
        return None

    async def _list(self, query: str, fields: str) -> AsyncIterator[Mapping[str, Any]]:
        """Every file that fits; a page may be empty although there are more."""
        given = (("q", query), ("fields", f"nextPageToken,files({fields})"), ("pageSize", "1000"), *_EVERYWHERE)
        async for page in self._pages(FILES, {}, given):
            for each in page.mapping["files"]:
                if isinstance(each, dict):
                    yield each

    async def _pages(
        self, path: str, values: Mapping[str, object], params: tuple[tuple[str, str], ...]
    ) -> AsyncIterator[Reply]:
        token = None
        for _ in range(stores.MOST_PAGES):
            more = (("pageToken", token),) if token else ()
            page = await self._api.get(path, values=values, params=(*params, *more), judge=_judge)
            yield page
            found = page.at("nextPageToken")
            if not isinstance(found, str) or not found or found == token:
                return
            token = found
        raise Refused(self.name, f"GET {path}", None, "the pages of the answer have no end")

    async def _create(self, folder: str, report: Report) -> None:
        """Sent once: a second one would be a second file, and the look that follows shows what was done."""
        metadata: dict[str, object] = {"name": report.name, "parents": [folder], "mimeType": "text/csv"}
        metadata["appProperties"] = {"retirement": report.sha256[:40]}
        head = f"--{_BOUNDARY}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(metadata)}\r\n"
        body = b"".join([
            f"{head}--{_BOUNDARY}\r\nContent-Type: text/csv\r\n\r\n".encode(),
            report.content,
            f"\r\n--{_BOUNDARY}--\r\n".encode(),
        ])  # fmt: skip
        await self._api.post(
            UPLOAD,
            params=(("uploadType", "multipart"), ("fields", "id"), *_ALL_DRIVES),
            content=body,
            headers={"Content-Type": f"multipart/related; boundary={_BOUNDARY}"},
            once=True,
            judge=_judge,
        )

    async def _tell(self, folder: str, file: str, text: str, allowed: Allowed) -> bool:
        """Comments once on a file; False where nobody may be told, or where that failed, which loses no delivery."""
        try:
            people = await self._people(folder)
            if not people or await self._is_said(file, text):
                return bool(people)
            allowed()
            content = " ".join([*(f"+{each}" for each in people), text])
            await self._api.post(
                COMMENTS, values={"file": file}, params=(("fields", "id"),), json={"content": content}, once=True,
                judge=_judge,
            )  # fmt: skip
        except ServiceError as error:
            logger.warning("the people of a partner were not told by a comment: %s", error)
            return False
        return True

    async def _people(self, folder: str) -> list[str]:
        """Addresses of those who have access to a folder, without the account itself and those of denied domains."""
        params = (("fields", "nextPageToken,permissions(emailAddress,type)"), *_ALL_DRIVES)
        found: set[str] = set()
        async for page in self._pages(PERMISSIONS, {"file": folder}, params):
            for each in page.mapping["permissions"]:
                # One for anyone, or for a domain, has no address.
                if isinstance(each, dict) and isinstance(address := each.get("emailAddress"), str):
                    found.add(address)
        found = {each for each in found if each.lower() != self._account}
        return sorted(each for each in found if not self._is_denied(each.rpartition("@")[2].lower()))

    def _is_denied(self, domain: str) -> bool:
        return any(domain == each or domain.endswith(f".{each}") for each in self._settings.denied_domains)

    async def _is_said(self, file: str, text: str) -> bool:
        params = (("fields", "nextPageToken,comments(content)"), ("pageSize", "100"))
        async for page in self._pages(COMMENTS, {"file": file}, params):
            if any(text in str(each.get("content")) for each in page.mapping["comments"] if isinstance(each, dict)):
                return True
        return False


def drive_sink(settings: DriveSettings, pool_of: Callable[[str, int], Pool] = pool) -> Drive:
    """The sink, signed in by the key of the service account. Raises `ConfigError` for a key that cannot work."""
    place = f"partners.sinks {settings.name}: key_file"
    try:
        key = _Key.model_validate_json(Path(settings.key_file).read_bytes())
        private = rsa_key(key.private_key)
        urls.require_safe("token_uri", key.token_uri, allow_insecure=settings.allow_insecure)
    except OSError as error:
        raise ConfigError(f"{place} cannot be read: {error.strerror}") from None
    except (ValidationError, ValueError):
        raise ConfigError(f"{place} is no key of a service account; Google gives it as JSON") from None
    parts = urlsplit(key.token_uri)

    def form() -> dict[str, str]:
        signed = assertion(private, issuer=key.client_email, subject=None, audience=key.token_uri, scope=SCOPE)
        return {"grant_type": GRANT, "assertion": signed}

    tokens = pool_of(f"{parts.scheme}://{parts.netloc}", 2)
    retry = Retry()
    source = TokenSource(Api(settings.name, tokens, retry=retry), parts.path, form)
    api = Api(settings.name, pool_of(settings.url, 2), auth=TokenAuth(source), retry=retry)
    return Drive(settings, api, tokens, key.client_email)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _judge(reply: Reply) -> None:
    """What a 403 means is in its reason."""
    if reply.status != 403:
        return
    errors = reply.at("error", "errors")
    reasons = {each.get("reason") for each in errors if isinstance(each, dict)} if isinstance(errors, list) else set()
    if reasons & _PASSES:
        raise reply.transient("too many requests")
    if reasons & _FULL:
        raise reply.misconfigured("the drive has no room; use a folder on a shared drive, or make room")
