"""The anchor holds the head outside, so that a tail that was cut off is missed."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from retirement.errors import LedgerError
from retirement.ledger import Verdict, verify
from retirement.ledger.anchor import read_anchor, write_anchor
from retirement.ledger.chain import Head

from .desk import Desk, live_through


@pytest.fixture
def anchored(desk: Desk) -> Desk:
    """A ledger whose head is written beside it."""
    return replace(desk, place=replace(desk.place, anchor=desk.folder / "anchor"))


async def _lived(desk: Desk, *statements: str) -> Verdict:
    async with desk.open() as ledger:
        if not statements:
            await live_through(ledger)
        for statement in statements:
            await ledger.access.write(lambda tx, run=statement: tx.connection.exec_driver_sql(run) and None)  # type: ignore[misc] # its default
        return await ledger.verify()


def test_every_commit_is_anchored(anchored: Desk) -> None:
    """The file holds the head, and verifying agrees."""
    verdict = asyncio.run(_lived(anchored))

    assert verdict.ok
    assert verdict.head == read_anchor(anchored.folder / "anchor")


def test_a_cut_tail_is_missed(anchored: Desk) -> None:
    """However consistent the rest is."""
    entries = asyncio.run(_lived(anchored)).entries
    last_rows = ("DELETE FROM partner_claim", f"DELETE FROM event WHERE seq > {entries - 2}")  # noqa: S608 - ours
    verdict = asyncio.run(_lived(anchored, *last_rows))

    assert verdict.problem
    assert entries - 1 == verdict.problem.seq
    assert f"2 entries are missing from the tail: the anchor holds {entries}" == verdict.problem.sentence
    assert not verify(anchored.place).ok
    with pytest.raises(LedgerError, match="2 entries are missing from the tail"):
        asyncio.run(_lived(anchored, "SELECT 1"))


def test_a_cut_tail_is_not_seen_without_an_anchor(desk: Desk) -> None:
    """That is what the anchor is for."""
    entries = asyncio.run(_lived(desk)).entries
    of_tables = [f"DELETE FROM {table}" for table in ("partner_claim", "parcel_key")]  # noqa: S608 - ours
    last_rows = (*of_tables, f"DELETE FROM event WHERE seq > {entries - 2}")  # noqa: S608 - ours

    assert asyncio.run(_lived(desk, *last_rows)).ok


def test_a_chain_that_was_written_anew_is_found(anchored: Desk) -> None:
    """Every hash in it is right, and it is another chain."""
    entries = asyncio.run(_lived(anchored)).entries
    (anchored.folder / "anchor").unlink()
    write_anchor(anchored.folder / "anchor", Head(entries - 3, "ab" * 32, "2026-03-01T12:00:00.000000+00:00"))
    verdict = verify(anchored.place)

    assert verdict.problem
    assert (entries - 3, True) == (verdict.problem.seq, "written anew" in verdict.problem.sentence)


def test_a_missing_anchor_is_a_problem(anchored: Desk) -> None:
    """Whoever cuts the tail may well delete it."""
    asyncio.run(_lived(anchored))
    (anchored.folder / "anchor").unlink()

    assert "the anchor is missing" in str(verify(anchored.place).problem)


def test_the_anchor_never_goes_back(tmp_path: Path) -> None:
    """Processes that share it write in any order; one behind its chain is well."""
    at = "2026-03-01T12:00:00.000000+00:00"
    for seq in (3, 7, 5):
        write_anchor(tmp_path / "anchor", Head(seq, f"{seq}" * 64, at))

    assert Head(7, "7" * 64, at) == read_anchor(tmp_path / "anchor")


def test_an_anchor_that_cannot_be_written_stops_the_work(anchored: Desk) -> None:
    """Nobody is called whose evidence is not anchored."""
    (anchored.folder / "anchor").mkdir()

    with pytest.raises(LedgerError, match="anchor cannot be read"):
        asyncio.run(_lived(anchored))


def test_a_file_of_somebody_else_is_no_anchor(anchored: Desk) -> None:
    """It is neither believed nor written over."""
    (anchored.folder / "anchor").write_text("precious")

    with pytest.raises(LedgerError, match="not the anchor of a ledger"):
        asyncio.run(_lived(anchored))
    with pytest.raises(LedgerError, match="not the anchor of a ledger"):
        write_anchor(anchored.folder / "anchor", Head(1, "0" * 64, "2026-03-01T12:00:00.000000+00:00"))
    assert "precious" == (anchored.folder / "anchor").read_text()
