"""What a finished retirement leaves behind: places that no service clears, or cleared in later releases only.

A learner with the key `residue` holds nothing but what is named there, each name one of `PLANTED`. Sources: the
contract lms.md, section 5, services.md, section A, and the services' own migrations. The files that
`Database(folder)` writes show these tables as a site's databases do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Table

from retirement.sandbox.world import schema
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of

Row = dict[str, Any]

_certificate_history = table_of("lms", "certificates_historicalgeneratedcertificate", "name")
_verified_name_history = table_of("lms", "edx_name_affirmation_historicalverifiedname", "verified_name", "profile_name")
_manual_verification = table_of("lms", "verify_student_manualverification", "name")
_credit_request_history = table_of("lms", "credit_historicalcreditrequest", "username", "parameters")
_credit_requirement_history = table_of("lms", "credit_historicalcreditrequirementstatus", "username", "reason")
_consent_history = table_of("lms", "consent_historicaldatasharingconsent", "username")
_pending_enterprise_history = table_of("lms", "enterprise_historicalpendingenterprisecustomeruser", "user_email")
_canvas_audit = table_of("lms", "canvas_canvaslearnerdatatransmissionaudit", "canvas_user_email")
_blackboard_audit = table_of("lms", "blackboard_blackboardlearnerdatatransmissionaudit", "blackboard_user_email")
_edit_history = table_of("lms", "forum_edithistory", "original_body", schema.number("editor_id"))
_badge_progress = table_of("credentials", "badges_badgeprogress", "username")
# Every service has one; in this database it needs a name of its own, as users have (`schema.VIEWS`).
_credentials_social_auth = table_of("credentials", "credentials_social_auth", "provider", "uid")
_offer_assignment = table_of("ecommerce", "offer_offerassignment", "user_email")


def _credentials_user(person: Person) -> Row:
    return {
        "username": person.retired_username,
        "email": person.email,
        "full_name": person.name,
        "first_name": "First",
        "last_name": "Last",
        "lms_user_id": person.user_id,
    }


def _license(person: Person) -> Row:
    return {"id": person.user_id * 100, "status": "assigned", "user_email": person.email, "activation_key": "key"}


#: By the catalogue's name of the place.
PLANTED: dict[str, tuple[Table, Callable[[Person], Row]]] = {
    "social-auth": (schema.social_auth, lambda who: {"provider": "tpa-saml", "uid": who.email}),
    "social-auth-history": (schema.social_auth_history, lambda who: {"provider": "tpa-saml", "uid": who.email}),
    "recovery-email": (schema.account_recovery, lambda who: {"secondary_email": f"recovery.{who.email}"}),
    "pending-email-change": (schema.pending_email_change, lambda who: {"new_email": f"new.{who.email}"}),
    "pending-secondary-email-change": (
        schema.pending_secondary_email_change,
        lambda who: {"new_secondary_email": f"second.{who.email}"},
    ),
    "pending-name-change": (schema.pending_name_change, lambda who: {"new_name": who.name, "rationale": ""}),
    "verified-name": (schema.verified_name, lambda who: {"verified_name": who.name, "profile_name": who.name}),
    "verified-name-history": (_verified_name_history, lambda who: {"verified_name": who.name, "profile_name": ""}),
    "manual-verification": (_manual_verification, lambda who: {"name": who.name}),
    "certificate-name": (schema.certificate, lambda who: {"name": who.name}),
    "certificate-name-history": (_certificate_history, lambda who: {"name": who.name}),
    "enrollment-allowed": (schema.enrollment_allowed, lambda who: {"course_id": "OrgZ", "email": who.email}),
    "cohort-assignment": (schema.cohort_assignment, lambda who: {"email": who.email}),
    "enrollment-audit": (schema.enrollment_audit, lambda who: {"enrolled_email": who.email, "reason": ""}),
    "enrollment-audit-history": (
        schema.enrollment_audit_history,
        lambda who: {"enrolled_email": who.email, "reason": ""},
    ),
    "credit-eligibility": (schema.credit_eligibility, lambda who: {"username": who.username}),
    "credit-request-history": (_credit_request_history, lambda who: {"username": who.username, "parameters": "{}"}),
    "credit-requirement-history": (
        _credit_requirement_history,
        lambda who: {"username": who.username, "reason": "{}"},
    ),
    "forum-edit-history": (
        _edit_history,
        lambda who: {"original_body": f"I am {who.name}", "editor_id": who.user_id},
    ),
    "consent-history": (_consent_history, lambda who: {"username": who.username}),
    "pending-enterprise-user": (schema.pending_enterprise_user, lambda who: {"user_email": who.email}),
    "pending-enterprise-user-history": (_pending_enterprise_history, lambda who: {"user_email": who.email}),
    "canvas-audit": (_canvas_audit, lambda who: {"canvas_user_email": who.email}),
    "blackboard-audit": (_blackboard_audit, lambda who: {"blackboard_user_email": who.email}),
    "partner-queue": (
        schema.partner_report,
        lambda who: {
            "original_username": who.username,
            "original_email": who.email,
            "original_name": who.name,
            "is_being_processed": False,
            "created": "2026-01-01T00:00:00Z",
        },
    ),
    "credentials-user": (schema.credentials_user, _credentials_user),
    "credentials-award": (schema.user_credential, lambda who: {"username": who.username, "uuid": "award"}),
    "credentials-badge-progress": (_badge_progress, lambda who: {"username": who.username}),
    "credentials-social-auth": (_credentials_social_auth, lambda who: {"provider": "edx", "uid": who.username}),
    "licence-by-email": (schema.license_, _license),
    "licence-by-email-history": (schema.license_history, lambda who: {"license_id": 1, "user_email": who.email}),
    "licence-user": (schema.license_user, lambda who: {"username": who.username, "email": who.email}),
    "ecommerce-user": (
        schema.ecommerce_user,
        lambda who: {
            "username": who.retired_username,
            "email": who.email,
            "full_name": who.name,
            "lms_user_id": who.user_id,
        },
    ),
    "ecommerce-sdn-check": (
        schema.sdn_failure,
        lambda who: {"username": who.retired_username, "full_name": who.name, "city": "Springfield", "country": "ES"},
    ),
    "ecommerce-offer-assignment": (_offer_assignment, lambda who: {"user_email": who.email}),
    "discovery-user": (
        schema.discovery_user,
        lambda who: {"username": who.retired_username, "email": who.email, "full_name": who.name},
    ),
}
#: A text of the retirement's own row, which is there already.
RESPONSES = "retirement-responses"


def of(person: Person) -> Iterator[tuple[Table, Row]]:
    """The rows that the seed names; raises `ValueError` for a name that is none."""
    for name in person.seed["residue"]:
        if name == RESPONSES:
            continue
        if name not in PLANTED:
            raise ValueError(f"unknown residue of a learner: {name}")
        table, row = PLANTED[name]
        yield table, row(person)
