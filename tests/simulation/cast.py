"""Who takes part in a seed: learners with hard names and histories, and a pipeline that the rules allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

from retirement.pipeline import Pipeline, Step
from retirement.sandbox import pipelines

#: Usernames that make trouble somewhere; `{}` is the learner's number, for a person is one row.
_USERNAMES = (
    "zoe-canary-{}", "Wanda-CANARY-{}", "ana.gomez+canary{}", "bo jensen canary {}", "carla@campus-canary-{}",
    "zoë-canary-{}", "学习者-canary-{}", "faye/canary/{}", "per%cent-canary-{}", "..canary..{}",
)  # fmt: skip
_NAMES = ("Zoë Canary-Number{}", "金丝雀 Number{}", "Tòve Ó'Kanárie d'Ávila Number{}", "Bo Kanarie Number{}")
_FORUMS = ("legacy", "v2-new", "v2")
#: What an operation erases, as keys of a seed, and what a seed says of somebody who has none of it.
HOLDINGS = {
    "retirement_retire_forum": ("forum",),
    "retirement_retire_notes": ("notes",),
    "retirement_retire_proctoring_data": ("proctoring",),
    "replace_usernames": ("credentials",),
    "retire_learner": ("licenses", "license_user"),
}
NOTHING: dict[str, Any] = {
    "forum": False, "notes": 0, "proctoring": 0, "credentials": False, "licenses": [], "license_user": False,
}  # fmt: skip


def learners(random: Random, pipeline: Pipeline) -> list[dict[str, Any]]:
    """One to eight learners in the order of their rows, which is not that of their deadlines."""
    many = random.choices((1, 2, 3, 4, 6, 8), (30, 30, 20, 10, 6, 4))[0]
    return [_learner(random, pipeline, number) for number in range(many)]


def _learner(random: Random, pipeline: Pipeline, number: int) -> dict[str, Any]:
    learner: dict[str, Any] = {
        "username": random.choice(_USERNAMES).format(number),
        "email": f"Canary.Box.{number}@canary-mail-{number % 2}.example",
        "name": random.choice(_NAMES).format(number),
        "state": "PENDING",
        "requested_days_ago": 10 + random.randrange(0, 4000) / 100,
        "enrollments": [{"org": "OrgA", "active": bool(random.randrange(4))} for _ in range(random.randrange(3))],
        "forum": random.random() < 0.8,
        "notes": random.randrange(3),
        "proctoring": random.randrange(2),
        "credentials": random.random() < 0.7,
        "licenses": random.choice(([], ["activated"], ["activated", "revoked"])),
        "license_user": random.random() < 0.8,
    }
    # Nobody holds anything where no step of this pipeline erases.
    operations = {step.operation for step in pipeline}
    nowhere = [key for operation, keys in HOLDINGS.items() if operation not in operations for key in keys]
    return learner | {key: NOTHING[key] for key in nowhere} | _history(random, pipeline)


def nothing_for(steps: Iterable[Step]) -> dict[str, Any]:
    """What the seed says of learners who hold nothing that these steps erase."""
    return {key: NOTHING[key] for step in steps for key in HOLDINGS[step.operation]}


def _history(random: Random, pipeline: Pipeline) -> dict[str, Any]:
    """Some have been begun by another driver: it left them after the first step, or died in it."""
    first, dice = pipeline.steps[0], random.random()
    if first.operation != "retirement_unenroll" or dice > 0.1:
        return {}
    if dice < 0.05:
        return {"state": first.start, "last_state": "PENDING"}
    return {"state": first.end, "last_state": first.start, "enrollments": [{"org": "OrgA", "active": False}]}


def forum(random: Random) -> str:
    """The generation of the forum."""
    return random.choices(_FORUMS, (5, 3, 2))[0]


def pipeline(random: Random) -> Pipeline:
    """A shipped pipeline, or a random DAG between the enrollments, which go first, and the account, last."""
    shape = random.choices(("minimal", "reference", "default", "dag", "line", "random"), (3, 1, 2, 2, 2, 4))[0]
    if shape in pipelines.PIPELINES:
        return Pipeline(tuple(steps(pipelines.PIPELINES[shape])))
    return Pipeline(tuple(steps(list(_composed(random, shape == "line")))))


def _composed(random: Random, line: bool) -> Iterator[dict[str, Any]]:
    """Some of the independent steps in any order, each after some of those above it."""
    written = pipelines.PIPELINES["default"]
    first, between, last = written[0], list(written[1:-2]), written[-2:]
    random.shuffle(between)
    chosen = between[: random.randint(1, len(between))]
    if line:
        yield from (first, *chosen, *last)
        return
    yield {**first, "after": []}
    above: list[str] = []
    for step in chosen:
        after = random.sample(above, k=random.randint(0, min(2, len(above))))
        yield {**step, "after": [first["start"], *after]}
        above.append(step["start"])
    yield {**last[0], "after": [first["start"], *above]}
    yield {**last[1], "after": [last[0]["start"]]}


def steps(written: list[dict[str, Any]]) -> Iterator[Step]:
    """The steps of a pipeline as the sandbox writes them down."""
    before: tuple[str, ...] = ()
    for each in written:
        after = tuple(each.get("after", before))
        yield Step(each["start"], each["end"], each["service"], each["operation"], after)
        before = (each["start"],)
