"""What the LMS knows of its accounts besides their retirement: countries, and organisations of enrollments.

Contract: section 4.15. The lists of enrollments are those of the platform's `enrollments/views.py`
(`CourseEnrollmentsApiListView`, `EnrollmentListView`). Both questions need a worker that is staff.
"""

import re
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from retirement.errors import Misconfigured, NotFound, Refused
from retirement.http import Api, Patience, Reply
from retirement.learner import Learner

ACCOUNTS = "/api/user/v1/accounts"
ENROLLMENTS = "/api/enrollment/v1/enrollments"
ENROLLMENTS_OF = "/api/enrollment/v1/enrollment"
#: Accounts that one look-up names: their names stand in the URL.
ACCOUNTS_AT_ONCE = 50

_PLAIN = re.compile(r"[\w-]+", re.ASCII)


class Accounts:
    """Look-ups about accounts of one LMS; they change nothing."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def countries(self, learners: Iterable[Learner]) -> dict[int, str]:
        """ISO 3166 codes by user id; learners without a country, or whom no list of names carries, are left out.

        Only staff is shown countries; raises `Misconfigured` where the worker is not.
        """
        asked = {each.user_id: each.current_username for each in learners if "," not in each.current_username}
        names = list(asked.values())
        found: dict[int, str] = {}
        for start in range(0, len(names), ACCOUNTS_AT_ONCE):
            params = [("username", ",".join(names[start : start + ACCOUNTS_AT_ONCE]))]
            try:
                reply = await self._api.get(ACCOUNTS, params=params, patience=Patience.LOOKUP)
            except NotFound:
                continue  # none of these names
            for account in listed(f"GET {ACCOUNTS}", reply):
                if not isinstance(account, dict) or "country" not in account:
                    raise Misconfigured("LMS", f"GET {ACCOUNTS}", 200, "only staff is shown countries")
                if account.get("id") in asked and account["country"]:
                    found[account["id"]] = str(account["country"])
        return found

    async def orgs(self, learner: Learner) -> set[str]:
        """The organisations of one learner's enrollments; see `enrolled_in`."""
        return (await self.enrolled_in([learner]))[learner.user_id]

    async def enrolled_in(self, learners: Iterable[Learner]) -> dict[int, set[str]]:
        """The organisations of their enrollments, ended ones included, by user id of every learner asked about.

        Raises `Misconfigured` where the worker is not staff. The list takes names of ASCII letters, digits, `-`
        and `_`, many at once: the LMS answers 120 such questions a minute. Other names are asked one by one of
        a list that lacks ended enrollments in older releases, and that hides all from those who are not staff:
        so the strict list is asked first, of nobody if need be.
        """
        # The LMS compares names without case; two who differ in nothing else cannot be told apart here.
        by_name: dict[str, set[str]] = {}
        found: dict[int, set[str]] = {}
        for each in (asked := list(learners)):
            found[each.user_id] = by_name.setdefault(each.current_username.casefold(), set())
        names = [each.current_username for each in asked]
        plain = [name for name in names if _PLAIN.fullmatch(name)]
        if names and not plain:
            await self.require_staff()
        for start in range(0, len(plain), ACCOUNTS_AT_ONCE):
            batch = ",".join(plain[start : start + ACCOUNTS_AT_ONCE])
            async for name, org in self._enrollments(ENROLLMENTS, "username", batch):
                by_name.setdefault(name.casefold(), set()).add(org)
        for name in (name for name in names if not _PLAIN.fullmatch(name)):
            by_name[name.casefold()] |= {org async for _, org in self._enrollments(ENROLLMENTS_OF, "user", name)}
        return {user_id: orgs - {""} for user_id, orgs in found.items()}

    async def require_staff(self) -> None:
        """Raises `Misconfigured` where the worker is not staff: asks for the enrollments of nobody."""
        async for _ in self._enrollments(ENROLLMENTS, "username", "-"):
            pass

    async def _enrollments(self, path: str, name: str, value: str) -> AsyncIterator[tuple[str, str]]:
        """Username and organisation, page by page; which kind of pages, only the link to the next one knows."""

        def judge(reply: Reply) -> None:
            if reply.status == 403:
                raise Misconfigured("LMS", f"GET {path}", 403, "only staff may list the enrollments of others")

        params = [(name, value)]
        while params:
            reply = await self._api.get(path, params=params, patience=Patience.LOOKUP, judge=judge)
            try:
                rows, params = _page(reply.data)
            except (TypeError, LookupError, AttributeError, ValueError):
                raise Refused("LMS", f"GET {path}", reply.status, "no list of enrollments") from None
            for row in rows:
                yield row


def _page(data: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The rows of one answer, and how to ask for the next page."""
    page = data if isinstance(data, dict) else {"results": data}
    rows = []
    for row in page["results"]:
        course = row.get("course_id") or row["course_details"]["course_id"]
        rows.append((str(row["user"]), re.split(r"[+/]", course.removeprefix("course-v1:"), maxsplit=1)[0]))
    return rows, parse_qsl(urlsplit(page.get("next") or "").query)


def listed(request: str, reply: Reply) -> list[object]:
    """The answer of the LMS as the list that is due; raises `Refused`."""
    if not isinstance(reply.data, list):
        raise Refused("LMS", request, reply.status, "a list is due")
    return reply.data
