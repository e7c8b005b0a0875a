"""A ledger belongs to one key: another key, or none, is an error that names both and never a false no."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import LargeBinary

from retirement.errors import BusyElsewhere, ConfigError, LedgerError
from retirement.ledger import KEY_ROTATED, Ledger, LedgerLocation, migrate, opened, rotate_key, tables, verify
from retirement.ledger.location import open_to_others
from retirement.ledger.tables.row import Row

from .desk import KEY, Clock, Desk, begin, claims_of, live_through
from .test_recorded import restored

EMAIL = "canarymail17@canary.example"
SECOND_EMAIL = "canarymail18@canary.example"


def test_what_is_sealed_under_the_key_is_known_to_the_rotation_of_the_key() -> None:
    """All that stands in bytes is; `sealed_claims` gives it to the look whether a key opens it."""
    tables_ = Row.metadata.sorted_tables
    sealed = [
        f"{table.name}.{each.name}" for table in tables_ for each in table.c if isinstance(each.type, LargeBinary)
    ]

    assert sealed == ["parcel_key.key", "partner_claim.sealed"], "sealed_claims of retirement/ledger/keys.py"


@dataclass
class Keyed:
    """A ledger whose key stands in a file, as at a site."""

    desk: Desk
    file: Path

    @property
    def name(self) -> str:
        """The ledger as errors name it."""
        return str(self.desk.place)

    def run(self, *work: Callable[[Ledger], Any], desk: Desk | None = None) -> list[Any]:
        """Opens the ledger, and awaits each piece of work on it."""

        async def all_of_it() -> list[Any]:
            async with (desk or self.desk).open() as ledger:
                return [await each(ledger) for each in work]

        return asyncio.run(all_of_it())

    def elsewhere(self, file: Path, *older: Path) -> Desk:
        """The same ledger as an installation with another key file sees it."""
        return replace(self.desk, place=replace(self.desk.place, key=file, keys=older))

    def rotate(self, **options: Any) -> Any:
        """Gives the ledger a new key."""
        return rotate_key(self.desk.place, **({"by": "ops", "clock": self.desk.clock} | options))


@pytest.fixture
def keyed(desk: Desk) -> Keyed:
    """A ledger that was used, on each kind of database in turn."""
    file = desk.folder / "keys" / "ledger.key"
    found = Keyed(replace(desk, place=replace(desk.place, key=file)), file)
    found.run(live_through)
    return found


def erased(email: str) -> Callable[[Ledger], Any]:
    """The user ids that a look-up finds."""

    async def ask(ledger: Ledger) -> list[int]:
        return [each.user_id for each in await ledger.learners.by_email(email)]

    return ask


async def _ended(ledger: Ledger) -> None:
    """Another learner comes and goes."""
    lease = await begin(ledger, 18)
    await lease.end("retired", "", "COMPLETE")


async def _unsealed(ledger: Ledger) -> list[bytes]:
    return [await ledger.claims.unseal(each.id) for each in await claims_of(ledger, "sealed")]


def test_a_lost_key_is_an_error(keyed: Keyed) -> None:
    """No new one is made in its place, and the old one put back is enough."""
    kept = keyed.file.read_text(encoding="ascii")
    keyed.file.unlink()

    with pytest.raises(ConfigError, match="is missing: put the ledger's own key there") as raised:
        keyed.run(erased(EMAIL))

    assert str(keyed.file) in str(raised.value)
    assert str(raised.value).startswith(keyed.name)
    assert not keyed.file.exists()
    keyed.file.write_text(kept, encoding="ascii")
    assert [[17]] == keyed.run(erased(EMAIL))


def test_two_installations_with_a_key_each(keyed: Keyed) -> None:
    """The second has none yet, or one of its own: it neither answers nor writes until it has the first one's."""
    own = keyed.desk.folder / "other" / "ledger.key"
    other = keyed.elsewhere(own)

    with pytest.raises(ConfigError, match=r"other/ledger\.key is missing"):
        keyed.run(erased(EMAIL), desk=other)
    assert not own.exists()
    own.parent.mkdir()
    own.write_text("ab" * 32, encoding="ascii")
    with pytest.raises(ConfigError, match=r"other/ledger\.key holds the key [0-9a-f]{8}: put") as raised:
        keyed.run(erased(EMAIL), desk=other)
    assert str(raised.value).startswith(keyed.name)
    assert [[17]] == keyed.run(erased(EMAIL), desk=keyed.elsewhere(own, keyed.file))


def test_the_first_opening_decides(desk: Desk) -> None:
    """A ledger without entries belongs to the key that it was first opened with."""
    first, second = (replace(desk, place=replace(desk.place, key=desk.folder / name)) for name in ("first", "second"))
    asyncio.run(_nothing(first))

    with pytest.raises(ConfigError, match="second is missing"):
        asyncio.run(_nothing(second))


async def _nothing(desk: Desk) -> None:
    async with desk.open():
        pass


