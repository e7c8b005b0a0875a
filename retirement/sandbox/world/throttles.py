"""Limits of requests: of tokens per address, and of lists of enrollments per account."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque

from retirement.sandbox.wire import ApiError
from retirement.sandbox.world.tokens import Principal

STAFF_RATE, USER_RATE, WINDOW_S = 120, 40, 60.0


class RateLimit:
    """Counts token requests per address and minute; refused ones count too (1.3)."""

    def __init__(self, per_minute: int | None) -> None:
        self._per_minute = per_minute
        self._seen: dict[str, deque[float]] = {}

    def exceeded(self, address: str) -> bool:
        if self._per_minute is None:
            return False
        now = time.monotonic()
        seen = self._seen.setdefault(address, deque())
        while seen and seen[0] < now - 60:
            seen.popleft()
        seen.append(now)
        return len(seen) > self._per_minute


class Throttle:
    """Requests of each account within the last minute."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._seen: dict[str, deque[float]] = defaultdict(deque)

    def check(self, principal: Principal) -> None:
        """Raises the 429 of Django REST framework, which says when to come back."""
        if not self._enabled:
            return
        now, seen = time.monotonic(), self._seen[principal.username]
        while seen and seen[0] <= now - WINDOW_S:
            seen.popleft()
        if len(seen) >= (STAFF_RATE if principal.is_staff else USER_RATE):
            wait = math.ceil(seen[0] + WINDOW_S - now)
            detail = f"Request was throttled. Expected available in {wait} second{'s' if wait != 1 else ''}."
            raise ApiError(429, detail, retry_after=wait)
        seen.append(now)
