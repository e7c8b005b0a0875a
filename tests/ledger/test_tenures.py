"""The evidence of the work on one learner."""

import asyncio
from datetime import timedelta

import pytest

from retirement.errors import LedgerError, Refused, StateConflict, Transient

from .desk import START, Desk, begin


def test_a_run_is_remembered(desk: Desk) -> None:
    """Who, when, with which pipeline, how it ended, and each attempt."""

    async def run() -> None:
        async with desk.open() as ledger:
            tenure = await begin(ledger)
            await tenure.intend("FORUM", "LMS", "retire_forum")
            desk.clock.forward(2)
            await tenure.prove("FORUM", "erased")
            await tenure.intend("MAIL", "BRAZE", "delete")
            await tenure.fail("MAIL", "BRAZE", Refused("BRAZE", "POST /delete", 400, "said no"))
            await tenure.end("errored", "BRAZE said no", "ERRORED")
            record = await ledger.record(17)
            assert record is not None
            assert ("errored", "BRAZE said no", "ERRORED") == (record.ending, record.reason, record.state)
            assert (START, START + timedelta(seconds=2)) == (record.began_at, record.ended_at)
            assert START + timedelta(days=30) == record.due_at
            forum, mail = record.attempts
            assert ("erased", START + timedelta(seconds=2)) == (forum.outcome, forum.ended_at)
            assert ("Refused", "BRAZE: POST /delete answered 400: said no") == (mail.error, mail.reason)
            assert {"FORUM": "erased"} == record.finished
            assert [] == list(await ledger.live_leases())
            assert None is await ledger.record(18)

    asyncio.run(run())


def test_the_next_run_goes_on_from_there(desk: Desk) -> None:
    """It knows what is proved, and in which steps the last one died."""

    async def go_on() -> None:
        async with desk.open() as ledger:
            dead = await begin(ledger)
            await dead.intend("FORUM", "LMS", "retire_forum")
            await dead.prove("FORUM", "erased")
            await dead.intend("MAIL", "BRAZE", "delete")
            desk.clock.forward(61)
            tenure = await begin(ledger)
            assert ({"FORUM": "erased"}, frozenset({"MAIL"})) == (tenure.finished, tenure.begun)
            await tenure.prove("MAIL", "absent")
            assert {"FORUM": "erased", "MAIL": "absent"} == tenure.finished
            record = await ledger.record(17)
            assert record is not None
            assert [("FORUM", "erased"), ("MAIL", "absent")] == [(a.step, a.outcome) for a in record.attempts]

    asyncio.run(go_on())


def test_what_was_never_intended_can_be_proved(desk: Desk) -> None:
    """By looking: the step of a run that wrote nothing, or of other software before us."""

    async def look() -> None:
        async with desk.open() as ledger:
            tenure = await begin(ledger)
            await tenure.prove("FORUM", "absent")
            await tenure.end("parked", "", "FORUM_COMPLETE")
            assert {"FORUM": "absent"} == (await begin(ledger)).finished

    asyncio.run(look())


def test_voided_steps_are_done_again(desk: Desk) -> None:
    """The proof stays in the record, and counts no more."""

    async def void() -> None:
        async with desk.open() as ledger:
            tenure = await begin(ledger)
            for step in ("FORUM", "MAIL"):
                await tenure.prove(step, "erased")
            await tenure.void(["MAIL"], "the LMS was restored")
            assert {"FORUM": "erased"} == tenure.finished
            await tenure.end("parked", "", "FORUM_COMPLETE")
            again = await begin(ledger)
            assert {"FORUM": "erased"} == again.finished
            await again.intend("MAIL", "BRAZE", "delete")
            await again.prove("MAIL", "absent")
            assert {"FORUM": "erased", "MAIL": "absent"} == (await ledger.record(17)).finished  # type: ignore[union-attr] # it is there

    asyncio.run(void())


