"""A bucket, by boto3: each object is encrypted by the store, which is seen in each answer.

Contract: services, B10. An object is whole or not there. The answer to a write and to a read says how the object
is encrypted: where that is not what the settings want, the object counts as missing and is written again.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from retirement.config.buckets import ArchiveSettings, BucketSettings
from retirement.config.partners import S3Settings
from retirement.errors import ConfigError, Misconfigured, Refused, RetirementError, ServiceError, Transient
from retirement.process import in_thread
from retirement.site import stores

T = TypeVar("T")

#: Seconds for a connection and for an answer; boto3 itself tries again.
_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 10, 60, 4
#: Seconds for all tries of one request and its whole answer: a store may send a byte now and then.
_WHOLE_SECONDS = 600.0
_GONE = frozenset({"NoSuchKey", "404", "NotFound"})
_BUSY = frozenset({"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "503", "500", "502", "504"})
_CODE = re.compile(r"[A-Za-z0-9.]{1,40}")
#: What a person has to mend, whichever file it is.
_WRONG = frozenset({
    *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket", "ExpiredToken", "403"),
    *("AuthorizationHeaderMalformed", "PermanentRedirect", "InvalidToken", "QuotaExceeded", "KMS.DisabledException"),
})  # fmt: skip


class Bucket:
    """The store of one bucket and prefix; `key` is what the configuration calls it, `content_type` that of objects."""

    def __init__(self, settings: S3Settings, key: str, content_type: str = "text/csv; charset=utf-8") -> None:
        self._settings, self._key, self._content_type = settings, key, content_type
        prefix = (settings.prefix or "").strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        secret = settings.secret_access_key
        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
        )
        try:
            # Untyped: boto3 makes its clients of descriptions at run time.
            self.client: Any = _session().client(
                "s3",
                endpoint_url=settings.endpoint_url,
                region_name=settings.region,
                aws_access_key_id=settings.access_key_id,
                aws_secret_access_key=secret and secret.get_secret_value(),
                config=config,
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"{key}: boto3 refuses the settings: {_kind(error)}") from None

    async def require(self) -> None:
        """Asks for the bucket."""
        await self._ask("HEAD bucket", lambda: self.client.head_bucket(Bucket=self._settings.bucket))

    async def read(self, name: str) -> bytes | None:
        """Reads the whole object; one that is not encrypted as it has to be counts as missing."""
        found = await self._ask("GET object", lambda: self._object(name))
        return found[0] if found and self._is_encrypted(found[1]) else None

    async def discard_drafts(self, begin: str) -> None:
        """An object is whole or not there."""

    async def stored(self, name: str) -> bytes | None:
        """Reads the whole object, however it is encrypted."""
        found = await self._ask("GET object", lambda: self._object(name))
        return found[0] if found else None

    async def delete(self, name: str) -> None:
        """Deletes every version of the object: with versions, a plain deletion only hides the newest."""
        place = {"Bucket": self._settings.bucket, "Key": self._prefix + name}

        def delete() -> None:
            pages = self.client.get_paginator("list_object_versions")
            for number, page in enumerate(pages.paginate(Bucket=place["Bucket"], Prefix=place["Key"])):
                if number == stores.MOST_PAGES:
                    raise Refused(self._settings.name, "DELETE object", None, "the list of versions has no end")
                for each in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                    if each["Key"] == place["Key"]:
                        self.client.delete_object(**place, VersionId=each["VersionId"])

        await self._ask("DELETE object", delete)

    def _object(self, name: str) -> tuple[bytes, dict[str, Any]] | None:
        """An object and the answer that has come with it; None where there is none."""
        try:
            found = self.client.get_object(Bucket=self._settings.bucket, Key=self._prefix + name)
        except ClientError as error:
            if _code(error) in _GONE:
                return None
            raise
        content = found["Body"].read(stores.LARGEST + 1)
        if len(content) > stores.LARGEST:
            found["Body"].close()
            text = f"the object is larger than {stores.LARGEST} bytes"
            raise Refused(self._settings.name, "GET object", None, text)
        return content, found

    async def write(self, name: str, content: bytes) -> None:
        """Writes one object. Raises `Misconfigured` where the store has not encrypted it, and then deletes it again."""
        if await self._put(name, content, {}):
            return
        stays = ""
        try:
            await self.delete(name)
        except ServiceError as error:
            stays = f"; it stays there in clear ({error})"
        raise self._not_encrypted(stays)

    async def write_marked(self, name: str, content: bytes, marks: Mapping[str, str]) -> None:
        """Writes one object with marks, which S3 calls its metadata; raises as `write`, and deletes nothing."""
        if not await self._put(name, content, marks):
            raise self._not_encrypted()

    def _not_encrypted(self, stays: str = "") -> Misconfigured:
        text = f"the store has not encrypted it with {self._settings.sse}, see sse of {self._key}{stays}"
        return Misconfigured(self._settings.name, "PUT object", None, text)

    async def _put(self, name: str, content: bytes, marks: Mapping[str, str]) -> bool:
        """Writes one object; whether it is encrypted as it has to be."""
        options: dict[str, str] = {}
        if not self._settings.unencrypted:
            options["ServerSideEncryption"] = self._settings.sse
        if self._settings.kms_key:
            options["SSEKMSKeyId"] = self._settings.kms_key

        def put() -> dict[str, Any]:
            place = {"Bucket": self._settings.bucket, "Key": self._prefix + name}
            answer: dict[str, Any] = self.client.put_object(
                **place, Body=content, ContentType=self._content_type, Metadata=dict(marks), **options
            )
            return answer

        return self._is_encrypted(await self._ask("PUT object", put))

    async def close(self) -> None:
        """Ends connections."""
        await asyncio.to_thread(self.client.close)

    def _is_encrypted(self, answer: dict[str, Any]) -> bool:
        return bool(self._settings.unencrypted) or answer.get("ServerSideEncryption") == self._settings.sse

    async def _ask(self, request: str, work: Callable[[], T]) -> T:
        """A request in a thread of its own; errors become ours, without what the store has said of the object."""
        try:
            return await in_thread(work, _WHOLE_SECONDS)
        except (BotoCoreError, ClientError, OSError) as error:
            raise _ours(self._settings, request, error) from None


def archive_bucket(settings: ArchiveSettings) -> Bucket:
    """The bucket of the archive. The prefix is not its business: what tables look at begins with it."""
    given = {name: getattr(settings, name) for name in BucketSettings.model_fields}
    bucket = S3Settings(name="archive", kind="s3", **given)
    return Bucket(bucket, "archive", content_type="application/gzip")


@cache
def _session() -> Any:
    """One for all clients, since it reads the descriptions of the services."""
    return boto3.session.Session()


def _ours(settings: S3Settings, request: str, error: Exception) -> RetirementError:
    name = settings.name
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return Misconfigured(name, request, None, "boto3 finds no access key; give access_key_id")
    if not isinstance(error, ClientError):
        return Transient(name, request, None, f"the store cannot be reached: {_kind(error)}", in_doubt=True)
    code, status = _code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _BUSY or (isinstance(status, int) and status >= 500):
        return Transient(name, request, status, code, in_doubt=True)
    if code in _WRONG or (code in _GONE and request == "HEAD bucket"):
        text = f"there is no bucket {settings.bucket}" if code in (*_GONE, "NoSuchBucket") else code
        return Misconfigured(name, request, status, text)
    return Refused(name, request, status, code)


def _code(error: ClientError) -> str:
    """The code of an error, as far as it is one: the store may send any text."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code if _CODE.fullmatch(code) else "an unknown error"


def _kind(error: Exception) -> str:
    return type(error).__name__
