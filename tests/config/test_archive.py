"""The section of the archive: opt-in, encrypted, with an end; and the reference's key that becomes it."""

import pytest

from retirement.config import as_own_dialect, describe, load
from retirement.config.buckets import ArchiveSettings
from retirement.errors import ConfigError

from .desk import ENVIRON, OWN, TUBULAR, Desk

UNUSED = "not used by this version: s3_archive"


def test_without_the_section_there_is_no_archive(desk: Desk) -> None:
    """Names are written nowhere unless an operator says so."""
    found = desk.load(OWN)

    assert found.archive is None
    assert "archive" not in describe(found)


def test_the_section_is_read_and_written_back(desk: Desk) -> None:
    """A secret becomes a reference to a variable that is named after the section."""
    given = "archive: {bucket: attic, expire_days: 90, access_key_id: key, secret_access_key: '${KEY}'}\n"
    found = desk.load(OWN + given, KEY="secret")

    assert found.archive is not None
    assert (found.archive.bucket, found.archive.prefix, found.archive.sse) == ("attic", "raw", "AES256")
    assert describe(found)["archive"]["secret_access_key"] == "**********"
    desk.path.write_text(as_own_dialect(found))
    again = load(desk.path, environ=ENVIRON | {"RETIREMENT_ARCHIVE_SECRET_ACCESS_KEY": "secret"})
    assert again.archive == found.archive


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("archive: {expire_days: 9}\n", "archive.bucket: is missing; give it: The bucket"),
        (
            "archive: {bucket: attic}\n",
            "archive.expire_days: is missing; give it: Days after which the cleanup deletes",
        ),
        ("archive: {bucket: attic, expire_days: 0}\n", "archive.expire_days: must be at least 1"),
        ("archive: {bucket: attic, expire_days: null}\n", "archive.expire_days: has no value"),
        ("archive: {bucket: attic, expire_days: 9, sse: none}\n", "archive.sse: must be one of 'AES256'"),
        ("archive: {bucket: attic, expire_days: 9, unencrypted: why}\n", "archive.unencrypted: is no key here"),
        (
            "archive: {bucket: attic, expire_days: 9, endpoint_url: 'http://s3.example.com'}\n",
            "archive.endpoint_url: is http:// to another machine",
        ),
    ],
)
def test_what_cannot_be_meant_is_one_line(desk: Desk, given: str, says: str) -> None:
    """With file, line and key."""
    with pytest.raises(ConfigError) as refused:
        desk.load(OWN + given)

    (line,) = refused.value.args
    assert line.startswith(f"{desk.path}:")
    assert says in line


def test_the_references_key_alone_writes_no_name(desk: Desk) -> None:
    """It stands in files whose operators never decided to keep names for ever."""
    text = TUBULAR + "s3_archive: {bucket_name: attic, region: eu-north-1}\n"

    assert desk.load(text).archive is None
    assert any(UNUSED in warning for warning in desk.warnings(text))


def test_the_references_key_with_an_end_is_the_section(desk: Desk) -> None:
    """With the reference's own names of bucket and region."""
    text = TUBULAR + "s3_archive: {bucket_name: attic, region: eu-north-1, expire_days: 365}\n"

    assert desk.load(text).archive == ArchiveSettings(bucket="attic", region="eu-north-1", expire_days=365)
    assert not any("s3_archive" in warning for warning in desk.warnings(text))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{bucket_name: attic, sse: aws:kms}", "s3_archive.expire_days: is missing; give it: Days after"),
        ("{expire_days: 365}", "s3_archive.bucket_name: is missing; give it: The bucket"),
        ("{bucket_name: attic, days: 365}", "s3_archive.days: is no key here"),
    ],
)
def test_an_archive_of_the_reference_without_its_end_is_one_line(desk: Desk, given: str, says: str) -> None:
    """As soon as it says more than the scripts read."""
    with pytest.raises(ConfigError) as refused:
        desk.load(TUBULAR + f"s3_archive: {given}\n")

    assert any(says in line and line.startswith(f"{desk.path}:") for line in refused.value.args)
