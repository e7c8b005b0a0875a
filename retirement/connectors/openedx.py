"""The LMS as a store of learner data: what its own endpoints erase.

Which learners those are, and which state they are in, is `retirement.lms`; this file only erases.
Contract: sections 2.7 (working-state guard), 4.6–4.8, 4.16, 4.18–4.21.
"""

from enum import StrEnum
from typing import cast

from pydantic import Field

from retirement.connectors import (
    Connector,
    Destroys,
    Identity,
    Outcome,
    Route,
    ServiceSettings,
    empty_only,
    operation,
)
from retirement.errors import Busy, Refused, StateConflict
from retirement.http import Judge, Patience, Reply
from retirement.learner import Learner

ACCOUNTS = "/api/user/v1/accounts"
UNENROLL = {1: "/api/enrollment/v1/unenroll/", 2: "/api/enrollment/v2/enrollment/unenroll/"}
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


class OpenEdx(Connector):
    """The LMS and what runs inside it: enrollments, forum, notes, proctoring, the account itself."""

    service = "LMS"

    class Settings(ServiceSettings):
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

    @classmethod
    def destroys_username(cls, settings: ServiceSettings, name: str) -> Destroys:
        if name == "retirement_retire_forum":
            forum = cast(OpenEdx.Settings, settings).forum
            return {Forum.AUTO: Destroys.PERHAPS, Forum.V2: Destroys.YES}.get(forum, Destroys.NO)
        return super().destroys_username(settings, name)

    def route(self, name: str) -> Route | None:
        if name == "retirement_unenroll":
            return Route("POST", self._unenroll, {})
        return super().route(name)

    @property
    def _unenroll(self) -> str:
        return UNENROLL[cast(OpenEdx.Settings, self.settings).unenroll_version]

    @operation(Identity.USERNAME, route=("POST", UNENROLL[1]), finds_by_username=True, patience=Patience.SLOW)
    async def retirement_unenroll(self, learner: Learner) -> Outcome:
        """End every active enrollment; the rows stay, since the partner report needs them."""
        reply = await self._ask(self._unenroll, learner)
        if reply.status == 200 and not isinstance(reply.data, list):
            raise Refused(self.api.service, f"POST {self._unenroll}", 200, "a list of organisations is due")
        return Outcome.ERASED if reply.status == 200 else Outcome.ABSENT

    @operation(Identity.USERNAME, route=("POST", FORUM))
    async def retirement_retire_forum(self, learner: Learner) -> Outcome:
        """Blank the learner's forum posts and put the retired name on them."""
        reply = await self._ask(FORUM, learner, judge=_forum_has_no_such_user)
        return Outcome.ERASED if reply.status < 300 else Outcome.ABSENT

    @operation(Identity.USERNAME, route=("POST", NOTES))
    async def retirement_retire_notes(self, learner: Learner) -> Outcome:
        """Delete the learner's notes. The LMS hides a refusal of the notes service behind its 204."""
        await self._ask(NOTES, learner)
        return Outcome.ERASED

    @operation(Identity.USERNAME, route=("POST", f"{ACCOUNTS}/retire_misc/"))
    async def retirement_lms_retire_misc(self, learner: Learner) -> Outcome:
        """Erase what plugins and side tables of the LMS hold: credit, surveys, e-mail settings, histories."""
        await self._ask(f"{ACCOUNTS}/retire_misc/", learner)
        return Outcome.ERASED

    @operation(Identity.USERNAME, route=("POST", f"{ACCOUNTS}/retire/"), destroys_username=True, comes_last=True)
    async def retirement_lms_retire(self, learner: Learner) -> Outcome:
        """Erase profile and account: names blanked, username and e-mail replaced by the retired ones."""
        await self._ask(f"{ACCOUNTS}/retire/", learner, judge=_name_is_taken)
        return Outcome.ERASED

    @operation(Identity.USERNAME, route=("PUT", f"{ACCOUNTS}/retirement_partner_report/"))
    async def retirement_partner_queue(self, learner: Learner) -> Outcome:
        """Put the learner on the list of those whose course partners have to be told."""
        await self._ask(f"{ACCOUNTS}/retirement_partner_report/", learner, method="PUT")
        return Outcome.ACCEPTED

    @operation(Identity.USER_ID, route=("POST", PROCTORING), sample={"user_id": 0})
    async def retirement_retire_proctoring_data(self, learner: Learner) -> Outcome:
        """Blank exam allowances and proctoring reviews."""
        values = {"user_id": learner.user_id}
        judge = empty_only(self.api.service, f"POST {PROCTORING}")
        await self.api.post(PROCTORING, values=values, renew_on=PROCTORING_UNAUTHORIZED, judge=judge)
        return Outcome.ERASED

    @operation(Identity.USER_ID, route=("POST", PROCTORING_BACKEND), sample={"user_id": 0})
    async def retirement_retire_proctoring_backend_data(self, learner: Learner) -> Outcome:
        """Have the proctoring vendors delete the learner."""
        values = {"user_id": learner.user_id}
        judge = self._vendor_said_no
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
        raise Refused(self.api.service, "POST deactivate_logout", None, "this operation is never sent")

    async def _ask(
        self,
        path: str,
        learner: Learner,
        *,
        method: str = "POST",
        judge: Judge | None = None,
    ) -> Reply:
        def guarded(reply: Reply) -> bool | None:
            if reply.status in (400, 405, 500) and reply.says("not a valid state to perform retirement actions"):
                raise StateConflict(f"{self.api.service}: {method} {path}: the learner is in no working state")
            if judge and judge(reply):
                return True
            if path != self._unenroll:
                empty_only(self.api.service, f"{method} {path}")(reply)
            if reply.status == 404 and reply.kind in ("json", "empty"):
                # In a working state nothing can be taken back any more.
                raise StateConflict(f"{self.api.service}: {method} {path}: the learner has no retirement request")
            return None

        body = {"username": learner.username}
        return await self.api.send(method, path, json=body, judge=guarded)

    def _vendor_said_no(self, reply: Reply) -> None:
        # The body names back ends and whether each of them deleted; with 500 at least one did not.
        said = list(reply.data.values()) if isinstance(reply.data, dict) else [None]
        knows = all(isinstance(each, bool) for each in said)
        if reply.status == 500 and said and knows:
            raise Refused(self.api.service, f"POST {PROCTORING_BACKEND}", 500, "a proctoring vendor did not delete")
        if reply.status == 200 and reply.kind == "json" and not (knows and all(said)):
            raise Refused(self.api.service, f"POST {PROCTORING_BACKEND}", 200, "back ends that deleted are due")


def _forum_has_no_such_user(reply: Reply) -> bool | None:
    """404 with an empty body: the legacy forum has no such user; 500 with this text: v2 up to 0.4.3."""
    if reply.status == 500 and reply.says("Duplicate entry"):
        raise Busy("LMS", f"POST {FORUM}", 500, FORUM_COLLISION)
    if reply.status == 404:
        return reply.kind == "empty"
    return reply.status == 500 and reply.says("user not found with id")


def _name_is_taken(reply: Reply) -> None:
    """Accounts whose names differ in letter case get one retired name; the second has none to get (section 1.6)."""
    if reply.status == 500 and reply.says("Duplicate entry"):
        why = "another account has this retired name: their usernames differ in letter case only; rename this one"
        raise Refused("LMS", f"POST {ACCOUNTS}/retire/", 500, why)
