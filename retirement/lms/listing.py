"""Lists as the LMS answers them, with the rows that cannot be read beside those that can."""

from collections.abc import Callable
from dataclasses import dataclass

from retirement.learner import Learner, UnreadableRow
from retirement.wire.elements import Keep
from retirement.wire.reply import Reply

#: Is given each learner of an answer.
Take = Callable[[Learner], object]
#: Makes what is given the learners of one answer: one that breaks off is asked for again.
Begin = Callable[[], Take]
#: A sentence about each row of an answer that is not as the contract says.
Unreadable = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """The learners of one answer, in its order, and a sentence about each row that is not as the contract says."""

    learners: list[Learner]
    unreadable: Unreadable = ()

    def is_full(self, most: int) -> bool:
        """Whether an answer of so many rows at most may have left some out."""
        return len(self.learners) + len(self.unreadable) >= most


class Reading:
    """Reads rows while they come in, for `each` of a request, so that the answer is at no time in memory.

    `what` names the list in the sentences.
    """

    def __init__(self, what: str, begin: Begin) -> None:
        self._what, self._begin = what, begin
        self._unreadable: list[str] = []

    @property
    def unreadable(self) -> Unreadable:
        """Of the last answer."""
        return tuple(self._unreadable)

    def __call__(self) -> Keep:
        """What takes the rows of the next answer."""
        self._unreadable = []
        take, place = self._begin(), 0

        def read(row: object) -> None:
            nonlocal place
            place += 1
            try:
                learner = Learner.from_row(row)
            except UnreadableRow as error:
                self._unreadable.append(f"row {place} of {self._what} cannot be read: {error}")
            else:
                take(learner)

        return read


def listed(reply: Reply) -> list[object]:
    """The answer of the LMS as the list that is due; raises `Refused`."""
    if not isinstance(reply.data, list):
        raise reply.refused("a list is due")
    return reply.data
