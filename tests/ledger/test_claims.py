"""Claims from the partner queue in detail, and whom the ledger still has to ask about."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, select

from retirement.errors import LedgerError, StateConflict
from retirement.ledger import GONE, NOTHING, PARTNER_REPORT, QUEUED_AGAIN, Ledger
from retirement.ledger.digests import Digests, Parcel
from retirement.ledger.tables import ParcelKey, table_of
from retirement.ledger.verification import verify_connection

from .desk import KEY, START, Desk, begin, claims_of

QUEUE = "retirement_partner_queue"


async def queued(ledger: Ledger, user_id: int) -> None:
    """Somebody whom a step has put into the queue."""
    lease = await begin(ledger, user_id)
    await lease.intend("PARTNERS", "LMS", QUEUE)
    await lease.prove("PARTNERS", "accepted")
    await lease.end("retired", "", "COMPLETE")


async def ask(ledger: Ledger, user_id: int) -> int:
    """The question about somebody."""
    return await ledger.receipts.add(
        user_id=user_id, retirement_id=user_id + 1000, step="PARTNERS", service="LMS", reference=PARTNER_REPORT
    )


def test_what_is_written_is_kept_until_the_lms_knows(desk: Desk) -> None:
    """Sealed, written, delivered; only the last one deletes."""

    async def claim() -> None:
        async with desk.open() as ledger:
            number = await ledger.claims.begin()
            with pytest.raises(StateConflict):
                await ledger.claims.written(number, {})
            await ledger.claims.seal(number, b"CanaryClaim", [17])
            await ledger.claims.written(number, {"campus_OrgA.csv": 1})
            assert b"CanaryClaim" == await ledger.claims.unseal(number)
            assert ["written"] == [each.state for each in await claims_of(ledger)]
            await ledger.claims.delivered(number)
            (event,) = await ledger.events.find(kind="claim.written")
            assert {"files": {"campus_OrgA.csv": 1}} == event.facts
            with pytest.raises(StateConflict):
                await ledger.claims.written(number, {})
            assert (await ledger.verify()).ok

    asyncio.run(claim())


def keys_of(desk: Desk) -> dict[int, bytes]:
    """The keys of parcels that are there, as they are stored."""
    engine = create_engine(desk.place.address)
    with engine.connect() as connection:
        found = connection.execute(select(ParcelKey.claim, ParcelKey.key)).all()
    engine.dispose()
    return {row.claim: row.key for row in found}


def test_a_parcel_has_a_key_of_its_own_that_is_destroyed_at_the_delivery(desk: Desk) -> None:
    """Each part has another one; a copy of the rows of before is opened by no key that is left."""

    async def deliver() -> None:
        async with desk.open() as ledger:
            first, second = await ledger.claims.begin(), await ledger.claims.begin()
            await ledger.claims.seal(first, b"CanaryBoth", [1, 2])
            await ledger.claims.seal(second, b"CanaryOther", [3])
            whole, copies = keys_of(desk), {each.id: each.sealed or b"" for each in await claims_of(ledger)}
            await ledger.claims.parted(first, (b"CanaryDone", [1]), (b"CanaryRest", [2]))
            parted = keys_of(desk)
            (rest,) = parted.keys() - whole.keys()
            await ledger.claims.delivered(first)
            left = keys_of(desk)
            # Another command may have the ledger open for hours, and its log with it.
            content = b"".join(file.read_bytes() for file in desk.folder.glob("ledger.db*"))

            assert [each for each in (whole[first], parted[first], copies[first]) if each in content] == []
            assert whole.keys() == {first, second}
            assert len({*whole.values(), *parted.values()}) == 4
            assert left.keys() == {second, rest}
            assert [await ledger.claims.unseal(each) for each in (second, rest)] == [b"CanaryOther", b"CanaryRest"]
            for key in left.values():
                with pytest.raises(LedgerError):
                    Digests(KEY).unpack(Parcel(key, copies[first]))
            with pytest.raises(LedgerError):
                Digests(KEY).unseal(copies[first])
            assert (await ledger.verify()).ok

    asyncio.run(deliver())


def test_a_key_that_is_gone_or_changed_or_left_is_found(sqlite_desk: Desk) -> None:
    """Without it nothing of the parcel is ever delivered, and one that is left opens copies of what is."""

    async def lived() -> tuple[int, int]:
        async with sqlite_desk.open() as ledger:
            open_one, done = await ledger.claims.begin(), await ledger.claims.begin()
            await ledger.claims.seal(open_one, b"CanaryOpen", [1])
            await ledger.claims.seal(done, b"CanaryDone", [2])
            await ledger.claims.delivered(done)
        return open_one, done

    open_one, done = asyncio.run(lived())
    keys = table_of(ParcelKey)
    engine = create_engine(sqlite_desk.place.address)
    for change, number in (
        (keys.insert().values(claim=done, key=b"a copy"), done),
        (keys.update().where(keys.c.claim == open_one).values(key=b"another"), open_one),
        (keys.delete().where(keys.c.claim == open_one), open_one),
    ):
        with engine.connect() as connection, connection.begin() as transaction:
            connection.execute(change)
            problem = verify_connection(connection, sqlite_desk.place, None).problem
            transaction.rollback()
        assert problem
        assert f"the row [{number}] of parcel_key" in problem.sentence.replace(",", "")
    engine.dispose()


@pytest.mark.parametrize("step", ["seal", "parted", "delivered"])
def test_a_claim_keeps_its_key_where_a_step_is_not_committed(sqlite_desk: Desk, step: str) -> None:
    """Key, parcel and entry are one transaction, so a run that dies leaves a claim that opens."""

    async def die() -> None:
        async with sqlite_desk.open() as ledger:
            number = await ledger.claims.begin()
            if step != "seal":
                await ledger.claims.seal(number, b"CanaryClaim", [1, 2])
            ledger.access._writer.before_commit = refuse
            steps: dict[str, Callable[[], Awaitable[None]]] = {
                "seal": lambda: ledger.claims.seal(number, b"CanaryClaim", [1, 2]),
                "parted": lambda: ledger.claims.parted(number, (b"one", [1]), (b"two", [2])),
                "delivered": lambda: ledger.claims.delivered(number),
            }
            with pytest.raises(LedgerError, match="the disk is gone"):
                await steps[step]()

    async def go_on() -> None:
        async with sqlite_desk.open() as ledger:
            (claim,) = await claims_of(ledger)
            assert (claim.state, len(keys_of(sqlite_desk))) == (("begun", 0) if step == "seal" else ("sealed", 1))
            if step != "seal":
                assert await ledger.claims.unseal(claim.id) == b"CanaryClaim"
            assert (await ledger.verify()).ok

    asyncio.run(die())
    asyncio.run(go_on())


def refuse() -> None:
    """Stands for a commit that fails."""
    raise LedgerError("the disk is gone")


def test_what_nobody_can_read_is_a_claim_of_its_own(desk: Desk) -> None:
    """Made together with the other part, or not at all."""

    async def claim() -> None:
        async with desk.open() as ledger:
            number = await ledger.claims.begin()
            await ledger.claims.seal(number, b"plain", [1, 2], apart=lambda: [(b"odd", [3])])
            plain, odd = await claims_of(ledger, "sealed")
            assert ((1, 2), (3,)) == (plain.user_ids, odd.user_ids)
            assert b"odd" == await ledger.claims.unseal(odd.id)
            with pytest.raises(StateConflict):
                await ledger.claims.seal(number, b"plain", [], apart=lambda: [(b"odd", [3])])
            assert 2 == len(await claims_of(ledger))
            assert (await ledger.verify()).ok

    asyncio.run(claim())


def test_the_unreported_are_those_whom_no_kept_claim_has(desk: Desk) -> None:
    """A claim that was lost reports nobody; who was never queued is not due."""

    async def look() -> None:
        async with desk.open() as ledger:
            for user_id in (1, 2, 3):
                await queued(ledger, user_id)
            await (await begin(ledger, 4)).end("parked", "", "PENDING")
            lost, kept = await ledger.claims.begin(), await ledger.claims.begin()
            await ledger.claims.lost(lost, "the reply was lost")
            await ledger.claims.seal(kept, b"x", [2])
            found = await ledger.claims.unreported(QUEUE)
            assert [(1, 1001), (3, 1003)] == [(each.user_id, each.retirement_id) for each in found]
            assert {("PARTNERS", START, None)} == {(each.step, each.queued_at, each.asked) for each in found}
            assert [] == await ledger.claims.unreported("another_operation")

    asyncio.run(look())


def test_a_step_that_is_voided_has_queued_nobody(desk: Desk) -> None:
    """Until it is done again."""

    async def void() -> None:
        async with desk.open() as ledger:
            await queued(ledger, 1)
            lease = await begin(ledger, 1)
            await lease.void(["PARTNERS"], "the LMS was restored")
            assert [] == await ledger.claims.unreported(QUEUE)
            desk.clock.forward(5)
            await lease.intend("PARTNERS", "LMS", QUEUE)
            await lease.prove("PARTNERS", "accepted")
            (found,) = await ledger.claims.unreported(QUEUE)
            assert START + timedelta(seconds=5) == found.queued_at

    asyncio.run(void())


@pytest.mark.parametrize(("result", "due"), [(NOTHING, False), (GONE, False), (QUEUED_AGAIN, True)])
def test_a_question_is_open_until_its_answer_is_there(desk: Desk, result: str, due: bool) -> None:
    """Two answers settle it; the third leaves it to the next claim."""

    async def question() -> None:
        async with desk.open() as ledger:
            await queued(ledger, 1)
            other = await ledger.receipts.add(
                user_id=1, retirement_id=1001, step="PARTNERS", service="LMS", reference="something else"
            )
            receipt = await ask(ledger, 1)
            assert [receipt] == [each.asked for each in await ledger.claims.unreported(QUEUE)]
            await ledger.receipts.checked(other, result=NOTHING)
            await ledger.receipts.checked(receipt, result=result)
            assert ([None] if due else []) == [each.asked for each in await ledger.claims.unreported(QUEUE)]

    asyncio.run(question())
