"""The LMS as a store of learner data: what its own endpoints erase.

Which learners those are, and which state they are in, is `retirement.lms`; this file only erases.
Contract: sections 2.7 (working-state guard), 4.6–4.8, 4.16, 4.18–4.21.

Its code: https://github.com/openedx/edx-platform
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from retirement.connectors import (
    Connector,
    Destroys,
    Identity,
    Outcome,
    Route,
    ServiceSettings,
    Success,
    a_list,
    an_object,
    empty_only,
    nothing,
    operation,
)
from retirement.errors import StateConflict
from retirement.learner import Learner
from retirement.wire.api import Request
from retirement.wire.meanings import Meaning, meanings
from retirement.wire.patience import Patience
from retirement.wire.reply import Judge, Reply

ACCOUNTS = "/api/user/v1/accounts"
UNENROLL = {1: "/api/enrollment/v1/unenroll/", 2: "/api/enrollment/v2/enrollment/unenroll/"}
#: Lists the active enrollments of one account; shows them to staff, and an empty list to other callers.
ENROLLMENTS_OF = "/api/enrollment/v1/enrollment"
FORUM = "/api/discussion/v1/accounts/retire_forum/"
NOTES = "/api/edxnotes/v1/retire_user/"
PROCTORING = "/api/edx_proctoring/v1/retire_user/{user_id}/"
PROCTORING_BACKEND = "/api/edx_proctoring/v1/retire_backend_user/{user_id}/"

# edx-proctoring puts session authentication first, which turns 401 into 403 (contract, section 1.1).
PROCTORING_UNAUTHORIZED = frozenset({401, 403})

#: What v2 up to 0.4.3 means when it reports a duplicate: it blanks e-mails, and they are unique.
FORUM_COLLISION = "another learner is between the forum step and the account step"


class Forum(StrEnum):
    """Which forum the LMS runs, since they retire a learner differently (contract, section 4.16)."""

    AUTO = "auto"
    LEGACY = "legacy"  #: the Ruby service
    V2 = "v2"  #: in-process, up to 0.4.3: renames the account and blanks its e-mail
    V2_NEW = "v2-new"  #: in-process, from 0.4.7 on


class OpenEdxSettings(ServiceSettings):
    """What stands below `services.LMS`."""

    forum: Forum = Field(
        default=Forum.AUTO,
        description="Forum generation: `legacy`, `v2` (up to 0.4.3), `v2-new` (from 0.4.7), or `auto`.",
    )
    unenroll_version: int = Field(
        default=1,
        ge=1,
        le=2,
        description="Version of the unenroll route: 1, or 2 where the LMS has dropped 1.",
    )


class OpenEdx(Connector[OpenEdxSettings]):
    """The LMS and what runs inside it: enrollments, forum, notes, proctoring, the account itself."""

    service = "LMS"
    answers: ClassVar[Mapping[str, Success]] = {
        f"POST {UNENROLL[2]}": a_list() | nothing(),
        f"GET {ENROLLMENTS_OF}": a_list(),
    }

    @classmethod
    def destroys_username(cls, settings: OpenEdxSettings, name: str) -> Destroys:
        if name == "retirement_retire_forum":
            forum = settings.forum
            return {Forum.AUTO: Destroys.PERHAPS, Forum.V2: Destroys.YES}.get(forum, Destroys.NO)
        return super().destroys_username(settings, name)

    def route(self, name: str) -> Route | None:
        if name == "retirement_unenroll":
            return Route("POST", self._unenroll, {})
        return super().route(name)

    @property
    def _unenroll(self) -> str:
        return UNENROLL[self.settings.unenroll_version]

    @operation(
        Identity.USERNAME,
        route=("POST", UNENROLL[1]),
        finds_by_username=True,
        patience=Patience.SLOW,
        success=a_list() | nothing(),
    )
    async def retirement_unenroll(self, learner: Learner) -> Outcome:
        """End every active enrollment; the rows stay, since the partner report needs them."""
        reply = await self._ask(self._unenroll, learner)
        if reply.status == 204:
            await self._require_unenrolled(learner)
            return Outcome.ABSENT
        # It is said of learners with an enrollment, and each belongs to an organisation.
        if not reply.items(reply.data, lambda each: isinstance(each, str), "a list of organisations is due"):
            raise reply.refused("a list of organisations is due, and it is empty")
        return Outcome.ERASED

    async def _require_unenrolled(self, learner: Learner) -> None:
        """Asks a second way after "no active enrollment", which an empty answer of a gateway says as well.

        The account may have the retired name by now, under which `unenroll` finds nothing (contract, section 4.16).
        The list leaves out deleted courses, as `unenroll` of older releases does (contract, section 4.18). Where the
        worker may not ask, or is no staff, the LMS' own word stands. Raises `Refused` where both contradict.
        """
        for name in (learner.username, learner.retired_username):
            params = [("user", name)]
            reply = await self.api.get(ENROLLMENTS_OF, params=params, patience=Patience.LOOKUP, judge=_may_not_ask)
            if reply.status == 200 and (active := _active(reply)):
                raise reply.refused(f"unenroll answered that no enrollment is active, and active are: {active}")

    @operation(Identity.USERNAME, route=("POST", FORUM), success=nothing())
    async def retirement_retire_forum(self, learner: Learner) -> Outcome:
        """Blank the learner's forum posts and put the retired name on them."""
        reply = await self._ask(FORUM, learner, judge=_forum_has_no_such_user)
        return Outcome.ERASED if reply.status < 300 else Outcome.ABSENT

    @operation(Identity.USERNAME, route=("POST", NOTES), success=nothing())
    async def retirement_retire_notes(self, learner: Learner) -> Outcome:
        """Delete the learner's notes. The LMS hides a refusal of the notes service behind its 204."""
        await self._ask(NOTES, learner)
        return Outcome.ERASED

    @operation(Identity.USERNAME, route=("POST", f"{ACCOUNTS}/retire_misc/"), success=nothing())
    async def retirement_lms_retire_misc(self, learner: Learner) -> Outcome:
        """Erase what plugins and side tables of the LMS hold: credit, surveys, e-mail settings, histories."""
        await self._ask(f"{ACCOUNTS}/retire_misc/", learner)
        return Outcome.ERASED

    @operation(
        Identity.USERNAME,
        route=("POST", f"{ACCOUNTS}/retire/"),
        destroys_username=True,
        comes_last=True,
        success=nothing(),
    )
    async def retirement_lms_retire(self, learner: Learner) -> Outcome:
        """Erase profile and account: names blanked, username and e-mail replaced by the retired ones."""
        await self._ask(f"{ACCOUNTS}/retire/", learner, judge=_name_is_taken)
        return Outcome.ERASED

    @operation(Identity.USERNAME, route=("PUT", f"{ACCOUNTS}/retirement_partner_report/"), success=nothing())
    async def retirement_partner_queue(self, learner: Learner) -> Outcome:
        """Put the learner on the list of those whose course partners have to be told."""
        await self._ask(f"{ACCOUNTS}/retirement_partner_report/", learner, method="PUT")
        return Outcome.ACCEPTED

    @operation(Identity.USER_ID, route=("POST", PROCTORING), sample={"user_id": 0}, success=nothing())
    async def retirement_retire_proctoring_data(self, learner: Learner) -> Outcome:
        """Blank exam allowances and proctoring reviews."""
        values = {"user_id": learner.user_id}
        await self.api.post(PROCTORING, values=values, renew_on=PROCTORING_UNAUTHORIZED, judge=empty_only)
        return Outcome.ERASED

    @operation(Identity.USER_ID, route=("POST", PROCTORING_BACKEND), sample={"user_id": 0}, success=an_object())
    async def retirement_retire_proctoring_backend_data(self, learner: Learner) -> Outcome:
        """Have the proctoring vendors delete the learner."""
        values = {"user_id": learner.user_id}
        judge = _vendor_said_no
        reply = await self.api.post(PROCTORING_BACKEND, values=values, renew_on=PROCTORING_UNAUTHORIZED, judge=judge)
        return Outcome.ERASED if reply.data else Outcome.ABSENT

    @operation(goes_with="retirement_lms_retire_misc")
    async def retirement_retire_mailings(self, learner: Learner) -> Outcome:
        """Nothing of its own: gone from the LMS since 2019, `retirement_lms_retire_misc` does its work."""
        return Outcome.ABSENT

    @operation(
        refused_because="it asks the LMS to retire the account that calls, which is the retirement worker's own; "
        "learners are locked when they make their request, so remove the step"
    )
    async def retirement_deactivate_logout(self, learner: Learner) -> Outcome:
        """Never to be used: it addresses the worker's own account."""
        raise self.api.refused("POST deactivate_logout", "this operation is never sent")

    async def _ask(
        self,
        path: str,
        learner: Learner,
        *,
        method: str = "POST",
        judge: Judge | None = None,
    ) -> Reply:
        def guarded(reply: Reply) -> bool | None:
            _require_working_state(reply)
            _NEEDS_A_PERSON(reply)
            if judge and judge(reply):
                return True
            if path != self._unenroll:
                empty_only(reply)
            if reply.status == 404 and reply.kind in ("json", "empty"):
                # In a working state nothing can be taken back any more.
                raise StateConflict(f"{reply.service}: {reply.request}: the learner has no retirement request")
            return None

        body = {"username": learner.username}
        return await self.api.send(Request(method, path, json=body), guarded)


