"""Account look-ups (contract lms.md 4.15) and the deactivation by staff (4.5)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from retirement.sandbox import gates
from retirement.sandbox.lms.erasure import UNUSABLE
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.wire import Answer, ApiError, as_json, empty
from retirement.sandbox.world import schema
from retirement.sandbox.world.database import folded, timestamp
from retirement.sandbox.world.identity import retired_emails

#: The only kind of body that account settings are changed by (1.5, 4.15).
MERGE_PATCH = "application/merge-patch+json"
#: LMS setting COOL_OFF_DAYS: only for the answer to support staff about cancelling (2.13).
COOL_OFF_DAYS = 14
_SHOWN = (
    *("bio", "country", "gender", "goals", "level_of_education"),
    *("mailing_address", "name", "phone_number", "year_of_birth"),
)
_UNSET = ("course_certificates", "last_login", "pending_name_change", "secondary_email", "secondary_email_enabled")
_EMPTY = ("extended_profile", "language_proficiencies", "social_links")
_ACCOUNT = select(
    schema.user,
    schema.profile.c.id.label("profile_id"),
    schema.profile.c.profile_image_uploaded_at,
    *(schema.profile.c[name] for name in _SHOWN),
).outerjoin(schema.profile, schema.profile.c.learner == schema.user.c.id)


def accounts(call: Call) -> Answer:
    """By `username`, `email` or `lms_user_id`, in that order; without any, the caller's own account."""
    query, principal = call.request.query, call.principal
    if "username" in query:
        names = query["username"][-1].split(",")
        return _listed(call, func.folded(schema.user.c.username).in_([folded(n) for n in names]))
    if ("email" in query or "lms_user_id" in query) and not principal.is_staff:
        raise ApiError(403, gates.FORBIDDEN)
    if "email" in query:
        email = query["email"][-1]
        return _retired_email(call.db, email) or _listed(call, func.folded(schema.user.c.email) == folded(email))
    if "lms_user_id" in query:
        number = query["lms_user_id"][-1]
        if not number.isdecimal():
            return as_json({"error_msg": "lms_user_id must be an integer"}, 400)
        return _listed(call, schema.user.c.id == int(number))
    return _listed(call, schema.user.c.id == principal.user_id)


def _retired_email(db: Connection, email: str) -> Answer | None:
    """The 404 that says that the e-mail belongs to a retired or retiring account, and how to cancel."""
    if not db.execute(select(schema.user.c.id).where(schema.user.c.email.in_(retired_emails(email)))).first():
        return None
    row = schema.retirement.c
    young = select(row.id).where(row.original_email == email, row.created > timestamp(COOL_OFF_DAYS))
    retirement_id = db.execute(young).scalar()
    return as_json(
        {
            "error_msg": "This email is associated to a retired account.",
            "can_cancel_retirement": retirement_id is not None,
            "retirement_id": retirement_id,
        },
        404,
    )


def _listed(call: Call, condition: ColumnElement[bool]) -> Answer:
    found = call.db.execute(_ACCOUNT.where(condition).order_by(schema.user.c.id)).all()
    if not found:
        return empty(404)
    return as_json([_account(call, row) for row in found])


def _account(call: Call, row: Row[Any]) -> dict[str, Any]:
    """Staff and the owner see everything, others the public part; what a missing profile would hold is null."""
    principal, has_profile = call.principal, row.profile_id is not None
    image = {"has_image": row.profile_image_uploaded_at is not None} if has_profile else None
    public = {"username": row.username, "profile_image": image, "account_privacy": "private"}
    if not (principal.is_staff or principal.user_id == row.id):
        return public
    return {
        **public,
        **dict.fromkeys((*_UNSET, "state", "time_zone", "verified_name")),
        **{name: [] if has_profile else None for name in _EMPTY},
        **{name: getattr(row, name) for name in ("id", "email", "is_active", "date_joined", *_SHOWN)},
        "requires_parental_consent": False if has_profile else None,
    }


def account(call: Call) -> Answer:
    name = func.folded(schema.user.c.username) == folded(call.arguments["username"])
    row = call.db.execute(_ACCOUNT.where(name)).first()
    return as_json(_account(call, row)) if row else empty(404)


def change_account(call: Call) -> Answer:
    """Accounts change their own settings only, by a merge patch; the sandbox keeps none that could change."""
    if call.request.media_type != MERGE_PATCH:
        raise call.request.unsupported()
    return account(call) if call.arguments["username"] == call.principal.username else empty(403)


def deactivate(call: Call) -> Answer:
    """Only makes the password unusable; creates no request. An unknown name is an HTML 500."""
    name = func.folded(schema.user.c.username) == folded(call.arguments["username"])
    row = call.db.execute(_ACCOUNT.where(name)).one()
    call.db.execute(schema.user.update().where(schema.user.c.id == row.id).values(password=UNUSABLE))
    return as_json(_account(call, row))


def search_emails(call: Call) -> Answer:
    if not call.principal.is_staff:
        return as_json({"developer_message": "not_found", "user_message": "Not Found"}, 404)
    data = call.request.data()
    if "emails" not in data:
        return as_json({"developer_message": "'emails'", "user_message": "emails must be given"}, 400)
    emails = func.folded(schema.user.c.email).in_([folded(email) for email in data["emails"]])
    found = call.db.execute(select(schema.user).where(emails).order_by(schema.user.c.id))
    return as_json([{"email": row.email, "id": row.id, "username": row.username} for row in found])


_ACCOUNTS = "/api/user/v1/accounts"
ROUTES = [
    Route(_ACCOUNTS, gates.any_account, {"GET": accounts}),
    Route(_ACCOUNTS + "/search_emails", gates.any_account, {"POST": search_emails}),
    Route(_ACCOUNTS + "/{username}/deactivate/", gates.can_deactivate_users, {"POST": deactivate}),
    Route(_ACCOUNTS + "/{username}", gates.any_account, {"GET": account, "PATCH": change_account}),
]
