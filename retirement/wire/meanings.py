"""What answers mean in one service where the general table of statuses has it otherwise, row by row."""

from collections.abc import Callable
from dataclasses import dataclass

from retirement.errors import ServiceError
from retirement.wire.reply import Reply


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row of a service's contract: an answer with this status is this error, for this reason.

    `says` and `kind` narrow it to answers whose JSON holds a text, or whose body is of a kind of `Reply.kind`.
    """

    status: int
    error: Callable[[Reply, str], ServiceError]
    reason: str
    says: str = ""
    kind: str = ""

    def covers(self, reply: Reply) -> bool:
        """Whether the row is about this answer."""
        if reply.status != self.status or self.kind not in ("", reply.kind):
            return False
        return not self.says or reply.says(self.says)


def meanings(*rows: Meaning) -> Callable[[Reply], None]:
    """A judge that raises the error of the first row that is about the answer."""

    def judge(reply: Reply) -> None:
        for row in rows:
            if row.covers(reply):
                raise row.error(reply, row.reason)

    return judge
