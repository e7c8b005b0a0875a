"""What each LMS call erases: section 5 of the contract lms.md, line by line, as data.

Each LMS call has a list of rules. A rule names a table, how its rows are found, and what becomes of them.
Rows that are redacted before they are deleted are only deleted here: the difference shows in copies alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Delete, Row, Table, Update, bindparam, delete, update

from retirement.sandbox.world import schema


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact about the learner when the call is served: a column of the joined status row."""

    name: str


#: What a column may be set to: a value, or a fact about the learner.
Values = dict[str, str | bool | Fact | None]

USER_ID = Fact("user_id")
CURRENT_USERNAME, CURRENT_EMAIL = Fact("username"), Fact("email")
ORIGINAL_USERNAME, ORIGINAL_EMAIL = Fact("original_username"), Fact("original_email")
RETIRED_USERNAME, RETIRED_EMAIL = Fact("retired_username"), Fact("retired_email")


@dataclass(frozen=True)
class Rule:
    """`values` replace what is in the rows; without values the rows are deleted."""

    table: Table
    values: Values = field(default_factory=dict)
    where: str = "learner"
    equals: Fact = USER_ID

    @cached_property
    def statement(self) -> Update | Delete:
        matching = self.table.c[self.where] == bindparam(f"fact_{self.equals.name}")
        if not self.values:
            return delete(self.table).where(matching)
        new: dict[str, Any] = {
            column: bindparam(f"fact_{value.name}") if isinstance(value, Fact) else value
            for column, value in self.values.items()
        }
        return update(self.table).where(matching).values(new)

    @cached_property
    def facts(self) -> frozenset[str]:
        values = (value.name for value in self.values.values() if isinstance(value, Fact))
        return frozenset((self.equals.name, *values))


def erase(db: Connection, rules: Sequence[Rule], learner: Row[Any]) -> None:
    """Applies the rules to one learner, given by the joined status row."""
    for rule in rules:
        db.execute(rule.statement, {f"fact_{name}": getattr(learner, name) for name in rule.facts})


#: An unusable password, as Django marks it.
UNUSABLE = "!retired"

#: At request time (deactivate_logout and its equivalents).
AT_REQUEST = (
    Rule(schema.social_auth),
    Rule(schema.registration),
    Rule(schema.oauth_application),
    Rule(schema.account_recovery),
    Rule(schema.user, {"email": RETIRED_EMAIL, "password": UNUSABLE}),
)

UNENROLL = (Rule(schema.enrollment, {"is_active": False}),)

_DELETED = "[deleted]"
FORUM = (
    Rule(schema.forum_content, {"title": _DELETED, "body": _DELETED, "author_username": RETIRED_USERNAME}),
    Rule(schema.forum_subscription),
    Rule(schema.forum_read_state),
    Rule(schema.forum_user, {"username": RETIRED_USERNAME, "retired": True}),
)
#: The in-process forum up to 0.4.3 shares Django's account, and empties its e-mail (4.16).
FORUM_RENAMES_ACCOUNT = (Rule(schema.user, {"username": RETIRED_USERNAME, "email": ""}),)

PROCTORING = (
    Rule(schema.allowance, {"value": ""}),
    Rule(schema.allowance_history, {"value": ""}),
    Rule(schema.review, {"raw_data": "", "encrypted_video_url": ""}),
    Rule(schema.review_history, {"raw_data": "", "encrypted_video_url": ""}),
    Rule(schema.review_comment, {"comment": "", "status": ""}),
)

_RENAMED: Values = {"username": RETIRED_USERNAME}
MISC = (
    Rule(schema.social_auth_history),
    Rule(schema.pending_name_change),
    Rule(schema.verified_name),
    Rule(schema.enrollment_audit, {"enrolled_email": RETIRED_EMAIL, "reason": ""}),
    Rule(schema.enrollment_audit_history, {"enrolled_email": RETIRED_EMAIL, "reason": ""}),
    Rule(schema.credit_request, {**_RENAMED, "parameters": "{}"}, "username", ORIGINAL_USERNAME),
    Rule(schema.credit_requirement_status, {**_RENAMED, "reason": "{}"}, "username", ORIGINAL_USERNAME),
    Rule(schema.survey_answer, {"field_value": ""}),
    Rule(schema.program_enrollment, {"external_user_key": None}),
    Rule(schema.program_enrollment_history, {"external_user_key": None}),
    Rule(schema.api_access_request, {"website": "", "company_address": "", "company_name": "", "reason": ""}),
    Rule(schema.wiki_revision, {"ip_address": None}),
    Rule(schema.verification_attempt),
)

_PROFILE: Values = {
    **dict.fromkeys(("name", "meta", "location"), ""),
    **dict.fromkeys(("year_of_birth", "gender", "mailing_address", "city", "country", "bio", "phone_number"), None),
    "profile_image_uploaded_at": None,
}
_PHOTOS: Values = {"name": "", "face_image_url": "", "photo_id_image_url": "", "photo_id_key": ""}
_NAMES: Values = {"first_name": "", "last_name": "", "username": RETIRED_USERNAME, "email": RETIRED_EMAIL}
RETIRE = (
    Rule(schema.profile, _PROFILE),
    Rule(schema.social_link),
    Rule(schema.account_recovery),
    Rule(schema.pending_email_change),
    Rule(schema.pending_secondary_email_change),
    Rule(schema.org_tag),
    Rule(schema.enrollment_allowed, {}, "email", ORIGINAL_EMAIL),
    Rule(schema.cohort_assignment, {}, "email", ORIGINAL_EMAIL),
    Rule(schema.certificate, {"name": ""}),
    Rule(schema.entitlement_support, {"comments": ""}),
    Rule(schema.photo_verification, _PHOTOS),
    Rule(schema.sap_audit, {"sapsf_user_id": ""}),
    Rule(schema.degreed_audit, {"degreed_user_email": ""}),
    # Looked up by the current name: missed if the forum has renamed the account before (4.16).
    Rule(schema.consent, _RENAMED, "username", CURRENT_USERNAME),
    # Looked up by the current e-mail, which has been the retired one since the request: never found (5.3).
    Rule(schema.pending_enterprise_user, {"user_email": RETIRED_EMAIL}, "user_email", CURRENT_EMAIL),
    Rule(schema.user, {**_NAMES, "is_active": False}),
)
