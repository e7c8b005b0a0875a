"""The clean-up of the LMS: it deletes the rows of learners in COMPLETE, and with them who these learners were.

Contract: sections 2.12 and 4.12. It is all or nothing, and the LMS never says which learner it has not found.
"""

from collections.abc import Sequence

from retirement.wire.api import Api
from retirement.wire.reply import Reply
from retirement.wire.success import nothing

CLEANUP = "/api/user/v1/accounts/retirement_cleanup/"
#: What proves it; every other 2xx leaves in doubt whether it was done.
ANSWERS = {f"POST {CLEANUP}": nothing()}


class Cleanup:
    """The clean-up endpoint of one LMS."""

    def __init__(self, api: Api) -> None:
        self._api = api.expecting(ANSWERS)

    async def delete(self, usernames: Sequence[str]) -> bool:
        """Deletes the rows of learners in COMPLETE; False where the LMS refuses, and then it has deleted none.

        It refuses all where one is not in COMPLETE, and where a row that is has the same name in other letter
        case and is not named too. Sent once, since a second time is refused: a `Transient` in doubt leaves open
        whether it was done. Afterwards the LMS cannot tell any more who they were.
        """

        def judge(reply: Reply) -> bool | None:
            if reply.ok and not ANSWERS[reply.request].shown_by(reply):
                raise reply.transient("an empty 204 is due", in_doubt=True)
            return (reply.status == 400 and isinstance(reply.data, str)) or None

        reply = await self._api.post(CLEANUP, json={"usernames": list(usernames)}, once=True, judge=judge)
        return reply.status != 400
