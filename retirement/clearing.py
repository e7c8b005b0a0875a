"""What the LMS still keeps of learners when their retirement is over, and having it forget that.

Their rows in the queue for partners, and their rows in the table of retirements: both hold the original username,
e-mail and name in clear. Contract: sections 2.11, 2.12 and 4.10–4.12. Both clean-ups are all or nothing, and the
LMS never says whom it has not found.
"""

from collections.abc import Iterable, Sequence

from retirement.accounts import Accounts, listed
from retirement.errors import Transient
from retirement.http import Reply

REPORT = "/api/user/v1/accounts/retirement_partner_report/"
REPORTED = "/api/user/v1/accounts/retirement_partner_report_cleanup/"
CLEANUP = "/api/user/v1/accounts/retirement_cleanup/"


class Clearing(Accounts):
    """The endpoints of one LMS that take rows away for good."""

    @property
    def host(self) -> str:
        """Which LMS this is: the host of its address."""
        return self._api.host

    async def claim(self) -> list[object]:
        """Takes everybody out of the partner report queue: rows as the LMS gives them, for once and never again.

        Sent once, whatever happens. A `Transient` in doubt, also for an answer that nobody can read, means that
        the LMS may have handed out rows that we do not have.
        """

        def judge(reply: Reply) -> None:
            ours = 200 <= reply.status < 300 and reply.kind in ("json", "unreadable", "empty")
            if ours and not isinstance(reply.data, list):
                raise Transient("LMS", f"POST {REPORT}", reply.status, "a list is due", in_doubt=True)

        return listed(f"POST {REPORT}", await self._api.post(REPORT, once=True, judge=judge))

    async def forget_reported(self, usernames: Iterable[str]) -> list[str]:
        """Deletes claimed rows of the partner report queue; the names that had none are returned.

        All or nothing for the LMS, so a refused list is halved until the names are found. Repeating is safe:
        what a lost reply had done is then among those returned.
        """
        names = list(dict.fromkeys(usernames))
        if not names:
            return []
        body = [{"original_username": name} for name in names]
        reply = await self._api.post(REPORTED, json=body, judge=lambda reply: reply.status == 400 or None)
        if reply.status != 400:
            return []
        if len(names) == 1 or reply.says(f"{len(names)} original_usernames given, 0 found!"):
            return names
        half = len(names) // 2
        return [*await self.forget_reported(names[:half]), *await self.forget_reported(names[half:])]

    async def forget_one(self, username: str) -> bool:
        """Deletes one row of the partner report queue if it was handed out; False where the LMS has no such row.

        Sent once, so that the answer is about this request: a `Transient` in doubt leaves open which it was.
        """
        body = [{"original_username": username}]
        reply = await self._api.post(REPORTED, json=body, once=True, judge=lambda reply: reply.status == 400 or None)
        return reply.status != 400

    async def forget_retired(self, usernames: Sequence[str]) -> bool:
        """Deletes the rows of learners in COMPLETE; False where the LMS refuses, and then it has deleted nobody's.

        It refuses all where one is not in COMPLETE, and where a row that is has the same name in other letter
        case and is not named too. Sent once, since a second time is refused: a `Transient` in doubt leaves open
        whether it was done. Afterwards nobody can tell any more who they were.
        """

        def judge(reply: Reply) -> bool | None:
            if 200 <= reply.status < 300 and (reply.status, reply.kind) != (204, "empty"):
                raise Transient("LMS", f"POST {CLEANUP}", reply.status, "an empty 204 is due", in_doubt=True)
            return (reply.status == 400 and isinstance(reply.data, str)) or None

        reply = await self._api.post(CLEANUP, json={"usernames": list(usernames)}, once=True, judge=judge)
        return reply.status != 400
