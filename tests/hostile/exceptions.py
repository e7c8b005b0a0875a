"""Lies that no program can see: the service's own word, where the contract offers no read that proves it.

Each is an exception of the table, with its reason; one that no case needs any more is a problem, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.hostile.proxy import Route


@dataclass(frozen=True)
class Lie:
    """A route, the misbehaviours (as patterns) that speak in its service's own words, and why they are believed."""

    route: Route
    words: tuple[str, ...]
    reason: str

    def covers(self, route: Route, misbehaviour: str) -> bool:
        """Whether this is the exception for a case."""
        return route == self.route and any(fnmatchcase(misbehaviour, word) for word in self.words)


#: The right words at the wrong time: what a cache or a mixed-up gateway says.
MIXED_UP = ("its-own-success-without-the-work", "another-learner's-answer")
#: The same where success is an empty 204, the same for every learner.
NO_CONTENT = (*MIXED_UP, "204-empty")
#: A private route may say 204, or 200 with any object that reports no failure.
PRIVATE = (*NO_CONTENT, "200-{}", "200-foreign", "400-digits")
#: The service's 404 says that it holds nothing, in JSON or without a body.
ANY_404 = ("404-empty*", "404-error-inside*")

_LMS = "/api/user/v1/accounts"
EXCEPTIONS: tuple[Lie, ...] = (
    Lie(
        Route("lms", "POST", "/api/enrollment/v1/unenroll/"),
        MIXED_UP,
        "the list of organisations is the contract's proof (lms.md 4.18); only 204, which is said of a learner "
        "without enrollments, is looked up a second way: the LMS answers 120 such look-ups a minute",
    ),
    Lie(
        Route("lms", "POST", f"{_LMS}/retire_misc/"),
        NO_CONTENT,
        "nothing that it erases can be read over the API but pending and verified names, which few learners have "
        "(lms.md 4.7, 4.15, 5)",
    ),
    Lie(
        Route("lms", "POST", "/api/discussion/v1/accounts/retire_forum/"),
        (*NO_CONTENT, "404-empty*"),
        "posts can only be listed course by course, and an empty 404 is the old forum's word for a learner who never "
        "wrote (lms.md 4.16)",
    ),
    Lie(
        Route("lms", "POST", "/api/edxnotes/v1/retire_user/"),
        NO_CONTENT,
        "the LMS itself says 204 whatever the notes service answers, and has no route to read notes by (lms.md 4.19)",
    ),
    Lie(
        Route("lms", "POST", "/api/edx_proctoring/v1/retire_user/{user_id}/"),
        NO_CONTENT,
        "says 204 for unknown ids too, and has no route to read allowances and reviews by (lms.md 4.20)",
    ),
    Lie(
        Route("lms", "PUT", f"{_LMS}/retirement_partner_report/"),
        NO_CONTENT,
        "the only read of that queue takes everything off it (lms.md 4.10)",
    ),
    Lie(
        Route("license_manager", "POST", "/api/v1/retire_user{rest}"),
        (*NO_CONTENT, *ANY_404),
        "has no route to read by, and its 404 is its word for a learner without a licence (services.md A4)",
    ),
    Lie(
        Route("credentials", "POST", "/api/v2/replace_usernames/"),
        MIXED_UP,
        "its answer names what it replaced, and no route of the worker reads it back (services.md A1)",
    ),
    Lie(
        Route("ecommerce", "POST", "/api/v2/user_management/replace_usernames/"),
        MIXED_UP,
        "as credentials (services.md A2)",
    ),
    Lie(Route("discovery", "POST", "/api/v1/replace_usernames/"), MIXED_UP, "as credentials (services.md A3)"),
    Lie(
        Route("commerce_coordinator", "POST", "/lms/user_retirement/"),
        NO_CONTENT,
        "has no route to read by (services.md A9)",
    ),
    Lie(
        Route("demographics", "POST", "/demographics/api/v1/retire_demographics/"),
        (*PRIVATE, *ANY_404),
        "a private service of which nothing is known but that a 2xx is success and a 404 absence (services.md A10)",
    ),
    Lie(
        Route("crm", "POST", "/api/v1/erasures"),
        MIXED_UP,
        "a service that the site declares (`HTTP`), without a read of its own; an operation that waits for a result "
        "declares one",
    ),
    *(
        Lie(
            Route("keycloak", "GET", f"/auth/admin/realms/{{realm}}/users{path}"),
            ("200-[[]]",),
            "the empty list is the realm's word for nothing, asked by each key that the site uses (services.md D3)",
        )
        for path in ("", "/{id}/federated-identity")
    ),
    Lie(
        Route("zendesk", "GET", "/api/v2/users/search.json"),
        MIXED_UP,
        "the search may find users of similar addresses, which are left out by comparing (services.md B7), and its "
        "index is behind by minutes",
    ),
)


def is_excepted(route: Route, misbehaviour: str) -> bool:
    """Whether a lie there is known to be believed."""
    return any(each.covers(route, misbehaviour) for each in EXCEPTIONS)
