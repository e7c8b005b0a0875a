"""The OpenPGP key of a partner: a file is encrypted to what is in force of it, and a key that is not is one line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pysequoia import ArmorKind, Tsk, armor, decrypt
from pysequoia.packet import PacketPile, Tag

from retirement.partners.sinks.openpgp import PartnerKey, UnusableKey

NOW = datetime(2026, 6, 1, tzinfo=UTC)
#: By GnuPG, of the year 2020: a subkey for encryption of one year.
EXPIRED = b"""\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEXgvhABYJKwYBBAHaRw8BAQdA4klS9yKwulPgd21imqnYYqW8lp8esI4LZOpT
BoGpvfa0D3N1YkBvbmUuZXhhbXBsZYiQBBMWCAA4FiEEtxjn84417nH+bHw9Edbj
hZJs3lYFAl4L4QACGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQEdbjhZJs
3laTOwEAzYusMmNJpZXskOnkG2oqHlb/1eg9/QAHY00BfYDxbCEBAJfLRO61ZhdR
cPZ07VfLEa1jCXfJvFn0Nkgqi0Jb3HoGuDgEXgvhABIKKwYBBAGXVQEFAQEHQNHc
KM/GsXNS8DMHd6f0f3oxTeRkgF5HZzAnjeDiUxlpAwEIB4h+BBgWCAAmFiEEtxjn
84417nH+bHw9EdbjhZJs3lYFAl4L4QACGwwFCQHhM4AACgkQEdbjhZJs3lZJTQEA
i9epymBA8r8laKh4tTinyTcbwKFg6EhO3Gfyj7A8n40BAJ6u07fFDLVKaQ00Tt7v
V1FB5zOhc9ZXJ8Rc+1pqkBMI
=ukE+
-----END PGP PUBLIC KEY BLOCK-----
"""
#: One such subkey was revoked on the day after, and one is in force.
TWO = b"""\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEXgvhABYJKwYBBAHaRw8BAQdAdcP0TssQH2D/rHLrlq+ZfeNuqddTkdA/EdyA
hra8PH20D3JldkBvbmUuZXhhbXBsZYiQBBMWCAA4FiEEqph6ntQhlYFGNVBT7WPe
hfZfLugFAl4L4QACGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQ7WPehfZf
LugqRAD8CviMzYJAd8ePg7JyVH33JRDE/150Gv7hxm3ckzqsVssA/R5tPziD4N4M
wthRyBYI7ah+nbNb4e7TWMIPwsCe2NEFuDgEXg0ygBIKKwYBBAGXVQEFAQEHQD1M
DELjUUFEn55l8/ynkZDjU3fFcNJ+Dwh9juiAfAMdAwEIB4h4BCgWCAAgFiEEqph6
ntQhlYFGNVBT7WPehfZfLugFAl4OhAACHQAACgkQ7WPehfZfLuix0AEAvCxRRlOr
WN1kGl7tozxIBTGR32IGj01MkN8Ps6vKvVkA/RFolYkkEYp3tUZhQprGJBd60ox1
GhA/2J0hJwTVaGYFiHgEGBYIACAWIQSqmHqe1CGVgUY1UFPtY96F9l8u6AUCXg0y
gAIbDAAKCRDtY96F9l8u6HK2AP9xTYyhucvLbdXqxzNi/n3JgmnjKohN0YgGSLBa
JipA7AD+LWfjrPjjA0QMSa6a4wsHt0FweknSn2M1TNkTKcA81QS4OAReDTKAEgor
BgEEAZdVAQUBAQdAbYXa4VH3E0M362eLVSbZMVdpBT//hfpLfZ90EsDgdVADAQgH
iHgEGBYIACAWIQSqmHqe1CGVgUY1UFPtY96F9l8u6AUCXg0ygAIbDAAKCRDtY96F
9l8u6FIbAP40vyv7BqxHg7OyJnaVNv/41ZpvvGwMkpiZxFfvFtuVdAD/SPqWjVu1
8bONXo5kf8UElcEIO/gCCM9DNNT39W1z0QM=
=Xyml
-----END PGP PUBLIC KEY BLOCK-----
"""


def of(tsk: Tsk) -> bytes:
    """The public part of a key."""
    return bytes(tsk.extract_certificate())


def without_last_subkey(content: bytes) -> bytes:
    """A key by its packets, without those of the last subkey."""
    packets = list(PacketPile.from_bytes(content))
    last = max(place for place, each in enumerate(packets) if each.tag == Tag.PublicSubkey)
    return b"".join(bytes(each) for each in packets[:last])


def revoked() -> bytes:
    tsk = Tsk.generate("dpo@one.example")
    return of(tsk) + bytes(tsk.extract_certificate().revoke(tsk.certifier()))


def of_a_day() -> bytes:
    return of(Tsk.generate("dpo@one.example", validity_seconds=86_400))


def test_only_the_partner_reads_it() -> None:
    """Whether the key has armor or not; the message has none."""
    tsk = Tsk.generate("dpo@one.example")
    for content in (of(tsk), armor(of(tsk), ArmorKind.PublicKey).encode()):
        sealed = PartnerKey(content).encrypt(b"CanaryName", datetime.now(UTC))
        assert b"Canary" not in sealed
        assert decrypt(sealed, decryptor=tsk.decryptor()).bytes == b"CanaryName"


def test_a_subkey_that_was_revoked_gets_nothing_and_the_other_does() -> None:
    """Who has revoked it may have lost it."""
    sealed = PartnerKey(TWO).encrypt(b"1", NOW)

    to = [each.issuer_key_id or each.key_id for each in PacketPile.from_bytes(sealed) if each.tag == Tag.PKESK]
    assert len(to) == 1
    with pytest.raises(UnusableKey, match="no subkey for encryption that is in force"):
        PartnerKey(without_last_subkey(TWO)).encrypt(b"1", NOW)


def test_a_subkey_is_in_force_until_its_day() -> None:
    """As seen from the years 2020 and 2026."""
    key = PartnerKey(EXPIRED)
    assert key.encrypt(b"1", datetime(2020, 6, 1, tzinfo=UTC))
    with pytest.raises(UnusableKey, match="no subkey for encryption that is in force"):
        key.encrypt(b"1", NOW)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (of_a_day(), r"has expired on \d{4}-\d\d-\d\d; ask the partner"),
        (revoked(), "was revoked; ask the partner for the new one"),
        (without_last_subkey(EXPIRED), "no subkey for encryption that is in force: it signs only"),
    ],
    ids=["expired", "revoked", "signs only"],
)
def test_a_key_that_is_not_in_force_encrypts_nothing(content: bytes, text: str) -> None:
    """One line, without what the library says."""
    with pytest.raises(UnusableKey, match=text) as refused:
        PartnerKey(content).encrypt(b"1", datetime.now(UTC) + timedelta(days=2))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is no public key of OpenPGP"),
        (b"age1abc", "is no public key of OpenPGP"),
        (TWO[:300], "is no public key of OpenPGP"),
        (bytes(Tsk.generate("dpo@one.example")), "holds a private key"),
        (of(Tsk.generate("a@one.example")) + of(Tsk.generate("b@one.example")), "holds more than one key"),
    ],
    ids=["empty", "another text", "cut off", "private", "two"],
)
def test_a_file_that_is_no_public_key_is_refused_when_it_is_read(content: bytes, text: str) -> None:
    """Before anything is claimed."""
    with pytest.raises(UnusableKey, match=text) as refused:
        PartnerKey(content)
    assert "\n" not in str(refused.value)
