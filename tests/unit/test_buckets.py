"""Partner reports in a bucket of a real S3 server: encrypted, read back, each learner once, wherever a run dies."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from retirement.errors import ConfigError, Misconfigured, Refused, RetirementError, Transient
from retirement.partners import report as partners
from retirement.partners.destination import Destination
from retirement.partners.mapping import Partners
from retirement.partners.sinks.folder import folder_sink
from retirement.partners.sinks.s3 import s3_sink
from retirement.site.bucket import Bucket
from tests.ledger.desk import claims_of

from .batches import batch_of
from .buckets import InBucket, s3_server, settings, without_encryption
from .doubles import PERSONAL, USERNAME, World
from .reporting import CLEAN, TAKE, due, flags, queued, sent, told

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The server of this module."""
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(server: str, tmp_path: Path) -> InBucket:
    """A bucket of its own."""
    return InBucket(settings(server, bucket=f"b{abs(hash(tmp_path))}", prefix="reports/2026")).made()


async def test_each_partner_has_a_prefix_with_an_encrypted_object(world: World, bucket: InBucket) -> None:
    """The index stands beside the prefixes; a second run writes nothing, and receipts name no learner."""
    site = await queued(world)

    delivery = await partners.deliver(site, batch_of(site), bucket.destination(None))
    found = bucket.objects()
    calm = await partners.deliver(site, batch_of(site), bucket.destination(None))

    assert (delivery.error, delivery.problems, bucket.told(), flags(world)) == (None, [], due(), {})
    assert {each["ServerSideEncryption"] for each in found.values()} == {"AES256"}
    (index,) = [key for key in found if key.endswith(".json")]
    assert index.count("/") == 2
    named = json.loads(found[index]["Body"].read())["organisations"]
    assert sorted(each["organisation"] for each in named) == ["OrgA", "OrgB", "Zürich U."]
    assert (calm.files, calm.learners) == ({}, 0)
    receipts = await site.ledger.deliveries.find()
    assert {each.file.place.split("/")[0] for each in receipts} == {"OrgA", "OrgB", "Zürich-U-4ce806dc"}
    assert not [secret for secret in PERSONAL if secret in f"{receipts}"]
    assert (await site.ledger.verify()).ok


async def test_an_organisation_without_a_partner_stops_no_other(world: World, bucket: InBucket) -> None:
    """Its learners wait, with their rows; once the mapping has it, each partner gets those that are missing."""
    site = await queued(world)
    place = bucket.destination(None)
    some = {"OrgA": ("One", "Two"), "Zürich U.": ("Two",)}

    first = await partners.deliver(site, batch_of(site), _with(place, Partners(some)))
    halfway = bucket.told()
    again = await partners.deliver(site, batch_of(site), _with(place, Partners(some)))
    last = await partners.deliver(site, batch_of(site), _with(place, Partners(some, default="Two")))

    (line,) = first.problems
    assert line.startswith("organisation OrgB has no partner")
    assert partners.document(first)["errors"] == [line]
    assert first.waiting == {world.user_ids[USERNAME]}
    assert (again.problems, again.files) == ([line], {})
    those = [(name, each) for name in (USERNAME, "bo") for each in ("One", "Two")]
    assert halfway == Counter([*those, ("faye/slash", "Two")])
    assert (last.problems, bucket.told(), flags(world)) == ([], halfway, {})
    assert [each.state for each in await claims_of(site.ledger)][:2] == ["delivered", "delivered"]


async def test_a_partner_that_comes_later_gets_the_learners_once(world: World, bucket: InBucket) -> None:
    """A learner of two organisations keeps the row until both partners have them."""
    site = await queued(world)
    place = bucket.destination(None)
    some: dict[str, tuple[str, ...]] = {"OrgA": ("OrgA",), "Zürich U.": ("Zürich U.",)}

    await partners.deliver(site, batch_of(site), _with(place, Partners(some)))
    kept = list(flags(world))
    await partners.deliver(site, batch_of(site), place)

    assert kept == [USERNAME]
    assert (bucket.told(), flags(world)) == (due(), {})


async def test_a_sink_that_fails_keeps_the_rows_and_no_other_sink(
    world: World, bucket: InBucket, tmp_path: Path
) -> None:
    """The folder has its files, the LMS has deleted nothing; later the bucket gets the same."""
    site = await queued(world)
    (tmp_path / "out").mkdir()
    folder = folder_sink(tmp_path / "out", "files", "--output")
    place = replace(bucket.destination(None), folder=None)
    place = replace(place, others=(*place.others, folder))
    vars(vars(place.others[0])["_store"])["read"] = _unreachable

    first = await partners.deliver(site, batch_of(site), place)
    assert (told(tmp_path / "out"), len(flags(world)), sent(world, CLEAN)) == (due(), 3, 1)
    live = replace(place, others=(*bucket.destination(None).others, folder))
    second = await partners.deliver(site, batch_of(site), live)

    assert [line.split(":")[0] for line in first.problems] == [
        f"partner {org}, sink bucket" for org in ("OrgA", "OrgB", "Zürich U.")
    ]
    assert "cannot be reached" in first.problems[0]
    assert second.problems == []
    assert (told(tmp_path / "out"), bucket.told(), flags(world)) == (due(), due(), {})


