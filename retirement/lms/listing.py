"""Lists as the LMS answers them, with the rows that cannot be read beside those that can."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from retirement.errors import Misconfigured
from retirement.learner import Learner, UnreadableRow
from retirement.wire.elements import Keep
from retirement.wire.reply import Reply

#: Is given each learner of an answer.
Take = Callable[[Learner], object]
#: Makes what is given the learners of one answer: one that breaks off is asked for again.
Begin = Callable[[], Take]
#: A sentence about each row of an answer that is not as the contract says.
Unreadable = tuple[str, ...]
#: Such rows of one answer at most: of more it is no list of retirements, and a sentence about each fills the memory.
MOST_UNREADABLE = 10_000


@dataclass(frozen=True, slots=True)
class Listing:
    """The learners of one answer, in its order, and a sentence about each row that is not as the contract says."""

    learners: list[Learner]
    unreadable: Unreadable = ()
    left: int = 0  #: further learners of the answer, who were not wanted
    oldest: datetime | None = None  #: when the first of all of them asked, as far as that was noted

    @property
    def rows(self) -> int:
        """How many rows the answer had."""
        return len(self.learners) + len(self.unreadable) + self.left


#: Whether a learner of a long list is to be kept.
Wanted = Callable[[Learner], bool]


class Kept:
    """The wanted learners of one answer, each read as it comes in: what the LMS says of a row takes thrice as much."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._begin()

    def _begin(self) -> None:
        self._learners: list[Learner] = []
        self._left = 0
        self._oldest: datetime | None = None

    def begin(self) -> Take:
        """What takes the learners of the next try of the request."""
        self._begin()
        return self._take

    def _take(self, learner: Learner) -> None:
        self._oldest = min(self._oldest or learner.requested_at, learner.requested_at)
        if self._wanted(learner):
            self._learners.append(learner)
        else:
            self._left += 1

    def listing(self, unreadable: Unreadable) -> Listing:
        """What was kept of the answer."""
        return Listing(self._learners, unreadable, self._left, self._oldest)


class Reading:
    """Reads rows while they come in, for `each` of a request, so that the answer is at no time in memory.

    `what` names the list in the sentences. Raises `Misconfigured` for an answer with too many odd rows.
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
                if len(self._unreadable) == MOST_UNREADABLE:
                    reason = (
                        f"more than {MOST_UNREADABLE} rows are not as the contract says: is it the LMS that answers?"
                    )
                    raise Misconfigured("LMS", self._what, None, reason) from None
                self._unreadable.append(f"row {place} of {self._what} cannot be read: {error}")
            else:
                take(learner)

        return read


def listed(reply: Reply) -> list[object]:
    """The answer of the LMS as the list that is due; raises `Refused`."""
    if not isinstance(reply.data, list):
        raise reply.refused("a list is due")
    return reply.data
