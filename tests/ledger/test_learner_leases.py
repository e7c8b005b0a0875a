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
            lease = await begin(ledger)
            await lease.intend("FORUM", "LMS", "retire_forum")
            desk.clock.forward(2)
            await lease.prove("FORUM", "erased")
            await lease.intend("MAIL", "BRAZE", "delete")
            await lease.fail("MAIL", "BRAZE", Refused("BRAZE", "POST /delete", 400, "said no"))
            await lease.end("errored", "BRAZE said no", "ERRORED")
            record = await ledger.learners.newest(17)
            assert record is not None
            assert ("errored", "BRAZE said no", "ERRORED") == (record.ending, record.reason, record.state)
            assert (START, START + timedelta(seconds=2)) == (record.began_at, record.ended_at)
            assert START + timedelta(days=30) == record.due_at
            forum, mail = record.attempts
            assert ("erased", START + timedelta(seconds=2)) == (forum.outcome, forum.ended_at)
            assert ("Refused", "BRAZE: POST /delete answered 400: said no") == (mail.error, mail.reason)
            assert {"FORUM": "erased"} == record.finished
            assert [] == list(await ledger.leases.live())
            assert None is await ledger.learners.newest(18)

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
            lease = await begin(ledger)
            assert {"FORUM": "erased"} == lease.finished
            before = await ledger.learners.newest(17)
            assert before is not None
            assert ["MAIL"] == [attempt.step for attempt in before.attempts if attempt.ended_at is None]
            await lease.prove("MAIL", "absent")
            assert {"FORUM": "erased", "MAIL": "absent"} == lease.finished
            record = await ledger.learners.newest(17)
            assert record is not None
            assert [("FORUM", "erased"), ("MAIL", "absent")] == [(a.step, a.outcome) for a in record.attempts]

    asyncio.run(go_on())


def test_what_was_never_intended_can_be_proved(desk: Desk) -> None:
    """By looking: the step of a run that wrote nothing, or of other software before us."""

    async def look() -> None:
        async with desk.open() as ledger:
            lease = await begin(ledger)
            await lease.prove("FORUM", "absent")
            await lease.end("parked", "", "FORUM_COMPLETE")
            assert {"FORUM": "absent"} == (await begin(ledger)).finished

    asyncio.run(look())


def test_voided_steps_are_done_again(desk: Desk) -> None:
    """The proof stays in the record, and counts no more."""

    async def void() -> None:
        async with desk.open() as ledger:
            lease = await begin(ledger)
            for step in ("FORUM", "MAIL"):
                await lease.prove(step, "erased")
            await lease.void(["MAIL"], "the LMS was restored")
            assert {"FORUM": "erased"} == lease.finished
            await lease.end("parked", "", "FORUM_COMPLETE")
            again = await begin(ledger)
            assert {"FORUM": "erased"} == again.finished
            await again.intend("MAIL", "BRAZE", "delete")
            await again.prove("MAIL", "absent")
            assert {"FORUM": "erased", "MAIL": "absent"} == (await ledger.learners.newest(17)).finished  # type: ignore[union-attr] # it is there

    asyncio.run(void())


def test_who_asks_again_starts_afresh(desk: Desk) -> None:
    """They cancelled, came back to their account, and asked once more: nothing is proved of that."""

    async def again() -> None:
        async with desk.open() as ledger:
            lease = await begin(ledger)
            await lease.prove("FORUM", "erased")
            await lease.end("rescinded", "", "PENDING")
            second = await begin(ledger, retirement_id=2000)
            assert {} == second.finished
            assert 2000 == (await ledger.learners.newest(17)).retirement_id  # type: ignore[union-attr] # it is there
            assert [1017, 2000] == [
                each.retirement_id for each in await ledger.learners.by_email("canarymail17@canary.example")
            ]

    asyncio.run(again())


def test_forced_moves_are_told_before_they_are_made(desk: Desk) -> None:
    """They are the only way back for the LMS' state."""

    async def move() -> None:
        async with desk.open() as ledger:
            lease = await begin(ledger)
            await lease.moved("RETIRING_MAIL", "FORUM_COMPLETE", "BRAZE is down")
            (event,) = await ledger.events.find(kind="learner.moved", user_id=17)
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
                lease = await begin(ledger, user_id)
                await lease.intend(step, error.service, "x")
                await lease.fail(step, error.service, error)
                await lease.end("errored" if step == "MAIL" else "parked", "", "ERRORED")
            desk.clock.forward(10)
            await (await begin(ledger, 19)).end("retired", "", "COMPLETE")

            async def ids(**how: object) -> list[int]:
                return [record.user_id for record in await ledger.learners.find(**how)]  # type: ignore[arg-type] # each fits

            assert [17, 18, 19] == await ids()
            assert [17] == await ids(endings=["errored"])
            assert [17] == await ids(step="MAIL")
            assert [18] == await ids(error="Transient")
            assert [] == await ids(step="MAIL", error="Transient")
            assert [19] == await ids(since=START + timedelta(seconds=5))
            # The same in pieces, with their attempts: of a long ledger they do not fit into the memory.
            for how in ({}, {"endings": ["errored", "retired"]}, {"since": START + timedelta(seconds=5)}):
                pieces = ledger.learners.each(at_once=2, **how)  # type: ignore[arg-type] # each fits
                assert [each async for each in pieces] == await ledger.learners.find(**how)  # type: ignore[arg-type]

    asyncio.run(find())


def test_evidence_that_vanished_is_no_ground_to_go_on(sqlite_desk: Desk) -> None:
    """Somebody deleted the row of an attempt meanwhile."""

    async def vanish() -> None:
        async with sqlite_desk.open() as ledger:
            lease = await begin(ledger)
            await lease.intend("FORUM", "LMS", "x")
            await ledger.access.write(lambda tx: tx.connection.exec_driver_sql("DELETE FROM attempt"))
            with pytest.raises(LedgerError, match="a row of attempt is not there"):
                await lease.fail("FORUM", "LMS", Refused("LMS", "POST /"))
            # Not even by SQL: a learner who has attempts cannot be deleted.
            await lease.intend("FORUM", "LMS", "x")
            with pytest.raises(LedgerError):
                await ledger.access.write(lambda tx: tx.connection.exec_driver_sql("DELETE FROM learner"))

    asyncio.run(vanish())


def test_nothing_is_entered_while_reading(desk: Desk) -> None:
    """Whoever reads has no write lock."""

    async def read() -> None:
        async with desk.open() as ledger:
            with pytest.raises(LedgerError):
                await ledger.access.read(lambda tx: tx.enter("x", facts={}))
            with pytest.raises(StateConflict):
                await ledger.queue_runs.end("no such run", {}, 1)
            assert 0 == (await ledger.events.head()).seq

    asyncio.run(read())
