"""What operators do to a ledger as a whole: bring it to this release, and give it a new key."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from retirement.errors import BusyElsewhere, ConfigError, LedgerError
from retirement.ledger.access import clock_of
from retirement.ledger.anchor import read_anchor, write_anchor
from retirement.ledger.belonging import require_site, settle
from retirement.ledger.chain import Head
from retirement.ledger.digests import KEY_ID_DIGITS, Digests
from retirement.ledger.failures import translated
from retirement.ledger.files import sync_folder
from retirement.ledger.keys import (
    bind,
    bind_anew,
    bind_if_used,
    bound_to,
    key_ids,
    key_path,
    main_key,
    new_key,
    older_keys,
    require_key_file,
    sealed_claims,
    write_key,
)
from retirement.ledger.leases import live_leases
from retirement.ledger.location import LedgerLocation, empty_log, engine_of, make_file
from retirement.ledger.schema import upgrade
from retirement.ledger.tables import SCHEMA
from retirement.ledger.transaction import Transaction, head_of, opened_transaction
from retirement.ledger.verification import require_whole

T = TypeVar("T")

#: The entry of a rotation; `before` and `after` among its facts are ids of keys.
KEY_ROTATED = "key.rotated"


@dataclass(frozen=True, slots=True)
class Rotation:
    """A change of the key. `after` is None in a preview; `kept` are the files of the earlier keys."""

    before: str
    after: str | None
    lost: bool
    key_file: Path
    kept: Sequence[Path]
    closed_claims: int  #: sealed partner claims that no key opens


def migrate(location: LedgerLocation, *, clock: Callable[[], datetime] | None = None) -> tuple[str, str]:
    """Brings a ledger to this release's schema; says from which to which, "" for a new one.

    A ledger that has digests gets the check value of its key, and one that has entries the name of its site. Raises
    `ConfigError` for a ledger of a newer release or another site and where the key does not fit the digests, and
    `LedgerError`.
    """
    make_file(location)

    def work(connection: Connection) -> tuple[str, Head | None]:
        before = upgrade(connection, location)
        bind_if_used(connection, location)
        head = settle(connection, location, clock) if head_of(connection).seq else None
        return before, head

    before, head = in_a_transaction(location, work)
    if head:
        write_anchor(location.anchor, head)
    return before, SCHEMA


def rotate_key(
    location: LedgerLocation,
    *,
    by: str,
    lost: bool = False,
    dry_run: bool = False,
    clock: Callable[[], datetime] | None = None,
) -> Rotation:
    """Gives a ledger a new key, and enters that. The key before stays beside it, for look-ups.

    `lost` is for a ledger whose own key is gone: its digests answer nothing any more. `dry_run` changes nothing.
    Raises `ConfigError`, `BusyElsewhere` while a run is under way, and `LedgerError`.
    """
    key_file = require_key_file(location)
    if location.file and not location.file.is_file():
        raise ConfigError(f"{location}: there is no ledger, so it has no key to replace")
    anchor = read_anchor(location.anchor)
    told = clock_of(location, clock)
    new = new_key()

    def work(connection: Connection) -> tuple[Rotation, Head]:
        # In this transaction, since migrating alone would ask for the key that is lost.
        upgrade(connection, location)
        require_whole(connection, anchor, str(location))
        require_site(connection, location)
        tx = opened_transaction(connection, told, writable=True)
        own = None if lost else bind(connection, location)
        before = own.key_id if own else _lost_key(connection, location)
        require_idle(tx, location, "rotate the key")
        kept = _kept(location, own)
        planned = Rotation(before, None, lost, key_file, [*kept], _closed_claims(connection, kept.values()))
        if dry_run:
            return planned, tx.append()
        return _rotated(tx, location, planned, kept, new, by)

    rotation, head = in_a_transaction(location, work, rolled_back=dry_run)
    if rotation.after:
        _put_in_place(key_path(location, new), key_file)
        write_anchor(location.anchor, head)
    return rotation


def in_a_transaction(
    location: LedgerLocation, work: Callable[[Connection], T], *, rolled_back: bool = False, empties_log: bool = False
) -> T:
    """What `work` returns of a ledger that no command has open; `empties_log` leaves nothing old in SQLite's log."""
    engine = engine_of(location)
    try:
        with translated(str(location)), engine.connect() as connection, connection.begin() as transaction:
            done = work(connection)
            if rolled_back:
                transaction.rollback()
        if empties_log:
            with translated(str(location)):
                empty_log(engine)
    finally:
        engine.dispose()
    return done


def _lost_key(connection: Connection, location: LedgerLocation) -> str:
    """The id of a key that is lost; raises `ConfigError` where it is there."""
    check_value = bound_to(connection)
    try:
        own = bind(connection, location)
    except ConfigError:
        return check_value[:KEY_ID_DIGITS] if check_value else ", ".join(sorted(key_ids(connection)))
    raise ConfigError(f"{location}: its key {own.key_id} is not lost; leave out --lost")


def require_idle(tx: Transaction, location: LedgerLocation, what: str) -> None:
    """A run that is under way would go on writing what it has in its memory. Raises `BusyElsewhere`."""
    if live := live_leases(tx):
        raise BusyElsewhere(f"{location}: a run is under way ({live[0].what}); {what} when it has ended")


def _kept(location: LedgerLocation, own: Digests | None) -> dict[Path, Digests]:
    """The keys that are kept for look-ups, by their files; what stands in the key's file is never thrown away."""
    main = main_key(location)
    kept = [*([own, *own.older] if own else older_keys(location)), *([main] if main else [])]
    return {key_path(location, each): each for each in kept}


def _closed_claims(connection: Connection, kept: Collection[Digests]) -> int:
    return sum(not any(each.can_unseal(sealed) for each in kept) for sealed in sealed_claims(connection))


def _rotated(
    tx: Transaction, location: LedgerLocation, planned: Rotation, kept: Mapping[Path, Digests], new: Digests, by: str
) -> tuple[Rotation, Head]:
    """Writes every key, then the entry: a key that is in the ledger is on the disk."""
    for path, each in [*kept.items(), (key_path(location, new), new)]:
        write_key(path, each)
    bind_anew(tx.connection, new)
    tx.enter(KEY_ROTATED, facts={"before": planned.before, "after": new.key_id, "by": by, "lost": planned.lost})
    return replace(planned, after=new.key_id), tx.append()


def _put_in_place(path: Path, key_file: Path) -> None:
    """Moves a key to where it is looked for first; until then it is found beside."""
    try:
        path.replace(key_file)
        sync_folder(key_file.parent)
    except OSError as error:
        raise LedgerError(f"{path}: is the ledger's key now; move it to {key_file} ({error.strerror})") from None