async def test_a_claim_waits_for_the_place_that_it_was_begun_for(world: World, bucket: InBucket) -> None:
    """Part of it may be there, so a sink of that name at another place gets nothing of it."""
    site = await queued(world)
    place = bucket.destination(None)
    vars(vars(place.others[0])["_store"])["read"] = _unreachable
    await partners.deliver(site, batch_of(site), place)
    moved = InBucket(bucket.settings.model_copy(update={"prefix": "elsewhere"}))

    delivery = await partners.deliver(site, batch_of(site), moved.destination(None))

    (line,) = delivery.problems
    assert "give the sink its former place once, or the new one another name" in line
    assert (moved.objects(), len(flags(world))) == ({}, 3)


async def _unreachable(_name: str) -> bytes | None:
    raise Transient("bucket", "GET object", None, "the store cannot be reached: TimeoutError")


async def test_without_any_sink_that_answers_nothing_is_claimed(world: World, server: str) -> None:
    """Unreachable, or with a bucket that is not there."""
    site = await queued(world)
    wrong: dict[str, type[RetirementError]] = {"http://127.0.0.1:9": Transient, server: Misconfigured}

    for url, kind in wrong.items():
        with pytest.raises(kind, match="bucket: HEAD bucket"):
            await partners.deliver(
                site, batch_of(site), Destination(None, "x", (s3_sink(settings(url, bucket="nowhere")),))
            )

    assert sent(world, TAKE) == 0


async def test_a_sink_that_accepts_and_forgets_has_delivered_nothing(world: World, bucket: InBucket) -> None:
    """What is read back counts: rows stay, and the next run writes the files."""
    site = await queued(world)
    place = bucket.destination(None)
    store: Bucket = vars(place.others[0])["_store"]

    async def forget(_name: str, _content: bytes) -> None:
        return None

    vars(store)["write"] = forget
    first = await partners.deliver(site, batch_of(site), place)
    assert (len(first.problems), len(flags(world))) == (3, 3)
    assert "read back: it is not there" in first.problems[0]
    second = await partners.deliver(site, batch_of(site), bucket.destination(None))

    assert (second.problems, bucket.told(), flags(world)) == ([], due(), {})


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("code", "status", "waits"),
    [
        ("QuotaExceeded", 403, "PUT object answered 403: QuotaExceeded"),
        ("ExpiredToken", 400, "PUT object answered 400: ExpiredToken"),
        ("AccessDenied", 403, "PUT object answered 403: AccessDenied"),
        ("InvalidRequest", 400, "PUT object answered 400: InvalidRequest"),
    ],
)
async def test_what_a_store_refuses_keeps_the_rows_and_is_told_by_its_code(
    world: World, bucket: InBucket, code: str, status: int, waits: str
) -> None:
    """Without the store's words; the next run delivers."""
    site, place = await queued(world), bucket.destination(None)

    def refuse(request: Any, **_: Any) -> AWSResponse:
        body = f"<Error><Code>{code}</Code><Message>CanaryName has no room</Message></Error>"
        return AWSResponse(request.url, status, {}, _Raw(body.encode()))

    vars(place.others[0])["_store"].client.meta.events.register_first("before-send.s3.PutObject", refuse)
    first = await partners.deliver(site, batch_of(site), place)
    assert all(waits in line for line in first.problems)
    assert (len(first.problems), len(flags(world)), "Canary" in f"{first.problems}") == (3, 3, False)
    second = await partners.deliver(site, batch_of(site), bucket.destination(None))

    assert (second.problems, bucket.told(), flags(world)) == ([], due(), {})


class _Raw(io.BytesIO):
    """A body as botocore reads one."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


async def test_an_object_that_is_not_encrypted_is_no_delivery(bucket: InBucket) -> None:
    """It is written again; a store that cannot encrypt needs a reason in the settings."""
    kms = InBucket(bucket.settings.model_copy(update={"sse": "aws:kms"}))
    plain = Bucket(bucket.settings.model_copy(update={"unencrypted": "the disks are encrypted"}), "x")
    store = Bucket(kms.settings, "partners.sinks bucket")
    await plain.write("a.csv", b"1")

    assert await plain.read("a.csv") == b"1"
    assert await store.read("a.csv") is None
    await store.write("a.csv", b"1")
    assert await store.read("a.csv") == b"1"
    deaf = without_encryption(Bucket(kms.settings, "partners.sinks bucket"))
    with pytest.raises(Misconfigured, match=r"has not encrypted it with aws:kms, see sse of partners\.sinks bucket$"):
        await deaf.write("b.csv", b"1")
    assert await deaf.stored("b.csv") is None

    async def keeps(_: str) -> None:
        raise Refused("bucket", "DELETE object", 403, "AccessDenied")

    vars(deaf)["delete"] = keeps
    with pytest.raises(Misconfigured, match=r"it stays there in clear \(bucket: DELETE object answered 403"):
        await deaf.write("b.csv", b"1")


async def test_settings_that_boto_refuses_are_a_line() -> None:
    """Before anything is asked."""
    with pytest.raises(ConfigError, match=r"partners\.sinks bucket: boto3 refuses the settings: InvalidRegionError"):
        s3_sink(settings("https://s3.example.com", region="no region"))


def _with(place: Destination, mapping: Partners) -> Destination:
    return replace(place, partners=mapping)
