"""The tables of all services, reduced to the columns that hold personal data or decide an answer.

Section 5 of the contract lms.md and sections A1 to A8 of services.md list them. Every table has a column
`learner`: the LMS user id of the person whose data the row holds. In LMS tables it stands for the foreign
key to the account. In the other services it is a mark for the sandbox' reports: their code never reads it.
The tables of vendors stand beside their routes, in `vendors`.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Computed, Index, Integer, MetaData, String, Table, func

metadata = MetaData()
#: What a table is called in the database of its service, where its name here is another one.
VIEWS = {
    "license_manager_user": "core_user",
    "discovery_user": "core_user",
    "credentials_social_auth": "social_auth_usersocialauth",
}


def table_of(
    service: str, name: str, *columns: str | Column[int] | Column[bool] | Column[str] | Column[bytes]
) -> Table:
    """A table of a service; a column given by name holds text."""
    # Readers of the LMS' database find its rows by the foreign key, which stands in this column.
    account = [Column("user_id", Integer, Computed("learner"))] if service == "lms" else []
    return Table(
        name,
        metadata,
        Column("id", Integer, primary_key=True),
        Column("learner", Integer, index=True),
        *account,
        *(Column(column, String) if isinstance(column, str) else column for column in columns),
        info={"service": service},
    )


def _lms(name: str, *columns: str | Column[int] | Column[bool] | Column[str]) -> Table:
    return table_of("lms", name, *columns)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def number(name: str) -> Column[int]:
    """A column that holds a number."""
    return Column(name, Integer)


def _unique(table: Table, column: str) -> None:
    """Unique without regard to case, as MySQL's index is; `folded` is the database's collation."""
    Index(f"{table.name}_{column}_key", func.folded(table.c[column]), unique=True)


# The account (5.1)
user = _lms(
    "auth_user", "username", "email", "first_name", "last_name", "password", _flag("is_active"), _flag("is_staff"),
    "date_joined",
)  # fmt: skip
_unique(user, "username")
_unique(user, "email")
profile = _lms(
    "auth_userprofile", "name", "meta", "location", number("year_of_birth"), "gender", "mailing_address",
    "city", "country", "bio", "phone_number", "goals", "level_of_education", "language",
    "profile_image_uploaded_at",
)  # fmt: skip
social_link = _lms("student_sociallink", "platform", "social_link")
registration = _lms("auth_registration", "activation_key")
social_auth = _lms("social_auth_usersocialauth", "provider", "uid")
social_auth_history = _lms("support_historicalusersocialauth", "provider", "uid")
oauth_application = _lms("oauth2_provider_application", "name")
account_recovery = _lms("student_accountrecovery", "secondary_email")
pending_email_change = _lms("student_pendingemailchange", "new_email")
pending_secondary_email_change = _lms("student_pendingsecondaryemailchange", "new_secondary_email")
pending_name_change = _lms("student_pendingnamechange", "new_name", "rationale")
verified_name = _lms("edx_name_affirmation_verifiedname", "verified_name", "profile_name")
org_tag = _lms("user_api_userorgtag", "org", "key", "value")

# Learning and enrollment (5.2)
enrollment = _lms("student_courseenrollment", "course_id", "org", "mode", _flag("is_active"))
enrollment_allowed = _lms("student_courseenrollmentallowed", "course_id", "email")
cohort_assignment = _lms("course_groups_unregisteredlearnercohortassignments", "email")
enrollment_audit = _lms("student_manualenrollmentaudit", "enrolled_email", "reason")
enrollment_audit_history = _lms("student_historicalmanualenrollmentaudit", "enrolled_email", "reason")
certificate = _lms("certificates_generatedcertificate", "name")
entitlement_support = _lms("entitlements_courseentitlementsupportdetail", "comments")
credit_request = _lms("credit_creditrequest", "username", "parameters")
credit_requirement_status = _lms("credit_creditrequirementstatus", "username", "reason")
credit_eligibility = _lms("credit_crediteligibility", "username")
bulk_email_optout = _lms("bulk_email_optout", "course_id")
survey_answer = _lms("survey_surveyanswer", "field_value")
program_enrollment = _lms("program_enrollments_programenrollment", "external_user_key")
program_enrollment_history = _lms("program_enrollments_historicalprogramenrollment", "external_user_key")
api_access_request = _lms("api_admin_apiaccessrequest", "website", "company_address", "company_name", "reason")
wiki_revision = _lms("wiki_articlerevision", "title", "ip_address")

# Identity verification and enterprise (5.3)
photo_verification = _lms(
    "verify_student_softwaresecurephotoverification",
    "name",
    "face_image_url",
    "photo_id_image_url",
    "photo_id_key",
)
verification_attempt = _lms("verify_student_verificationattempt", "name")
consent = _lms("consent_datasharingconsent", "username")
pending_enterprise_user = _lms("enterprise_pendingenterprisecustomeruser", "user_email")
sap_audit = _lms("sap_success_factors_learnerdatatransmissionaudit", "sapsf_user_id")
degreed_audit = _lms("degreed_learnerdatatransmissionaudit", "degreed_user_email")

# Forum and proctoring, in or behind the LMS (5.4)
forum_user = _lms("forum_user", "username", _flag("retired"))
forum_content = _lms("forum_content", "author_username", "title", "body")
forum_subscription = _lms("forum_subscription", "source")
forum_read_state = _lms("forum_read_state", "course_id")
allowance = _lms("proctoring_proctoredexamstudentallowance", "value")
allowance_history = _lms("proctoring_proctoredexamstudentallowancehistory", "value")
review = _lms("proctoring_proctoredexamsoftwaresecurereview", "raw_data", "encrypted_video_url")
review_history = _lms("proctoring_proctoredexamsoftwaresecurereviewhistory", "raw_data", "encrypted_video_url")
review_comment = _lms("proctoring_proctoredexamsoftwaresecurecomment", "comment", "status")
proctoring_backend_user = _lms("proctoring_backend_user", "backend", _flag("obeys"))

# Retirement (5.5)
retirement_state = _lms(
    "user_api_retirementstate",
    "state_name", number("state_execution_order"), _flag("is_dead_end_state"), _flag("required"),
)  # fmt: skip
retirement = _lms(
    "user_api_userretirementstatus",
    "original_username", "original_email", "original_name", "retired_username", "retired_email",
    number("current_state"), number("last_state"), "responses", "created", "modified",
)  # fmt: skip
Index("retirement_one_per_learner", retirement.c.learner, unique=True)
Index("retirement_original_username", retirement.c.original_username)
Index("retirement_original_username_folded", func.folded(retirement.c.original_username))
Index("retirement_current_state", retirement.c.current_state)
retirement_request = _lms("user_api_userretirementrequest", "created")
partner_report = _lms(
    "user_api_userretirementpartnerreportingstatus",
    "original_username", "original_email", "original_name", _flag("is_being_processed"), "created",
)  # fmt: skip

#: A replacement of usernames looks each account up in all of these, whatever the case.
for _name in (
    *(consent.c.username, credit_eligibility.c.username, credit_request.c.username),
    *(credit_requirement_status.c.username, partner_report.c.original_username),
):
    Index(f"{_name.table.name}_{_name.name}_folded", func.folded(_name))

# The other services (services.md A1 to A7)
note = table_of("notes", "note", "user", "text", "quote")
credentials_user = table_of(
    "credentials",
    "core_user",
    "username",
    "email",
    "full_name",
    "first_name",
    "last_name",
    number("lms_user_id"),
)
Index("credentials_username_key", credentials_user.c.username, unique=True)
user_credential = table_of("credentials", "credentials_usercredential", "username", "uuid")
user_grade = table_of("credentials", "records_usergrade", "username", "letter_grade")
license_user = table_of("license_manager", "license_manager_user", "username", "email")
Index("license_manager_username_key", license_user.c.username, unique=True)
_LICENSE = ("status", "user_email", "activation_key", "assigned_date", "activation_date")
license_ = table_of("license_manager", "subscriptions_license", *_LICENSE, number("lms_user_id"))
license_history = table_of(
    "license_manager",
    "subscriptions_historicallicense",
    number("license_id"),
    "user_email",
    number("lms_user_id"),
)
license_source = table_of(
    "license_manager", "subscriptions_subscriptionlicensesource", number("license_id"), "source_id"
)
ecommerce_user = table_of("ecommerce", "ecommerce_user", "username", "email", "full_name", number("lms_user_id"))
Index("ecommerce_username_key", ecommerce_user.c.username, unique=True)
sdn_failure = table_of("ecommerce", "payment_sdncheckfailure", "username", "full_name", "city", "country")
discovery_user = table_of("discovery", "discovery_user", "username", "email", "full_name", "referral_tracking_id")
Index("discovery_username_key", discovery_user.c.username, unique=True)
for _key in (
    *(note.c.user, user_credential.c.username, user_grade.c.username, sdn_failure.c.username),
    *(license_.c.lms_user_id, license_history.c.license_id),
):
    Index(f"{_key.table.name}_{_key.name}", _key)
