"""Learners who share a call: each has an answer of their own, and nobody suffers for another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from retirement.connectors import BatchSettings, Connector, Erasure, Outcome, operation
from retirement.connectors.kit.batching import Batches
from retirement.errors import Defect, LeaseLost, Misconfigured, Refused, RetirementError, Transient
from retirement.learner import Learner
from retirement.wire.api import Api
from retirement.wire.patience import permitted
from retirement.wire.pool import pool

from .doubles import Naps

pytestmark = pytest.mark.anyio


class Service:
    """Refuses whole batches because of these user ids, and remembers what it was sent."""

    def __init__(self, *bad: int, error: Exception | None = None) -> None:
        self.bad, self.error = set(bad), error
        self.calls: list[list[int]] = []

    async def __call__(self, learners: Sequence[Learner]) -> Sequence[Erasure]:
        ids = [learner.user_id for learner in learners]
        self.calls.append(ids)
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        if self.bad.intersection(ids):
            raise Refused("SVC", "POST /delete", 400, "an id is not known")
        return [Erasure(Outcome.ACCEPTED, f"job-{each}") for each in ids]


async def erased(batches: Batches, ana: Learner, *ids: int) -> dict[int, Any]:
    """What came of each learner: a receipt, or the class of the error."""

    async def one(number: int) -> Any:
        try:
            return (await batches.erase(replace(ana, user_id=number))).receipt
        except RetirementError as error:
            return type(error)

    return dict(zip(ids, await asyncio.gather(*(one(each) for each in ids)), strict=True))


async def test_a_full_batch_goes_at_once_and_the_rest_after_the_wait(ana: Learner) -> None:
    """Nobody waits for a batch that will not fill."""
    service, naps = Service(), Naps()
    done = await erased(Batches(service, size=3, seconds=2, sleep=naps), ana, *range(1, 8))

    assert service.calls == [[1, 2, 3], [4, 5, 6], [7]]
    assert done == {number: f"job-{number}" for number in range(1, 8)}
    assert set(naps.taken) == {2}


async def test_the_learner_whom_a_service_does_not_take_is_found_by_halves(ana: Learner) -> None:
    """The others are erased, and asked for no more than needed."""
    service = Service(6)
    done = await erased(Batches(service, size=8, seconds=0, sleep=Naps()), ana, *range(1, 9))

    assert {number for number, what in done.items() if what is Refused} == {6}
    assert sum(6 in call for call in service.calls) == 4
    assert [call for call in service.calls if 6 not in call] == [[1, 2, 3, 4], [5], [7, 8]]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Transient("SVC", "POST /delete", 503), Transient),
        (Misconfigured("SVC", "POST /delete", 401), Misconfigured),
        (Refused("SVC", "POST /delete", 409, "no"), Refused),
        (KeyError("ana@example.com"), Defect),
    ],
)
async def test_what_all_meet_all_are_told(ana: Learner, error: Exception, expected: type[Exception]) -> None:
    """Once, without halves: it is nobody's id."""
    service = Service(error=error)
    done = await erased(Batches(service, size=4, seconds=0, sleep=Naps()), ana, 1, 2, 3, 4)

    assert set(done.values()) == {expected}
    assert len(service.calls) == 1


async def test_an_answer_for_too_few_is_nobodys(ana: Learner) -> None:
    """A connector that loses somebody is a defect, never somebody else's outcome."""

    async def forgetful(learners: Sequence[Learner]) -> Sequence[Erasure]:
        return [Erasure(Outcome.ERASED)]

    done = await erased(Batches(forgetful, size=2, seconds=0, sleep=Naps()), ana, 1, 2)

    assert set(done.values()) == {Defect}


async def test_who_has_lost_the_lease_is_not_sent(ana: Learner) -> None:
    """The others go on."""
    service = Service()
    batches = Batches(service, size=3, seconds=0, sleep=Naps())

    def lost() -> None:
        raise LeaseLost("the lease is lost")

    async def one(number: int, allowed: Any) -> Any:
        try:
            with permitted(allowed):
                return (await batches.erase(replace(ana, user_id=number))).receipt
        except LeaseLost as error:
            return type(error)

    tasks = [asyncio.create_task(one(number, lost if number == 2 else None)) for number in (1, 2, 3)]

    assert [await task for task in tasks] == ["job-1", LeaseLost, "job-3"]
    assert service.calls == [[1, 3]]