@pytest.mark.parametrize("content", [b"", b"\n", b"abcdef\n", b"\xff\xfe\x00", b"zz" * 32, b"ab" * 33, bytes(32)])
def test_what_is_no_key(keyed: Keyed, content: bytes) -> None:
    """Empty, short, long, binary: the file and the ledger are named, and what it holds is not."""
    keyed.file.write_bytes(content)

    with pytest.raises(ConfigError, match="not a key of the digests") as raised:
        keyed.run(erased(EMAIL))

    assert str(keyed.file) in str(raised.value)
    assert keyed.name in str(raised.value)
    assert content == keyed.file.read_bytes()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_key_is_a_regular_file(keyed: Keyed, make: Callable[[Path], None]) -> None:
    """A pipe would be read for ever."""
    keyed.file.unlink()
    make(keyed.file)

    with pytest.raises(ConfigError, match="not a key of the digests"):
        keyed.run(erased(EMAIL))


def test_a_preview_changes_nothing(keyed: Keyed) -> None:
    """No file, no entry, no check value."""
    before = verify(keyed.desk.place), keyed.file.read_bytes()

    planned = keyed.rotate(dry_run=True)

    assert (planned.after, planned.lost, planned.closed_claims) == (None, False, 0)
    assert before == (verify(keyed.desk.place), keyed.file.read_bytes())
    assert [keyed.file] == list(keyed.file.parent.iterdir())
    assert [[17]] == keyed.run(erased(EMAIL))


def test_rotated_twice(keyed: Keyed) -> None:
    """Look-ups ask with every key, what is sealed opens, new learners get the new key, and the entries say so."""
    keys = [keyed.file.read_bytes()]
    for _ in range(2):
        done = keyed.rotate()
        keys.append(keyed.file.read_bytes())
        assert done.after
    keyed.run(_ended)

    found = keyed.run(erased(EMAIL), erased(SECOND_EMAIL), _unsealed, lambda ledger: ledger.learners.find())

    assert found[:3] == [[17], [18], [b"CanaryClaim"]]
    assert 3 == len(set(keys))
    first, second = sorted(found[3], key=lambda each: each.user_id)
    assert second.key_id == done.after != first.key_id
    beside = {each.read_bytes() for each in keyed.file.parent.iterdir() if each != keyed.file}
    assert beside == set(keys[:2])
    assert {0o600} == {each.stat().st_mode & 0o777 for each in keyed.file.parent.iterdir()}
    (entries,) = keyed.run(lambda ledger: ledger.events.find(kind=KEY_ROTATED))
    assert [each.facts["by"] for each in entries] == ["ops", "ops"]
    assert [entries[0].facts["after"], first.key_id] == [entries[1].facts["before"], entries[0].facts["before"]]
    assert verify(keyed.desk.place).ok


def test_an_old_key_that_is_gone_is_not_a_no(keyed: Keyed) -> None:
    """The look-up finds nothing, and the ledger tells how many retirements it could not ask."""
    done = keyed.rotate()
    (kept,) = done.kept
    kept.unlink()

    assert [[], {done.before: 1}] == keyed.run(erased(EMAIL), lambda ledger: ledger.learners.unknown_keys())


def test_a_rotation_that_died_before_its_last_step(keyed: Keyed) -> None:
    """The new key is beside the old one then, and found there."""
    old = keyed.file.read_bytes()
    done = keyed.rotate()
    keyed.file.rename(keyed.file.with_name(f"{keyed.file.name}.{done.after}"))
    keyed.file.write_bytes(old)

    keyed.run(_ended)

    assert [[17], [18], {}] == keyed.run(
        erased(EMAIL), erased(SECOND_EMAIL), lambda ledger: ledger.learners.unknown_keys()
    )
    assert keyed.rotate().before == done.after


def test_no_rotation_under_a_run(keyed: Keyed) -> None:
    """It would go on writing digests under the key before."""

    async def rotate(ledger: Ledger) -> None:
        await ledger.leases.take("queue", what="the queue")
        with pytest.raises(BusyElsewhere, match="a run is under way"):
            await asyncio.to_thread(keyed.rotate)

    before = keyed.file.read_bytes()
    keyed.run(rotate)
    assert before == keyed.file.read_bytes()


def test_a_lost_key_is_replaced_on_demand(keyed: Keyed) -> None:
    """Not while it is there; and what is lost with it is counted."""
    with pytest.raises(ConfigError, match="is not lost"):
        keyed.rotate(lost=True)
    keyed.file.unlink()
    with pytest.raises(ConfigError, match="is missing"):
        keyed.rotate()

    done = keyed.rotate(lost=True)

    assert (done.lost, done.kept, done.closed_claims) == (True, [], 1)
    keyed.run(_ended)
    assert [[], [18], {done.before: 1}] == keyed.run(
        erased(EMAIL), erased(SECOND_EMAIL), lambda ledger: ledger.learners.unknown_keys()
    )
    assert verify(keyed.desk.place).ok


