"""The suite: what it says of one operation in one situation, and the table of all.

A situation is a function that returns when what has to hold holds, and raises `Broken` with the reason when it
does not. `NotApplicable` is decided by what the operation was seen to do, never by a list.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import PurePath
from typing import Any

from retirement.connectors import Operation, Outcome, Repeats
from retirement.errors import Defect, RetirementError
from retirement.privacy import REDACTED
from tests.contract.stage import Change, Ending, Fault, Stage
from tests.contract.subjects import Subject, secrets_in
from tests.unit.doubles import names_nobody


class Broken(Exception):
    """An operation does not do what every operation has to."""


class NotApplicable(Exception):
    """The situation cannot come about with this operation."""


Situation = Callable[["Case"], Awaitable[None]]


@dataclass(frozen=True)
class Result:
    """What came of one operation in one situation; `reason` is empty where it holds."""

    subject: str
    situation: str
    word: str
    reason: str = ""


HOLDS, FAILS, NOT_APPLICABLE = "ok", "FAILS", "–"


class Case:
    """One operation, and the plain call of it that everything else is compared with."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._plain: Ending | None = None
        self._nothing: list[tuple[int | None, bytes]] | None = None

    @cached_property
    def declared(self) -> Operation:
        """The policy of the operation."""
        return self.subject.declared

    @property
    def looks_first(self) -> bool:
        """Whether it must not be repeated blindly, so that its caller repeats it."""
        return self.declared.repeats is Repeats.LOOK_FIRST

    async def plain(self) -> Ending:
        """How it ends when nothing is in the way, and what it does then."""
        if self._plain is None:
            stage = Stage(self.subject)
            self._plain = await stage.perform()
            self._plain.change = stage.change()
        return self._plain

    async def places(self) -> range:
        """The requests of the plain call by number."""
        exchanges = (await self.plain()).exchanges
        if not exchanges:
            raise NotApplicable("it sends nothing over HTTP")
        return range(len(exchanges))

    async def works(self) -> Ending:
        """The plain call, where the sandbox has what the operation asks for."""
        plain = await self.plain()
        if plain.error is not None:
            raise NotApplicable(f"a plain call already ends as {plain.said}: the sandbox lacks the route")
        return plain

    async def true(self, change: Change) -> bool:
        """Whether as much was done as a plain call does."""
        plain = await self.plain()
        if plain.erasure is None or not plain.change.gone <= change.gone or not change.left <= plain.change.left:
            return False
        adds_only = not plain.change.gone
        return not adds_only or all(change.added.get(table, 0) >= rows for table, rows in plain.change.added.items())

    async def ends(self, fault: Fault, where: str, *, later: timedelta | None = None) -> Ending:
        """One call with a fault. Whatever it says has to be true, and to name nobody."""
        stage = Stage(self.subject)
        ending = await stage.perform(fault)
        check_error(ending, where)
        if ending.erasure is not None:
            ending.change = stage.change(later) if later is not None else stage.change()
            await self.is_true(ending, where)
        return ending

    async def is_true(self, ending: Ending, where: str) -> None:
        """An outcome is a word about the data."""
        if ending.erasure and ending.erasure.outcome is not Outcome.RETAINED and not await self.true(ending.change):
            raise Broken(f"{where}: says `{ending.said}`, but {await self._missing(ending.change)}")

    async def _missing(self, change: Change) -> str:
        """What a plain call does and this one did not, as far as there is room."""
        plain = (await self.plain()).change
        cells = {f"{table}.{column}" for table, _, column in plain.gone - change.gone} or {"the learner's data"}
        if plain.gone or not plain.added:
            return f"the service still has {', '.join(sorted(cells)[:4])}"
        return f"nothing was made in {', '.join(sorted(plain.added))}"

    async def means_nothing(self, body: Any) -> bool:
        """Whether the service itself answers 200 with this body when there is nothing of the learner."""
        return any(json.loads(each) == body for status, each in await self.nothings() if status == 200 and each)

    async def nothings(self) -> list[tuple[int | None, bytes]]:
        """Status and body of what the service itself answers when there is nothing of the learner."""
        if self._nothing is None:
            unknown = await Stage(self.subject, known=False).perform()
            self._nothing = [(each.status, each.body) for each in unknown.exchanges] if unknown.erasure else []
        return self._nothing

    async def same(self, ending: Ending, where: str) -> None:
        """It ended as the plain call did."""
        plain = await self.plain()
        if ending.said != plain.said:
            raise Broken(f"{where}: ends as {ending.said}, and as {plain.said} without it")


