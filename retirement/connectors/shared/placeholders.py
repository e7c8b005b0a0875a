"""What the connectors HTTP and SQL put in the place of a learner's placeholders, and what they refuse to put there."""

import re
from collections.abc import Iterable, Mapping

from retirement.connectors import Identity
from retirement.learner import Learner

#: What a declared request or statement may name.
NAMES = frozenset(each.value for each in Identity)
#: Those that more than one learner may have.
SHARED = frozenset({Identity.NAME.value})

#: Letters of any script, digits, and what addresses are made of: no language of queries or patterns knows these.
_PLAIN = re.compile(r"[\w@.+-]*")


def identities(learner: Learner | None) -> dict[str, object]:
    """What each placeholder stands for; nothing once the LMS has forgotten the learner."""
    return {each.value: getattr(learner, each.value) for each in Identity} if learner else {}


def first_blank(names: Iterable[str], values: Mapping[str, object]) -> str | None:
    """The first of the names whose value is blank: a condition on it would choose the rows of many people."""
    return next((name for name in sorted(names) if not str(values[name]).strip()), None)


def first_unfit(names: Iterable[str], values: Mapping[str, object], wildcards: str = "") -> str | None:
    """The first of the names whose value means more than itself within a pattern or a query: `%`, `*`, quotes, blanks.

    `wildcards` are further characters that the place knows.
    """

    def fits(text: str) -> bool:
        return _PLAIN.fullmatch(text) is not None and set(text).isdisjoint(wildcards)

    return next((name for name in sorted(names) if not fits(str(values[name]))), None)
