"""Named pipelines to rehearse with: their steps, the LMS states they need, and how to configure them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retirement.sandbox.vendors import VENDORS, drive
from retirement.sandbox.world.database import files

Step = dict[str, Any]


def _step(start: str, end: str, service: str, operation: str) -> Step:
    return {"start": start, "end": end, "service": service, "operation": operation}


_EMAIL_LISTS = _step("RETIRING_EMAIL_LISTS", "EMAIL_LISTS_COMPLETE", "LMS", "retirement_retire_mailings")
_ENROLLMENTS = _step("RETIRING_ENROLLMENTS", "ENROLLMENTS_COMPLETE", "LMS", "retirement_unenroll")
_FORUMS = _step("RETIRING_FORUMS", "FORUMS_COMPLETE", "LMS", "retirement_retire_forum")
_NOTES = _step("RETIRING_NOTES", "NOTES_COMPLETE", "LMS", "retirement_retire_notes")
_PROCTORING = _step("RETIRING_PROCTORING", "PROCTORING_COMPLETE", "LMS", "retirement_retire_proctoring_data")
_PARTNERS = _step("ADDING_TO_PARTNER_QUEUE", "PARTNER_QUEUE_COMPLETE", "LMS", "retirement_partner_queue")
_CREDENTIALS = _step("RETIRING_CREDENTIALS", "CREDENTIALS_COMPLETE", "CREDENTIALS", "replace_usernames")
_LICENSES = _step("RETIRING_LICENSES", "LICENSES_COMPLETE", "LICENSE_MANAGER", "retire_learner")
_ECOMMERCE = _step("RETIRING_ECOMMERCE", "ECOMMERCE_COMPLETE", "ECOMMERCE", "replace_usernames")
_DISCOVERY = _step("RETIRING_DISCOVERY", "DISCOVERY_COMPLETE", "DISCOVERY", "replace_usernames")
_MISC = _step("RETIRING_LMS_MISC", "LMS_MISC_COMPLETE", "LMS", "retirement_lms_retire_misc")
_RETIRE = _step("RETIRING_LMS", "LMS_COMPLETE", "LMS", "retirement_lms_retire")

_INDEPENDENT = (_FORUMS, _NOTES, _PROCTORING, _PARTNERS, _CREDENTIALS, _LICENSES)


def _after(step: Step, *before: Step) -> Step:
    """A step is named by its start state, which no other step shares."""
    return {**step, "after": [other["start"] for other in before]}


PIPELINES: dict[str, list[Step]] = {
    # A line: each step follows the one before.
    "default": [_ENROLLMENTS, *_INDEPENDENT, _MISC, _RETIRE],
    # The same steps. Enrollments go first, and the account last, since others find their rows by its names.
    "dag": [
        _after(_ENROLLMENTS),
        *(_after(step, _ENROLLMENTS) for step in _INDEPENDENT),
        _after(_MISC, *_INDEPENDENT),
        _after(_RETIRE, _MISC),
    ],
    # What old sample configurations say; current releases have no route for its first step (lms.md 4.6).
    "reference": [_EMAIL_LISTS, _ENROLLMENTS, _MISC, _RETIRE],
    "minimal": [_ENROLLMENTS, _MISC, _RETIRE],
    # Every connector. Vendors go first: they are looked up by what the steps of the LMS destroy.
    "all": [
        *(step for vendor in VENDORS.values() for step in vendor.steps),
        _ENROLLMENTS,
        *_INDEPENDENT,
        _ECOMMERCE,
        _DISCOVERY,
        _MISC,
        _RETIRE,
    ],
}
_URLS = {
    "CREDENTIALS": "credentials",
    "LICENSE_MANAGER": "license_manager",
    "ECOMMERCE": "ecommerce",
    "DISCOVERY": "discovery",
}


def states(name: str) -> list[str]:
    """The LMS setting RETIREMENT_STATES that a pipeline needs."""
    own = [state for step in PIPELINES[name] for state in (step["start"], step["end"])]
    return ["PENDING", *own, "ERRORED", "ABORTED", "COMPLETE"]


def configuration(
    name: str,
    urls: Mapping[str, str],
    client: Mapping[str, str],
    databases: Path | None = None,
    drive_key: str | None = None,
) -> dict[str, Any]:
    """The content of a configuration file for a running sandbox; `client` is its worker, `databases` its folder.

    `drive_key` is the file with the key of the account that delivers partner reports to Drive; None: none do.
    """
    steps = PIPELINES[name]
    used = dict.fromkeys(step["service"] for step in steps if step["service"] != "LMS")
    vendors = {vendor.service: vendor for vendor in VENDORS.values()}
    services = {
        service: vendors[service].settings(urls[vendors[service].name], urls)
        if service in vendors
        else {"url": urls[_URLS[service]]}
        for service in used
    }
    return {
        "lms": {
            "url": urls["lms"],
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
        },
        "cool_off_days": 7,
        "services": services,
        **({"partners": {"sinks": [drive.settings(urls[drive.NAME], drive_key)]}} if drive_key else {}),
        **({"databases": files(databases)} if databases else {}),
        "pipeline": [dict(step) for step in steps],
    }