def must_be(ending: Ending, where: str, *kinds: type[BaseException]) -> None:
    """The error has to be one of these."""
    if not isinstance(ending.error, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise Broken(f"{where}: ends as {ending.said}, and {wanted} is due")


def check_error(ending: Ending, where: str) -> None:
    """An error is one of ours, survives the engine's pickling, and neither it nor the log names the learner."""
    # Where a test before it has set up the redaction of logs, the line has a mark instead of the name.
    if not names_nobody(ending.log) or REDACTED in ending.log:
        raise Broken(f"{where}: the log names the learner")
    if (error := ending.error) is None:
        return
    text = "".join(traceback.format_exception(error)) + repr(error.args) + str(error)
    # The kit has taken the name out, and the connector said it all the same.
    if not names_nobody(text) or REDACTED in text:
        raise Broken(f"{where}: the {type(error).__name__} names the learner")
    if isinstance(error, Defect) or not isinstance(error, RetirementError):
        raise Broken(f"{where}: ends as {type(error).__name__}, which is a defect in the connector")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, as Prefect does it
    if (type(again), again.args, str(again)) != (type(error), error.args, str(error)):
        raise Broken(f"{where}: the {type(error).__name__} does not survive pickling")


def check_secrets(subject: Subject, texts: Iterable[str], where: str) -> None:
    """No text shows a secret of the settings."""
    settings = subject.kind.Settings(**subject.section)
    if any(secret in text for secret in secrets_in(settings) for text in texts):
        raise Broken(f"{where}: a secret shows")


_cases: dict[Subject, Case] = {}


def judged(subject: Subject, situation: Situation) -> Result:
    """What holds for one operation in one situation."""
    # Subjects are made anew by each who asks, cases are kept: a plain call serves all situations.
    known = next((each for each in _cases if (each.kind, each.operation) == (subject.kind, subject.operation)), subject)
    case = _cases.setdefault(known, Case(subject))
    name = title(situation)
    try:
        asyncio.run(situation(case))  # type: ignore[arg-type]  # a situation is a coroutine function
    except NotApplicable as why:
        return Result(subject.name, name, NOT_APPLICABLE, str(why))
    except Broken as why:
        return Result(subject.name, name, FAILS, str(why))
    except Exception as error:  # noqa: BLE001 - one operation that cannot be judged must not hide the others
        place = traceback.extract_tb(error.__traceback__)[-1]
        why_not = f"{type(error).__name__} in {place.name} of {PurePath(place.filename).name}"
        return Result(subject.name, name, FAILS, f"cannot be judged: {why_not}")
    return Result(subject.name, name, HOLDS)


def title(situation: Situation) -> str:
    """A situation is named as it is written."""
    return str(situation.__name__).replace("_", " ")


def table(results: Sequence[Result]) -> list[str]:
    """One line for each operation, one column for each situation, numbered; then what the numbers mean."""
    titles = list(dict.fromkeys(each.situation for each in results))
    names = list(dict.fromkeys(each.subject for each in results))
    words = {(each.subject, each.situation): each.word for each in results}
    width = max(map(len, names), default=0)
    heading = " ".join(f"{number:>2}" for number, _ in enumerate(titles, 1))
    shown = {HOLDS: " +", FAILS: " X", NOT_APPLICABLE: " ·"}
    lines = [f"{'':{width}}  {heading}"]
    lines += [f"{name:{width}}  {' '.join(shown[words[name, each]] for each in titles)}" for name in names]
    return [*lines, "", *(f"{number:>2} {each}" for number, each in enumerate(titles, 1))]
