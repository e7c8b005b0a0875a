"""The steps that erase in the LMS, its forum, notes and proctoring (contract lms.md 4.7 to 4.21).

All but proctoring want the learner in a working state; each reports the failure in its own way (2.7).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from retirement.sandbox import gates
from retirement.sandbox.lms.erasure import FORUM, FORUM_RENAMES_ACCOUNT, MISC, PROCTORING, RETIRE, Rule, erase
from retirement.sandbox.lms.rows import NoProfileError, NoRowError, check_profile, duplicate_entry, ready
from retirement.sandbox.lms.status import NOT_SPECIFIED
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.wire import NO_CONTENT, AbortError, Answer, Request, as_json, empty
from retirement.sandbox.world import schema
from retirement.sandbox.world.identity import NOTES_CLIENT, anonymous_id
from retirement.sandbox.world.settings import FORUM_OFF
from retirement.sandbox.world.states import RetirementStateError
from retirement.sandbox.world.tokens import annotator_token

#: How long the LMS waits for the notes service (4.19).
NOTES_TIMEOUT_S = 1.5
#: For every learner in a working state, while the forum is switched off in the LMS' admin (appendix).
FORUM_DISABLED = as_json("service disabled", 500)
NOTES_UNAVAILABLE = as_json("EdxNotes Service is unavailable. Please try again in a few minutes.", 500)

_HAS_FORUM_USER = select(schema.forum_user.c.id).where(schema.forum_user.c.learner == bindparam("user_id"))
_BACKENDS = select(schema.proctoring_backend_user).where(
    schema.proctoring_backend_user.c.learner == bindparam("user_id")
)
#: Misc opts the learner out of bulk e-mail in each course (5.2).
_OPT_OUT = insert(schema.bulk_email_optout).from_select(
    ["learner", "course_id"],
    select(schema.enrollment.c.learner, schema.enrollment.c.course_id).where(
        schema.enrollment.c.learner == bindparam("user_id"),
        schema.enrollment.c.course_id.not_in(
            select(schema.bulk_email_optout.c.course_id).where(
                schema.bulk_email_optout.c.learner == bindparam("user_id")
            )
        ),
    ),
)


def retire_misc(call: Call) -> Answer:
    return _erased(call, MISC)


def retire(call: Call) -> Answer:
    return _erased(call, RETIRE)


def _erased(call: Call, rules: Sequence[Rule]) -> Answer:
    username = call.request.data().get("username")
    if not username:
        return NOT_SPECIFIED
    try:
        row = ready(call.db, call.world.states, username)
        if rules is RETIRE:
            # The profile is emptied first: without one nothing is done, now or later.
            check_profile(row)
        if call.request.stops_half_way:
            # The exception was caught, so what was done is committed (1.7).
            erase(call.db, rules[: len(rules) // 2], row)
            return as_json("a receiver of the signal failed", 500)
        erase(call.db, rules, row)
    except NoRowError:
        return empty(404)
    except RetirementStateError as error:
        return as_json(str(error), 400)
    except NoProfileError as error:
        return as_json(str(error), 500)
    except IntegrityError as error:
        text = duplicate_entry(error, username=row.retired_username, email=row.retired_email)
        raise AbortError(as_json(text, 500)) from None
    if rules is MISC:
        call.db.execute(_OPT_OUT, {"user_id": row.user_id})
    return NO_CONTENT


def retire_forum(call: Call) -> Answer:
    username = call.request.data(forms=True)["username"]
    try:
        row = ready(call.db, call.world.states, username)
    except NoRowError:
        return empty(404)
    except RetirementStateError as error:
        return as_json(str(error), 500)
    if call.world.settings.forum == FORUM_OFF:
        return FORUM_DISABLED
    if not call.db.execute(_HAS_FORUM_USER, {"user_id": row.user_id}).first():
        return _unknown_to_forum(call.world.settings.forum, row.user_id)
    try:
        _retire_in_forum(call.db, call.world.settings.forum, row)
    except IntegrityError as error:
        # A second learner with a blank e-mail, until `retire` gives the first one the retired one.
        text = duplicate_entry(error, username=row.retired_username, email="")
        raise AbortError(as_json(text, 500)) from None
    return NO_CONTENT


def _unknown_to_forum(generation: str, user_id: int) -> Answer:
    """Each forum generation has its own answer for a learner who never used it (4.16)."""
    if generation == "v2":
        return as_json(f"user not found with id: {user_id}", 500)
    return empty(404) if generation == "legacy" else NO_CONTENT


def _retire_in_forum(db: Connection, generation: str, row: Row[Any]) -> None:
    erase(db, FORUM, row)
    if generation == "v2":
        erase(db, FORUM_RENAMES_ACCOUNT, row)


def retire_notes(call: Call) -> Answer | Awaitable[Answer]:
    username = call.request.data(forms=True)["username"]
    try:
        row = ready(call.db, call.world.states, username)
    except NoRowError:
        return empty(404)
    except RetirementStateError as error:
        return as_json(str(error), 405)
    return _ask_notes_service(call, anonymous_id(row.user_id))


async def _ask_notes_service(call: Call, user: str) -> Answer:
    """The status of the answer is ignored: a refusal is hidden behind 204 (4.19)."""
    request = Request(
        "notes",
        "POST",
        "/api/v1/retire_annotations/",
        headers={
            "content-type": "application/x-www-form-urlencoded",
            "x-annotator-auth-token": annotator_token(NOTES_CLIENT, user),
        },
        body=f"user={user}".encode(),
    )
    # When the service is only slow, the LMS gives up but the notes go all the same: no cancelling.
    calling = call.send(request)
    done, _ = await asyncio.wait({calling}, timeout=NOTES_TIMEOUT_S)
    if not done or calling.cancelled() or not isinstance(calling.result(), Answer):
        return NOTES_UNAVAILABLE
    return NO_CONTENT


def retire_in_proctoring(call: Call) -> Answer:
    """No state check, and unknown ids are fine: the id alone is used."""
    for rule in PROCTORING:
        call.db.execute(rule.statement, {"fact_user_id": int(call.arguments["user_id"])})
    return NO_CONTENT


def retire_in_proctoring_backends(call: Call) -> Answer:
    """500, with the same shape, when any vendor did not obey (4.21)."""
    users = call.db.execute(_BACKENDS, {"user_id": int(call.arguments["user_id"])}).all()
    obeyed = [row.id for row in users if row.obeys]
    table = schema.proctoring_backend_user
    call.db.execute(table.delete().where(table.c.id.in_(obeyed)))
    return as_json({row.backend: row.obeys for row in users}, 200 if len(obeyed) == len(users) else 500)


_FORUM = "/api/discussion/v1/accounts/retire_forum"
_PROCTORING = "/api/edx_proctoring/v1"
ROUTES = [
    Route("/api/user/v1/accounts/retire_misc/", gates.can_retire, {"POST": retire_misc}),
    Route("/api/user/v1/accounts/retire/", gates.can_retire, {"POST": retire}),
    Route(_FORUM, gates.can_retire, {"POST": retire_forum}),
    Route(_FORUM + "/", gates.can_retire, {"POST": retire_forum}),
    Route("/api/edxnotes/v1/retire_user/", gates.can_retire, {"POST": retire_notes}),
    Route(_PROCTORING + "/retire_user/{user_id}/", gates.proctoring, {"POST": retire_in_proctoring}),
    Route(
        _PROCTORING + "/retire_backend_user/{user_id}/",
        gates.proctoring,
        {"POST": retire_in_proctoring_backends},
    ),
]
