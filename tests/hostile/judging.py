"""Plays the cases of a play, and says of each what came of it and what must not have come of it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from retirement.errors import Ending
from retirement.wire.api import Retry
from tests.hostile.exceptions import is_excepted
from tests.hostile.plays import Case, Choice, Part, Phase, Play, Record, Spot
from tests.hostile.proxy import Trouble
from tests.hostile.stage import (
    BYSTANDER,
    CAST,
    DEFECT,
    LEARNERS,
    STRANGERS,
    Run,
    Stage,
    Street,
    Truth,
    names_somebody,
    playing,
    words_of,
)

#: What a case is called in which the service's own word was a lie, and no read of the contract could have shown it;
BELIEVED = "believed"
#: and one in which a receipt is open that shows it later.
PROMISED = "promised"
#: So many answers, each with all its tries, may one learner wait for in a row that do not come.
LONGEST_ANSWERS = 2


@dataclass(frozen=True)
class Result:
    """What came of a case; no problem: nothing that must not."""

    play: str
    spot: Spot
    misbehaviour: str
    kind: str
    outcome: str
    seconds: float
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.spot}: {self.misbehaviour}: {self.outcome}: {self.problem}"


def records(plays: Sequence[Play]) -> list[Record]:
    """What each play asks when nothing is in its way."""
    with playing() as (loop, street):
        return [loop.run_until_complete(_recorded(Stage(street, each.pipeline, each.kinds))) for each in plays]


def results(part: Part, choice: Choice) -> list[Result]:
    """Every case of a part that was chosen. The same each time, but for what services make up."""
    random.seed(part.play.name)  # of the pauses between tries
    with playing() as (loop, street):
        return loop.run_until_complete(_Judge(part, street).results(choice))


async def _recorded(stage: Stage) -> Record:
    async with stage.fresh():
        runs = [await stage.run(LEARNERS[-1])]
        before = runs[0].asked[: runs[0].before]
        runs += [await stage.run(each, is_ready=True) for each in (LEARNERS[0], STRANGERS[0], BYSTANDER)]
        assert {run.outcome for run in runs} == {Ending.RETIRED}, runs
        stage.let_time_pass()
        asked = [run.asked for run in runs[1:]]
        apps = stage.apps_of(asked[0])
        return Record(before, *asked, apps=apps, left=stage.truths(LEARNERS[:1], apps)[LEARNERS[0]].left)


@dataclass(frozen=True)
class _Played:
    """A run in trouble, and whether the trouble was met."""

    run: Run
    met: bool


class _Judge:
    """Plays and judges the cases of one play."""

    def __init__(self, part: Part, street: Street) -> None:
        self._part, self._record = part, part.record
        self._stage = Stage(street, part.play.pipeline, part.play.kinds)
        self._longest = LONGEST_ANSWERS * (part.play.longest_answer + Retry().seconds)

    async def results(self, choice: Choice) -> list[Result]:
        """Plays the chosen cases, so many at a time as the cast has learners."""
        async with self._stage.fresh():
            self._stage.let_time_pass()
            self._untouched = self._stage.truths([BYSTANDER], self._record.apps)
        cases = choice.cases(self._part.spots)
        found: list[Result] = []
        while batch := list(islice(cases, CAST)):
            found += await self._batch(batch)
        return found

    async def _batch(self, cases: Sequence[Case]) -> list[Result]:
        cast = [(STRANGERS if case.spot.phase is Phase.STRANGER else LEARNERS)[at] for at, case in enumerate(cases)]
        apps = self._record.apps
        async with self._stage.fresh():
            runs = [await self._run(case, username) for case, username in zip(cases, cast, strict=True)]
            self._stage.let_time_pass()
            harmed = self._stage.truths([BYSTANDER], apps) != self._untouched
            retired = [who for who, played in zip(cast, runs, strict=True) if played.run.outcome == Ending.RETIRED]
            truths = self._stage.truths(retired, apps)
            lies = {who: lie for who, truth in truths.items() if (lie := self._lie(truth))}
            watched = [who for who in lies if await self._stage.is_watched(who)]
        found = []
        for case, who, played in zip(cases, cast, runs, strict=True):
            outcome, lie = (PROMISED, "") if who in watched else (played.run.outcome, lies.get(who, ""))
            if lie and is_excepted(case.spot.place.route, str(case.misbehaviour)):
                outcome, lie = BELIEVED, ""
            found.append(self._judged(case, played, outcome, lie))
        for problem in self._of_all(harmed):
            where = f"{problem}, in one of {len(cases)} cases from this one on"
            found[0] = replace(found[0], problem="; ".join(filter(None, (found[0].problem, where))))
        return found

    async def _run(self, case: Case, username: str) -> _Played:
        trouble = Trouble(
            case.spot.place,
            case.misbehaviour.manner,
            words_of(username),
            lasts=case.misbehaviour.lasts,
            others=self._record.answers_to_others,
        )
        run = await self._stage.run(username, trouble, is_ready=case.spot.phase is not Phase.BEFORE)
        return _Played(run, trouble.met > 0)

    def _of_all(self, harmed: bool) -> Iterator[str]:
        if harmed:
            yield "another learner lost data"
        if self._stage.told:
            yield f"{', '.join(self._stage.told)} names a learner"

    def _judged(self, case: Case, played: _Played, outcome: str, lie: str) -> Result:
        problems = "; ".join([*self._problems(played), *([lie] if lie else [])])
        name, kind = str(case.misbehaviour), case.misbehaviour.kind
        return Result(self._part.play.name, case.spot, name, kind, outcome, played.run.seconds, problems)

    def _problems(self, played: _Played) -> Iterator[str]:
        run = played.run
        if not played.met:
            yield "the misbehaviour was never met"
        if "a defect in the program" in run.words or run.outcome == DEFECT:
            yield f"a defect: {run.words}"
        if names_somebody(run.words.encode()):
            yield "the output names a learner"
        if run.seconds > self._longest:
            yield f"took {run.seconds:.0f} s, and {self._longest:.0f} s is the longest"

    def _lie(self, truth: Truth) -> str:
        """What is wrong with calling a learner retired, "" where nothing is."""
        if not truth.is_retired:
            return "retired, and row or account do not say so"
        if left := truth.left - self._record.left:
            places = sorted({".".join(place[:3]) for place in left})
            return f"retired, and there is still: {', '.join(places[:4])}"
        return ""
