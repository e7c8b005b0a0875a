"""The file of a ledger: it stays where the next run looks for it, and its path means nothing but itself."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from retirement.errors import LedgerError
from retirement.ledger import LedgerLocation, opened, verify
from retirement.ledger.location import open_to_others

from .desk import Desk, begin


def delete(file: Path) -> None:
    """As a job that cleans up does."""
    file.unlink()


def delete_all(file: Path) -> None:
    """With its log and its index."""
    for each in file.parent.glob(file.name + "*"):
        each.unlink()


def delete_log(file: Path) -> None:
    """Only the log, where the last entries stand."""
    file.with_name(file.name + "-wal").unlink()


def move(file: Path) -> None:
    """To another name."""
    file.rename(file.with_name("elsewhere.db"))


def move_folder(file: Path) -> None:
    """As a volume that is mounted over it looks like."""
    file.parent.rename(file.parent.with_name("elsewhere"))


def replace_by_copy(file: Path) -> None:
    """As a backup that is put back."""
    shutil.copy(file, file.with_name("copy.db"))
    file.with_name("copy.db").replace(file)


@pytest.mark.parametrize("harm", [delete, delete_all, delete_log, move, move_folder, replace_by_copy])
def test_a_file_that_left_its_place_is_not_written(
    sqlite_desk: Desk, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """Nothing is called, for the intent before the call is refused; nor does the run prove or end anything."""
    folder = tmp_path / "ledger"
    file = folder / "ledger.db"
    desk = Desk(LedgerLocation(file, key=bytes(32)), sqlite_desk.clock, folder)

    async def work() -> None:
        async with desk.open() as ledger:
            lease = await begin(ledger)
            await lease.intend("FORUM", "LMS", "retire_forum")
            harm(file)
            with pytest.raises(LedgerError, match="moved, replaced or deleted"):
                await lease.intend("MAIL", "BRAZE", "delete")
            with pytest.raises(LedgerError, match="moved, replaced or deleted"):
                await ledger.leases.renew()
            with pytest.raises(LedgerError, match="moved, replaced or deleted"):
                await lease.end("retired", "", "COMPLETE")

    asyncio.run(work())


def test_a_file_that_is_put_back_is_written_on(sqlite_desk: Desk) -> None:
    """By the run that had it open, too."""
    file = sqlite_desk.folder / "ledger.db"

    async def work() -> None:
        async with sqlite_desk.open() as ledger:
            await ledger.events.note("before", {})
            file.rename(file.with_name("elsewhere.db"))
            with pytest.raises(LedgerError):
                await ledger.events.note("lost", {})
            file.with_name("elsewhere.db").rename(file)
            await ledger.events.note("after", {})

    asyncio.run(work())
    assert (None, 2) == ((verdict := verify(sqlite_desk.place)).problem, verdict.entries)


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a b", "a#b", "a;b=c", "é"])
def test_no_sign_of_a_path_has_a_meaning(tmp_path: Path, name: str) -> None:
    """The ledger is the file of that name, and its key stands beside it."""
    file = tmp_path / name / "ledger.db"

    async def note() -> None:
        async with opened(LedgerLocation(file)) as ledger:
            await ledger.events.note("noted", {})

    asyncio.run(note())
    assert [name] == [each.name for each in tmp_path.iterdir()]
    assert {"ledger.db", "ledger.db.key"} == {each.name for each in file.parent.iterdir()}
    assert verify(LedgerLocation(file)).entries == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_files_that_are_open_to_other_accounts_are_named(tmp_path: Path, mode: int) -> None:
    """The ledger's and its key's; as they are made they are not."""
    location = LedgerLocation(tmp_path / "ledger.db")

    async def note() -> None:
        async with opened(location) as ledger:
            await ledger.events.note("noted", {})

    asyncio.run(note())
    assert [] == open_to_others(location)
    for name in ("ledger.db", "ledger.db.key"):
        (tmp_path / name).chmod(mode)
        assert [tmp_path / name] == open_to_others(location)
        (tmp_path / name).chmod(0o600)
