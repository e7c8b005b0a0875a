"""A real S3 server on this machine, buckets of it, and a place of the partner report in one of them."""

from __future__ import annotations

import csv
import io
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from retirement.config.partners import S3Settings
from retirement.partners.destination import Destination
from retirement.partners.sinks.kit import StoreSink
from retirement.site.bucket import Bucket

from .dying import Mortal

NAME = "campus-reports"


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server that keeps objects in memory."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def settings(url: str, **changes: Any) -> S3Settings:
    """A bucket of that server."""
    given: dict[str, Any] = {
        "name": "bucket",
        "kind": "s3",
        "bucket": NAME,
        "endpoint_url": url,
        "region": "us-east-1",
        "access_key_id": "key",
        "secret_access_key": SecretStr("secret"),
    }
    return S3Settings(**given | changes)


def without_encryption(bucket: Bucket) -> Bucket:
    """One whose store takes objects and does not encrypt them as it is asked to."""
    put = bucket.client.put_object

    def deaf(**given: Any) -> Any:
        return put(**{name: value for name, value in given.items() if name != "ServerSideEncryption"})

    vars(bucket.client)["put_object"] = deaf
    return bucket


@dataclass
class InBucket:
    """A prefix of a bucket; its requests die with the process."""

    settings: S3Settings
    _bucket: Bucket = field(init=False)

    def __post_init__(self) -> None:
        self._bucket = Bucket(self.settings, "partners.sinks bucket")

    def made(self) -> InBucket:
        """With its bucket."""
        self._bucket.client.create_bucket(Bucket=self.settings.bucket)
        return self

    def destination(self, mortal: Mortal | None) -> Destination:
        store = Bucket(self.settings, "partners.sinks bucket")
        if mortal:
            store.client.meta.events.register_first("before-send.s3", lambda **_: mortal.may_live())
            store.client.meta.events.register_first("response-received.s3", lambda **_: mortal.may_go_on())
        place = f"s3://{self.settings.bucket}/{self.settings.prefix}"
        sink = StoreSink(self.settings.name, place, store, by_partner=True, only=self.settings.only)
        return Destination(None, "campus.example", (sink,))

    def objects(self) -> dict[str, dict[str, Any]]:
        """What the bucket has below the prefix, by name."""
        place = {"Bucket": self.settings.bucket}
        prefix = self.settings.prefix or ""
        found = self._bucket.client.list_objects_v2(**place, Prefix=prefix).get("Contents", [])
        return {each["Key"]: self._bucket.client.get_object(**place, Key=each["Key"]) for each in found}

    def told(self) -> Counter[tuple[str, str]]:
        """How often each learner is in a file of each organisation."""
        found: Counter[tuple[str, str]] = Counter()
        for key, each in self.objects().items():
            if key.endswith(".csv"):
                partner, name = key.split("/")[-2:]
                slug = name.split("_")[1]
                assert partner.startswith(slug)
                for row in csv.DictReader(io.StringIO(each["Body"].read().decode("utf-8"), newline="")):
                    found[row["original_username"], slug] += 1
        return found