async def test_who_stops_waiting_is_left_out(ana: Learner) -> None:
    """A learner's run that was cancelled before the batch went; the others are sent."""
    service, release = Service(), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await release.wait()

    batches = Batches(service, size=9, seconds=1, sleep=sleep)
    first, second = (asyncio.create_task(batches.erase(replace(ana, user_id=each))) for each in (1, 2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    release.set()

    assert (await second).receipt == "job-2"
    assert service.calls == [[2]]


class Foreign(Connector[BatchSettings]):
    """A connector of a third party, which says of a batch what a test has it say, `name` being a learner's."""

    service = "FOREIGN"
    says: Callable[[str], Any]

    @operation(batch=50)
    async def delete(self, learners: Sequence[Learner]) -> Sequence[Erasure | RetirementError]:
        """Delete."""
        names = [each.username for each in learners]
        # Of each learner what is another one's.
        return [type(self).says(each) for each in (*names[1:], names[0])]


def of_each(says: Callable[[str], Any], *learners: Learner) -> Awaitable[list[Any]]:
    """What came of each learner of one batch."""
    kind = type("Said", (Foreign,), {"says": staticmethod(says), "__module__": __name__})
    settings = BatchSettings(url="http://offline.invalid", batch_size=len(learners), batch_seconds=0)
    connector = kind(settings, Api("FOREIGN", pool("http://offline.invalid", 1)))
    return asyncio.gather(*(connector.perform("delete", each) for each in learners), return_exceptions=True)


@pytest.mark.parametrize(
    ("says", "kept"),
    [
        (lambda name: Erasure(Outcome.ACCEPTED, f"job-{len(name)}"), True),
        (lambda name: Erasure(Outcome.ACCEPTED, f"job-{name}"), False),
        (lambda name: Erasure(Outcome.ACCEPTED, f"{name}@post.example"), False),
        (lambda name: Erasure(Outcome.ACCEPTED, sha256(f"{name}@post.example".encode()).hexdigest()), False),
        (lambda name: Erasure(Outcome.ACCEPTED, "dana, eli, finn"), False),
        (lambda name: Erasure(Outcome.ACCEPTED, "batch 7"), True),
    ],
    ids=["a number", "a username", "an address", "a hash", "all of them", "a word of the service"],
)
async def test_no_receipt_names_another_learner_of_the_batch(
    ana: Learner, says: Callable[[str], Any], kept: bool
) -> None:
    """Whose own it is not; a learner who is called as the service calls its jobs keeps no other one from it."""
    names = ("dana", "eli", "batch") if kept else ("dana", "eli", "finn")
    learners = [
        replace(ana, user_id=number, username=name, current_username=name, email=f"{name}@post.example", name=name)
        for number, name in enumerate(names, 1)
    ]
    done = await of_each(says, *learners)

    expected = [Erasure if kept else Defect] * 3
    if says("x").receipt == "batch 7":
        expected[2] = Defect  # its own name
    assert [type(each) for each in done] == expected
    assert not any(name in str(each) for each in done if isinstance(each, Defect) for name in names)


@pytest.mark.parametrize("raised", [False, True])
async def test_no_error_names_another_learner_of_the_batch(ana: Learner, raised: bool) -> None:
    """Given for one of them or raised for all, and when the other one is done with already."""

    def says(name: str) -> RetirementError:
        error = Refused("FOREIGN", "POST /delete", 409, f"{name} has a course")
        if raised:
            raise error
        return error

    learners = [
        replace(ana, user_id=number, username=name, current_username=name, email=f"{name}@post.example", name=name)
        for number, name in enumerate(("dana", "eli"), 1)
    ]
    done = await of_each(says, *learners)

    assert [type(each) for each in done] == [Refused] * 2
    assert [name for name in ("dana", "eli") if name in f"{done}"] == []
    assert all("[redacted] has a course" in str(each) for each in done)
