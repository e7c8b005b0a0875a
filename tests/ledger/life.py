"""A life that writes every kind of entry, with a clock and a holder that are always the same.

`recorded/ledger-0001.sql` is what the code before rows were typed made of it; see `test_recorded`.
"""

from datetime import timedelta

from retirement.errors import Refused, Transient
from retirement.ledger import CleanupIntent, Given, Ledger, Said

from .desk import START, Clock, learner

#: Text with everything that JSON and databases treat apart: quotes, controls, a NUL, half a surrogate pair, wide signs.
ODD = 'é "\\\n\x07\0\ud800 \u2028 🜍'


async def live(ledger: Ledger, clock: Clock) -> None:
    """Writes rows into every table of evidence, and changes each in every way there is."""
    await _retire(ledger, clock)
    await _fail(ledger, clock)
    await _hold_and_decide(ledger, clock)
    await _clean_up(ledger, clock)
    await _claim(ledger, clock)


async def _retire(ledger: Ledger, clock: Clock) -> None:
    due_at = START + timedelta(days=30)
    lease = await ledger.learners.lease(learner(17), due_at=due_at, pipeline="p1", steps=["FORUM", "MAIL"])
    await lease.intend("FORUM", "LMS", "retire_forum")
    await lease.prove("FORUM", "erased")
    await lease.intend("MAIL", "BRAZE", "delete")
    clock.forward(0.25)
    await lease.prove("MAIL", "accepted", Given("job-1", timedelta(hours=1)))
    await lease.prove("FOUND", "absent", Given("job-2", None))
    await lease.void(["FORUM", "MAIL"], ODD)
    await lease.moved("COMPLETE", "PENDING", ODD)
    await lease.end("parked", ODD, "PENDING")
    lease = await ledger.learners.lease(learner(17), due_at=due_at, pipeline="p2", steps=["FORUM"])
    await lease.intend("FORUM", "LMS", "retire_forum")
    await lease.prove("FORUM", "erased")
    await lease.end("retired", "", "COMPLETE")
    lease = await ledger.learners.lease(learner(17), due_at=due_at, pipeline=None)
    await lease.end("retired", "again", "COMPLETE")
    for receipt in await ledger.receipts.find(user_id=17):
        await ledger.receipts.checked(receipt.id, result=None, verdict="pending", next_check_at=clock())
        await ledger.receipts.checked(receipt.id, result="confirmed", confirmed=True, evidence=(ODD, "ops"))
    await ledger.receipts.add(
        user_id=17, retirement_id=1017, step="FORUM", service="LMS", reference=ODD, next_check_at=START
    )


async def _fail(ledger: Ledger, clock: Clock) -> None:
    due_at = START + timedelta(days=1, microseconds=5)
    for user_id in (21, 22):
        lease = await ledger.learners.lease(learner(user_id, domain="é.example"), due_at=due_at, pipeline="p1")
        await lease.intend("MAIL", "BRAZE", "delete")
        await lease.fail("MAIL", "BRAZE", Transient("BRAZE", "DELETE /x", 503, "down"))
        await lease.fail(None, "LMS", Refused("LMS", "GET /y", 400, "odd"))
        await lease.end("parked", "BRAZE is down", "PENDING")
    clock.forward(400)
    lease = await ledger.learners.lease(learner(23), due_at=due_at, pipeline="p1")
    assert await lease.intend("MAIL", "BRAZE", "delete")
    await lease.probed("BRAZE", answered=False, reason="still down")
    clock.forward(4000)
    lease = await ledger.learners.lease(learner(23), due_at=due_at, pipeline="p1")
    assert await lease.admit("BRAZE", "GET /status")
    await lease.probed("BRAZE", answered=True, reason="up")
    await lease.intend("MAIL", "BRAZE", "delete")
    await lease.fail("MAIL", "BRAZE", Transient("BRAZE", "DELETE /x", 503, "down"))
    await lease.prove("OTHER", "erased")
    await lease.intend("MAIL", "BRAZE", "delete")
    await lease.prove("MAIL", "erased")
    await lease.intend("LAST", "CHE", "delete")
    clock.forward(4000)
    await ledger.learners.close_run(23, 1023, ending="errored", reason="its run died", state="MAILING")
    await ledger.breakers.open("BRAZE", reason=ODD, by="ops")
    await ledger.breakers.open("CHE", reason="maintenance", by="ops")
    clock.forward(1)
    await ledger.breakers.close("BRAZE", reason="done", by="ops")


async def _hold_and_decide(ledger: Ledger, clock: Clock) -> None:
    day = START.date()
    first = await ledger.holds.add(user_id=17, org=None, service="BRAZE", basis=ODD, until=day, by="legal")
    await ledger.holds.add(user_id=None, org="MITx", service=None, basis="a court", until=day, by="legal")
    clock.forward(1)
    await ledger.holds.release(first, by="legal", reason=ODD)
    await ledger.queue_runs.begin("run-1", 600, 100)
    asked = await ledger.decisions.ask("run-1", trips=["600 wait", ODD], depth=600, expires_at=clock())
    await ledger.decisions.answer(asked, Said("approved", "boss", "known", 100))
    await ledger.decisions.ask("run-1", trips=[], depth=1, expires_at=clock())
    await ledger.queue_runs.end("run-1", {"retired": 99, "parked": 1}, 12.5)
    await ledger.queue_runs.begin("run-2", 1, 1)
    await ledger.events.note("noted", {"text": ODD, "number": 1.5, "none": None, "list": [True, []]}, 17)


async def _clean_up(ledger: Ledger, clock: Clock) -> None:
    lease = await ledger.leases.take("archive", what="the archive")
    seq = (await ledger.events.head()).seq
    meant = [
        CleanupIntent(17, 1017, START.date(), "https://lms.example", seq, ["edX"], None),
        CleanupIntent(21, 1021, START.date(), "https://lms.example", seq, [], {"by": "boss", "reason": ODD}),
    ]
    named = await ledger.cleanups.asked(lease, meant)
    await ledger.cleanups.answered(named)
    await ledger.cleanups.cleared((17, 1017))
    await ledger.leases.release(lease)
    clock.forward(1)


async def _claim(ledger: Ledger, clock: Clock) -> None:
    """Last, since what is sealed is other bytes each time."""
    lost = await ledger.claims.begin()
    await ledger.claims.lost(lost, ODD)
    open_one = await ledger.claims.begin()
    first = await ledger.claims.begin()
    clock.forward(1)
    await ledger.claims.seal(first, b"CanaryClaim", [22, 17], apart=lambda: [(b"CanaryApart", [23])])
    await ledger.claims.written(first, {"MITx": 2})
    await ledger.claims.delivered(first)
    second = await ledger.claims.begin()
    await ledger.claims.seal(second, b"CanarySecond", [21])
    assert open_one < first < second
