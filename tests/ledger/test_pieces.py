"""Lists of the ledger are read in pieces: the database skips and cuts, whatever the years have left."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from retirement.ledger import Action, Area, Holder, Ledger, Piece, deliveries
from retirement.ledger.deliveries import DeliveredFile

from .desk import START, Desk, claims_of

DAY = timedelta(days=1)


async def lived(ledger: Ledger, desk: Desk) -> None:
    """Three of each: runs, claims with a file for edX or for MITx and edX, holds and permissions."""
    for number in (1, 2, 3):
        await ledger.queue_runs.begin(f"run-{number}", depth=number, batch=number)
        claim = await ledger.claims.begin()
        for org in (("edX",), ("MITx",), ("MITx", "edX")):
            file = DeliveredFile(claim, "folder", "edX", org, f"{org[0]}-{number}.csv", "/", 10, "0" * 64, (17,))
            receipt = await ledger.deliveries.add(file)
        await ledger.deliveries.expired(receipt.id, found=True)
        until = START.date() + number * DAY
        await ledger.holds.add(user_id=number, org=None, service=None, basis="court", until=until, by="legal")
        await ledger.permissions.set(Holder("sso", f"person-{number}"), Area.SYSTEM, "", [Action.VIEW])
        desk.clock.forward(DAY.total_seconds())


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is asked of databases meanwhile."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(" ".join(statement.split()))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_a_piece_of_a_list_is_cut_by_the_database(desk: Desk) -> None:
    """Each list in its order, and no statement of one is without a limit."""
    lists: dict[str, tuple[Callable[[Ledger, Piece], Any], Callable[[Any], Any], list[Any]]] = {
        "queue_run": (
            lambda ledger, piece: ledger.queue_runs.newest(piece, since=START),
            lambda row: row.run_id,
            ["run-3", "run-2", "run-1"],
        ),
        "partner_claim": (
            lambda ledger, piece: ledger.claims.newest(piece),
            lambda row: row.began_at,
            [START + number * DAY for number in (2, 1, 0)],
        ),
        "hold": (
            lambda ledger, piece: ledger.holds.find(active_only=False, piece=piece),
            lambda row: row.user_id,
            [1, 2, 3],
        ),
        "permission": (
            lambda ledger, piece: ledger.permissions.all(Area.SYSTEM, piece=piece),
            lambda row: row.subject,
            ["person-1", "person-2", "person-3"],
        ),
    }

    async def look() -> None:
        async with desk.open() as ledger:
            await lived(ledger, desk)
            for table, (ask_for, key, expected) in lists.items():
                with statements() as asked:
                    pieces = [await ask_for(ledger, piece) for piece in (Piece(9), Piece(2), Piece(2, 2), Piece(2, 9))]
                found = [[key(row) for row in rows] for rows in pieces]
                assert found == [expected, expected[:2], expected[2:], []], table
                theirs = [each for each in asked if f"FROM {table}" in each or f"FROM public.{table}" in each]
                assert len(theirs) == 4, asked
                assert [each for each in theirs if " LIMIT " not in each] == [], table
            # The third was placed for the day that is today.
            assert [each.user_id for each in await ledger.holds.find(piece=Piece(9))] == [3]
            assert [each.user_id for each in await ledger.holds.find()] == [3]

    asyncio.run(look())


def test_files_of_an_organisation_are_found_a_piece_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the organisation and not by a partner of that name; with what became of each since."""
    monkeypatch.setattr(deliveries, "_AT_ONCE", 2)

    async def look() -> None:
        async with desk.open() as ledger:
            await lived(ledger, desk)
            pieces = [
                await ledger.deliveries.newest(piece, org="edX")
                for piece in (Piece(9), Piece(4), Piece(4, 3), Piece(4, 9))
            ]
            found = [[(each.file.file, each.expired_at is not None) for each in rows] for rows in pieces]
            whole = [(f"{org}-{number}.csv", org == "MITx") for number in (3, 2, 1) for org in ("MITx", "edX")]
            assert found == [whole, whole[:4], whole[3:], []]
            assert await ledger.deliveries.newest(Piece(9), org="edx") == []
            assert await ledger.deliveries.newest(Piece(9), org='"},"kind":"%_') == []
            claims = [each.id for each in await claims_of(ledger)]
            of_claims = [await ledger.deliveries.find(each) for each in ([claims[1]], claims[1:], [], [4711])]
            assert [[each.file.claim for each in rows] for rows in of_claims] == [
                [claims[1]] * 3,
                [claims[1]] * 3 + [claims[2]] * 3,
                [],
                [],
            ]
            assert len(await ledger.deliveries.find()) == 9
            assert [(await ledger.claims.named(each)) is None for each in (claims[0], 4711)] == [False, True]

    asyncio.run(look())
