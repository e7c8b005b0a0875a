"""What a learner holds besides account and request: rows of every table that some step must clear.

The list follows section 5 of the contract lms.md and sections A1 to A7 of services.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Table

from retirement.sandbox.planting import remains
from retirement.sandbox.vendors import VENDORS
from retirement.sandbox.world import schema
from retirement.sandbox.world.database import timestamp
from retirement.sandbox.world.people import Person

Holding = tuple["Table", dict[str, Any]]


def of(person: Person) -> Iterator[Holding]:
    if "residue" in person.seed:
        yield from remains.of(person)
        return
    yield from _account(person)
    yield from _learning(person)
    yield from _credit_and_enterprise(person)
    yield from _verification(person)
    if person.seed.get("forum", True):
        yield from _forum(person)
    yield from _notes_and_proctoring(person)
    if person.seed.get("credentials"):
        yield from _credentials(person)
    yield from _licenses(person)
    if person.seed.get("ecommerce"):
        yield from _ecommerce(person)
    if person.seed.get("discovery"):
        user = {"username": person.username, "email": person.email, "full_name": person.name}
        yield schema.discovery_user, {**user, "referral_tracking_id": f"referral-{person.user_id}"}
    known_to = person.seed.get("vendors", ())
    for name in VENDORS if known_to == "all" else known_to:
        yield from VENDORS[name].holds(person)


def _account(person: Person) -> Iterator[Holding]:
    if not person.requested:
        # The request deletes these (4.5).
        yield schema.registration, {"activation_key": f"key-{person.user_id}"}
        yield schema.account_recovery, {"secondary_email": f"recovery.{person.email}"}
        yield schema.social_auth, {"provider": "tpa-saml", "uid": person.email}
        yield schema.oauth_application, {"name": f"application of {person.username}"}
    yield schema.social_auth_history, {"provider": "tpa-saml", "uid": person.email}
    if person.has_profile:
        # Links hang on the profile, not on the account.
        url = f"https://social.example/{person.username}"
        yield schema.social_link, {"platform": "linkedin", "social_link": url}
    yield schema.pending_email_change, {"new_email": f"new.{person.email}"}
    yield schema.pending_secondary_email_change, {"new_secondary_email": f"second.{person.email}"}
    yield schema.pending_name_change, {"new_name": f"{person.name} Jr", "rationale": f"{person.name} married"}
    yield schema.verified_name, {"verified_name": person.name, "profile_name": person.name}
    yield schema.org_tag, {"org": "OrgA", "key": "email-optin", "value": "True"}


def _learning(person: Person) -> Iterator[Holding]:
    for number, enrolled in enumerate(person.seed.get("enrollments", [])):
        course = f"course-v1:{enrolled['org']}+C{number}+R1"
        active = bool(enrolled.get("active", True))
        row = {"course_id": course, "org": enrolled["org"], "mode": "audit", "is_active": active}
        yield schema.enrollment, row
    yield schema.enrollment_allowed, {"course_id": "course-v1:OrgZ+C1+R1", "email": person.email}
    yield schema.cohort_assignment, {"email": person.email}
    audit = {"enrolled_email": person.email, "reason": f"asked for by {person.name}"}
    yield schema.enrollment_audit, audit
    yield schema.enrollment_audit_history, audit
    yield schema.certificate, {"name": person.name}
    yield schema.entitlement_support, {"comments": f"{person.name} called from {person.email}"}
    yield schema.survey_answer, {"field_value": person.name}
    yield schema.program_enrollment, {"external_user_key": person.email}
    yield schema.program_enrollment_history, {"external_user_key": person.email}
    yield schema.wiki_revision, {"title": "Welcome", "ip_address": "192.0.2.7"}
    yield (
        schema.api_access_request,
        {
            "website": f"https://{person.username}.example",
            "company_name": f"{person.name} Ltd",
            "company_address": f"{person.name}, 1 Main Street",
            "reason": f"{person.name} wants to",
        },
    )


def _credit_and_enterprise(person: Person) -> Iterator[Holding]:
    parameters = {"user_full_name": person.name, "user_email": person.email}
    # Rename tools and `retire` follow the account in these two tables.
    yield schema.consent, {"username": person.current_username}
    yield schema.credit_eligibility, {"username": person.username}
    request = {"username": person.username, "parameters": json.dumps(parameters, ensure_ascii=False)}
    yield schema.credit_request, request
    yield schema.credit_requirement_status, {"username": person.username, "reason": f'"{person.email}"'}
    yield schema.pending_enterprise_user, {"user_email": person.email}
    yield schema.sap_audit, {"sapsf_user_id": person.email}
    yield schema.degreed_audit, {"degreed_user_email": person.email}


def _verification(person: Person) -> Iterator[Holding]:
    photo = f"https://photos.example/{person.username}"
    yield (
        schema.photo_verification,
        {
            "name": person.name,
            "face_image_url": f"{photo}/face.png",
            "photo_id_image_url": f"{photo}/id.png",
            "photo_id_key": f"{photo}/key",
        },
    )
    yield schema.verification_attempt, {"name": person.name}


def _forum(person: Person) -> Iterator[Holding]:
    yield schema.forum_user, {"username": person.username, "retired": False}
    title = f"Hello from {person.name}"
    post = {"author_username": person.username, "title": title, "body": f"Mail {person.email}"}
    yield schema.forum_content, post
    yield schema.forum_subscription, {"source": "thread-1"}
    yield schema.forum_read_state, {"course_id": "course-v1:OrgA+C1+R1"}


def _notes_and_proctoring(person: Person) -> Iterator[Holding]:
    for number in range(person.seed.get("notes", 0)):
        text = f"Note {number} of {person.name}, {person.email}"
        yield schema.note, {"user": person.anonymous_id, "text": text, "quote": "a passage"}
    for _ in range(person.seed.get("proctoring", 0)):
        yield schema.allowance, {"value": f"{person.name} needs a reader"}
        yield schema.allowance_history, {"value": f"{person.name} needs a reader"}
    if person.seed.get("proctoring"):
        video = {
            "raw_data": f'{{"student": "{person.name}"}}',
            "encrypted_video_url": "https://video.example/1",
        }
        yield schema.review, video
        yield schema.review_history, video
        yield schema.review_comment, {"comment": f"{person.name} looked away", "status": "Suspicious"}
    for backend, obeys in person.seed.get("proctoring_backends", {}).items():
        yield schema.proctoring_backend_user, {"backend": backend, "obeys": bool(obeys)}


def _credentials(person: Person) -> Iterator[Holding]:
    yield (
        schema.credentials_user,
        {
            "username": person.username,
            "email": person.email,
            "full_name": person.name,
            "first_name": "First",
            "last_name": "Last",
            "lms_user_id": person.user_id,
        },
    )
    for number in range(2):
        award = {"username": person.username, "uuid": f"award-{person.user_id}-{number}"}
        yield schema.user_credential, award
    yield schema.user_grade, {"username": person.username, "letter_grade": "A"}


def _licenses(person: Person) -> Iterator[Holding]:
    licenses = person.seed.get("licenses", [])
    if person.seed.get("license_user", bool(licenses)):
        yield schema.license_user, {"username": person.username, "email": person.email}
    for number, status in enumerate(licenses):
        # One assigned by e-mail and never activated has no LMS id: the gap of A4.
        user_id = None if status == "assigned" else person.user_id
        license_id = person.user_id * 100 + number
        yield (
            schema.license_,
            {
                "id": license_id,
                "status": status,
                "user_email": person.email,
                "lms_user_id": user_id,
                "activation_key": f"activation-{license_id}",
                "assigned_date": timestamp(days_ago=200),
                "activation_date": None if user_id is None else timestamp(days_ago=199),
            },
        )
        history = {"license_id": license_id, "user_email": person.email, "lms_user_id": user_id}
        yield schema.license_history, history
        yield schema.license_source, {"license_id": license_id, "source_id": f"opportunity-{number}"}


def _ecommerce(person: Person) -> Iterator[Holding]:
    user = {"username": person.username, "email": person.email, "full_name": person.name}
    yield schema.ecommerce_user, {**user, "lms_user_id": person.user_id}
    place = {"city": "Springfield", "country": "ES"}
    yield schema.sdn_failure, {"username": person.username, "full_name": person.name, **place}