def test_who_asks_again_starts_afresh(desk: Desk) -> None:
    """They cancelled, came back to their account, and asked once more: nothing is proved of that."""

    async def again() -> None:
        async with desk.open() as ledger:
            tenure = await begin(ledger)
            await tenure.prove("FORUM", "erased")
            await tenure.end("rescinded", "", "PENDING")
            second = await begin(ledger, retirement_id=2000)
            assert ({}, frozenset()) == (second.finished, second.begun)
            assert 2000 == (await ledger.record(17)).retirement_id  # type: ignore[union-attr] # it is there
            assert [1017, 2000] == [each.retirement_id for each in await ledger.by_email("canarymail17@canary.example")]

    asyncio.run(again())


def test_forced_moves_are_told_before_they_are_made(desk: Desk) -> None:
    """They are the only way back for the LMS' state."""

    async def move() -> None:
        async with desk.open() as ledger:
            tenure = await begin(ledger)
            await tenure.moved("RETIRING_MAIL", "FORUM_COMPLETE", "BRAZE is down")
            (event,) = await ledger.events(kind="learner.moved", user_id=17)
            assert ("RETIRING_MAIL", "FORUM_COMPLETE") == (event.facts["before"], event.facts["after"])

    asyncio.run(move())


def test_learners_are_found_by_how_they_ended(desk: Desk) -> None:
    """And by what their last run failed with, not an earlier one."""

    async def find() -> None:
        async with desk.open() as ledger:
            for user_id, step, error in (
                (17, "MAIL", Refused("BRAZE", "POST /")),
                (18, "FORUM", Transient("LMS", "POST /")),
                (19, "MAIL", Refused("BRAZE", "POST /")),
            ):
                tenure = await begin(ledger, user_id)
                await tenure.intend(step, error.service, "x")
                await tenure.fail(step, error.service, error)
                await tenure.end("errored" if step == "MAIL" else "parked", "", "ERRORED")
            desk.clock.forward(10)
            await (await begin(ledger, 19)).end("retired", "", "COMPLETE")

            async def ids(**how: object) -> list[int]:
                return [record.user_id for record in await ledger.records(**how)]  # type: ignore[arg-type] # each fits

            assert [17, 18, 19] == await ids()
            assert [17] == await ids(endings=["errored"])
            assert [17] == await ids(step="MAIL")
            assert [18] == await ids(error="Transient")
            assert [] == await ids(step="MAIL", error="Transient")
            assert [19] == await ids(since=START + timedelta(seconds=5))

    asyncio.run(find())


def test_evidence_that_vanished_is_no_ground_to_go_on(sqlite_desk: Desk) -> None:
    """Somebody deleted the row of an attempt meanwhile."""

    async def vanish() -> None:
        async with sqlite_desk.open() as ledger:
            tenure = await begin(ledger)
            await tenure.intend("FORUM", "LMS", "x")
            await ledger.write(lambda book: book.connection.exec_driver_sql("DELETE FROM attempt"))
            with pytest.raises(LedgerError, match="a row of attempt is not there"):
                await tenure.fail("FORUM", "LMS", Refused("LMS", "POST /"))
            # Not even by SQL: a learner who has attempts cannot be deleted.
            await tenure.intend("FORUM", "LMS", "x")
            with pytest.raises(LedgerError):
                await ledger.write(lambda book: book.connection.exec_driver_sql("DELETE FROM learner"))

    asyncio.run(vanish())


def test_nothing_is_entered_while_reading(desk: Desk) -> None:
    """Whoever reads has no write lock."""

    async def read() -> None:
        async with desk.open() as ledger:
            with pytest.raises(LedgerError):
                await ledger.read(lambda book: book.enter("x", facts={}))
            with pytest.raises(StateConflict):
                await ledger.queue_ended("no such run", {}, 1)
            assert 0 == (await ledger.head()).seq

    asyncio.run(read())
