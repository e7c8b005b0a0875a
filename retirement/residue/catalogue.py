"""The catalogue: every place of which it is known that personal data were found there after COMPLETE.

Tables and columns are those of the services' own migrations; a release that has not got one is no error.
"""

from dataclasses import dataclass
from enum import StrEnum


class Identity(StrEnum):
    """By what the rows of a learner are found."""

    USER_ID = "LMS user id"
    USERNAME = "username"
    EMAIL = "e-mail"
    RETIRED_USERNAME = "retired username"


class Test(StrEnum):
    """What makes a row of the learner a residue."""

    THERE = "the row is there"
    KEPT = "a column is not empty, and holds no retired name or address"
    NAMED = "a text names them"


@dataclass(frozen=True, slots=True)
class Place:
    """One place to look into. `found_by` are columns of an index wherever the service has one."""

    name: str
    database: str
    table: str
    columns: tuple[str, ...]
    found_by: tuple[tuple[str, Identity], ...]
    test: Test
    why: str  #: it survives
    remedy: str
    #: Posts of the learner whose history this is, which are found through Django's content types.
    of_posts: bool = False


_ID = (("user_id", Identity.USER_ID),)
_LMS_ID = ("lms_user_id", Identity.USER_ID)
_NAMES = (("username", Identity.USERNAME), ("username", Identity.RETIRED_USERNAME))
_MAIL = ("email", Identity.EMAIL)

_HISTORY = "The row's history keeps what the row itself lost."
_DELETE = "Empty the column, then delete the row, so that replicas do not keep it."
_BY_HAND = "Empty the columns in the database; no call of the service does it."
_LATER_RELEASE = "A release of the LMS before the fix left it; update, then run the platform's clean-up or delete it."


def _lms(name: str, table: str, columns: str, why: str, remedy: str, **more: bool) -> Place:
    """A place of the LMS that is found by the account's id; the row's columns should be empty, or the row gone."""
    return Place(name, "lms", table, tuple(columns.split()), _ID, Test.KEPT, why, remedy, **more)


def _keyed(name: str, database: str, table: str, column: str, by: Identity, why: str, remedy: str) -> Place:
    """A place that still has the original value itself."""
    return Place(name, database, table, (column,), ((column, by),), Test.THERE, why, remedy)


