"""What the LMS knows of its accounts besides their retirement: names, countries, and organisations of enrollments.

Contract: section 4.15. The lists of enrollments are those of the platform's `enrollments/views.py`
(`CourseEnrollmentsApiListView`, `EnrollmentListView`). All questions need a worker that is staff.
"""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from retirement.learner import Learner
from retirement.lms.listing import listed
from retirement.process import in_parts
from retirement.wire.api import Api
from retirement.wire.meanings import Meaning, meanings
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply
from retirement.wire.success import a_list, an_object

ACCOUNTS = "/api/user/v1/accounts"
SEARCH = "/api/user/v1/accounts/search_emails"
ENROLLMENTS = "/api/enrollment/v1/enrollments"
ENROLLMENTS_OF = "/api/enrollment/v1/enrollment"
#: What proves each question: a list, or a page of one.
ANSWERS = {
    f"GET {ACCOUNTS}": a_list(),
    f"POST {SEARCH}": a_list(),
    f"GET {ENROLLMENTS}": an_object("results") | a_list(),
    f"GET {ENROLLMENTS_OF}": an_object("results") | a_list(),
}
#: Accounts that one look-up names: their names stand in the URL.
ACCOUNTS_AT_ONCE = 50

_ID_IS_FOR_STAFF = meanings(
    Meaning(403, Reply.misconfigured, "only staff may look for an account by its user id"),
)
_ADDRESS_IS_FOR_STAFF = meanings(
    Meaning(404, Reply.misconfigured, "only staff may look for accounts by their addresses"),
)
_PLAIN = re.compile(r"[\w-]+", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class Account:
    """An account as staff sees it. Lives in memory only; anything that is stored names `user_id`.

    `joined` is when it was made, None where the LMS does not say.
    """

    user_id: int
    username: str
    email: str
    joined: datetime | None = None

    @property
    def current_username(self) -> str:
        """What it is called right now."""
        return self.username


class Named(Protocol):
    """What enrollments are asked for: a learner, or an account."""

    @property
    def user_id(self) -> int: ...

    @property
    def current_username(self) -> str: ...


class Accounts:
    """Look-ups about accounts of one LMS; they change nothing."""

    def __init__(self, api: Api) -> None:
        self._api = api.expecting(ANSWERS)

    async def countries(self, learners: Iterable[Learner]) -> dict[int, str]:
        """ISO 3166 codes by user id; learners without a country, or with a comma in the username, are left out.

        Only staff is shown countries; raises `Misconfigured` where the worker is not.
        """
        asked = {each.user_id: each.current_username for each in learners if "," not in each.current_username}
        shown = self._countries(list(asked.values()))
        return {user_id: str(country) async for user_id, country in shown if user_id in asked and country}

    async def _countries(self, names: Sequence[str]) -> AsyncIterator[tuple[Any, Any]]:
        """The ids of the accounts with these names, each with its country, which may be empty."""
        for batch in _batches(names):
            reply = await self._api.find(ACCOUNTS, params=[("username", batch)])
            if reply is None:
                continue  # none of these names
            for account in listed(reply):
                if not isinstance(account, dict) or "country" not in account:
                    raise reply.misconfigured("only staff is shown countries")
                yield account.get("id"), account["country"]

    async def named(self, usernames: Sequence[str]) -> AsyncIterator[Account]:
        """The accounts that have these usernames now; letter case does not count. Names with a comma are left out.

        Raises `Misconfigured` where the worker is not staff, as `addressed` and `numbered` do.
        """
        for batch in _batches([name for name in usernames if "," not in name]):
            reply = await self._api.find(ACCOUNTS, params=[("username", batch)])
            for account in listed(reply) if reply else ():
                yield _account(reply, account)

    async def addressed(self, emails: Sequence[str]) -> AsyncIterator[Account]:
        """The accounts that have these e-mail addresses now."""
        for some in in_parts(emails, ACCOUNTS_AT_ONCE):
            reply = await self._api.post(
                SEARCH, json={"emails": list(some)}, patience=Patience.LOOKUP, judge=_ADDRESS_IS_FOR_STAFF
            )
            for account in listed(reply):
                yield _account(reply, account)

    async def numbered(self, user_id: int) -> Account | None:
        """The account of a user id, None where there is none."""
        reply = await self._api.find(ACCOUNTS, params=[("lms_user_id", str(user_id))], judge=_ID_IS_FOR_STAFF)
        found = [_account(reply, each) for each in listed(reply)] if reply else []
        return next((each for each in found if each.user_id == user_id), None)

    async def own_id(self) -> int:
        """The user id of the account by which we ask."""
        reply = await self._api.get(ACCOUNTS, patience=Patience.LOOKUP)
        found = [_account(reply, each) for each in listed(reply)]
        if len(found) != 1:
            raise reply.refused("the own account is due")
        return found[0].user_id

    async def username(self, user_id: int) -> str | None:
        """The present username of an account; None where there is no such account.

        Raises `Misconfigured` where the worker is not staff.
        """
        reply = await self._api.find(ACCOUNTS, params=[("lms_user_id", str(user_id))], judge=_ID_IS_FOR_STAFF)
        if reply is None:
            return None
        reason = "the account that was asked for is due"
        accounts = reply.items(reply.data, partial(_is_account, user_id), reason)
        if not accounts:
            raise reply.refused(reason)
        return str(accounts[0]["username"])

    async def orgs(self, learner: Learner) -> set[str]:
        """The organisations of one learner's enrollments; see `enrolled_in`."""
        return (await self.enrolled_in([learner]))[learner.user_id]

    async def enrolled_in(self, learners: Iterable[Named]) -> dict[int, set[str]]:
        """The organisations of their enrollments, ended ones included, by user id of every learner asked about.

        Raises `Misconfigured` where the worker is not staff. The list takes names of ASCII letters, digits, `-`
        and `_`, many at once: the LMS answers 120 such questions a minute. Other names are asked one by one of
        a list that lacks ended enrollments in older releases, and that hides all from those who are not staff:
        so the strict list is asked first, by a name that no learner has if need be.
        """
        asked = list(learners)
        names = [each.current_username for each in asked]
        plain, others = _by_form(names)
        # The LMS compares names without case; two that differ in nothing else cannot be told apart here.
        by_name: defaultdict[str, set[str]] = defaultdict(set)
        async for name, org in self._at_once(plain):
            by_name[name.casefold()].add(org)
        async for name, org in self._one_by_one(others, is_staff=bool(plain)):
            by_name[name.casefold()].add(org)
        return {each.user_id: by_name[each.current_username.casefold()] - {""} for each in asked}

    async def _at_once(self, names: Sequence[str]) -> AsyncIterator[tuple[str, str]]:
        for batch in _batches(names):
            async for row in self._enrollments(ENROLLMENTS, "username", batch):
                yield row

    async def _one_by_one(self, names: Sequence[str], *, is_staff: bool) -> AsyncIterator[tuple[str, str]]:
        if names and not is_staff:
            await self.require_staff()
        for name in names:
            async for _, org in self._enrollments(ENROLLMENTS_OF, "user", name):
                yield name, org

    async def require_staff(self) -> None:
        """Raises `Misconfigured` where the worker is not staff: asks by a name that no learner has."""
        async for _ in self._enrollments(ENROLLMENTS, "username", "-"):
            pass

    async def _enrollments(self, path: str, name: str, value: str) -> AsyncIterator[tuple[str, str]]:
        """Username and organisation, page by page; which kind of pages, only the link to the next one knows."""

        def judge(reply: Reply) -> None:
            if reply.status == 403:
                raise reply.misconfigured("only staff may list the enrollments of others")

        params = [(name, value)]
        while params:
            reply = await self._api.get(path, params=params, patience=Patience.LOOKUP, judge=judge)
            try:
                rows, params = _page(reply.data)
            except (TypeError, LookupError, AttributeError, ValueError):
                raise reply.refused("no list of enrollments") from None
            for row in rows:
                yield row


def _account(reply: Reply | None, account: Any) -> Account:
    """Reads an account. Others than staff are shown no ids."""
    assert reply is not None  # noqa: S101 - an account comes from an answer
    if not isinstance(account, dict) or not {"id", "email"} <= account.keys():
        raise reply.misconfigured("only staff is shown user ids and addresses of accounts")
    if not isinstance(account["id"], int) or not isinstance(account.get("username"), str):
        raise reply.refused("no account")
    return Account(account["id"], account["username"], str(account["email"] or ""), _moment(account.get("date_joined")))


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _by_form(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names that the list of many takes, and the others."""
    return list(filter(_PLAIN.fullmatch, names)), [name for name in names if not _PLAIN.fullmatch(name)]


def _batches(names: Sequence[str]) -> Iterator[str]:
    """The names with commas between them, as many at a time as one look-up may have."""
    return map(",".join, in_parts(names, ACCOUNTS_AT_ONCE))


def _page(data: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The rows of one answer, and how to ask for the next page."""
    page = data if isinstance(data, dict) else {"results": data}
    rows = []
    for row in page["results"]:
        course = row.get("course_id") or row["course_details"]["course_id"]
        rows.append((str(row["user"]), re.split(r"[+/]", course.removeprefix("course-v1:"), maxsplit=1)[0]))
    return rows, parse_qsl(urlsplit(page.get("next") or "").query)


def _is_account(user_id: int, account: Any) -> bool:
    """Whether this is an account as staff sees it, and the one with that id."""
    return isinstance(account, dict) and account.get("id") == user_id and isinstance(account.get("username"), str)
