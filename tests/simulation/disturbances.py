"""What happens to a seed besides its weather: people, machines, and processes that nobody scheduled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from retirement.pipeline import ABORTED, COMPLETE, DEAD_ENDS

from .lies import Lies
from .setting import DAY, HOUR, dice
from .virtual import EPOCH, spawn

if TYPE_CHECKING:
    from .story import Story


class Disturbances:
    """Everything that may happen to one story."""

    def __init__(self, story: Story) -> None:
        self._story = story

    def schedule(self) -> None:
        """Sets what happens in this seed on the clock; before the weather clears."""
        self._draw(
            self._story.random,
            (0.17, self._solo),
            (0.1, self._second_queue),
            (0.1, self._cancel),
            (0.07, self._operator_back),
            (0.03, self._abort),
            (0.1, self._restore),
            (0.07, self._clock_step),
            (0.07, self._disk_full),
            (0.08, self._hold),
            (0.1, self._kill_somebody),
            (0.07, self._tokens_void),
        )
        lies = Lies(self._story)
        self._draw(dice("lies of machines", self._story.seed), (0.1, lies.clock), (0.1, lies.ledger))

    def _draw(self, random: Random, *acts: tuple[float, Any]) -> None:
        """Each of the acts twice, with its chance."""
        clears, users = self._story.weather.clears, sorted(self._story.realm.names)
        for chance, act in acts:
            for _ in range(2):
                when = random.choice((random.uniform(0, 60), random.uniform(0, 900), random.uniform(0, clears)))
                user_id = random.choice(users)
                if random.random() < chance:
                    self._story.loop.call_at(min(when, clears), self._start, act, user_id)

    def _start(self, act: Any, user_id: int) -> None:
        work: Coroutine[Any, Any, None] = act(user_id)
        spawn(self._story.loop, None, work).add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._story.problem("the simulation broke", f"{type(error).__name__}: {error}")

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    async def _solo(self, user_id: int) -> None:
        office = self._story.office
        await self._story.process("learner", lambda life, site, batch: office.one(life, site, batch, user_id))

    async def _second_queue(self, user_id: int) -> None:
        await self._story.process("queue", self._story.office.queue)

    async def _cancel(self, user_id: int) -> None:
        self._story.meddled = True
        if self._story.realm.cancel(user_id):
            self._story.note(f"{user_id} takes the request back")
            self._story.witness.cancelled.add(user_id)
            if self._story.random.random() < 0.4:
                await self._sleep(self._story.random.uniform(1, HOUR))
                self._story.note(f"{user_id} asks again")
                self._story.realm.ask_again(user_id)
                self._story.witness.cancelled.discard(user_id)

    async def _operator_back(self, user_id: int) -> None:
        self._story.meddled = True
        row = self._story.realm.rows().get(user_id)
        if row is None or row.state in (COMPLETE, ABORTED):
            return
        before = [
            state
            for state in self._story.pipeline.queue_states
            if self._story.realm.order[state] < self._story.realm.order[row.state]
        ]
        if before:
            state = self._story.random.choice(before)
            self._story.note(f"an operator takes {user_id} from {row.state} to {state}")
            self._story.realm.force(user_id, state)

    async def _abort(self, user_id: int) -> None:
        self._story.meddled = True
        row = self._story.realm.rows().get(user_id)
        # With an old forum nobody else could go on until this learner's account is retired.
        if row is not None and row.state not in DEAD_ENDS and self._story.setting.forum != "v2":
            self._story.note(f"an operator aborts {user_id} in {row.state}")
            self._story.realm.force(user_id, ABORTED)

    async def _restore(self, user_id: int) -> None:
        self._story.meddled = True
        self._story.realm.back_up()
        self._story.note("the LMS is backed up")
        left = self._story.weather.clears - self._story.loop.time()
        await self._sleep(min(left, self._story.random.choice((20.0, 300.0, HOUR, DAY))))
        # Maintenance: nothing of ours runs while a database is put back.
        for life in self._story.mortal():
            self._story.wire.kill(life, "for maintenance")
        self._story.realm.restore()
        self._story.note("the LMS is restored")
        rows = self._story.realm.rows()
        self._story.witness.accept(rows.values())
        self._story.witness.cancelled -= rows.keys()

    async def _clock_step(self, user_id: int) -> None:
        self._story.clock.step += self._story.random.choice((-25.0, -3.0, 3.0, 14.0))
        self._story.note(f"the machine's clock is {self._story.clock.step:+.0f} s off")

    async def _disk_full(self, user_id: int) -> None:
        self._story.note("the ledger's disk is full")
        self._story.disk.full = self._story.witness.disk_was_full = True
        await self._sleep(self._story.random.choice((5.0, 100.0, HOUR)))
        self._story.note("the ledger's disk has room")
        self._story.disk.full = False

    async def _hold(self, user_id: int) -> None:
        until = (EPOCH + timedelta(days=900)).date()
        office = self._story.office
        await self._story.process(
            "hold", lambda life, site, batch: office.hold(life, site, batch, user_id, until), safe=True
        )
        await self._sleep(self._story.weather.clears + 1.0 - self._story.loop.time())
        while self._story.disk.full or self._story.disk.away:  # whoever was told so comes back later
            await self._sleep(60.0)
        await self._story.process(
            "release", lambda life, site, batch: office.release(life, site, batch, user_id), safe=True
        )

    async def _kill_somebody(self, user_id: int) -> None:
        if alive := self._story.mortal():
            self._story.wire.kill(self._story.random.choice(alive), "by the kernel")

    async def _tokens_void(self, user_id: int) -> None:
        self._story.realm.revoke()
