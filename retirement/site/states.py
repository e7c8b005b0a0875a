"""Names of LMS states that a site may have. The LMS lists none: it says of names that it is asked for which it has."""

from collections.abc import Iterable

#: What the LMS has by its default `RETIREMENT_STATES`, and what sites have added to it (contract of the LMS, 2.2).
USUAL_STEPS = (
    ("LOCKING_ACCOUNT", "LOCKING_COMPLETE"),
    ("RETIRING_FORUMS", "FORUMS_COMPLETE"),
    ("RETIRING_EMAIL_LISTS", "EMAIL_LISTS_COMPLETE"),
    ("RETIRING_ENROLLMENTS", "ENROLLMENTS_COMPLETE"),
    ("RETIRING_NOTES", "NOTES_COMPLETE"),
    ("RETIRING_PROCTORING", "PROCTORING_COMPLETE"),
    ("RETIRING_LMS_MISC", "LMS_MISC_COMPLETE"),
    ("RETIRING_LMS", "LMS_COMPLETE"),
    ("ADDING_TO_PARTNER_QUEUE", "PARTNER_QUEUE_COMPLETE"),
)
#: Services by which sites name states that their connectors do not show.
USUAL_SERVICES = (
    "CREDENTIALS",
    "DEMOGRAPHICS",
    "ECOM",
    "ECOMMERCE",
    "LICENSES",
    "SAILTHRU",
    "SEGMENT",
    "BRAZE",
    "AMPLITUDE",
)


def usual_states(services: Iterable[str]) -> list[str]:
    """States of the platform's default list and of steps that sites have for the usual services and for these."""
    named = dict.fromkeys([*USUAL_SERVICES, *services])
    pairs = [*USUAL_STEPS, *((f"RETIRING_{service}", f"{service}_COMPLETE") for service in named)]
    return list(dict.fromkeys(state for pair in pairs for state in pair))
