"""The OpenPGP key of a partner, by Sequoia: a file is encrypted to those of its subkeys that are in force.

Sequoia itself encrypts to a key that has expired or was revoked, so both are looked for here, by each subkey: one that
carries a revocation, of whichever hand, is out of force (RFC 9580, sections 5.2.3.31 and 10.1.3).
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from pysequoia import Cert, encrypt
from pysequoia.packet import Packet, PacketPile, SignatureType, Tag

_PRIVATE = (Tag.SecretKey, Tag.SecretSubkey)


class UnusableKey(Exception):
    """A key that no file is encrypted to; the text says why, and what to ask the partner for."""


class PartnerKey:
    """One public key, as `gpg --export` writes it, with armor or without. Raises `UnusableKey` for anything else."""

    def __init__(self, content: bytes) -> None:
        try:
            self._packets: list[Packet] = list(PacketPile.from_bytes(content))
            tags = [each.tag for each in self._packets]
            if any(tag in _PRIVATE for tag in tags):
                raise UnusableKey("holds a private key; the partner keeps that, and gives what `gpg --export` writes")
            if tags.count(Tag.PublicKey) > 1:
                raise UnusableKey("holds more than one key; export the one of the partner")
            self._cert = Cert.from_bytes(content)
        except RuntimeError:
            # Its text quotes what was read, and the frames of the library.
            raise UnusableKey("is no public key of OpenPGP; the partner gives what `gpg --export` writes") from None

    def encrypt(self, content: bytes, now: datetime) -> bytes:
        """The content as a message that only the partner reads. Raises `UnusableKey` where the key is not in force."""
        if self._cert.is_revoked:
            raise UnusableKey("was revoked; ask the partner for the new one")
        if self._cert.expiration and self._cert.expiration <= now:
            text = f"has expired on {self._cert.expiration:%Y-%m-%d}; ask the partner for it with a later date"
            raise UnusableKey(f"{text}, or for the new one")
        try:
            usable = Cert.from_packets([each for subkey in self._in_force(now) for each in subkey])
            return bytes(encrypt(recipients=[usable], bytes=content, armor=False))
        except RuntimeError:
            text = (
                "has no subkey for encryption that is in force: it signs only, or that one has expired or was revoked"
            )
            raise UnusableKey(f"{text}; ask the partner for another") from None

    def _in_force(self, now: datetime) -> Iterator[list[Packet]]:
        """The packets of the primary key, and of each subkey that may be used."""
        for key, *rest in _by_key(self._packets):
            if key.tag != Tag.PublicSubkey or _is_in_force(key, rest, now):
                yield [key, *rest]


def _by_key(packets: Iterable[Packet]) -> list[list[Packet]]:
    """The packets in parts, each of which begins with a key."""
    found: list[list[Packet]] = []
    for each in packets:
        if each.tag in (Tag.PublicKey, Tag.PublicSubkey):
            found.append([])
        if found:
            found[-1].append(each)
    return found


def _is_in_force(key: Packet, signatures: Iterable[Packet], now: datetime) -> bool:
    """By the newest signature that binds the subkey; Sequoia has checked that it is the primary key's."""
    bindings = [each for each in signatures if each.signature_type == SignatureType.SubkeyBinding]
    if not bindings or any(each.signature_type == SignatureType.SubkeyRevocation for each in signatures):
        return False
    newest = max(bindings, key=lambda each: each.signature_created or key.key_created or now)
    lasts = newest.key_validity_period
    return not lasts or key.key_created is None or key.key_created + lasts > now
