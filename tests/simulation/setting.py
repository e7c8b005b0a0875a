"""What is fixed before a story begins: who is there, how the site is set up, and the weather."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from retirement.connectors.openedx import Forum
from retirement.pipeline import Moves, Pipeline

from . import cast
from .processes import Plan
from .weather import Weather, forecast

HOUR, DAY = 3600.0, 86400.0


@dataclass(frozen=True)
class Setting:
    """Everything that is fixed before a story begins."""

    pipeline: Pipeline
    forum: str
    learners: list[dict[str, Any]]
    weather: Weather
    plan: Plan


def dice(*what: object) -> Random:
    """A generator of its own for each use, so that one more question in one place changes no other."""
    return Random(" ".join(map(str, what)))  # noqa: S311 - a seed has to replay


def drawn(random: Random, seed: int, moves: Moves = Moves.EACH) -> Setting:
    """The setting of a seed; how the rows are moved is not drawn, so a seed is the same story either way."""
    pipeline, forum = cast.pipeline(random), cast.forum(random)
    apps = ["lms", "lms", "credentials", "license_manager"]
    plan = Plan(
        pipeline=pipeline,
        forum=random.choice((Forum.AUTO, Forum(forum))),
        at_once=random.choice((1, 2, 4)),
        lease_seconds=random.choice((60.0, 120.0, 600.0)),
        attempts=random.choice((1, 2, 4)),
        task_retries=random.choice((0, 0, 1, 2)),
        task_delay=random.choice((10.0, 300.0)),
        breaker_learners=random.choice((1, 2, 3)),
        breaker_seconds=random.choice((60.0, 300.0)),
        queue_period=random.choice((4 * HOUR, DAY)),
        reconcile_period=random.choice((45.0, 900.0, HOUR, 4 * HOUR)),
        moves=moves,
    )
    weather = forecast(random, dice("lies", seed), apps, random.choice((0.02, 0.1, 0.5, 1.5)))
    return Setting(pipeline, forum, cast.learners(random, pipeline), weather, plan)