#: What a 500 of the LMS may say that does not pass by itself (contract, appendix).
_NEEDS_A_PERSON = meanings(
    Meaning(
        500,
        Reply.refused,
        "the account has no profile: make one in the LMS' Django admin, then `retirement redrive`",
        says="User has no profile.",
    ),
    Meaning(
        500,
        Reply.misconfigured,
        "the forum is switched off in the LMS' Django admin: enable ForumsConfig, or take the step out",
        says="service disabled",
    ),
)


def _require_working_state(reply: Reply) -> None:
    if reply.status in (400, 405, 500) and reply.says("not a valid state to perform retirement actions"):
        raise StateConflict(f"{reply.service}: {reply.request}: the learner is in no working state")


def _may_not_ask(reply: Reply) -> bool | None:
    return reply.status in (403, 404) or None


def _active(reply: Reply) -> int:
    """How many of the listed enrollments are active."""
    rows = reply.items(reply.data, _is_enrollment, "enrollments are due")
    return sum(row["is_active"] for row in rows)


def _is_enrollment(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("is_active"), bool)


def _vendor_said_no(reply: Reply) -> None:
    said = _said_by_vendors(reply)
    if reply.status == 500 and said:
        raise reply.refused("a proctoring vendor did not delete")
    if (reply.status, reply.kind) == (200, "json") and (said is None or not all(said)):
        raise reply.refused("back ends that deleted are due")


def _said_by_vendors(reply: Reply) -> list[bool] | None:
    """Whether each back end has deleted, which are named in the body; with 500 at least one has not.

    None where the answer says something else.
    """
    said = list(reply.mapping.values())
    known = isinstance(reply.data, dict) and all(isinstance(each, bool) for each in said)
    return said if known else None


def _forum_has_no_such_user(reply: Reply) -> bool | None:
    """404 with an empty body: the legacy forum has no such user; 500 with this text: v2 up to 0.4.3."""
    if reply.status == 500 and reply.says("Duplicate entry"):
        raise reply.busy(FORUM_COLLISION)
    if reply.status == 404:
        return reply.kind == "empty"
    return reply.status == 500 and reply.says("user not found with id")


def _name_is_taken(reply: Reply) -> None:
    """Accounts whose names differ in letter case get one retired name; the second has none to get (section 1.6)."""
    if reply.status == 500 and reply.says("Duplicate entry"):
        why = "another account has this retired name: their usernames differ in letter case only; rename this one"
        raise reply.refused(why)
