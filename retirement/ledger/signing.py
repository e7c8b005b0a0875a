"""The key of an installation, by which its heads and certificates are signed: Ed25519, in a file or behind a command.

What is signed is always a SHA-256 digest of 32 bytes, as the message of Ed25519 (RFC 8032); a command gets it on
standard input and answers with the 64 bytes of the signature, or with them in hex or base64. So an HSM, a service for
keys or an agent can hold the key, and nothing but its public half is on this machine.
"""

import base64
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from retirement.errors import ConfigError, LedgerError
from retirement.ledger.files import write_once

#: Seconds that a command has; the ledger is locked meanwhile.
COMMAND_SECONDS = 30
_BYTES = 64


@dataclass(frozen=True)
class Signing:
    """Where the key is. `key` is a file in PEM, made where it is missing; with a `command`, `public_key` is its half.

    `told` is a command that gets each signed head as a line on standard input, for time stamps and copies elsewhere;
    `post` gets the lines of those that it has not taken yet, and raises `LedgerError` where it does not take them.
    """

    key: Path
    command: tuple[str, ...] = ()
    public_key: Path | None = None
    told: tuple[str, ...] = ()
    post: Callable[[bytes], None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs digests. `key` is the public key, in hex."""

    key: str
    _sign: Callable[[bytes], bytes]

    def sign(self, digest: bytes) -> str:
        """The signature, in hex. Raises `LedgerError` where a command does not answer with a signature of its key."""
        signature = self._sign(digest).hex()
        if not is_signed(self.key, signature, digest):
            raise LedgerError("ledger.sign_command: what it answered is no signature of ledger.public_key")
        return signature


def signer_of(signing: Signing) -> Signer:
    """Who signs; a key file that is missing is made. Raises `ConfigError` for a bad file, `LedgerError` for a disk."""
    if signing.command:
        if signing.public_key is None:
            raise ConfigError("ledger.sign_command needs ledger.public_key, the file with the public half of its key")
        return Signer(public_key_of(signing.public_key), lambda digest: _asked(signing.command, digest))
    return _from_file(signing.key)


def public_key_of(path: Path) -> str:
    """The public key in a file in PEM, in hex. Raises `ConfigError`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: the public key cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{path}: no public key in PEM; `retirement ledger public-key` prints one") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path}: a public key of another kind; it has to be Ed25519")
    return key.public_bytes_raw().hex()


def pem_of(key: str) -> str:
    """A public key in PEM, as openssl reads it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def is_signed(key: str, signature: str, digest: bytes) -> bool:
    """Whether a signature in hex is that of this key over this digest; False for what is no key or no signature."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), digest)
    except (InvalidSignature, ValueError):
        return False
    return True


def _from_file(path: Path) -> Signer:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not path.exists():
        _make(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise LedgerError(f"{path}: the signing key cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise ConfigError(f"{path}: no private key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: a private key of another kind; it has to be Ed25519")
    return Signer(key.public_key().public_bytes_raw().hex(), key.sign)


def _make(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    write_once(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "the signing key")


def _asked(command: tuple[str, ...], digest: bytes) -> bytes:
    """Raises `LedgerError` where the command fails; what it prints on stderr is not repeated."""
    answer = run_command("ledger.sign_command", command, digest)
    if len(answer) == _BYTES:
        return answer
    text = answer.strip()
    try:
        return bytes.fromhex(text.decode("ascii")) if len(text) == 2 * _BYTES else base64.b64decode(text)
    except ValueError:
        return b""


def run_command(name: str, command: tuple[str, ...], given: bytes) -> bytes:
    """What a command of the operator prints; raises `LedgerError` where it fails, by the name of its setting."""
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own words, and no shell
            command,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except OSError as error:
        raise LedgerError(f"{name}: {command[0]} cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise LedgerError(f"{name}: {command[0]} did not end within {COMMAND_SECONDS} seconds") from None
    if done.returncode:
        raise LedgerError(f"{name}: {command[0]} ended with {done.returncode}")
    return done.stdout
