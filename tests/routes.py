"""Where the request of each operation of the pipeline "default" goes: method, application of the sandbox, path.

Written from the contract and not read from the connectors, else the tests would agree with themselves.
"""

_ACCOUNTS = "/api/user/v1/accounts"
ROUTES = {
    "retirement_unenroll": ("POST", "lms", "/api/enrollment/v1/unenroll/"),
    "retirement_retire_forum": ("POST", "lms", "/api/discussion/v1/accounts/retire_forum/"),
    "retirement_retire_notes": ("POST", "lms", "/api/edxnotes/v1/retire_user/"),
    "retirement_retire_proctoring_data": ("POST", "lms", "/api/edx_proctoring/v1/retire_user/{user_id}/"),
    "retirement_partner_queue": ("PUT", "lms", f"{_ACCOUNTS}/retirement_partner_report/"),
    "replace_usernames": ("POST", "credentials", "/api/v2/replace_usernames/"),
    "retire_learner": ("POST", "license_manager", "/api/v1/retire_user"),
    "retirement_lms_retire_misc": ("POST", "lms", f"{_ACCOUNTS}/retire_misc/"),
    "retirement_lms_retire": ("POST", "lms", f"{_ACCOUNTS}/retire/"),
}


def part_of(operation: str) -> str:
    """The part of the path that is the same for every learner."""
    return ROUTES[operation][2].partition("{")[0]