_ACCOUNT = (
    _lms("social-auth", "social_auth_usersocialauth", "uid extra_data",
         "The link to an identity provider is deleted at the request only; a later sign-in makes it again.", _DELETE),
    _lms("social-auth-history", "support_historicalusersocialauth", "uid extra_data", _HISTORY, _LATER_RELEASE),
    _lms("recovery-email", "student_accountrecovery", "secondary_email",
         "The way through Django's admin did not clear what the API clears.", _DELETE),
    _lms("pending-email-change", "student_pendingemailchange", "new_email",
         "Releases before 2026 did not touch changes that wait to be confirmed.", _LATER_RELEASE),
    _lms("pending-secondary-email-change", "student_pendingsecondaryemailchange", "new_secondary_email",
         "Releases before 2026 did not touch changes that wait to be confirmed.", _LATER_RELEASE),
    _lms("pending-name-change", "student_pendingnamechange", "new_name rationale",
         "It is cleared by retire_misc alone, which a pipeline may not have.", "Run retirement_lms_retire_misc again."),
    _lms("verified-name", "edx_name_affirmation_verifiedname", "verified_name profile_name",
         "It is cleared by retire_misc alone, where the plug-in listens.", "Run retirement_lms_retire_misc again."),
    _lms("verified-name-history", "edx_name_affirmation_historicalverifiedname", "verified_name profile_name",
         _HISTORY, _DELETE),
    _lms("manual-verification", "verify_student_manualverification", "name",
         "It is cleared with a setting of the LMS only.", "Switch the setting on, or empty the column."),
)  # fmt: skip
_LEARNING = (
    _lms("certificate-name", "certificates_generatedcertificate", "name",
         "Releases before 2024 kept the name on certificates.", _LATER_RELEASE),
    _lms("certificate-name-history", "certificates_historicalgeneratedcertificate", "name",
         "The history is cleared with a waffle flag only.", "Switch the flag on and run the platform's back-fill."),
    _keyed("enrollment-allowed", "lms", "student_courseenrollmentallowed", "email", Identity.EMAIL,
           "It is matched by the address, so one that is added after the request stays.", _DELETE),
    _keyed("cohort-assignment", "lms", "course_groups_unregisteredlearnercohortassignments", "email", Identity.EMAIL,
           "It is matched by the address, so one that is added after the request stays.", _DELETE),
    _keyed("enrollment-audit", "lms", "student_manualenrollmentaudit", "enrolled_email", Identity.EMAIL,
           "Rows that belong to no enrollment any more are not found by retire_misc.", _BY_HAND),
    _keyed("enrollment-audit-history", "lms", "student_historicalmanualenrollmentaudit", "enrolled_email",
           Identity.EMAIL, _HISTORY, _BY_HAND),
    _keyed("credit-eligibility", "lms", "credit_crediteligibility", "username", Identity.USERNAME,
           "The model has no routine for retirement; only replacing the username updates it.",
           "Replace the username by the retired one."),
    _keyed("credit-request-history", "lms", "credit_historicalcreditrequest", "username", Identity.USERNAME,
           _HISTORY, "Run the platform's command that deletes the history of credit."),
    _keyed("credit-requirement-history", "lms", "credit_historicalcreditrequirementstatus", "username",
           Identity.USERNAME, _HISTORY, "Run the platform's command that deletes the history of credit."),
    Place("forum-edit-history", "lms", "forum_edithistory", ("original_body",), (("editor_id", Identity.USER_ID),),
          Test.KEPT, "The forum blanks a post and not what it was before it was edited.", _BY_HAND, of_posts=True),
)  # fmt: skip
_ENTERPRISE = (
    _keyed("consent-history", "lms", "consent_historicaldatasharingconsent", "username", Identity.USERNAME,
           _HISTORY, "Replace the username by the retired one."),
    _keyed("pending-enterprise-user", "lms", "enterprise_pendingenterprisecustomeruser", "user_email",
           Identity.EMAIL, "The handler looks for the address that is retired already.", _DELETE),
    _keyed("pending-enterprise-user-history", "lms", "enterprise_historicalpendingenterprisecustomeruser",
           "user_email", Identity.EMAIL, _HISTORY, _BY_HAND),
    _keyed("canvas-audit", "lms", "canvas_canvaslearnerdatatransmissionaudit", "canvas_user_email", Identity.EMAIL,
           "The channel's audit is retained by its own declaration.", _BY_HAND),
    _keyed("blackboard-audit", "lms", "blackboard_blackboardlearnerdatatransmissionaudit", "blackboard_user_email",
           Identity.EMAIL, "The channel's audit is retained by its own declaration.", _BY_HAND),
)  # fmt: skip
_RETIREMENT = (
    Place("retirement-responses", "lms", "user_api_userretirementstatus", ("responses",), _ID, Test.NAMED,
          "Drivers have stored what services answered, and the clean-up redacts three other columns.",
          "Empty the column before the row is cleaned up."),
    _lms("partner-queue", "user_api_userretirementpartnerreportingstatus",
         "original_username original_email original_name",
         "The row waits for the report to partners and for the clean-up after it.",
         "Run `retirement partner-report` until the queue is empty."),
)  # fmt: skip
_CREDENTIALS = (
    Place("credentials-user", "credentials", "core_user", ("email", "full_name", "first_name", "last_name"),
          (_LMS_ID, *_NAMES, _MAIL), Test.KEPT,
          "No release blanks the address, those up to verawood no name either; a second replacement finds no user.",
          "In its database: UPDATE core_user SET email = '', full_name = '', first_name = '', last_name = ''"
          " WHERE lms_user_id = ID."),
    _keyed("credentials-award", "credentials", "credentials_usercredential", "username", Identity.USERNAME,
           "It is renamed by the replacement of usernames alone.", "Run replace_usernames of CREDENTIALS."),
    _keyed("credentials-badge-progress", "credentials", "badges_badgeprogress", "username", Identity.USERNAME,
           "No version of the replacement touches it.", "Replace the username by hand, and ask the badge's issuer."),
    _keyed("credentials-social-auth", "credentials", "social_auth_usersocialauth", "uid", Identity.USERNAME,
           "No version of the replacement touches it.", _DELETE),
)  # fmt: skip
_LICENSES = (
    _keyed("licence-by-email", "license_manager", "subscriptions_license", "user_email", Identity.EMAIL,
           "A licence that was never activated has no LMS id, by which the service looks.",
           "Wait for the service's own command, about 90 days, or unassign it by hand."),
    _keyed("licence-by-email-history", "license_manager", "subscriptions_historicallicense", "user_email",
           Identity.EMAIL, "The history of such a licence is not found either.", _BY_HAND),
    Place("licence-user", "license_manager", "core_user", ("username", "email"),
          (("username", Identity.USERNAME), _MAIL), Test.THERE,
          "A token that was still valid makes the user again.", "Run retire_learner of LICENSE_MANAGER again."),
)  # fmt: skip
_OTHERS = (
    Place("ecommerce-user", "ecommerce", "ecommerce_user", ("email", "full_name"), (_LMS_ID, *_NAMES, _MAIL),
          Test.KEPT, "Replacing the username leaves address and name, and the service has no other call.", _BY_HAND),
    Place("ecommerce-sdn-check", "ecommerce", "payment_sdncheckfailure", ("full_name", "city"), _NAMES, Test.KEPT,
          "Replacing the username leaves name and city.", _BY_HAND),
    _keyed("ecommerce-offer-assignment", "ecommerce", "offer_offerassignment", "user_email", Identity.EMAIL,
           "Nothing touches the address that a code was given to.", _BY_HAND),
    Place("discovery-user", "discovery", "core_user", ("email", "full_name"), (*_NAMES, _MAIL), Test.KEPT,
          "The service has no retirement; replacing the username leaves address and name.", _BY_HAND),
    _keyed("enterprise-access-assignment", "enterprise_access", "content_assignments_learnercontentassignment",
           "learner_email", Identity.EMAIL, "It is scrubbed about 90 days after it expired.",
           "Wait for the service's own command, or cancel the assignment."),
    Place("enterprise-access-user", "enterprise_access", "core_user", ("username", "email"),
          (_LMS_ID, ("username", Identity.USERNAME), _MAIL), Test.KEPT,
          "The service has no retirement.", _BY_HAND),
)  # fmt: skip

#: In the order of the catalogue's page; names are unique.
PLACES = (*_ACCOUNT, *_LEARNING, *_ENTERPRISE, *_RETIREMENT, *_CREDENTIALS, *_LICENSES, *_OTHERS)
DATABASES = tuple(dict.fromkeys(place.database for place in PLACES))
