"""The settings of a seed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

#: The forum is switched off in the LMS' admin.
FORUM_OFF = "off"
#: The generations of the forum (contract lms.md 4.16), and its switch in the admin.
FORUMS = ("legacy", "v2", "v2-new", FORUM_OFF)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the format, and ours: rights of the worker, the limit of the lists of enrollments, a feature."""

    token_lifetime_s: int = 3600
    #: Requests for tokens per address and minute; None: no limit.
    token_rate_per_minute: int | None = None
    forum: str = FORUMS[0]
    worker_is_staff: bool = False
    enrollment_throttle: bool = True
    #: The feature ENABLE_BULK_USER_RETIREMENT of the LMS.
    bulk_retirement: bool = True


def settings_of(seed: dict[str, Any]) -> Settings:
    """The settings of a seed; raises `ValueError` for an unknown key, which must not pass for a default."""
    given: dict[str, Any] = dict(seed.get("settings", {}))
    unknown = {*seed} - {"states", "settings", "learners"}
    unknown |= {*given} - {field.name for field in fields(Settings)}
    if unknown:
        raise ValueError(f"unknown key of a seed: {', '.join(sorted(unknown))}")
    if given.get("forum", FORUMS[0]) not in FORUMS:
        raise ValueError(f"forum must be one of {', '.join(FORUMS)}")
    if "token_lifetime_s" in given:
        given["token_lifetime_s"] = int(given["token_lifetime_s"])
    return Settings(**given)
