"""A ledger belongs to a site: its first entry names it, and another configuration is refused."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from retirement.errors import ConfigError
from retirement.ledger import SITE_NAMED, Event, LedgerLocation, Signing, migrate, opened, rotate_key, sign_head, verify
from retirement.ledger.extract import Evidence

from .desk import KEY, Clock, Desk, begin
from .test_recorded import restored

OURS, THEIRS = "https://lms.example", "http://127.0.0.1:18000"


@pytest.fixture
def sited(desk: Desk) -> Desk:
    """A ledger that belongs to our site from its first opening on."""
    return replace(desk, place=replace(desk.place, site=OURS))


def lived(desk: Desk) -> list[Event]:
    """Something is entered; the entries."""

    async def live() -> list[Event]:
        async with desk.open() as ledger:
            await (await begin(ledger)).end("parked", "", "PENDING")
            await ledger.claims.begin()
            return await ledger.events.find()

    return asyncio.run(live())


def refused(desk: Desk) -> str:
    """Why the ledger is not opened."""
    with pytest.raises(ConfigError) as error:
        lived(desk)
    return str(error.value)


def test_the_first_entry_names_the_site(sited: Desk) -> None:
    """Once; a claim carries it; and the ledger is whole."""
    first = lived(sited)
    again = lived(sited)

    assert (first[0].seq, first[0].kind, [each.kind for each in again].count(SITE_NAMED)) == (1, SITE_NAMED, 1)
    assert first[0].rows[0][2]["name"] == OURS
    assert [each.facts["site"] for each in first if each.kind == "claim.began"] == [OURS]
    assert verify(sited.place).ok


def test_another_site_is_refused_before_anything_is_entered(sited: Desk) -> None:
    """By every door: opening, migrating, signing, a new key, and reading for a certificate; both names are said."""
    entries = len(lived(sited))
    key = sited.folder / "ledger.key"
    other = replace(sited.place, site=THEIRS, signing=Signing(sited.folder / "signing"))
    said = refused(replace(sited, place=other))

    assert f"is the ledger of the site {OURS}, and this configuration is of {THEIRS}" in said
    key.write_text(KEY.hex(), encoding="ascii")
    for door in (
        lambda: migrate(other),
        lambda: sign_head(other),
        lambda: rotate_key(replace(other, key=key), by="ops"),
        lambda: Evidence.of(other),
    ):
        with pytest.raises(ConfigError, match="is the ledger of the site"):
            door()
    assert verify(sited.place).entries == entries


def test_a_site_that_is_renamed_goes_on_by_its_name(sited: Desk) -> None:
    """The name is the operator's choice; a location that names none takes any."""
    lived(sited)
    lived(replace(sited, place=replace(sited.place, site=None)))

    assert THEIRS in refused(replace(sited, place=replace(sited.place, site=THEIRS)))
    assert lived(sited)


def test_a_ledger_of_before_is_adopted_once_by_the_migration(tmp_path: Path) -> None:
    """After its last entry, with its chain as it was; then it belongs to that site."""
    place = LedgerLocation(f"sqlite:///{restored(tmp_path)}", key=KEY, site=OURS, anchor=tmp_path / "anchor")
    before = verify(replace(place, anchor=None))
    migrate(place, clock=Clock())
    migrate(place, clock=Clock())
    after = verify(place)

    assert (before.problem, after.problem, after.entries) == (None, None, before.entries + 1)
    with pytest.raises(ConfigError, match="is the ledger of the site"):
        migrate(replace(place, site=THEIRS))


def test_two_processes_that_begin_a_ledger_name_it_once(sited: Desk) -> None:
    """The second finds it named."""

    async def both() -> list[Event]:
        async with sited.open() as one, opened(sited.place, clock=sited.clock) as other:
            await other.events.note("noted", {})
            return await one.events.find()

    assert [each.kind for each in asyncio.run(both())] == [SITE_NAMED, "noted"]


def test_a_site_that_another_hand_renamed_is_found(sited: Desk) -> None:
    """It is evidence as any row."""
    lived(sited)

    async def rename() -> None:
        async with sited.open() as ledger:
            await ledger.access.write(lambda tx: tx.connection.exec_driver_sql("UPDATE site SET name = 'x'") and None)

    asyncio.run(rename())

    assert verify(sited.place).problem
    assert "the row [1] of site is not what entry 1 wrote" in str(verify(sited.place).problem)


def test_two_sites_on_one_database_have_a_chain_each(postgresql_desk: Desk) -> None:
    """In a schema each, which the first opening makes; at the same time; a third without a schema beside them."""
    alone = replace(postgresql_desk.place, site="https://third.example")
    ours = replace(postgresql_desk, place=replace(alone, site=OURS, schema="ours", anchor=postgresql_desk.folder / "a"))
    theirs = replace(postgresql_desk, place=replace(alone, site=THEIRS, schema="theirs"))

    async def both() -> None:
        async with ours.open() as one, theirs.open() as other:
            await asyncio.gather(*(each.events.note("noted", {}) for each in (one, other, one)))

    asyncio.run(both())
    lived(replace(postgresql_desk, place=alone))

    assert [verify(each.place).problem for each in (ours, theirs, postgresql_desk)] == [None, None, None]
    assert (verify(ours.place).entries, verify(theirs.place).entries) == (3, 2)
    assert str(ours.place).endswith("(schema ours)")
    said = refused(replace(ours, place=replace(ours.place, site=THEIRS)))
    assert "give it a ledger of its own (ledger.postgresql_schema or ledger.url)" in said
    assert migrate(theirs.place)[0] == migrate(theirs.place)[1]


def test_a_schema_is_for_postgresql(tmp_path: Path) -> None:
    """A file has none, and a second site in it would be refused later."""
    with pytest.raises(ConfigError, match="a ledger in SQLite has no schema; give each site a file of its own"):
        LedgerLocation(f"sqlite:///{tmp_path}/ledger.db", schema="ours")
