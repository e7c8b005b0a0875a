"""An archive in a bucket of the S3 server of tests, and the reference's reader of its files."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from pydantic import SecretStr

from retirement.config.buckets import ArchiveSettings
from retirement.followup.archive import Archive, archive_of
from retirement.site.bucket import Bucket

#: What each line of the reference has (contract of the LMS, 6.1).
KEYS = [
    *("user_id", "original_username", "original_email", "original_name", "retired_username", "retired_email"),
    *("retirement_request_date", "last_modified_date"),
]


def settings(url: str, **changes: Any) -> ArchiveSettings:
    """An archive in a bucket of that server."""
    given: dict[str, Any] = {
        "bucket": "attic",
        "endpoint_url": url,
        "region": "us-east-1",
        "access_key_id": "key",
        "secret_access_key": SecretStr("secret"),
        "expire_days": 365,
    }
    return ArchiveSettings(**given | changes)


class Attic:
    """One bucket, and an archive in it for each run."""

    def __init__(self, url: str, bucket: str, **changes: Any) -> None:
        self.settings = settings(url, bucket=bucket, **changes)
        self.client = bucket_of(self.archive()).client

    def made(self, *, versions: bool = False) -> Attic:
        """With its bucket."""
        self.client.create_bucket(Bucket=self.settings.bucket)
        if versions:
            status = {"Status": "Enabled"}
            self.client.put_bucket_versioning(Bucket=self.settings.bucket, VersioningConfiguration=status)
        return self

    def archive(self) -> Archive:
        return archive_of(self.settings)

    def outlasted(self) -> Archive:
        """One for which the days of all files are over: the LMS of tests takes no day of the future."""
        archive = self.archive()
        vars(archive)["_days"] = timedelta()
        return archive

    def objects(self) -> dict[str, dict[str, Any]]:
        """What the bucket has, by key."""
        found = self.client.list_objects_v2(Bucket=self.settings.bucket).get("Contents", [])
        place = {"Bucket": self.settings.bucket}
        return {each["Key"]: self.client.get_object(**place, Key=each["Key"]) for each in found}

    def lines(self) -> list[dict[str, Any]]:
        """Every line of every file, as the reference's tables read them."""
        return [line for each in self.objects().values() for line in read_as_reference(each["Body"].read())]

    def names(self) -> Counter[str]:
        """How often each learner is in the archive."""
        return Counter(line["original_username"] for line in self.lines())


def store_of(archive: Archive) -> dict[str, Any]:
    """The members of the store of an archive, to put others in their place."""
    return vars(bucket_of(archive))


def bucket_of(archive: Archive) -> Bucket:
    """The store of an archive."""
    store = vars(archive)["_store"]
    assert isinstance(store, Bucket)
    return store


def read_as_reference(content: bytes) -> list[dict[str, Any]]:
    """The lines of a file, each with the reference's keys and times that Athena reads."""
    lines = [json.loads(line) for line in gzip.decompress(content).decode("utf-8").splitlines()]
    for line in lines:
        assert list(line) == KEYS
        for name in ("retirement_request_date", "last_modified_date"):
            datetime.strptime(line[name], "%Y-%m-%d %H:%M:%S.%f")  # noqa: DTZ007 - UTC without its name, as there
    return lines
