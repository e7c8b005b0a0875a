"""The LMS' queue of learners whose course partners have not been told yet.

Its rows hold the original username, e-mail and name in clear. Contract: sections 2.11, 4.10 and 4.11. Deleting is
all or nothing, and the LMS never says which learner it has not found.
"""

from collections.abc import Callable, Iterable
from typing import Any

from retirement.wire.api import Api
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply
from retirement.wire.success import a_list, nothing

REPORT = "/api/user/v1/accounts/retirement_partner_report/"
REPORTED = "/api/user/v1/accounts/retirement_partner_report_cleanup/"
#: What proves each request; every other 2xx leaves in doubt whether it was done.
ANSWERS = {f"POST {REPORT}": a_list(), f"POST {REPORTED}": nothing()}


class PartnerQueue:
    """The partner report queue of one LMS."""

    def __init__(self, api: Api) -> None:
        self._api = api.expecting(ANSWERS)

    async def claim(self, take: Callable[[Any], object]) -> None:
        """Takes every learner out of the partner report queue; `take` is given the rows, for once and never again.

        Rows are as the LMS gives them, one by one while the answer comes in. Sent once, whatever happens. A
        `Transient` in doubt, also for an answer that cannot be read, means that the LMS may have handed out rows
        that we do not have, or only some of them.
        """

        def judge(reply: Reply) -> None:
            ours = reply.ok and reply.kind in ("json", "unreadable", "empty")
            if ours and not ANSWERS[reply.request].shown_by(reply):
                raise reply.transient("a list is due", in_doubt=True)

        def keep(row: Any) -> None:
            take(row)

        await self._api.post(REPORT, patience=Patience.CLAIM, once=True, judge=judge, each=lambda: keep)

    async def delete(self, usernames: Iterable[str]) -> list[str]:
        """Deletes claimed rows of the partner report queue; the names that had none are returned.

        All or nothing for the LMS, so a refused list is halved until the names are found. Repeating is safe:
        what a lost reply had done is then among those returned.
        """
        names = list(dict.fromkeys(usernames))
        if not names:
            return []
        body = [{"original_username": name} for name in names]
        reply = await self._api.post(REPORTED, json=body, judge=_take_refusal)
        if reply.status != 400:
            return []
        if len(names) == 1 or reply.says(f"{len(names)} original_usernames given, 0 found!"):
            return names
        half = len(names) // 2
        return [*await self.delete(names[:half]), *await self.delete(names[half:])]

    async def delete_one(self, username: str) -> bool:
        """Deletes one row of the partner report queue if it was handed out; False where the LMS has no such row.

        Sent once, so that the answer is about this request: a `Transient` in doubt leaves open which it was.
        """
        body = [{"original_username": username}]
        reply = await self._api.post(REPORTED, json=body, once=True, judge=_take_refusal)
        return reply.status != 400


def _take_refusal(reply: Reply) -> bool | None:
    if reply.ok and reply.kind in ("json", "empty") and not ANSWERS[reply.request].shown_by(reply):
        raise reply.transient("an empty 204 is due", in_doubt=True)
    return reply.status == 400 or None
