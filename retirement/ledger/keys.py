"""Key files, and the check value by which a ledger recognises its own key.

A ledger belongs to one key from its first opening on. Another key, or none, would answer "was this address erased?"
with a false no, so it is an error. Earlier keys are for look-ups only.
"""

import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, select

from retirement.errors import ConfigError, LedgerError
from retirement.ledger.digests import KEY_ID_DIGITS, Digests
from retirement.ledger.files import write_once
from retirement.ledger.location import LedgerLocation
from retirement.ledger.schema import lock
from retirement.ledger.tables import BoundKey, Claim, LearnerRecord, ParcelKey, table_of

_BYTES = 32
#: The number of the only row.
_ONLY = 1


def bind(connection: Connection, location: LedgerLocation) -> Digests:
    """The digests under the key that the ledger belongs to; a new ledger gets one, made where its file is missing.

    Inside a transaction that may write. Raises `ConfigError` where the ledger's own key is not among the keys of the
    location, and for a file that holds no key; `LedgerError` for a file that cannot be read or made.
    """
    check_value = _bound_or_locked(connection)
    main = main_key(location)
    keys = [*([main] if main else []), *older_keys(location)]
    if check_value is None:
        own = _first_key(connection, location, main, keys)
        connection.execute(table_of(BoundKey).insert(), {"id": _ONLY, "check_value": own.check_value})
    else:
        own = _one_of(keys, lambda each: each.check_value == check_value, location, [check_value[:KEY_ID_DIGITS]])
    others = {each.key: each for each in keys if each.key != own.key}
    return replace(own, older=tuple(others.values()))


def _bound_or_locked(connection: Connection) -> str | None:
    """The check value of the ledger's key; None: it has none, and no other process gives it one meanwhile."""
    if (found := bound_to(connection)) is None:
        lock(connection)
        found = bound_to(connection)
    return found


def bind_if_used(connection: Connection, location: LedgerLocation) -> None:
    """Binds a ledger that has digests and no check value yet; raises as `bind`."""
    if bound_to(connection) is None and (key_ids(connection) or sealed_claims(connection)):
        bind(connection, location)


def bind_anew(connection: Connection, own: Digests) -> None:
    """Makes the ledger belong to another key."""
    table = table_of(BoundKey)
    connection.execute(table.delete())
    connection.execute(table.insert(), {"id": _ONLY, "check_value": own.check_value})


def bound_to(connection: Connection) -> str | None:
    """The check value of the key that the ledger belongs to, None while it belongs to none."""
    return connection.scalar(select(BoundKey.check_value))


def key_ids(connection: Connection) -> set[str]:
    """The ids of the keys that the ledger's digests were made with."""
    return set(connection.scalars(select(LearnerRecord.key_id).distinct()))


def main_key(location: LedgerLocation) -> Digests | None:
    """The digests under the location's key, None where its file is missing; raises as `bind`."""
    if isinstance(location.key, bytes):
        if len(location.key) != _BYTES:
            raise ConfigError(f"{location}: the key of its digests has {_BYTES} bytes")
        return Digests(location.key)
    return _read(require_key_file(location), location)


def key_path(location: LedgerLocation, digests: Digests) -> Path:
    """Where an earlier key is kept, beside the present one."""
    file = require_key_file(location)
    return file.with_name(f"{file.name}.{digests.key_id}")


def require_key_file(location: LedgerLocation) -> Path:
    """The file of the key; raises `ConfigError` for a location that holds the key itself."""
    if location.key_file is None:
        raise ConfigError(f"{location}: its key is given and stands in no file")
    return location.key_file


def write_key(path: Path, digests: Digests) -> None:
    """Writes a key, whole or not at all; a file that is there stays, so the first of two processes wins."""
    write_once(path, f"{digests.key.hex()}\n".encode("ascii"), "the key of the digests")


def new_key() -> Digests:
    """Digests under a key that was never used."""
    return Digests(secrets.token_bytes(_BYTES))


def _first_key(
    connection: Connection, location: LedgerLocation, main: Digests | None, keys: Collection[Digests]
) -> Digests:
    """The key that a ledger without a check value gets: one that fits its digests, where it has any."""
    ids, sealed = key_ids(connection), sealed_claims(connection)
    if ids:
        return _one_of(keys, lambda each: each.key_id in ids, location, sorted(ids))
    if sealed:
        return _one_of(keys, lambda each: _opens(each, sealed), location, [])
    return main or _made_key(location)


def _made_key(location: LedgerLocation) -> Digests:
    """A new key, in the file of the location; where another process has made one meanwhile, that one."""
    write_key(require_key_file(location), new_key())
    made = main_key(location)
    if made is None:
        raise LedgerError(f"{location.key_file}: the key of the digests cannot be made")
    return made


def sealed_claims(connection: Connection) -> list[bytes]:
    """What the key of the ledger opens of partner claims: the keys of parcels; of earlier releases the rows."""
    with_own = select(ParcelKey.claim)
    old = connection.scalars(select(Claim.sealed).where(Claim.sealed.is_not(None), Claim.id.not_in(with_own)))
    return [*connection.scalars(select(ParcelKey.key)), *(each for each in old if each)]


def _opens(digests: Digests, sealed: Collection[bytes]) -> bool:
    return any(map(digests.can_unseal, sealed))


def older_keys(location: LedgerLocation) -> list[Digests]:
    """The digests under each earlier key; raises as `bind`."""
    found = []
    for path in location.older_key_files:
        key = _read(path, location)
        if key is None:
            raise ConfigError(f"{path}: this key of the ledger {location} is missing; ledger.keys names it")
        found.append(key)
    return found


def _read(path: Path, location: LedgerLocation) -> Digests | None:
    """The digests under the key in a file, None where the file is missing."""
    try:
        if not path.exists():
            return None
        # Reading a pipe would wait for ever.
        key = bytes.fromhex(path.read_text(encoding="ascii").strip()) if path.is_file() else b""
    except OSError as error:
        raise LedgerError(f"{path}: the key of the ledger {location} cannot be read: {error.strerror}") from None
    except ValueError:
        key = b""
    if len(key) != _BYTES:
        raise ConfigError(f"{path}: not a key of the digests, which is {_BYTES} bytes in hex; ledger {location}")
    return Digests(key)


def _one_of(
    keys: Iterable[Digests], fits: Callable[[Digests], bool], location: LedgerLocation, ids: Collection[str]
) -> Digests:
    """The first key that fits. Raises `ConfigError` where none does: it names the file and the ids of both keys."""
    if own := next(filter(fits, keys), None):
        return own
    main = main_key(location)
    theirs = f"the key {' or '.join(ids)}" if ids else "another key"
    file = location.key_file or "what was given"
    found = f"holds the key {main.key_id}" if main else "is missing"
    raise ConfigError(
        f"{location}: belongs to {theirs}, and {file} {found}: put the ledger's own key there, or name its file in "
        "ledger.keys; if it is lost for good, `retirement ledger rotate-key --lost` begins a new one"
    )
