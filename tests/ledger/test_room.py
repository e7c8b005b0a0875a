"""What `doctor` writes and takes back: it finds a ledger, an anchor or a disk that takes no write."""

import asyncio
from pathlib import Path

import pytest

from retirement.errors import LedgerError
from retirement.ledger.room import require_writable, take_room

from .desk import Desk, begin


def test_a_ledger_that_can_be_written_is_as_before(desk: Desk, tmp_path: Path) -> None:
    """No entry, no file; also while another process checks the same."""

    async def look() -> None:
        async with desk.open() as ledger:
            await (await begin(ledger)).end("parked", "", "PENDING")
            before, files = await ledger.events.head(), sorted(tmp_path.iterdir())
            await ledger.leases.take("doctor", what="the check of the ledger")
            for _ in range(2):
                await require_writable(ledger, 10)
            assert (await ledger.events.head(), sorted(tmp_path.iterdir())) == (before, files)
            assert (await ledger.verify()).ok

    asyncio.run(look())


def test_a_full_disk_is_found_by_the_write(sqlite_desk: Desk) -> None:
    """Reading works all the same, and so did the check before."""

    async def fill() -> None:
        async with sqlite_desk.open() as ledger:

            def limit(pages: int) -> object:
                return ledger.access.write(
                    lambda tx: tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").close()
                )

            await limit(1)  # no more pages than there are
            await ledger.leases.take("short", what="a short text fits all the same")
            with pytest.raises(LedgerError, match=r"the disk is full$"):
                await require_writable(ledger, 1)

    asyncio.run(fill())


def test_a_disk_without_room_for_a_run_is_found(sqlite_desk: Desk, tmp_path: Path) -> None:
    """The bytes of the check would fit, those of the night would not."""

    async def look() -> None:
        async with sqlite_desk.open() as ledger:
            with pytest.raises(LedgerError, match="there is no room for "):
                await require_writable(ledger, 10**13)

    asyncio.run(look())
    with pytest.raises(LedgerError, match=r"there is no room for 1\.0 MB: No such file or directory"):
        take_room(tmp_path / "gone", 10**6)
