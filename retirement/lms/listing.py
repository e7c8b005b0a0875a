"""Lists as the LMS answers them, with the rows that cannot be read beside those that can."""

from collections.abc import Iterable
from dataclasses import dataclass

from retirement.learner import Learner, UnreadableRow
from retirement.wire.reply import Reply


@dataclass(frozen=True, slots=True)
class Listing:
    """The learners of one answer, in its order, and a sentence about each row that is not as the contract says."""

    learners: list[Learner]
    unreadable: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: Iterable[object], what: str) -> "Listing":
        """Reads rows; one odd row keeps no other learner waiting. `what` names the list in the sentences."""
        learners: list[Learner] = []
        unreadable: list[str] = []
        for place, row in enumerate(rows, 1):
            try:
                learners.append(Learner.from_row(row))
            except UnreadableRow as error:
                unreadable.append(f"row {place} of {what} cannot be read: {error}")
        return cls(learners, tuple(unreadable))


def listed(reply: Reply) -> list[object]:
    """The answer of the LMS as the list that is due; raises `Refused`."""
    if not isinstance(reply.data, list):
        raise reply.refused("a list is due")
    return reply.data
