"""What the connectors HTTP and SQL put in the place of a learner's placeholders, and what they refuse to put there."""

from collections.abc import Iterable, Mapping

from retirement.connectors import Identity
from retirement.learner import Learner

#: What a declared request or statement may name.
NAMES = frozenset(each.value for each in Identity)


def identities(learner: Learner | None) -> dict[str, object]:
    """What each placeholder stands for; nothing once the LMS has forgotten the learner."""
    return {each.value: getattr(learner, each.value) for each in Identity} if learner else {}


def first_blank(names: Iterable[str], values: Mapping[str, object]) -> str | None:
    """The first of the names whose value is blank: a condition on it would choose the rows of many people."""
    return next((name for name in sorted(names) if not str(values[name]).strip()), None)