def test_a_key_that_is_not_the_ledgers_is_kept(keyed: Keyed) -> None:
    """Whatever stands in the key's file may be another ledger's: a rotation throws no key away."""
    foreign = b"cd" * 32
    keyed.file.write_bytes(foreign)

    (kept,) = keyed.rotate(lost=True).kept

    assert bytes.fromhex(kept.read_text(encoding="ascii")) == bytes.fromhex(foreign.decode())


def test_a_rotation_that_cannot_write_its_key(keyed: Keyed) -> None:
    """The ledger stays with the key that it has."""
    done = keyed.rotate(dry_run=True)
    keyed.file.with_name(f"{keyed.file.name}.{done.before}").mkdir()

    with pytest.raises((ConfigError, LedgerError)):
        keyed.rotate()

    keyed.file.with_name(f"{keyed.file.name}.{done.before}").rmdir()
    assert [[17]] == keyed.run(erased(EMAIL))


def test_a_given_key_has_no_file(desk: Desk) -> None:
    """There is nothing to replace."""
    with pytest.raises(ConfigError, match="stands in no file"):
        rotate_key(desk.place, by="ops")


def test_a_rotation_moves_the_anchor(sqlite_desk: Desk) -> None:
    """And is refused where the ledger is shorter than its anchor."""
    place = LedgerLocation(sqlite_desk.place.url, anchor=sqlite_desk.folder / "anchor")
    desk = replace(sqlite_desk, place=place)
    asyncio.run(_lived(desk))
    rotate_key(place, by="ops", clock=desk.clock)
    assert verify(place).ok
    *_, line = (sqlite_desk.folder / "anchor").read_text(encoding="ascii").splitlines(keepends=True)
    (sqlite_desk.folder / "anchor").write_text(f"{int(line[:20]) + 1:020d}{line[20:]}", encoding="ascii")

    with pytest.raises(LedgerError, match="missing from the tail"):
        rotate_key(place, by="ops", clock=desk.clock)


async def _lived(desk: Desk) -> None:
    async with desk.open() as ledger:
        await live_through(ledger)


def test_keys_that_others_can_read_are_named(sqlite_desk: Desk) -> None:
    """Earlier ones too."""
    place = LedgerLocation(sqlite_desk.place.url)
    asyncio.run(_nothing(replace(sqlite_desk, place=place)))
    (kept,) = rotate_key(place, by="ops", clock=sqlite_desk.clock).kept
    kept.chmod(0o644)

    assert [kept] == open_to_others(place)


def _checked(file: Path) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT * FROM bound_key").fetchall()


def test_an_old_ledger_is_bound_when_it_is_migrated(tmp_path: Path) -> None:
    """By the key that fits its digests; entries and evidence stay as they are."""
    place = LedgerLocation(f"sqlite:///{restored(tmp_path)}", key=KEY)
    before = verify(place)

    assert ("0001", tables.SCHEMA) == migrate(place)

    assert 1 == len(_checked(tmp_path / "recorded.db"))
    assert before == verify(place)
    with pytest.raises(ConfigError, match="belongs to the key"):
        asyncio.run(_opened(replace(place, key=bytes(32))))


async def _opened(place: LedgerLocation) -> list[int]:
    async with opened(place, clock=Clock()) as ledger:
        return [each.user_id for each in await ledger.learners.by_email(EMAIL)]


def test_an_old_ledger_refuses_a_key_that_does_not_fit(tmp_path: Path) -> None:
    """Missing or another one: it stays at the schema that it has, and the key is not made."""
    place = LedgerLocation(f"sqlite:///{restored(tmp_path)}")
    for content in (None, b"ab" * 32):
        if content and place.key_file:
            place.key_file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"recorded\.db: belongs to the key .* and .*recorded\.db\.key "):
            migrate(place)
        with pytest.raises(ConfigError, match="older release"):
            asyncio.run(_opened(place))
    right = tmp_path / "right.key"
    right.write_text(KEY.hex(), encoding="ascii")

    assert ("0001", tables.SCHEMA) == migrate(replace(place, keys=(right,)))
    assert [17] == asyncio.run(_opened(replace(place, keys=(right,))))


def test_an_old_ledger_whose_key_is_lost_goes_on(tmp_path: Path) -> None:
    """Under a new key, when an operator says so."""
    place = LedgerLocation(f"sqlite:///{restored(tmp_path)}")

    done = rotate_key(place, by="ops", lost=True, clock=Clock())

    assert done.closed_claims == 2
    assert [] == asyncio.run(_opened(place))
    assert verify(place).ok


def test_a_key_in_the_configuration_that_is_missing(keyed: Keyed) -> None:
    """It would be asked for nothing, so it is an error."""
    with pytest.raises(ConfigError, match=r"gone\.key: this key of the ledger .* is missing"):
        keyed.run(erased(EMAIL), desk=keyed.elsewhere(keyed.file, keyed.desk.folder / "gone.key"))
