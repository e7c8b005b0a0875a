"""What lies to our processes: the machine's clock, and the file in the ledger's place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .setting import DAY, HOUR, dice
from .virtual import spawn

if TYPE_CHECKING:
    from .story import Story

#: By how much a clock is wrong, in seconds; more than any lease lasts.
_JUMPS = (-400 * DAY, -2 * DAY, HOUR, 2 * DAY, 400 * DAY, 400 * DAY)


class Lies:
    """Clocks that are set by hours and years, and ledgers that are moved, deleted or replaced, in one story."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._random = dice("clock and file", story.seed)

    async def clock(self, user_id: int) -> None:
        """The clock is wrong for a while; half of the time the machine dies before it is set right."""
        jump = self._random.choice(_JUMPS)
        self._set(jump)
        self._begin()
        await asyncio.sleep(self._random.choice((1.0, 5.0, 45.0, HOUR)))
        if self._random.random() < 0.7:
            self._kill("with its clock")
        self._set(-jump)

    def _set(self, seconds: float) -> None:
        story = self._story
        story.witness.jumped = True
        story.witness.displaced |= {*story.alive()}
        story.clock.step += seconds
        story.result.jumps += 1
        story.note(f"the machine's clock is set by {seconds:+.0f} s")

    def _begin(self) -> None:
        """A run begins by hand, in the midst of it."""
        spawn(self._story.loop, None, self._story.process("queue", self._story.office.queue))

    def _kill(self, place: str) -> None:
        for life in self._story.mortal():
            self._story.wire.kill(life, place)

    async def ledger(self, user_id: int) -> None:
        """The file is moved away, deleted, or an older or equal copy takes its place; later it is put right."""
        story, disk = self._story, self._story.disk
        if disk.away:
            return
        kind = self._random.choice(("moved", "deleted", "replaced by an older copy", "replaced by a copy"))
        older, head = disk.copied(), story.witness.evidence.head()
        if kind == "replaced by an older copy":
            await asyncio.sleep(self._random.choice((5.0, 60.0, 900.0)))
        if not story.witness.evidence.head() or disk.away:
            return  # an empty ledger that is lost is no loss: another one begins
        if head == story.witness.evidence.head():
            kind = kind.replace("an older copy", "a copy")
        story.note(f"the ledger is {kind}")
        story.result.losses += 1
        disk.away = story.meddled = story.witness.disk_was_full = True
        story.witness.evidence.take()
        right = disk.move_away() if kind == "moved" else disk.copied()
        disk.delete()
        if kind == "replaced by an older copy":
            disk.put(older)
        self._begin()
        if kind != "replaced by a copy":
            await asyncio.sleep(self._random.choice((5.0, 60.0, 900.0, HOUR)))
        disk.put(right)
        story.witness.evidence.put()
        disk.away = False
        story.note("the ledger is in its place")
